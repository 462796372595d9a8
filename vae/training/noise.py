"""The draws of eps in eq. 4, each known from its epoch alone, so that a training can go on from anywhere."""

from __future__ import annotations

import numpy as np
import torch

_EPOCHS_AT_ONCE = 64


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
