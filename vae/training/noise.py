"""The draws of a training, each a function of the seed and its epoch, so that it can be resumed at any epoch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import VAEError

_EPOCHS_AT_ONCE = 64
_ORDER, _SPLIT, _VALIDATION = 1, 2, 3
"""Streams beside that of the noise."""


class Noise:
    """Standard normal draws for every epoch of a training, the same on every device.

    Args:
        seed: Which draws, at least 0.
        shape: Of one epoch's: samples L, images N, latent dimension J.
        device: Where they go.

    >>> noise = Noise(0, (1, 3, 2), torch.device("cpu"))
    >>> noise(70).shape, torch.equal(noise(70), Noise(0, (1, 3, 2), torch.device("cpu"))(70))
    (torch.Size([1, 3, 2]), True)
    """

    def __init__(self, seed: int, shape: tuple[int, int, int], device: torch.device) -> None:
        self._seed, self._shape, self._device = seed, shape, device
        self._number = -1
        self._block = torch.empty(0)

    def __call__(self, epoch: int) -> torch.Tensor:
        """Return the draws of an epoch, counted from 0, `float32[L, N, J]`."""
        number, position = divmod(epoch, _EPOCHS_AT_ONCE)
        if number != self._number:
            rng = np.random.default_rng([self._seed, number])
            block = rng.standard_normal((_EPOCHS_AT_ONCE, *self._shape), dtype=np.float32)
            self._block, self._number = torch.from_numpy(block).to(self._device), number
        return self._block[position]


def validation_noise(seed: int, shape: tuple[int, int, int], device: torch.device) -> torch.Tensor:
    """Return the draws of eps for the held-out images, the same at every epoch, `float32[L, N, J]`."""
    rng = np.random.default_rng([seed, 0, _VALIDATION])
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)


def draw_order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """Return the order of the images in an epoch of mini-batches, `int64[count]`."""
    return torch.from_numpy(np.random.default_rng([seed, epoch, _ORDER]).permutation(count))


def split_images(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the held-out images of a training.

    Args:
        count: Number of images.
        share: Share that is held out, rounded to at least 1 image and at most all but one; 0 holds out none.
        seed: Which draw.

    Returns:
        Indices of the training images and of the held-out ones, each in ascending order.

    Raises:
        VAEError: If a share of a single image is to be held out.

    >>> [indices.tolist() for indices in split_images(5, 0.4, seed=0)]
    [[0, 3, 4], [1, 2]]
    """
    if not share:
        return np.arange(count), np.arange(0)
    if count < 2:
        raise VAEError(
            "A validation split needs at least 2 images, got 1; give more images or validation_share 0."
        )
    held_out = min(max(1, round(share * count)), count - 1)
    order = np.random.default_rng([seed, 0, _SPLIT]).permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
