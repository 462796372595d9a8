"""MaskablePPO and QR-DQN by sb3-contrib: the native vector environment through `VectorEnvBridge`.

MaskablePPO asks the environment for `action_masks`, which the bridge passes on.

Usage: python examples/libraries/sb3_contrib_agents.py [--algorithm QRDQN]

Needs `pip install 'occlusion-search[algorithms]'`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import sb3_contrib
import tyro
from gymnasium.vector import AutoresetMode
from returns import ENV_ID, print_returns
from stable_baselines3.common.base_class import BaseAlgorithm

from agents import VectorEnvBridge

ARGUMENTS: dict[str, dict[str, Any]] = {
    "MaskablePPO": {"gamma": 0.9, "n_steps": 64, "batch_size": 256, "learning_rate": 1e-3, "ent_coef": 0.01},
    "QRDQN": {
        "gamma": 0.9, "buffer_size": 40_000, "learning_starts": 1000, "train_freq": 1, "gradient_steps": 4,
        "batch_size": 128, "learning_rate": 5e-4, "exploration_fraction": 0.5, "target_update_interval": 500,
    },
}  # fmt: skip


@dataclass
class Settings:
    """Settings of the training.

    Attributes:
        algorithm: The agent's class.
        steps: Environment steps over all environments.
        n_envs: Number of environments.
        episodes: Episodes of the evaluation.
        seed: Seed of the network, the exploration and the environments.
    """

    algorithm: Literal["MaskablePPO", "QRDQN"] = "MaskablePPO"
    steps: int = 40_960
    n_envs: int = 16
    episodes: int = 100
    seed: int = 0


def main(settings: Settings) -> BaseAlgorithm:
    """Train, and compare the best actions with random ones and hill climbing."""
    envs = gym.make_vec(ENV_ID, num_envs=settings.n_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    kind = getattr(sb3_contrib, settings.algorithm)
    net = {"net_arch": [128, 128]}
    agent: BaseAlgorithm = kind(
        "MlpPolicy", VectorEnvBridge(envs), seed=settings.seed, policy_kwargs=net, **ARGUMENTS[settings.algorithm]
    )
    agent.learn(settings.steps)
    print_returns(
        settings.algorithm,
        lambda observations: agent.predict(observations, deterministic=True)[0],
        settings.episodes,
    )
    return agent


if __name__ == "__main__":
    main(tyro.cli(Settings))
