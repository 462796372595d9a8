"""What should do worse than an agent that looks: policies that see no target, and policies that never choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.actions import ACTIONS
from occlusion_env.search import Search

from .evaluation import Agent

__all__ = ["Constant", "constant_agents", "without_features"]


class Constant:
    """Stable-Baselines3's `predict` with one answer.

    Args:
        action: Its name.
        count: Of the searches.
    """

    def __init__(self, action: str, count: int) -> None:
        """See the class."""
        self._actions = np.full(count, ACTIONS.index(action), dtype=np.int64)

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """The action for every search, and the state as it was."""
        return self._actions, state


def constant_agents() -> list[Agent]:
    """One agent an action, which takes that action and no other."""
    return [
        Agent(f"always {action}", partial(_constant, action), observe=_nothing, answers=("best",))
        for action in ACTIONS
    ]


def without_features(agent: Agent) -> list[Agent]:
    """The same agent twice, with nothing to go by but its past actions (and its region, where it is shown that).

    `no features` is shown zeros. `features of another target` is shown what lies under its region on the next
    target, so that its input looks like an input.
    """
    changes: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        "no features": np.zeros_like,
        "features of another target": lambda features: np.roll(features, 1, axis=0),
    }
    return [
        replace(agent, name=f"{agent.name}, {what}", observe=_with(agent, change), answers=agent.answers[:1])
        for what, change in changes.items()
    ]


def _constant(action: str, search: Search) -> Constant:
    return Constant(action, len(search))


def _nothing(search: Search) -> None:
    """No observation: a constant policy needs none, and features cost forward passes."""


def _with(
    agent: Agent, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> Callable[[Search], NDArray[Any] | dict[str, NDArray[Any]]]:
    """The agent's observations with the features of all targets, `[N, ...]`, changed."""

    def observe(search: Search) -> NDArray[Any] | dict[str, NDArray[Any]]:
        seen = agent.observe(search)
        if isinstance(seen, dict):
            return {**seen, "features": change(seen["features"])}
        if seen.ndim > 2:  # an image is all features
            return change(seen)
        length = search.feature_length
        return np.concatenate([change(seen[:, :length]), seen[:, length:]], axis=1)

    return observe
