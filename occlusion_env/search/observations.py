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

__all__ = [
    "OBSERVATIONS",
    "DictObservation",
    "FeaturesAndRegion",
    "FeaturesObservation",
    "Observation",
    "PixelsObservation",
]


class _Search(Protocol):
    """The members of a `Search` that the observations of this module read."""

    region: NDArray[np.float64]
    history: NDArray[np.float32]
    settings: SearchSettings
    features: FeatureExtractor

    @property
    def feature_length(self) -> int: ...

    def slot_features(self, slots: NDArray[np.int64]) -> NDArray[np.float32]: ...

    def slot_pixels(self, slots: NDArray[np.int64], size: int) -> Tensor: ...


class Observation(Protocol):
    """Turns the state of a search into an observation; a custom one is a class, named as `module:class`.

    Attributes:
        space: The space of one search's observation.
    """

    space: spaces.Space[Any]

    def __init__(self, search: Any) -> None: ...

    def __call__(self, slots: NDArray[np.int64]) -> Any:
        """The observations of M of the searches: a new batch of elements of `space`."""
        ...


class FeaturesObservation:
    """Features of the unoccluded target under the region, then the last actions, one-hot, newest first."""

    with_region = False

    def __init__(self, search: _Search) -> None:
        self.search = search
        features, history = search.feature_length, search.settings.history * len(ACTIONS)
        extras = history + (4 if self.with_region else 0)
        high = np.ones(features + extras, dtype=np.float32)
        high[:features] = np.float32(features**0.5)
        low = np.zeros_like(high)
        low[:features] = -high[:features]
        self.space = spaces.Box(low, high, dtype=np.float32)

    def __call__(self, slots: NDArray[np.int64]) -> NDArray[np.float32]:
        """`float32[M, features + extras]`."""
        parts = [self.search.slot_features(slots), self.search.history[slots].reshape(len(slots), -1)]
        if self.with_region:
            parts.append(self.search.region[slots].astype(np.float32))
        return np.concatenate(parts, axis=1)


class FeaturesAndRegion(FeaturesObservation):
    """`features`, then the region's x, y, w, h."""

    with_region = True


class DictObservation:
    """The same parts by name: `features`, `history` (where there is one) and `region`."""

    def __init__(self, search: _Search) -> None:
        self.search = search
        length, history = search.feature_length, search.settings.history * len(ACTIONS)
        bound = float(np.float32(length**0.5))
        parts: dict[str, spaces.Space[Any]] = {"features": spaces.Box(-bound, bound, (length,), np.float32)}
        if history:
            parts["history"] = spaces.Box(0, 1, (history,), np.float32)
        parts["region"] = spaces.Box(0, 1, (4,), np.float32)
        self.space = spaces.Dict(parts)

    def __call__(self, slots: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """`float32[M, ...]` by name."""
        parts = {"features": self.search.slot_features(slots)}
        if self.search.settings.history:
            parts["history"] = self.search.history[slots].reshape(len(slots), -1)
        return parts | {"region": self.search.region[slots].astype(np.float32)}


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
