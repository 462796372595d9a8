"""DQN by TorchRL: double Q-learning in one environment, made by its id.

Usage: python examples/libraries/torchrl_dqn.py [--steps 15000]    (pip install torchrl)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import tyro
from returns import ENV_ID, print_returns
from tensordict.nn import TensorDictSequential
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, ReplayBuffer
from torchrl.envs import GymEnv
from torchrl.modules import MLP, EGreedyModule, QValueActor
from torchrl.objectives import DQNLoss, HardUpdate


@dataclass
class Settings:
    """Settings of the training.

    Attributes:
        steps: Environment steps.
        warm_up: Steps before the first update.
        frames: Steps between two groups of updates.
        updates: Updates after each group of steps.
        batch_size: Size of a mini-batch.
        learning_rate: Adam's.
        gamma: Discount.
        target_every: Updates between two copies to the target network.
        episodes: Episodes of the evaluation.
        seed: Seed of the network, the exploration and the environment.
    """

    steps: int = 15_000
    warm_up: int = 500
    frames: int = 50
    updates: int = 50
    batch_size: int = 128
    learning_rate: float = 5e-4
    gamma: float = 0.9
    target_every: int = 250
    episodes: int = 100
    seed: int = 0


def train(settings: Settings) -> tuple[MLP, ReplayBuffer]:
    """Train a Q-network; returns it and the replay buffer."""
    torch.manual_seed(settings.seed)
    env = GymEnv(ENV_ID, categorical_action_encoding=True)
    env.set_seed(settings.seed)
    (inputs,), actions = env.observation_spec["observation"].shape, int(env.action_spec.space.n)
    net = MLP(in_features=inputs, out_features=actions, num_cells=[128, 128], activation_class=torch.nn.ReLU)
    actor = QValueActor(net, in_keys=["observation"], spec=env.action_spec)
    explore = EGreedyModule(
        env.action_spec, eps_init=1.0, eps_end=0.05, annealing_num_steps=max(1, settings.steps // 2)
    )
    collector = Collector(
        env,
        TensorDictSequential(actor, explore),
        frames_per_batch=settings.frames,
        total_frames=settings.steps,
        auto_register_policy_transforms=True,
    )
    memory = ReplayBuffer(storage=LazyTensorStorage(settings.steps), batch_size=settings.batch_size)
    loss = DQNLoss(actor, action_space=env.action_spec, double_dqn=True, delay_value=True)
    loss.make_value_estimator(gamma=settings.gamma)
    target = HardUpdate(loss, value_network_update_interval=settings.target_every)
    optimizer = torch.optim.Adam(loss.parameters(), lr=settings.learning_rate)
    for batch in collector:
        memory.extend(batch.reshape(-1))
        explore.step(batch.numel())
        for _ in range(settings.updates if len(memory) >= settings.warm_up else 0):
            optimizer.zero_grad()
            loss(memory.sample())["loss"].backward()
            torch.nn.utils.clip_grad_norm_(loss.parameters(), 10.0)
            optimizer.step()
            target.step()
    collector.shutdown()
    return net, memory


def main(settings: Settings) -> None:
    """Train, and compare the best actions with random ones and hill climbing."""
    net, memory = train(settings)
    print(
        f"{len(memory)} steps in the replay buffer, mean reward {memory[:]['next', 'reward'].mean():+.2f}",
        flush=True,
    )

    @torch.no_grad()
    def choose(observations: np.ndarray) -> np.ndarray:
        return net(torch.from_numpy(observations)).argmax(dim=1).numpy()

    print_returns("TorchRL DQN", choose, settings.episodes)


if __name__ == "__main__":
    main(tyro.cli(Settings))
