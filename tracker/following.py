"""Boxes for a video of which only the first is known, from OpenCV's MIL tracker."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from .boxes import check_box
from .errors import InputError
from .sequences import Frames
from .tracking.peers.opencv import MILTracker, starting_box

__all__ = ["follow"]


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
    given = check_box(box, width, height, "The box of the first frame")
    if min(starting_box(given, width, height)[2:]) < tracker.least_side:
        text = ",".join(f"{value:g}" for value in given)
        raise InputError(
            f"The box {text} is too small to be followed; give one with sides of at least {tracker.least_side} "
            "pixels inside the frame, or the boxes of all frames."
        )
    try:
        tracker.init(first, given)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('.')}, or the boxes of all frames.") from None
    boxes = np.zeros((len(frames), 4))
    boxes[0] = given
    for t in tqdm(range(1, len(frames)), desc="following the target", disable=not progress):
        moved = tracker.update(frames[t])
        if tracker.found:
            boxes[t] = moved
    return boxes
