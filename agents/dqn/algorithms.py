"""The algorithms of Stable-Baselines3 by RL Zoo's names, and bounds of their networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tracker.errors import InputError, shorten

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = ["ALGORITHMS", "WITHOUT_SCHEDULES", "check_layers"]

_MOST_LAYERS, _MOST_UNITS, _MOST_WEIGHTS = 100, 65_536, 2**28


def check_layers(layers: Any, name: str = "net_arch") -> None:
    """Refuse a list of layers that no memory holds, before a network is made of it.

    Args:
        layers: Units of each layer; lists and mappings in it are further layers.
        name: What it is called in the error's sentence.

    Raises:
        InputError: Naming the value and the bound.
    """
    if isinstance(layers, Mapping):
        for each in layers.values():
            check_layers(each, name)
        return
    if not isinstance(layers, list | tuple):
        raise InputError(f"{name} is {shorten(layers)}; give a list of the units of each layer.")
    if len(layers) > _MOST_LAYERS:
        raise InputError(f"{name} has {len(layers)} layers; give at most {_MOST_LAYERS}.")
    for units in layers:
        if isinstance(units, list | tuple | Mapping):
            check_layers(units, name)
        elif not isinstance(units, int) or isinstance(units, bool) or not 1 <= units <= _MOST_UNITS:
            raise InputError(f"{name} has a layer of {shorten(units)} units; give 1 to {_MOST_UNITS}.")
    plain = [units for units in layers if isinstance(units, int)]
    if (weights := sum(a * b for a, b in pairwise(plain))) > _MOST_WEIGHTS:
        raise InputError(f"{name} {shorten(layers)} has {weights} weights; give at most {_MOST_WEIGHTS}.")


def _dqn() -> type[BaseAlgorithm]:
    from .algorithm import SquaredErrorDQN

    return SquaredErrorDQN


def _sb3(name: str) -> type[BaseAlgorithm]:
    import stable_baselines3

    return getattr(stable_baselines3, name)


def _contrib(name: str) -> type[BaseAlgorithm]:
    import sb3_contrib

    return getattr(sb3_contrib, name)


ALGORITHMS: dict[str, Callable[[], type[BaseAlgorithm]]] = {
    "dqn": _dqn,
    "ppo": partial(_sb3, "PPO"),
    "a2c": partial(_sb3, "A2C"),
    "qrdqn": partial(_contrib, "QRDQN"),
    "ppo_mask": partial(_contrib, "MaskablePPO"),
}
"""The algorithms by RL Zoo's names; each class is imported when it is asked for."""


WITHOUT_SCHEDULES: dict[str, Any] = {
    name: 0.0 if name == "learning_rate" else lambda progress: 0.0
    for name in ("learning_rate", "lr_schedule", "clip_range", "clip_range_vf")
}
"""`custom_objects` for loading an agent to play with: schedules of RL Zoo are of its own classes."""
