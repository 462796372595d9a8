"""Search for the worst occlusion of a target in your own image, and look at it.

Usage: python examples/your_own_image.py IMAGE X,Y,W,H OUT.png
"""

import sys

import gymnasium as gym
import numpy as np

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)
from tracker.data.boxes import parse_box
from tracker.data.images import read_image, write_png


def main(image: str, box: str, out: str) -> None:
    """Walk greedily: try every move, keep the one with the lowest score."""
    env = gym.make("OcclusionSearch-v0", render_mode="rgb_array", info_names=True)
    _, info = env.reset(seed=0, options={"image": read_image(image), "box": parse_box(box)})
    print(f"clean {info['clean_score']:+.3f}, start {info['score']:+.3f}")
    search = env.unwrapped.search
    for _ in range(search.settings.max_steps):
        moves = search.settings.limits.move(search.region.repeat(8, axis=0), np.arange(8))
        scores = search.scores(np.zeros(8, dtype=int), moves)
        if scores.min() >= info["score"]:
            break
        *_, info = env.step(int(scores.argmin()))
        print(f"{info['action']:>8} {info['score']:+.3f}")
    write_png(out, env.render())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("Usage: python examples/your_own_image.py IMAGE X,Y,W,H OUT.png")
    main(*sys.argv[1:4])
