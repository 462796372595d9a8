"""SINT+'s filter: a candidate must hold some of the last box's pixels after optical flow has moved them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

_SIDE = 128
"""The flow is computed on the region at this many pixels a side at most."""


def moved_pixels(
    before: NDArray[np.uint8], after: NDArray[np.uint8], box: ArrayLike, reach: float
) -> NDArray[np.float64]:
    """Where the pixels of a box go from one frame to the next, by Farneback's dense flow.

    OpenCV's dense inverse search is faster, but ends the process on small images.

    Args:
        before: `uint8[H, W, 3]`.
        after: The next frame, of the same size.
        box: `(x, y, w, h)` in `before`.
        reach: Margin around the box within which the flow is computed, in pixels.

    Returns:
        `float64[N, 2]`, points (x, y) of `after`; empty where the box lies outside the frame.
    """
    height, width = before.shape[:2]
    x, y, w, h = np.asarray(box, dtype=np.float64)
    low = np.clip(np.floor([x - reach, y - reach]), 0, [width, height]).astype(int)
    high = np.clip(np.ceil([x + w + reach, y + h + reach]), 0, [width, height]).astype(int)
    if (high - low).min() < 1:
        return np.zeros((0, 2))
    scale = min(1.0, _SIDE / (high - low).max())
    size = tuple(np.maximum((high - low) * scale, 16).round().astype(int).tolist())
    views = [
        cv2.resize(
            cv2.cvtColor(frame[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY),
            size,
            interpolation=cv2.INTER_AREA,
        )
        for frame in (before, after)
    ]
    flow = np.zeros((*views[0].shape, 2), np.float32)
    flow = cv2.calcOpticalFlowFarneback(views[0], views[1], flow, 0.5, 4, 15, 3, 5, 1.2, 0)
    per_pixel = np.asarray(size) / (high - low)
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    points = (np.stack([columns, rows], axis=-1) + 0.5) / per_pixel + low
    inside = ((points >= [x, y]) & (points < [x + w, y + h])).all(-1)
    return points[inside] + flow[inside] / per_pixel


def carried_share(boxes: ArrayLike, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of points `[M, 2]` that each of boxes `[N, 4]` holds, in [0, 1]; 1 where there are no points.

    >>> carried_share([[0, 0, 2, 2], [5, 5, 1, 1]], np.array([[1.0, 1.0], [3.0, 3.0]])).tolist()
    [0.5, 0.0]
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if not len(points):
        return np.ones(len(boxes))
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    return ((points >= low) & (points < high)).all(-1).mean(1)
