"""Boxes for a video of which only the first is known, from OpenCV's MIL tracker."""

from __future__ import annotations

import ctypes
import os

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from .boxes import check_box, visible_fraction
from .errors import InputError
from .sequences import Frames

__all__ = ["follow"]

LEAST_SIDE = 5
"""MIL draws its features until they fit the box, and in a box of 4 x 4 pixels it never ends."""


def follow(frames: Frames, box: ArrayLike, progress: bool = True) -> NDArray[np.float64]:
    """Follow a target with `cv2.TrackerMIL` from its box in the first frame.

    MIL moves the box and keeps its size. It draws from OpenCV's random numbers and from the C library's
    `rand`; both are seeded here, for the whole process, so that the same frames give the same boxes.

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
    first = frames[0]
    height, width = first.shape[:2]
    given = check_box(box, width, height, "The box of the first frame")
    low = np.clip(np.floor(given[:2] + 0.5), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.floor(given[:2] + given[2:] + 0.5), low + 1, [width, height]).astype(int)
    start = tuple(int(value) for value in (*low, *(high - low)))
    text = ",".join(f"{value:g}" for value in given)
    if min(start[2:]) < LEAST_SIDE:
        raise InputError(
            f"The box {text} is too small to be followed; give one with sides of at least {LEAST_SIDE} "
            "pixels inside the frame, or the boxes of all frames."
        )
    _seed()
    tracker = cv2.TrackerMIL.create()
    boxes = np.zeros((len(frames), 4))
    boxes[0] = given
    try:
        tracker.init(_bgr(first), start)
        for t in tqdm(range(1, len(frames)), desc="following the target", disable=not progress):
            found, moved = tracker.update(_bgr(frames[t]))
            now = np.concatenate([given[:2] + np.subtract(moved[:2], start[:2]), given[2:]])
            if found and visible_fraction(now, width, height) > 0:
                boxes[t] = now
    except cv2.error:
        raise InputError(
            f"OpenCV's MIL cannot follow the box {text} in a frame of {width} x {height} pixels; "
            "give a smaller one, or the boxes of all frames."
        ) from None
    return boxes


def _seed() -> None:
    cv2.setRNGSeed(0)
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    library.srand(1)


def _bgr(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(frame[..., ::-1])
