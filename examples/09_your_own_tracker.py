"""Hard positives for a tracker of your own: any function that compares two crops can be the scorer.

Here the matcher is the correlation of two grey images, in `matcher.py`; a real one embeds with its own network.
The agent that is trained against it is compared with random search at equal queries.

Usage: python examples/09_your_own_tracker.py [OUT_FOLDER [SEQUENCES [STEPS]]]

Prints:

    Training against the matcher for 1500 steps
    best of 20 random: mean score of 8 targets +0.794 -> +0.476
    agent: mean score of 8 targets +0.794 -> +0.490
    The agent's hard positives are in out/examples/your_own_tracker
"""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
from matcher import GreyCorrelation

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)
from agents import HardPositiveGenerator, SquaredErrorDQN, write_hard_positives


def main(
    out: str = "out/examples/your_own_tracker", sequences: str = "synthetic", steps: int | str = 1500
) -> None:
    """Train against the matcher, then make one hard positive of each of eight targets."""
    env = gym.make("OcclusionSearch-v0", targets=sequences, scorer=GreyCorrelation(), reward="difference")
    agent = SquaredErrorDQN("MlpPolicy", env, gamma=0.9, learning_rate=3e-4, learning_starts=100, seed=0)
    print(f"Training against the matcher for {steps} steps", flush=True)
    agent.learn(int(steps))
    inner = env.unwrapped
    targets = inner.targets.subset(range(8))
    for name in ("best of 20 random", "agent"):
        policy = agent if name == "agent" else name
        generator = HardPositiveGenerator(
            policy, inner.search.scorer, features=inner.search.features, settings=inner.search.settings
        )
        found = list(generator.of_targets(targets))
        before, after = (
            np.mean([getattr(hard, f"score_{when}") for hard in found]) for when in ("before", "after")
        )
        print(f"{name}: mean score of {len(found)} targets {before:+.3f} -> {after:+.3f}", flush=True)
    write_hard_positives(Path(out), found)
    print(f"The agent's hard positives are in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
