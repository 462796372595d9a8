"""`docs/pictures/tracking.png`: the first frame with its given box, and SINT's box while the target is covered.

Usage: python docs/tracking_picture.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from agents.common.pictures import save
from tracker.data.synthetic import synthetic_sequence
from tracker.trackers.registry import load_tracker

FRAMES, SEED = 60, 9
GIVEN, FOUND, TRUE = "#0072B2", "#D55E00", "#FFFFFF"


def draw_tracking(file: Path) -> None:
    """Track a drawn video and draw its first frame beside the last frame of the first occlusion."""
    video = synthetic_sequence(SEED, FRAMES, material="drawings")
    tracker = load_tracker("sint")
    tracker.init(video.frames[0], video.boxes[0])
    found = [video.boxes[0], *(tracker.update(video.frames[t]) for t in range(1, FRAMES))]
    hidden = int(np.argmin(video.visibility))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, frame, boxes, title in (
        (figure.add_subplot(1, 2, 1), 0, [(video.boxes[0], GIVEN)], "frame 1: the box that is given"),
        (
            figure.add_subplot(1, 2, 2), hidden, [(video.boxes[hidden], TRUE), (found[hidden], FOUND)],
            f"frame {hidden + 1}: SINT's box (orange), the annotation (white)",
        ),
    ):  # fmt: skip
        axes.imshow(video.frames[frame])
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
        for (x, y, w, h), colour in boxes:
            axes.add_patch(Rectangle((x, y), w, h, fill=False, linewidth=2.5, edgecolor=colour))
    save(figure, file)


if __name__ == "__main__":
    draw_tracking(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures/tracking.png"))
