"""Where is your tracker blind? The occlusion stress test of a tracker of your own, in ten lines.

The tracker below matches the first frame's target around its last place. The test covers the target at drawn
moments of videos, and compares it with its last box before the cover, held still.

Usage: python examples/12_stress_test.py [OUT_FOLDER [SEQUENCES]]

Prints:

    Rendering the video out/examples/stress_test/videos/0
    Rendering the video out/examples/stress_test/videos/1
    template: overlap with 0, 50 and 100 % covered 0.80, 0.79, 0.53; OccAUC 0.741; held still 0.42
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from videos import rendered_videos

from agents import StressSettings, StressTest


class Template:
    """The best match of the first frame's target, within 16 pixels of its last place."""

    name = "template"

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        """Cut the target out."""
        x, y, w, h = (round(v) for v in box)
        self.box, self.target = np.array([x, y, w, h], float), image[y : y + h, x : x + w]

    def update(self, image: np.ndarray) -> np.ndarray:
        """Find it in the next frame."""
        x, y = np.maximum(self.box[:2].astype(int) - 16, 0)
        view = image[y : y + self.target.shape[0] + 32, x : x + self.target.shape[1] + 32]
        *_, place = cv2.minMaxLoc(cv2.matchTemplate(view, self.target, cv2.TM_CCOEFF_NORMED))
        self.box[:2] = x + place[0], y + place[1]
        return self.box.copy()


def main(out: str = "out/examples/stress_test", sequences: str | None = None) -> None:
    """Test the tracker on rendered videos, or your own."""
    data = rendered_videos(Path(out) / "videos", range(2), frames=60) if sequences is None else Path(sequences)
    scores = StressTest(data, Path(out) / "results", StressSettings.quick()).run(Template()).report()
    tracker = scores.trackers["template"].to_json()
    overlaps = ", ".join(f"{tracker['curve'][share]:.2f}" for share in ("0", "0.5", "1"))
    frozen = tracker["conditions"]["cover-100"]["frozen"]["mean"]
    print(
        f"template: overlap with 0, 50 and 100 % covered {overlaps}; OccAUC {tracker['occ_auc']:.3f};"
        f" held still {frozen:.2f}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
