"""Compare what an agent of any library earns in the oracle's environment with random actions and hill climbing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

import occlusion_env  # noqa: F401  (registers OcclusionSearchOracle-v0)
from agents.policies.baselines import HillClimbing, Querying, Steering

ENV_ID = "OcclusionSearchOracle-v0"

Choice = Callable[[NDArray[np.float32]], Any]
"""Maps observations `float32[N, F]` to actions `int[N]`."""


def mean_return(envs: VectorEnv[Any, Any, Any], choose: Choice, seed: int = 1000) -> float:
    """Mean undiscounted return of the first episode of each environment."""
    observations, _ = envs.reset(seed=seed)
    total, over = np.zeros(envs.num_envs), np.zeros(envs.num_envs, dtype=bool)
    while not over.all():
        observations, rewards, terminated, truncated, _ = envs.step(np.asarray(choose(observations)))
        total += rewards * ~over
        over |= terminated | truncated
    return float(total.mean())


def print_returns(name: str, choose: Choice, episodes: int = 100) -> float:
    """Print the mean returns of random actions, of hill climbing with 60 scorer queries, and of an agent.

    Args:
        name: The agent's.
        choose: Its actions.
        episodes: Number of episodes; all three play the same ones.

    Returns:
        The agent's return.
    """
    envs = gym.make_vec(ENV_ID, num_envs=episodes, autoreset_mode=AutoresetMode.SAME_STEP)
    rng = np.random.default_rng(0)
    climbing = Steering(Querying(HillClimbing, 60), envs.unwrapped.search, rng)  # type: ignore[attr-defined]
    found = {
        "random": mean_return(envs, lambda _: rng.integers(9, size=episodes)),
        "hill climbing": mean_return(envs, lambda observations: climbing.predict(observations)[0]),
        name: mean_return(envs, choose),
    }
    for label, value in found.items():
        print(f"{label}: return {value:+.2f}", flush=True)
    return found[name]
