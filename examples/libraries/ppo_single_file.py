"""PPO in one file, as CleanRL writes it: no library of agents, the native vector environment, masked actions.

Usage: python examples/libraries/ppo_single_file.py [--steps 40960]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, VectorEnv
from returns import ENV_ID, print_returns
from torch import Tensor, nn
from torch.distributions import Categorical


@dataclass
class Settings:
    """Settings of the training.

    Attributes:
        steps: Environment steps over all environments.
        n_envs: Number of environments.
        rollout: Steps of each environment between two updates.
        epochs: Passes over a rollout.
        batch_size: Size of a mini-batch.
        learning_rate: Adam's at the first step; it falls to 0.
        gamma: Discount; the environment's potential has the same.
        gae: Lambda of the generalised advantage estimate.
        clip: Largest change of the probability ratio.
        entropy: Weight of the entropy bonus.
        value: Weight of the value loss.
        gradient_norm: Largest norm of the gradient.
        episodes: Episodes of the evaluation.
        seed: Seed of the network, the actions and the environments.
    """

    steps: int = 40_960
    n_envs: int = 16
    rollout: int = 64
    epochs: int = 6
    batch_size: int = 256
    learning_rate: float = 1e-3
    gamma: float = 0.9
    gae: float = 0.9
    clip: float = 0.2
    entropy: float = 0.01
    value: float = 0.5
    gradient_norm: float = 0.5
    episodes: int = 100
    seed: int = 0


class ActorCritic(nn.Module):
    """Two networks of an observation: the logits of the actions, and the state's value."""

    def __init__(self, inputs: int, actions: int, hidden: int = 128) -> None:
        super().__init__()
        self.actor, self.critic = (
            nn.Sequential(
                nn.Linear(inputs, hidden),
                nn.Tanh(),
                nn.Linear(hidden, hidden),
                nn.Tanh(),
                nn.Linear(hidden, outputs),
            )
            for outputs in (actions, 1)
        )

    def policy(self, observations: Tensor, masks: Tensor) -> Categorical:
        """The distribution over the actions; those whose mask is 0 have probability 0."""
        return Categorical(logits=self.actor(observations).masked_fill(masks == 0, -1e8))

    def values(self, observations: Tensor) -> Tensor:
        """Value of each state."""
        return self.critic(observations).squeeze(-1)


def advantages(rewards: Tensor, values: Tensor, next_values: Tensor, over: Tensor, settings: Settings) -> Tensor:
    """Generalised advantage estimates `[T, N]`.

    Args:
        rewards: `[T, N]`.
        values: `[T, N]`, of the states.
        next_values: `[T, N]`, of the states that follow; 0 where the episode terminated.
        over: `bool[T, N]`, whether the episode terminated or was truncated.
        settings: Discount and lambda.
    """
    errors = rewards + settings.gamma * next_values - values
    found, following = torch.zeros_like(rewards), torch.zeros(rewards.shape[1])
    for step in reversed(range(len(rewards))):
        following = errors[step] + settings.gamma * settings.gae * ~over[step] * following
        found[step] = following
    return found


def train(settings: Settings, envs: VectorEnv[Any, Any, Any]) -> ActorCritic:
    """Train in N environments whose autoreset mode is `SameStep`."""
    torch.manual_seed(settings.seed)
    inputs, actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)  # type: ignore
    net = ActorCritic(inputs, actions)
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate, eps=1e-5)
    shape = (settings.rollout, settings.n_envs)
    seen, masks = torch.zeros(*shape, inputs), torch.zeros(*shape, actions)
    taken, chances = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape)
    rewards, values, next_values = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape)
    over = torch.zeros(shape, dtype=torch.bool)
    observations, infos = envs.reset(seed=settings.seed)
    updates = max(1, settings.steps // (settings.rollout * settings.n_envs))
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - update / updates)
        for step in range(settings.rollout):
            seen[step] = torch.from_numpy(observations)
            masks[step] = torch.from_numpy(infos["action_mask"])
            with torch.no_grad():
                policy = net.policy(seen[step], masks[step])
                taken[step] = policy.sample()
                chances[step], values[step] = policy.log_prob(taken[step]), net.values(seen[step])
            observations, reward, terminated, truncated, infos = envs.step(taken[step].numpy())
            rewards[step], over[step] = torch.from_numpy(reward), torch.from_numpy(terminated | truncated)
            # Where an episode ends, the next state is its last one, not the first of the new episode. A truncated
            # episode could have gone on, so that its last state keeps its value.
            following = observations.copy()
            for ended in np.flatnonzero(terminated | truncated):
                following[ended] = infos["final_obs"][ended]
            with torch.no_grad():
                next_values[step] = net.values(torch.from_numpy(following)) * torch.from_numpy(~terminated)
        gains = advantages(rewards, values, next_values, over, settings)
        batch = [each.flatten(0, 1) for each in (seen, masks, taken, chances, gains, gains + values)]
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(batch[0])).split(settings.batch_size):
                loss = ppo_loss(net, *(each[rows] for each in batch), settings=settings)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), settings.gradient_norm)
                optimizer.step()
    return net


def ppo_loss(
    net: ActorCritic,
    seen: Tensor,
    masks: Tensor,
    taken: Tensor,
    chances: Tensor,
    gains: Tensor,
    returns: Tensor,
    settings: Settings,
) -> Tensor:
    """The clipped loss of a mini-batch, with the value loss and the entropy bonus."""
    policy = net.policy(seen, masks)
    ratio = (policy.log_prob(taken) - chances).exp()
    gains = (gains - gains.mean()) / (gains.std(correction=0) + 1e-8)
    clipped = torch.min(gains * ratio, gains * ratio.clamp(1 - settings.clip, 1 + settings.clip))
    value_loss = (net.values(seen) - returns).square().mean() / 2
    return settings.value * value_loss - clipped.mean() - settings.entropy * policy.entropy().mean()


def main(settings: Settings) -> None:
    """Train, and compare the best actions with random ones and hill climbing."""
    envs = gym.make_vec(ENV_ID, num_envs=settings.n_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    net = train(settings, envs)

    @torch.no_grad()
    def choose(observations: np.ndarray) -> np.ndarray:
        return net.actor(torch.from_numpy(observations)).argmax(dim=1).numpy()

    print_returns("PPO", choose, settings.episodes)


if __name__ == "__main__":
    main(tyro.cli(Settings))
