"""Guided exploration (Caicedo and Lazebnik 2015, section 4.2): explore among the actions that are rewarded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from occlusion_env.mdp.actions import ACTIONS, TRIGGER
from occlusion_env.mdp.rewards import REWARDS, Transition
from occlusion_env.naming import look_up
from occlusion_env.search.core import Search

from .replay import states_of


def look_ahead(search: Search, slots: NDArray[np.int64]) -> tuple[NDArray[np.float64], int]:
    """Score each action's next region, and return the rewards; the searches stay where they are.

    Args:
        search: N searches.
        slots: `int[M]`, which of them.

    Returns:
        Rewards `float64[M, 9]`, and the number of scorer queries: one for each move that changes a region.
    """
    count, actions = len(slots), len(ACTIONS)
    rows = np.repeat(slots, actions)
    there = search.next_regions(slots).reshape(-1, 4)
    changed = np.flatnonzero((there != search.region[rows]).any(axis=1))
    score = search.score[rows]
    if len(changed):
        score[changed] = search.scores(rows[changed], there[changed])
    reward = look_up("reward", search.settings.reward, REWARDS)(search.settings)
    transition = Transition(
        score=score,
        previous_score=search.score[rows],
        best_score=search.best_score[rows],
        clean_score=search.clean_score[rows],
        phi=search.phi[rows],
        triggered=np.tile(np.arange(actions) == TRIGGER, count),
    )
    return reward(transition).reshape(count, actions), len(changed)


def guided_actions(rewards: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw from the actions whose reward is positive, from all of them where none is.

    Args:
        rewards: `float64[M, 9]`.
        rng: Random generator.

    Returns:
        `int64[M]`.
    """
    good = rewards > 0
    good |= ~good.any(axis=1, keepdims=True)
    return np.where(good, rng.random(good.shape), -1.0).argmax(axis=1)


class GuidedExploration(OffPolicyAlgorithm):
    """Mixin for DQN and QRDQN: an exploring environment takes a guided action.

    Each environment explores with probability epsilon, independently of the others, and then queries the scorer
    for all moves.

    Attributes:
        look_ahead_queries: Scorer queries so far.
    """

    exploration_rate: float
    look_ahead_queries: int = 0

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        assert self.env is not None and self._last_obs is not None
        rng = self.action_space.np_random
        chance = 1.0 if self.num_timesteps < learning_starts else self.exploration_rate
        exploring = np.flatnonzero(rng.random(n_envs) < chance)
        actions, _ = self.policy.predict(self._last_obs, deterministic=True)
        actions = np.array(actions)
        if len(exploring):
            rewards, queries = look_ahead(states_of(self.env).search, exploring)
            actions[exploring] = guided_actions(rewards, rng)
            self.look_ahead_queries += queries
            self.logger.record("rollout/look_ahead_queries", self.look_ahead_queries)
        return actions, actions


def guided(kind: type[OffPolicyAlgorithm]) -> type[OffPolicyAlgorithm]:
    """Make the class of a DQN or a QRDQN with guided exploration; it saves and loads as the class itself does.

    >>> from stable_baselines3 import DQN
    >>> guided(DQN).__name__
    'GuidedDQN'
    """
    return type(f"Guided{kind.__name__}", (GuidedExploration, kind), {"__doc__": GuidedExploration.__doc__})
