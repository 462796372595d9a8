"""Observations: the state of a search as its agent gets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from tracker.data.images import to_images
from tracker.models.backbones import FeatureExtractor

from ..mdp.actions import ACTIONS
from ..mdp.settings import SearchSettings


class _Search(Protocol):
    """The members of a `Search` that the observations of this module read."""

    region: NDArray[np.float64]
    history: NDArray[np.float32]
    settings: SearchSettings
    features: FeatureExtractor
    feature_length: int

    def slot_features(self, slots: NDArray[np.int64]) -> NDArray[np.float32]: ...

    def slot_pixels(self, slots: NDArray[np.int64], size: int) -> Tensor: ...


class DictObservation:
    """The parts of the state by name: `features`, `history` (if there is one) and `region`."""

    names: tuple[str, ...] = ("features", "history", "region")

    def __init__(self, search: _Search) -> None:
        self.search = search
        length, history = search.feature_length, search.settings.history * len(ACTIONS)
        bound = float(np.float32(length**0.5))  # the root mean square of the features is 1
        boxes: dict[str, spaces.Space[Any]] = {"features": spaces.Box(-bound, bound, (length,), np.float32)}
        if history:
            boxes["history"] = spaces.Box(0, 1, (history,), np.float32)
        boxes["region"] = spaces.Box(0, 1, (4,), np.float32)
        self.parts = {name: box for name, box in boxes.items() if name in self.names}
        self.space: spaces.Space[Any] = spaces.Dict(self.parts)

    def __call__(self, slots: NDArray[np.int64]) -> Any:
        """`float32[M, ...]` by name."""
        parts = {"features": self.search.slot_features(slots)}
        if "history" in self.parts:
            parts["history"] = self.search.history[slots].reshape(len(slots), -1)
        if "region" in self.parts:
            parts["region"] = self.search.region[slots].astype(np.float32)
        return parts


class FeaturesObservation(DictObservation):
    """Features of the unoccluded target under the region, then the last actions, one-hot, newest first."""

    names: tuple[str, ...] = ("features", "history")

    def __init__(self, search: _Search) -> None:
        super().__init__(search)
        self.space = spaces.flatten_space(spaces.Dict(self.parts))

    def __call__(self, slots: NDArray[np.int64]) -> NDArray[np.float32]:
        """`float32[M, D]`, the parts side by side."""
        return np.concatenate(list(super().__call__(slots).values()), axis=1)


class FeaturesAndRegion(FeaturesObservation):
    """`features`, then the region's x, y, w, h."""

    names = ("features", "history", "region")


class PixelsObservation:
    """The unoccluded target under the region as an image, `uint8[size, size, 3]`; no history."""

    def __init__(self, search: _Search) -> None:
        self.search = search
        self.size = search.settings.pixels or search.features.input_size
        self.space = spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)

    def __call__(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """`uint8[M, size, size, 3]`."""
        return to_images(self.search.slot_pixels(slots, self.size))


OBSERVATIONS: dict[str, Callable[[Any], Any] | str] = {
    "features": FeaturesObservation,
    "features+region": FeaturesAndRegion,
    "dict": DictObservation,
    "pixels": PixelsObservation,
    "belief": "agents.policies.belief:BeliefObservation",  # imported when it is used
}
"""Classes by name; a custom one is named as `module:class`. Each takes the `Search`, has the `space` of the
observation of one search, and maps slots `int64[M]` to a new batch of M elements of it."""
