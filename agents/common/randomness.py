"""One generator out of another."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["numpy_generator"]


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """A generator of NumPy's, seeded by a draw of one of PyTorch's on the CPU; of its own one if `None`."""
    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
