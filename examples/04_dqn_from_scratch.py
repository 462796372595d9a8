"""Algorithm 1 of SINT++ (deep Q-learning in the search), line by line in one file, without Stable-Baselines3.

Usage: python examples/04_dqn_from_scratch.py [--steps 2000] [--reward paper] [--env OcclusionSearchOracle-v0]

Prints:

    Algorithm 1 in OcclusionSearch-v0 with the reward difference for 2000 steps
    step    181: return   -0.01, score drop 0.081
    step    372: return   +0.16, score drop 0.100
    step    573: return   +0.32, score drop 0.116
    step    834: return   +0.61, score drop 0.136
    ...
"""

from __future__ import annotations

import random
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
import tyro
from torch import Tensor, nn

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)


@dataclass
class Settings:
    """Settings that Algorithm 1 leaves open; the paper's are `--reward paper --learning-rate 1e-6 --hidden 1024`.

    Attributes:
        env: The environment.
        reward: See the environment's documentation.
        steps: Environment steps.
        memory: N, the capacity of the replay memory.
        warm_up: Steps before the first update.
        batch_size: Size of a mini-batch.
        learning_rate: Adam's.
        gamma: Discount.
        target_every: C, steps between two copies to the target network.
        epsilon: Chance of a random action at the first and at the last step.
        explore: Share of the steps over which epsilon falls.
        hidden: Units of both hidden layers.
        report: Episodes in each line of the learning curve.
        seed: Seed of the network, the exploration and the environment.
    """

    env: str = "OcclusionSearch-v0"
    reward: str = "difference"
    steps: int = 2000
    memory: int = 10_000
    warm_up: int = 200
    batch_size: int = 100
    learning_rate: float = 1e-3
    gamma: float = 0.9
    target_every: int = 200
    epsilon: tuple[float, float] = (1.0, 0.1)
    explore: float = 0.5
    hidden: int = 128
    report: int = 20
    seed: int = 0


class Transition(NamedTuple):
    """`(phi_t, a_t, r_t, phi_{t+1})`, and whether the episode terminated there."""

    state: np.ndarray
    action: int
    reward: float
    next_state: np.ndarray
    terminal: bool


@dataclass
class Curve:
    """Return and score drop of each episode."""

    returns: list[float] = field(default_factory=list)
    drops: list[float] = field(default_factory=list)


def q_network(inputs: int, hidden: int, actions: int) -> nn.Sequential:
    """Q: a state's numbers to the value of each action."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, actions)
    )


def targets(batch: list[Transition], target_network: nn.Module, gamma: float) -> Tensor:
    """`y_j` of lines 18 to 22: `float32[B]`."""
    rewards = torch.tensor([each.reward for each in batch], dtype=torch.float32)
    terminal = torch.tensor([each.terminal for each in batch])
    next_states = torch.from_numpy(np.stack([each.next_state for each in batch]))
    with torch.no_grad():
        best = target_network(next_states).amax(dim=1)
    return torch.where(terminal, rewards, rewards + gamma * best)  # line 19: y_j = r_j, or line 21


def update(batch: list[Transition], network: nn.Module, y: Tensor, optimizer: torch.optim.Optimizer) -> float:
    """Line 23: one gradient step on `(y_j - Q(phi_j, a_j; theta))^2`; returns the loss."""
    states = torch.from_numpy(np.stack([each.state for each in batch]))
    actions = torch.tensor([each.action for each in batch])
    loss = (y - network(states).gather(1, actions[:, None])[:, 0]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def train(settings: Settings, env: gym.Env[Any, Any]) -> tuple[nn.Module, Curve]:
    """Algorithm 1 in one environment."""
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    memory: deque[Transition] = deque(maxlen=settings.memory)  # line 1: replay memory D of capacity N
    inputs, actions = env.observation_space.shape[0], int(env.action_space.n)  # type: ignore[index, attr-defined]
    network = q_network(inputs, settings.hidden, actions)  # line 3: Q with random weights theta
    target_network = deepcopy(network)  # line 4: theta^- = theta
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    first, last = settings.epsilon
    curve, step = Curve(), 0
    while step < settings.steps:  # lines 5, 6: for each episode, a target of a frame
        state, info = env.reset(seed=settings.seed if step == 0 else None)  # lines 2, 7: H empty, s_1, phi_1
        total, over = 0.0, False
        while not over:  # line 8: for t = 1 to T
            epsilon = first + (last - first) * min(1.0, step / (settings.explore * settings.steps))
            if rng.random() < epsilon:  # line 9
                action = rng.randrange(actions)  # line 10: a random action
            else:
                with torch.no_grad():  # line 12: else the best
                    action = int(network(torch.from_numpy(state)[None]).argmax())
            # lines 14, 15: execute a_t, observe r_t and the next state
            next_state, reward, terminated, truncated, info = env.step(action)
            # line 16: store the transition. The trigger is terminal; running out of steps is not, the search
            # could have gone on.
            memory.append(Transition(state, action, float(reward), next_state, terminated))
            if step >= settings.warm_up:
                batch = [memory[rng.randrange(len(memory))] for _ in range(settings.batch_size)]  # line 17
                update(batch, network, targets(batch, target_network, settings.gamma), optimizer)  # 18 to 23
            step += 1
            if step % settings.target_every == 0:  # line 24: every C steps theta^- = theta
                target_network.load_state_dict(network.state_dict())
            state, total, over = next_state, total + float(reward), terminated or truncated
        curve.returns.append(total)
        curve.drops.append(info["clean_score"] - info["score"])
        if len(curve.returns) % settings.report == 0:
            returns, drops = curve.returns[-settings.report :], curve.drops[-settings.report :]
            print(f"step {step:6d}: return {np.mean(returns):+7.2f}, score drop {np.mean(drops):.3f}", flush=True)
    return network, curve


if __name__ == "__main__":
    chosen = tyro.cli(Settings)
    print(f"Algorithm 1 in {chosen.env} with the reward {chosen.reward} for {chosen.steps} steps", flush=True)
    train(chosen, gym.make(chosen.env, reward=chosen.reward))
