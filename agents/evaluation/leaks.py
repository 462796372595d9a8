"""Leak checks: policies that see no target or take one action, and a belief with another target's answers."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import ACTIONS
from occlusion_env.scene.targets import Target
from occlusion_env.search.belief import Belief
from occlusion_env.search.core import Search
from tracker.errors import InputError

from ..policies.rollout import Agent
from .methods import BUDGETS

__all__ = ["Constant", "constant_agents", "with_foreign_answers", "without_features"]


class Constant:
    """Stable-Baselines3's `predict` with one answer.

    Args:
        action: Its name.
        count: Of the searches.
    """

    def __init__(self, action: str, count: int) -> None:
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
    return [Agent(f"always {action}", partial(_constant, action), observe=_nothing) for action in ACTIONS]


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
    return [hidden, swapped]


def with_foreign_answers(
    belief: Belief, scores: NDArray[np.float64], foreign_drops: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A belief that is told the drops of other targets, so that no answer says anything about the own one.

    After each query its choice is the region with the largest drop that it was told. On average the score of that
    region on the own target is not below that of the first one, which is chosen without any answer.

    Args:
        belief: The belief about N targets, before the first query.
        scores: `float64[N, R]`, of these targets with each region of the grid covered.
        foreign_drops: `float64[M, R]`, drops of targets of other videos; they are used in turn.

    Returns:
        The scores of the answers after 1 to K queries, K the largest of `BUDGETS`, `float64[N, K]`, and the last
        answers `int64[N]`, indices into the grid.
    """
    rows = np.arange(len(scores))
    told = foreign_drops[rows % len(foreign_drops)]
    curve = np.empty((len(scores), BUDGETS[-1]))
    answer, best = np.zeros(len(scores), dtype=np.int64), np.full(len(scores), -np.inf)
    for query in range(BUDGETS[-1]):
        chosen = belief.propose()
        drops = told[rows, chosen]
        belief.observe(chosen, drops)
        answer, best = np.where(drops > best, chosen, answer), np.maximum(best, drops)
        curve[:, query] = scores[rows, answer]
    return curve, answer


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
