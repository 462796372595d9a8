"""DQN by Tianshou: double Q-learning in eight environments.

Usage: python examples/libraries/tianshou_dqn.py [--steps 16000]    (pip install tianshou)
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from returns import ENV_ID, print_returns
from tianshou.algorithm.modelfree.dqn import DQN, DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import MLP, Net


@dataclass
class Settings:
    """Settings of the training.

    Attributes:
        steps: Environment steps over all environments.
        n_envs: Number of environments.
        warm_up: Random steps before the training.
        updates: Updates for each step of one environment.
        batch_size: Size of a mini-batch.
        learning_rate: Adam's.
        gamma: Discount.
        target_every: Updates between two copies to the target network.
        episodes: Episodes of the evaluation.
        seed: Seed of the network, the exploration and the environments.
    """

    steps: int = 16_000
    n_envs: int = 8
    warm_up: int = 400
    updates: float = 0.5
    batch_size: int = 128
    learning_rate: float = 5e-4
    gamma: float = 0.9
    target_every: int = 250
    episodes: int = 100
    seed: int = 0


def train(settings: Settings) -> tuple[MLP, VectorReplayBuffer]:
    """Train a Q-network; returns it and the replay buffer."""
    torch.manual_seed(settings.seed)
    np.random.seed(settings.seed)
    envs = DummyVectorEnv([lambda: gym.make(ENV_ID) for _ in range(settings.n_envs)])
    envs.seed(settings.seed)
    observations, actions = envs.observation_space[0], envs.action_space[0]
    net = Net(state_shape=observations.shape, action_shape=actions.n, hidden_sizes=(128, 128))
    policy = DiscreteQLearningPolicy(model=net, action_space=actions, eps_training=1.0)
    algorithm = DQN(
        policy=policy,
        optim=AdamOptimizerFactory(lr=settings.learning_rate),
        gamma=settings.gamma,
        target_update_freq=settings.target_every,
    )
    memory = VectorReplayBuffer(settings.steps + settings.warm_up, settings.n_envs)
    collector = Collector(algorithm, envs, memory, exploration_noise=True)
    collector.reset()
    collector.collect(n_step=settings.warm_up)

    def explore_less(epoch: int, step: int) -> None:
        policy.set_eps_training(max(0.05, 1 - 2 * step / settings.steps))

    algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=settings.steps,
            collection_step_num_env_steps=10 * settings.n_envs,
            update_step_num_gradient_steps_per_sample=settings.updates,
            batch_size=settings.batch_size,
            training_fn=explore_less,
            show_progress=False,
            verbose=False,
        )
    )
    return net.model, memory


def main(settings: Settings) -> None:
    """Train, and compare the best actions with random ones and hill climbing."""
    net, memory = train(settings)
    print(
        f"{len(memory)} steps in the replay buffer, mean reward {memory.rew[: len(memory)].mean():+.2f}",
        flush=True,
    )

    @torch.no_grad()
    def choose(observations: np.ndarray) -> np.ndarray:
        return net(torch.from_numpy(observations)).argmax(dim=1).numpy()

    print_returns("Tianshou DQN", choose, settings.episodes)


if __name__ == "__main__":
    main(tyro.cli(Settings))
