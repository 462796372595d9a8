"""Imitation learning: an agent that copies the moves towards the best region, by behaviour cloning and DAgger.

Grid search finds the best region of each training target, and the teacher moves towards it. The first training is
on the teacher's own episodes (behaviour cloning), the next ones also on those of the learner, with the teacher's
action in each state (DAgger, Ross et al. 2011). Both are tested on another video.

Usage: python examples/13_imitation.py [--env OcclusionSearch-v0 --train VIDEOS --test VIDEOS] [--rounds 3]

Prints:

    teacher: score 0.05 after 6.7 actions
    cloning: score 0.11 after 7.2 actions
    DAgger, round 1: score 0.06 after 7.8 actions
    DAgger, round 2: score 0.10 after 7.2 actions
    DAgger, round 3: score 0.07 after 8.2 actions
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from torch import nn

import occlusion_env  # noqa: F401  (registers the environments)
from agents.policies.belief.observation import count_moves
from agents.policies.rollout import roll_out
from occlusion_env.mdp.actions import ACTIONS, TRIGGER
from occlusion_env.search.core import Search

Act = Callable[[np.ndarray], np.ndarray]


class Teacher:
    """Chooses the action that leaves the fewest moves to the best region of grid search."""

    def __init__(self, search: Search) -> None:
        self.search, self.limits = search, search.settings.limits
        grid, slots = self.limits.grid(self.limits.max_area), np.arange(len(search))
        scores = search.scores(slots.repeat(len(grid)), np.tile(grid, (len(slots), 1)))
        self.goals = grid[scores.reshape(len(slots), -1).argmin(axis=1)]

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """The actions in the present states, `int64[N]`."""
        after = self.search.next_regions(np.arange(len(self.search)))
        left = count_moves(self.limits, after, self.goals[:, None])
        left[:, TRIGGER] -= 1e-9  # before a move that a border stops
        return left.argmin(axis=1)


class Recorded:
    """A policy for `roll_out` that acts by one function, and records what another one does in each state."""

    def __init__(self, act: Act, teacher: Act, count: int) -> None:
        self.act, self.teacher = act, teacher
        self.running = np.ones(count, dtype=bool)
        self.observations: list[np.ndarray] = []
        self.actions: list[np.ndarray] = []

    def predict(self, observation: np.ndarray, **_: Any) -> tuple[np.ndarray, None]:
        """The actions, and no state; an episode that has triggered is no longer recorded."""
        self.observations.append(observation[self.running])
        self.actions.append(self.teacher(observation)[self.running])
        actions = self.act(observation)
        self.running &= actions != TRIGGER
        return actions, None


def fit(observations: np.ndarray, actions: np.ndarray, steps: int = 1500) -> Act:
    """Fit a network to actions `int64[M]` in states `float32[M, D]`."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(observations.shape[1], 128), nn.ReLU(), nn.Linear(128, len(ACTIONS)))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    inputs, labels = torch.from_numpy(observations), torch.from_numpy(actions)
    for _ in range(steps):
        some = torch.randint(len(inputs), (256,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs[some]), labels[some]).backward()
        optimizer.step()
    return lambda observations: network(torch.from_numpy(observations)).argmax(dim=1).numpy()


def main(
    env: str = "OcclusionSearchOracle-v0", train: str = "oracle:0", test: str = "oracle:1", rounds: int = 3,
    targets: int = 64,
) -> None:  # fmt: skip
    """Train on one video and test on another.

    Args:
        env: The environment.
        train: Videos to train on.
        test: Videos to test on.
        rounds: Of DAgger.
        targets: Targets of a round, and of the test.
    """

    def test_and_print(name: str, act: Act | None) -> None:
        envs.reset(seed=0)
        act = act or Teacher(search)
        episodes = roll_out(Recorded(act, act, targets), search)
        score = np.mean([episode.last.score for episode in episodes])
        print(f"{name}: score {score:.2f} after {np.mean([len(each.actions) for each in episodes]):.1f} actions")

    envs = gym.make_vec(env, num_envs=targets, targets=test)
    search = envs.unwrapped.search  # type: ignore[attr-defined]
    training = gym.make_vec(env, num_envs=targets, targets=train)
    test_and_print("teacher", None)
    observations: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    act: Act | None = None
    for number in range(1 + rounds):
        training.reset(seed=targets * number)
        teacher = Teacher(training.unwrapped.search)  # type: ignore[attr-defined]
        recorded = Recorded(act or teacher, teacher, targets)
        roll_out(recorded, teacher.search)
        observations += recorded.observations
        actions += recorded.actions
        act = fit(np.concatenate(observations), np.concatenate(actions))
        test_and_print(f"DAgger, round {number}" if number else "cloning", act)


if __name__ == "__main__":
    tyro.cli(main)
