"""Search for the hardest occlusion of a target in your own image, and write a picture of it.

Without arguments the image is a rendered one.

Usage: python examples/08_your_own_image.py [IMAGE X,Y,W,H [OUT.png]]

Prints:

    clean +1.000, start +0.854
        down +0.826
      taller +0.826
    The picture is out/examples/your_own_image.png
"""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)
from tracker.data.boxes import parse_box
from tracker.data.images import read_image, write_png
from tracker.data.synthetic import synthetic_sequence


def main(image: str = "", box: str = "", out: str = "out/examples/your_own_image.png") -> None:
    """Search greedily: try every move, keep the one with the lowest score."""
    if image:
        pixels, place = read_image(image), parse_box(box)
    else:
        video = synthetic_sequence(seed=0, frames=1)
        pixels, place = video.frames[0], video.boxes[0]
    env = gym.make("OcclusionSearch-v0", render_mode="rgb_array", info_names=True)
    _, info = env.reset(seed=0, options={"image": pixels, "box": place})
    print(f"clean {info['clean_score']:+.3f}, start {info['score']:+.3f}", flush=True)
    search = env.unwrapped.search
    for _ in range(search.settings.max_steps):
        moves = search.settings.limits.move(search.region.repeat(8, axis=0), np.arange(8))
        scores = search.scores(np.zeros(8, dtype=int), moves)
        if scores.min() >= info["score"]:
            break
        *_, info = env.step(int(scores.argmin()))
        print(f"{info['action']:>8} {info['score']:+.3f}")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_png(out, env.render())
    print(f"The picture is {out}")


if __name__ == "__main__":
    if len(sys.argv) not in (1, 3, 4):
        sys.exit("Usage: python examples/08_your_own_image.py [IMAGE X,Y,W,H [OUT.png]]")
    main(*sys.argv[1:4])
