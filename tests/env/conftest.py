from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from occlusion_env.targets import Source, Target


class Brightness:
    """A scorer worked out by hand: the mean brightness of the candidate."""

    input_size = 40
    device = torch.device("cpu")

    def embed(self, crops: Tensor) -> Tensor:
        return crops

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        return candidates.mean(dim=(1, 2, 3))

    def __call__(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


class Pixels:
    """Features that are the crop itself."""

    input_size = 4
    length = 48

    def __call__(self, crops: Tensor) -> Tensor:
        return crops.flatten(1)


@pytest.fixture
def brightness() -> Brightness:
    return Brightness()


@pytest.fixture
def pixels() -> Pixels:
    return Pixels()


@pytest.fixture
def half_white() -> np.ndarray:
    """A target whose left half is white, 40 x 40, so that the brightness under a black patch is countable."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :20] = 255
    return image


@pytest.fixture
def make_target() -> Callable[..., Target]:
    def make(crop: np.ndarray, exemplar: np.ndarray | None = None, name: str = "own") -> Target:
        box = (0.0, 0.0, float(crop.shape[1]), float(crop.shape[0]))
        return Target(name, crop, crop if exemplar is None else exemplar, crop, Source("own", 0, "0", box))

    return make


@pytest.fixture
def black() -> np.ndarray:
    return np.zeros((64, 64, 3), np.uint8)
