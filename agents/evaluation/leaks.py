"""Leak checks: policies without features or with one action, a belief with another target's answers."""

from __future__ import annotations

from collections.abc import Sequence as Many
from collections.abc import Sized
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


class Constant:
    """A policy that always takes the same action.

    Args:
        action: Name of the action.
        search: The searches.
    """

    def __init__(self, action: str, search: Sized) -> None:
        self._actions = np.full(len(search), ACTIONS.index(action), dtype=np.int64)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[np.int64], Any]:
        """The action for every search, and the unchanged state."""
        return self._actions, state


def constant_agents() -> list[Agent]:
    """One agent for each action, which takes that action alone."""
    return [Agent(f"always {action}", partial(Constant, action), observe=_nothing) for action in ACTIONS]


def without_features(agent: Agent, others: Many[Target]) -> list[Agent]:
    """The same agent twice, with past actions (and the region, if observed) as its only information.

    `no features` observes zeros. `features of another video` observes another video's target after the same
    actions, so that its input has the usual distribution.

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
    """Condition a belief on the drops of other targets, which carry no information about its own.

    After each query its choice is the region with the largest observed drop. On average the score of that region
    on its own target is not below that of the first one, which is chosen before any answer.

    Args:
        belief: The belief about N targets, before the first query.
        scores: `float64[N, R]`, of these targets with each region of the grid covered.
        foreign_drops: `float64[M, R]`, drops of targets of other videos; they are used in turn.

    Returns:
        The scores of the choices after 1 to K queries, K the largest of `BUDGETS`, `float64[N, K]`, and the last
        choices `int64[N]`, indices into the grid.
    """
    rows = np.arange(len(scores))
    foreign = foreign_drops[rows % len(foreign_drops)]
    curve = np.empty((len(scores), BUDGETS[-1]))
    answer, best = np.zeros(len(scores), dtype=np.int64), np.full(len(scores), -np.inf)
    for query in range(BUDGETS[-1]):
        chosen = belief.propose()
        drops = foreign[rows, chosen]
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
        targets = [others[slot % len(others)] for slot in range(count)]
        self._other.begin(np.arange(count), targets, list(search.patches()), drop=0.0)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[Any], Any]:
        """The inner policy's action; see `rollout.Policy`."""
        observation = _replace_features(self._search, observation, self._observe(self._other))
        actions, state = self._policy.predict(
            observation, state=state, episode_start=episode_start, deterministic=deterministic
        )
        self._other.step(np.asarray(actions).reshape(len(self._search)))
        return actions, state


def _nothing(search: Search) -> None:
    """No observation, which spares the forward passes of the features."""


def _zeros(agent: Agent, search: Search) -> Any:
    """The agent's observations with zeros for features."""
    observation = agent.observe(search)
    if isinstance(observation, dict):
        return {**observation, "features": np.zeros_like(observation["features"])}
    return _replace_features(search, observation, np.zeros_like(observation))


def _replace_features(search: Search, observation: Any, other: Any) -> Any:
    """An observation with the features of another one; an image is all features."""
    if isinstance(observation, dict):
        return {**observation, "features": other["features"]}
    if observation.ndim > 2:
        return other
    length = search.feature_length
    return np.concatenate([other[:, :length], observation[:, length:]], axis=1)
