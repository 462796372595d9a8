"""Annotated videos for the examples: a folder of your own, or rendered ones in OTB's layout."""

from pathlib import Path

import numpy as np

from tracker.data.images import write_png
from tracker.data.synthetic import synthetic_sequence


def rendered_videos(folder: Path, seeds: range, frames: int = 12) -> Path:
    """Write a rendered video for each seed, unless the folder holds it.

    Args:
        folder: Receives SEED/img/0001.png, ... and SEED/groundtruth_rect.txt, 1-based x,y,w,h a line.
        seeds: Seeds of the videos.
        frames: Frames of a video, of 320 x 240 pixels.

    Returns:
        The folder.
    """
    for seed in seeds:
        boxes = folder / f"{seed}" / "groundtruth_rect.txt"
        if boxes.is_file():
            continue
        print(f"Rendering the video {boxes.parent}", flush=True)
        video = synthetic_sequence(seed, frames)
        (boxes.parent / "img").mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(video.frames, start=1):
            write_png(boxes.parent / "img" / f"{number:04d}.png", frame)
        np.savetxt(boxes, video.boxes + [1, 1, 0, 0], fmt="%.2f", delimiter=",")
    return folder
