"""Hard positives for a tracker of your own: any function that compares two crops can be the scorer.

Here the matcher is the correlation of two grey images; a real one embeds with its own network.

Usage: python examples/your_own_tracker.py OUT_FOLDER [SEQUENCES [STEPS]]
"""

import sys
from pathlib import Path

import gymnasium as gym
import torch

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)
from agents import HardPositiveGenerator, SquaredErrorDQN, write_hard_positives


class GreyCorrelation:
    """Normalised cross-correlation of 32 x 32 grey images; the four members make it a `tracker.Scorer`."""

    input_size = 32
    device = torch.device("cpu")

    def embed(self, crops):
        """`[N, 3, 32, 32]` to unit vectors `[N, 1024]`."""
        grey = crops.mean(dim=1).flatten(1)
        return torch.nn.functional.normalize(grey - grey.mean(dim=1, keepdim=True))

    def compare(self, exemplars, candidates):
        """`[N, 1024]` and `[N, 1024]` to `[N]`."""
        return (exemplars * candidates).sum(dim=1)

    def __call__(self, exemplars, candidates):
        """Crops to scores."""
        return self.compare(self.embed(exemplars), self.embed(candidates))


def main(out: str, sequences: str = "synthetic", steps: int | str = 2000) -> None:
    """Train against the matcher, then make one hard positive a target."""
    env = gym.make("OcclusionSearch-v0", targets=sequences, scorer=GreyCorrelation())
    agent = SquaredErrorDQN("MlpPolicy", env, gamma=0.9, learning_rate=3e-4, learning_starts=100, seed=0)
    agent.learn(int(steps), progress_bar=True)
    inner = env.unwrapped
    search = inner.search
    generator = HardPositiveGenerator(agent, search.scorer, features=search.features, settings=search.settings)
    found = list(generator.of_targets(inner.targets.subset(range(8))))
    write_hard_positives(Path(out), found)
    for hard in found:
        print(f"{hard.target.id}: {hard.score_before:+.3f} -> {hard.score_after:+.3f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Usage: python examples/your_own_tracker.py OUT_FOLDER [SEQUENCES [STEPS]]")
    main(*sys.argv[1:4])
