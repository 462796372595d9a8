"""Random generators of NumPy: seeded for a purpose, or from a generator of PyTorch."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """A random generator for one purpose, independent of the draws for other purposes."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in purpose)])


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """A NumPy generator seeded by a draw of a PyTorch generator on the CPU; of the default one if `None`."""
    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
