"""Opening a video whose target is boxed in the first frame only: OpenCV's MIL tracker finds the other boxes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from ..data.boxes import check_box
from ..data.readers import read_sequence
from ..data.sequences import Frames, Sequence
from ..errors import InputError
from .opencv import MILTracker, starting_box


def open_sequence(
    path: str | Path,
    box: str | Path | ArrayLike | None = None,
    layout: str = "auto",
    *,
    target: int | None = None,
    max_frames: int | None = None,
    progress: bool = True,
) -> Sequence:
    """Open a video and the boxes of its target.

    Args:
        path: A folder or a video file.
        box: The target; its box in the first frame is enough, and `follow` finds the others.
        layout: See `tracker.data.readers.read_sequence`, which names the layouts.
        target: Which of several targets, see `read_sequence`.
        max_frames: Keep at most this many frames.
        progress: Show a progress bar while the target is followed.

    Returns:
        The sequence, named after the folder or the file.

    Raises:
        InputError: If anything about it cannot be used; the message says what and where.
    """
    following = partial(follow, progress=progress)
    return read_sequence(path, box, layout, target=target, max_frames=max_frames, follow=following)


def follow(frames: Frames, box: ArrayLike, progress: bool = True) -> NDArray[np.float64]:
    """Follow a target with `MILTracker` from its box in the first frame.

    Args:
        frames: The video.
        box: `(x, y, w, h)` in frame 0, 0-based pixels.
        progress: Show a progress bar on standard error.

    Returns:
        `float64[T, 4]`; the first row is `box`. A row of zeros says that the target was lost in that frame.

    Raises:
        InputError: If the box has no area or lies outside frame 0, or MIL cannot start from it: the part
            inside the frame has a side under 5 pixels, or the box fills the frame.
    """
    tracker = MILTracker()
    first = frames[0]
    height, width = first.shape[:2]
    start = check_box(box, width, height, "The box of the first frame")
    if min(starting_box(start, width, height)[2:]) < tracker.least_side:
        text = ",".join(f"{value:g}" for value in start)
        raise InputError(
            f"The box {text} is too small to be followed; give one with sides of at least {tracker.least_side} "
            "pixels inside the frame, or the boxes of all frames."
        )
    try:
        tracker.init(first, start)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('.')}, or the boxes of all frames.") from None
    boxes = np.zeros((len(frames), 4))
    boxes[0] = start
    for t in tqdm(range(1, len(frames)), desc="following the target", disable=not progress):
        moved = tracker.update(frames[t])
        if tracker.found:
            boxes[t] = moved
    return boxes
