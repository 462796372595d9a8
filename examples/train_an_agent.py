"""Train an agent by deep Q-learning (Algorithm 1) and compare it with random regions.

Thirty-two searches act side by side; the state is what a belief over regions expects of each move, and a move
earns what it adds to the greatest drop of the score so far (`agents/hyperparams/tuned.yml`). `occlusion-search
train` does the same from the command line, with checkpoints and learning curves.

Usage: python examples/train_an_agent.py [SEQUENCES [STEPS]]
"""

import sys

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecMonitor

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)
from agents import HardPositiveGenerator, SquaredErrorDQN
from agents.dqn.bridge import VectorEnvBridge
from occlusion_env.search.core import Search


def main(sequences: str = "synthetic", steps: int | str = 20_000) -> None:
    """Train, then occlude twelve targets."""
    envs = gym.make_vec(
        "OcclusionSearch-v0", num_envs=32, autoreset_mode="SameStep", targets=sequences, reward="record",
        observation="belief", history=0, max_steps=18,
    )  # fmt: skip
    agent = SquaredErrorDQN(
        "MlpPolicy", VecMonitor(VectorEnvBridge(envs)), gamma=0.95, learning_rate=5e-4, learning_starts=500,
        buffer_size=20_000, batch_size=256, train_freq=1, gradient_steps=8, target_update_interval=1000,
        policy_kwargs={"net_arch": [128, 128]}, seed=0,
    )  # fmt: skip
    agent.learn(int(steps))
    search: Search = envs.search
    targets = envs.targets.subset(range(min(12, len(envs.targets))))
    for name, policy in (("random", "random"), ("agent", agent)):
        generator = HardPositiveGenerator(
            policy, search.scorer, features=search.features, settings=search.settings
        )
        found = list(generator.of_targets(targets))
        before, after = (
            np.mean([getattr(hard, f"score_{when}") for hard in found]) for when in ("before", "after")
        )
        print(f"{name}: mean score of {len(found)} targets {before:.3f} -> {after:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
