"""Axis-aligned boxes: `(x, y, w, h)`, float, 0-based, in pixels of the image that they belong to.

A pixel covers the square from its index to its index plus one, so the box of a whole image is
`(0, 0, width, height)` and areas carry no `+1`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, shorten

Boxes = NDArray[np.float64]

LARGEST_BOX = 4
"""Longest side of a target's box, in longer sides of its image."""
LARGEST_WINDOW = 16
"""Longest side of a window around a target, likewise."""


def area(boxes: ArrayLike) -> Boxes:
    """Area of each box.

    Args:
        boxes: `[..., 4]`.

    Returns:
        `[...]`, in square pixels.

    >>> area([0, 0, 3, 4]).item()
    12.0
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    return boxes[..., 2] * boxes[..., 3]


def intersection(first: ArrayLike, second: ArrayLike) -> Boxes:
    """Area that two boxes share; the leading dimensions broadcast.

    >>> intersection([0, 0, 4, 4], [[2, 2, 4, 4], [4, 0, 1, 1]]).tolist()
    [4.0, 0.0]
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    sides = np.maximum(high - low, 0.0)
    return sides[..., 0] * sides[..., 1]  # np.prod over a short axis is slow


def iou(first: ArrayLike, second: ArrayLike) -> Boxes:
    """Intersection over union; the leading dimensions broadcast.

    Args:
        first: `[..., 4]`.
        second: `[..., 4]`.

    Returns:
        `[...]` in [0, 1]; 0 where both boxes are empty.

    >>> iou([0, 0, 2, 2], [[1, 0, 2, 2], [0, 0, 2, 2]]).round(4).tolist()
    [0.3333, 1.0]
    """
    shared = intersection(first, second)
    union = area(first) + area(second) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def visible_fraction(boxes: ArrayLike, width: int, height: int) -> Boxes:
    """Share of each box that lies inside an image of `width` x `height` pixels, in [0, 1]."""
    inside = intersection(boxes, [0, 0, width, height])
    whole = area(boxes)
    return np.divide(inside, whole, out=np.zeros_like(inside), where=whole > 0)


def hull(polygons: ArrayLike) -> Boxes:
    """Min/max hull of polygons, as the VOT annotations have them.

    Args:
        polygons: `[..., 2k]`, the corners one after the other: `x1, y1, x2, y2, ...`.

    Returns:
        `[..., 4]` boxes.

    >>> hull([1, 0, 3, 1, 2, 3, 0, 2]).tolist()
    [0.0, 0.0, 3.0, 3.0]
    """
    points = np.asarray(polygons, dtype=np.float64)
    points = points.reshape(*points.shape[:-1], -1, 2)
    low, high = points.min(axis=-2), points.max(axis=-2)
    return np.concatenate([low, high - low], axis=-1)


def check_box(box: ArrayLike, width: int, height: int, what: str, largest: int = LARGEST_BOX) -> Boxes:
    """Return the box as `float64[4]` if a target can be cut out with it.

    Args:
        box: `(x, y, w, h)`.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        what: Whose box it is, for the error's sentence.
        largest: Its longest side at most, in longer sides of the image.

    Raises:
        InputError: If it is not four finite numbers, has no area, lies outside the image, or is longer than
            `largest`.
    """
    array = np.asarray(box, dtype=np.float64)
    if array.shape != (4,):
        raise InputError(f"{what} has {array.size} numbers; a box is four: x,y,w,h.")
    text = ",".join(f"{value:g}" for value in array)
    if not np.isfinite(array).all():
        raise InputError(f"{what} ({text}) holds a number that is not finite; give x,y,w,h in pixels.")
    if array[2] <= 0 or array[3] <= 0:
        raise InputError(f"{what} ({text}) has no area; its width and height must be above 0.")
    if intersection(array, [0, 0, width, height]) <= 0:
        raise InputError(f"{what} ({text}) lies outside the image of {width} x {height} pixels.")
    if max(array[2:]) > largest * max(width, height):
        raise InputError(
            f"{what} ({text}) reaches far beyond the image of {width} x {height} pixels; its sides may be at most"
            f" {largest * max(width, height)} pixels."
        )
    return array


def parse_box(text: str) -> Boxes:
    """Read `"x,y,w,h"`.

    Raises:
        InputError: If the text is not four numbers.

    >>> parse_box("10, 20, 30, 40").tolist()
    [10.0, 20.0, 30.0, 40.0]
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 4:
        raise InputError(f"{shorten(text)} is not a box; give four numbers: x,y,w,h.")
    return np.asarray(values)


def inside(boxes: ArrayLike, width: float, height: float) -> NDArray[np.bool_]:
    """Which boxes `[N, 4]` lie wholly inside an image, `bool[N]`.

    >>> inside([[0, 0, 4, 3], [1, 0, 4, 3]], 4, 3).tolist()
    [True, False]
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    ends = boxes[:, :2] + boxes[:, 2:]
    return np.asarray((boxes[:, :2] >= 0).all(1) & (ends <= [width, height]).all(1))


def shifted(
    box: ArrayLike, radii: ArrayLike, angles: int, scales: tuple[float, ...] = (1.0,)
) -> NDArray[np.float64]:
    """Shift a box over rings around it, in several sizes (the radius sampling of SINT).

    Args:
        box: `(x, y, w, h)`.
        radii: `[R]`, of the rings, in pixels.
        angles: How many boxes a ring.
        scales: Sizes relative to the box; each is centred where the shifted box is.

    Returns:
        `float64[len(scales) * (1 + R * angles), 4]`, scale by scale, the unshifted box first in each.
    """
    x, y, w, h = np.asarray(box, dtype=np.float64)
    radius = np.asarray(radii, dtype=np.float64)[:, None]
    angle = 2 * np.pi * np.arange(angles)[None, :] / angles
    dx, dy = (radius * np.cos(angle)).ravel(), (radius * np.sin(angle)).ravel()
    moved = np.stack([x + dx, y + dy, np.full_like(dx, w), np.full_like(dx, h)], axis=1)
    rings = np.concatenate([[[x, y, w, h]], moved])
    size = np.array([w, h])
    return np.concatenate(
        [np.concatenate([rings[:, :2] + (1 - scale) / 2 * size, rings[:, 2:] * scale], axis=1) for scale in scales]
    )
