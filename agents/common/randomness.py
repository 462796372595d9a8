"""Random generators of NumPy from those of PyTorch."""

from __future__ import annotations

import numpy as np
import torch


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """A NumPy generator seeded by a draw of a PyTorch generator on the CPU; of the default one if `None`."""
    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
