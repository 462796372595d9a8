"""Train other algorithms in the same environment: eight searches as one batch, as Stable-Baselines3 drives them.

PPO and A2C are Stable-Baselines3's; QR-DQN and MaskablePPO, which is told which moves would change the region, are
those of sb3-contrib (`pip install 'occlusion-search[algorithms]'`).

The default environment is the oracle's, whose scores are arithmetic without a network, so that a minute is enough.

Usage: python examples/03_other_algorithms.py [--env OcclusionSearch-v0] [--steps 20000] [--algorithms PPO A2C ...]

Prints:

    PPO: training for 4096 steps
    PPO: score drop -0.089 before training, +0.434 after
    A2C: training for 4096 steps
    A2C: score drop -0.089 before training, +0.349 after
    ...
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3
import tyro
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecMonitor

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)
from agents.dqn.bridge import VectorEnvBridge
from agents.evaluation.playing import play

ON_POLICY: dict[str, Any] = {"gamma": 0.9, "n_steps": 32, "learning_rate": 5e-4}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "PPO": ON_POLICY | {"batch_size": 128},
    "A2C": ON_POLICY | {"n_steps": 16},
    "QRDQN": {"gamma": 0.9, "learning_starts": 200, "train_freq": 1, "gradient_steps": 4, "buffer_size": 10_000},
    "MaskablePPO": ON_POLICY | {"batch_size": 128},
}


@dataclass
class Settings:
    """What to train.

    Attributes:
        steps: Environment steps of each algorithm, over all environments.
        algorithms: Names of the algorithms; by default all that are installed.
        env: The environment.
        reward: See the environment's documentation.
        n_envs: Number of environments.
        seed: Seed of the networks and the environments.
    """

    steps: int = 4096
    algorithms: tuple[str, ...] = ()
    env: str = "OcclusionSearchOracle-v0"
    reward: str = "difference"
    n_envs: int = 8
    seed: int = 0


def installed() -> dict[str, type[BaseAlgorithm]]:
    """The algorithms' classes by name."""
    modules = [stable_baselines3]
    if importlib.util.find_spec("sb3_contrib") is not None:
        modules.append(importlib.import_module("sb3_contrib"))
    return {name: getattr(module, name) for name in ARGUMENTS for module in modules if hasattr(module, name)}


def drop(model: BaseAlgorithm, settings: Settings) -> float:
    """Mean drop of the score from the start of an episode to its end, over 100 actions."""
    episodes = play(model, settings.env, {"reward": settings.reward}, 100, seed=1000)
    return float(np.mean([episode.first["score"] - episode.last["score"] for episode in episodes]))


def make(kind: type[BaseAlgorithm], settings: Settings) -> BaseAlgorithm:
    """An agent of any algorithm with discrete actions, in environments of its own."""
    envs = gym.make_vec(
        settings.env, num_envs=settings.n_envs, autoreset_mode=AutoresetMode.SAME_STEP, reward=settings.reward
    )
    env = VecMonitor(VectorEnvBridge(envs))
    return kind("MlpPolicy", env, seed=settings.seed, **ARGUMENTS[kind.__name__])  # type: ignore[call-arg]


def main(settings: Settings) -> None:
    """Train each, and print its score drop before and after."""
    kinds = installed()
    if unknown := set(settings.algorithms) - set(kinds):
        raise SystemExit(f"'{min(unknown)}' is unknown or not installed; choose {', '.join(kinds)}.")
    for name in settings.algorithms or kinds:
        print(f"{name}: training for {settings.steps} steps", flush=True)
        model = make(kinds[name], settings)
        before = drop(model, settings)
        model.learn(settings.steps)
        print(f"{name}: score drop {before:+.3f} before training, {drop(model, settings):+.3f} after", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Settings))
