from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from occlusion_env.scene.targets import Source, Target


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
def assert_close() -> Callable[..., None]:
    """Data of environments, but for rounding: a batch of another size rounds otherwise."""

    def check(first: object, second: object, place: str = "") -> None:
        if isinstance(first, dict):
            assert isinstance(second, dict) and first.keys() == second.keys(), place
            for key in first:
                check(first[key], second[key], f"{place}/{key}")
        elif isinstance(first, np.ndarray) and first.dtype == object:
            assert first.shape == second.shape, place
            for a, b in zip(first, second, strict=True):
                check(a, b, place)
        elif isinstance(first, np.ndarray | float | np.floating):
            assert np.asarray(first).dtype == np.asarray(second).dtype, place
            assert np.shape(first) == np.shape(second), place
            tolerance = 1.01 if np.asarray(first).dtype == np.uint8 else 2e-4
            assert np.allclose(np.asarray(first, float), np.asarray(second, float), atol=tolerance), place
        elif isinstance(first, list | tuple):
            assert len(first) == len(second), place
            for index, pair in enumerate(zip(first, second, strict=True)):
                check(*pair, f"{place}/{index}")
        else:
            assert first == second and type(first) is type(second), place

    return check


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
