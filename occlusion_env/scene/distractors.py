"""Distractors: other boxes of the frame that a tracker could mistake for the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracker.data.boxes import iou
from tracker.data.images import crop
from tracker.data.sequences import evenly_spaced

from .occluders import mean_patch


def distractor_boxes(
    image_width: int, image_height: int, target: NDArray[np.float64], at_most: int = 32
) -> NDArray[np.float64]:
    """Boxes of the target's size all over its frame, half a target apart, that do not overlap it, in pixels.

    Returns:
        `float64[<= at_most, 4]`, evenly spaced in the order of rows; none where the target leaves no room.

    >>> distractor_boxes(40, 10, np.array([0.0, 0, 10, 10])).tolist()
    [[10.0, 0.0, 10.0, 10.0], [15.0, 0.0, 10.0, 10.0], [20.0, 0.0, 10.0, 10.0], [25.0, 0.0, 10.0, 10.0], \
[30.0, 0.0, 10.0, 10.0]]
    """
    size = np.minimum(target[2:], [image_width, image_height])
    # From border to border, so that the frame's edges count too.
    columns, rows = (
        np.linspace(0, room, int(np.ceil(2 * room / side)) + 1 if room else 1)
        for room, side in zip([image_width, image_height] - size, size, strict=True)
    )
    places = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 2)
    boxes = np.concatenate([places, np.broadcast_to(size, places.shape)], axis=1)
    free = boxes[iou(boxes, target) == 0]
    return free[evenly_spaced(len(free), at_most)] if len(free) else free


def distractor_crops(frame: NDArray[np.uint8], target: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Cut the `distractor_boxes` around a target's box out of its frame.

    Returns:
        `uint8[N, side, side, 3]`; where there is no room for any, one crop of the frame's mean colour.
    """
    height, width = frame.shape[:2]
    boxes = distractor_boxes(width, height, target)
    if len(boxes):
        return np.stack([crop(frame, box, side) for box in boxes])
    return mean_patch(frame, side)[None]
