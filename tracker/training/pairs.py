"""Boxes around a target, labelled by how much of it they hold: SINT's training candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.boxes import inside, iou, shifted

__all__ = ["NEGATIVE_IOU", "POSITIVE_IOU", "draw_boxes", "labelled_boxes", "radius_boxes"]

POSITIVE_IOU = 0.7
NEGATIVE_IOU = 0.5


def radius_boxes(
    box: ArrayLike, radii: int = 10, angles: int = 16, scales: tuple[float, ...] = (1.0,)
) -> NDArray[np.float64]:
    """Shift a box over rings around it (SINT's radius sampling, which keeps its size).

    Args:
        box: `(x, y, w, h)`.
        radii: How many rings; the widest has the radius `max(w, h)`.
        angles: How many boxes a ring.
        scales: Sizes of the boxes relative to the box; each is centred where the shifted box is.

    Returns:
        `[len(scales) * (1 + radii * angles), 4]`, scale by scale, the unshifted box first in each.

    >>> radius_boxes([10, 10, 4, 4], radii=1, angles=4).round().tolist()[1:3]
    [[14.0, 10.0, 4.0, 4.0], [10.0, 14.0, 4.0, 4.0]]
    """
    longer = np.asarray(box, dtype=np.float64)[2:].max()
    return shifted(box, longer * np.arange(1, radii + 1) / radii, angles, scales)


def labelled_boxes(
    box: ArrayLike, width: int, height: int, scales: tuple[float, ...] = (1.0,)
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Candidates around a target that lie inside the image, with SINT's labels.

    A candidate is positive above an IoU of 0.7 with the target and negative below 0.5; the rest is dropped.

    Args:
        box: The target, `(x, y, w, h)`.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        scales: See `radius_boxes`.

    Returns:
        Boxes `[N, 4]` and labels `bool[N]`; the target itself is not among them.
    """
    candidates = radius_boxes(box, scales=scales)
    candidates = candidates[(candidates != np.asarray(box, dtype=np.float64)).any(1)]
    candidates = candidates[inside(candidates, width, height)]
    overlap = iou(candidates, box)
    kept = (overlap > POSITIVE_IOU) | (overlap < NEGATIVE_IOU)
    return candidates[kept], overlap[kept] > POSITIVE_IOU


def draw_boxes(
    box: ArrayLike,
    width: int,
    height: int,
    count: int,
    rng: np.random.Generator,
    scales: tuple[float, ...] = (1.0,),
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """The target and candidates around it, drawn at random without balancing, as SINT takes them from a frame.

    Args:
        box: The target, `(x, y, w, h)`.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        count: How many boxes, the target among them.
        rng: Draws them.
        scales: See `radius_boxes`.

    Returns:
        Boxes `[count, 4]`, the target first, and labels `bool[count]`; `None` where the image holds too few.
    """
    boxes, same = labelled_boxes(box, width, height, scales)
    if len(boxes) < count - 1:
        return None
    chosen = rng.permutation(len(boxes))[: count - 1]
    target = np.asarray(box, dtype=np.float64)[None]
    return np.concatenate([target, boxes[chosen]]), np.concatenate([[True], same[chosen]])
