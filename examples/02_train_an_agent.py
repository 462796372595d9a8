"""Train an agent by deep Q-learning (Algorithm 1) and compare it with random search at equal scorer queries.

Thirty-two searches act as one batch; the state is the belief over regions, and a move earns what it adds to the
largest drop of the score so far (`agents/hyperparams/tuned.yml`). `occlusion-search train` does the same from the
command line, with checkpoints and learning curves.

Usage: python examples/02_train_an_agent.py [SEQUENCES [STEPS]]

Prints:

    Training on 82 targets for 6400 steps
    step  1600: return 0.521
    step  3200: return 0.998
    step  4800: return 0.982
    ...
    best of 18 random: mean score of 12 targets 0.890 -> 0.698
    agent: mean score of 12 targets 0.890 -> 0.685
"""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecMonitor

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)
from agents import HardPositiveGenerator, SquaredErrorDQN
from agents.dqn.bridge import VectorEnvBridge
from occlusion_env.search.core import Search

MAX_STEPS = 18


def report(local: dict[str, Any], _: dict[str, Any]) -> bool:
    """Print the mean return of the last hundred episodes every 1,600 steps; the training calls it each step."""
    agent = local["self"]
    if agent.num_timesteps % 1600 == 0:
        returns = [episode["r"] for episode in agent.ep_info_buffer]
        print(f"step {agent.num_timesteps:5d}: return {np.mean(returns):.3f}", flush=True)
    return True


def main(sequences: str = "synthetic", steps: int | str = 6_400) -> None:
    """Train, then occlude twelve targets."""
    envs = gym.make_vec(
        "OcclusionSearch-v0", num_envs=32, autoreset_mode="SameStep", targets=sequences, reward="record",
        observation="belief", history=0, max_steps=MAX_STEPS,
    )  # fmt: skip
    agent = SquaredErrorDQN(
        "MlpPolicy", VecMonitor(VectorEnvBridge(envs)), gamma=0.95, learning_rate=5e-4, learning_starts=500,
        buffer_size=20_000, batch_size=256, train_freq=1, gradient_steps=8, target_update_interval=1000,
        policy_kwargs={"net_arch": [128, 128]}, seed=0,
    )  # fmt: skip
    print(f"Training on {len(envs.targets)} targets for {steps} steps", flush=True)
    agent.learn(int(steps), report)
    search: Search = envs.search
    targets = envs.targets.subset(range(min(12, len(envs.targets))))
    for name, policy in ((f"best of {MAX_STEPS} random", f"best of {MAX_STEPS} random"), ("agent", agent)):
        generator = HardPositiveGenerator(
            policy, search.scorer, features=search.features, settings=search.settings
        )
        found = list(generator.of_targets(targets))
        before, after = (
            np.mean([getattr(hard, f"score_{when}") for hard in found]) for when in ("before", "after")
        )
        print(f"{name}: mean score of {len(found)} targets {before:.3f} -> {after:.3f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
