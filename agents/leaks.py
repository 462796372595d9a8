"""Leak checks: policies that see no target, and policies with one action; an agent should do better."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.actions import ACTIONS
from occlusion_env.search import Search
from occlusion_env.targets import Target
from tracker.errors import InputError

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


def without_features(agent: Agent, others: Many[Target]) -> list[Agent]:
    """The same agent twice, with nothing to go by but its past actions (and its region, where it is shown that).

    `no features` observes zeros. `features of another video` observes what it would observe on another video's
    target after the same actions, so that its input has the usual distribution.

    Args:
        agent: The agent.
        others: Targets of another video, at least one before the second policy is made; they are used in turn.
    """
    hidden = replace(agent, name=f"{agent.name}, no features", observe=partial(_zeros, agent))
    swapped = replace(
        agent, name=f"{agent.name}, features of another video", policy=partial(_Swapped, agent, tuple(others))
    )
    return [replace(each, answers=agent.answers[:1]) for each in (hidden, swapped)]


class _Swapped:
    """A policy that observes the features of another video's targets.

    A second search over those targets takes the same actions.
    """

    def __init__(self, agent: Agent, others: Many[Target], search: Search) -> None:
        if not others:
            raise InputError("The check with another video's features needs targets of another video.")
        self._policy, self._observe, self._search = agent.policy(search), agent.observe, search
        count = len(search)
        self._other = Search(count, search.scorer, search.features, search.settings)
        shown = [others[slot % len(others)] for slot in range(count)]
        self._other.begin(np.arange(count), shown, list(search.patches()), drop=0.0)

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """The inner policy's action; see `rollout.Policy`."""
        shown = _replace_features(self._search, observation, self._observe(self._other))
        actions, state = self._policy.predict(
            shown, state=state, episode_start=episode_start, deterministic=deterministic
        )
        self._other.step(np.asarray(actions).reshape(len(self._search)))
        return actions, state


def _constant(action: str, search: Search) -> Constant:
    return Constant(action, len(search))


def _nothing(search: Search) -> None:
    """No observation: a constant policy needs none, and features cost forward passes."""


def _zeros(agent: Agent, search: Search) -> Any:
    """The agent's observations with zeros for features."""
    seen = agent.observe(search)
    features = seen["features"] if isinstance(seen, dict) else seen
    blank = np.zeros_like(features)
    return _replace_features(search, seen, {"features": blank} if isinstance(seen, dict) else blank)


def _replace_features(search: Search, seen: Any, other: Any) -> Any:
    """Observations `seen` with the features of the observations `other`; an image is all features."""
    if isinstance(seen, dict):
        return {**seen, "features": other["features"]}
    if seen.ndim > 2:
        return other
    length = search.feature_length
    return np.concatenate([other[:, :length], seen[:, length:]], axis=1)
