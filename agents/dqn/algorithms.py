"""The algorithms of Stable-Baselines3 by RL Zoo's names, loading their files, and bounds of their networks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import InputError, shorten
from tracker.models.backbones import check_finite, resolve_device

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv


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


ALGORITHMS = {
    "dqn": "agents.dqn.algorithm:SquaredErrorDQN",
    "ppo": "stable_baselines3:PPO",
    "a2c": "stable_baselines3:A2C",
    "qrdqn": "sb3_contrib:QRDQN",
    "ppo_mask": "sb3_contrib:MaskablePPO",
}
"""The algorithms by RL Zoo's names; each class is imported when it is asked for."""


_WITHOUT_SCHEDULES: dict[str, Any] = {
    name: 0.0 if name == "learning_rate" else lambda progress: 0.0
    for name in ("learning_rate", "lr_schedule", "clip_range", "clip_range_vf")
}
"""`custom_objects` for loading an agent to play with: schedules of RL Zoo are of its own classes."""


def algorithm_class(algo: str) -> type[BaseAlgorithm]:
    """Import an algorithm's class.

    Args:
        algo: One of `ALGORITHMS`.

    Raises:
        InputError: If there is no such algorithm, or its package is not installed.
    """
    if algo not in ALGORITHMS:
        raise InputError(f"'{algo}' is no algorithm; choose {', '.join(ALGORITHMS)}.")
    module, _, name = ALGORITHMS[algo].partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        raise InputError(
            f"The algorithm '{algo}' needs sb3-contrib; install 'occlusion-search[algorithms]'."
        ) from None


def load_model(algo: str, path: Path, device: str = "auto") -> BaseAlgorithm:
    """Load an agent to play with; it has no replay memory.

    Args:
        algo: One of `ALGORITHMS`.
        path: Its zip file; it holds pickled objects, so load none whose origin you do not trust.
        device: Where it runs.

    Raises:
        InputError: If there is no such file, or it is no agent of this algorithm.
    """
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

    if not path.is_file():
        raise InputError(f"There is no agent '{path}'; give the zip file of one that was trained.")
    kind = algorithm_class(algo)
    size = {"buffer_size": 1} if issubclass(kind, OffPolicyAlgorithm) else {}
    return load_zip(algo, kind, path, None, str(resolve_device(device)), custom_objects=_WITHOUT_SCHEDULES, **size)


def load_zip(
    algo: str, kind: type[BaseAlgorithm], path: Path, env: VecEnv | None, device: str, **given: Any
) -> BaseAlgorithm:
    """Load an agent to play with, or to train on.

    Args:
        algo: One of `ALGORITHMS`, for the error's sentence.
        kind: The class of its algorithm.
        path: Its zip file; it holds pickled objects.
        env: Where it is trained on; `None` to play.
        device: Where it runs.
        given: Arguments of the algorithm that replace the file's; the network keeps the file's layers.

    Raises:
        InputError: If it is no agent of this class, or its weights are not finite.
    """
    given.pop("policy_kwargs", None)
    try:
        model = kind.load(path, env=env, device=device, **given)
    except Exception as error:  # a zip of another origin breaks in any way
        raise InputError(f"'{path}' cannot be loaded as an agent of {algo} ({reason_of(error)}).") from None
    check_finite(model.policy.state_dict(), f"The agent '{path}' cannot be used", "train again")
    return model


def reason_of(error: Exception) -> str:
    """First line of an exception's message, or its type where it has none."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
