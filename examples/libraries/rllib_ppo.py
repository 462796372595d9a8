"""RLlib's PPO with env runners in processes of their own, on this machine or a cluster.

Each runner steps its searches as one batch (`gym_env_vectorize_mode`). The id carries its module
(`occlusion_env:`), because a runner is a new process in which nothing has registered the environment.

Usage: python examples/libraries/rllib_ppo.py [--steps 40960] [--runners 1] [--address 10.0.0.1:6379]
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import ray
import torch
import tyro
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.columns import Columns
from returns import ENV_ID, print_returns


@dataclass
class Settings:
    """Settings of the training.

    Attributes:
        steps: Environment steps over all runners.
        runners: Number of env runners.
        n_envs: Number of environments of a runner.
        rollout: Environment steps between two updates, over all runners.
        epochs: Passes over a rollout.
        batch_size: Size of a mini-batch.
        learning_rate: Adam's at the first step; it falls to 0.
        gamma: Discount; the environment's potential has the same.
        gae: Lambda of the generalised advantage estimate.
        entropy: Weight of the entropy bonus.
        hidden: Units of each of the two hidden layers.
        episodes: Episodes of the evaluation.
        seed: Seed of the networks, the actions and the environments.
        address: Of a running cluster; without one, Ray starts on this machine.
    """

    steps: int = 40_960
    runners: int = 1
    n_envs: int = 16
    rollout: int = 1024
    epochs: int = 6
    batch_size: int = 256
    learning_rate: float = 1e-3
    gamma: float = 0.9
    gae: float = 0.9
    entropy: float = 0.01
    hidden: int = 128
    episodes: int = 100
    seed: int = 0
    address: str | None = None


def configure(settings: Settings) -> PPOConfig:
    """The configuration of RLlib."""
    return (
        PPOConfig()
        .environment(f"occlusion_env:{ENV_ID}")
        .env_runners(
            num_env_runners=settings.runners,
            num_envs_per_env_runner=settings.n_envs,
            gym_env_vectorize_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
            sample_timeout_s=600,
        )
        .training(
            train_batch_size_per_learner=settings.rollout,
            minibatch_size=settings.batch_size,
            num_epochs=settings.epochs,
            lr=[[0, settings.learning_rate], [settings.steps, 0.0]],
            gamma=settings.gamma,
            lambda_=settings.gae,
            entropy_coeff=settings.entropy,
            clip_param=0.2,
            vf_clip_param=np.inf,
            vf_loss_coeff=0.5,
            grad_clip=0.5,
            use_kl_loss=False,
        )
        .rl_module(
            model_config={
                "fcnet_hiddens": [settings.hidden] * 2, "fcnet_activation": "tanh", "vf_share_layers": False,
            }
        )
        .debugging(seed=settings.seed, log_level="ERROR")
    )  # fmt: skip


def train(settings: Settings) -> PPO:
    """Train, and print the mean return of the latest episodes (with exploration) at every tenth of the steps."""
    algorithm = configure(settings).build_algo()
    done = printed = 0
    while done < settings.steps:
        found = algorithm.train()["env_runners"]
        done = int(found["num_env_steps_sampled_lifetime"])
        if 10 * done // settings.steps > printed:
            printed = 10 * done // settings.steps
            print(f"{done} steps: mean return {found['episode_return_mean']:+.2f}", flush=True)
    return algorithm


def main(settings: Settings) -> float:
    """Train, and compare the best actions with random ones and hill climbing; returns the agent's return."""
    if settings.address is None:
        ray.init("local", object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    else:
        ray.init(settings.address)
    try:
        algorithm = train(settings)
        module = algorithm.get_module()

        @torch.no_grad()
        def choose(observations: np.ndarray) -> np.ndarray:
            outputs = module.forward_inference({Columns.OBS: torch.from_numpy(observations)})
            return outputs[Columns.ACTION_DIST_INPUTS].argmax(dim=1).numpy()

        found = print_returns("RLlib PPO", choose, settings.episodes)
        algorithm.stop()
        return found
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(tyro.cli(Settings))
