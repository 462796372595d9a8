"""SINT's own candidates: rings around the last box (its radius sampling, as the released code does it)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...data.boxes import inside, shifted

RADIUS = 30 / 512
"""Radius of the search, in widths of the frame: SINT+'s."""
STEP = 3.0
"""From ring to ring, in pixels of the frame: SINT's, whatever the frame's width."""
ANGLES = 10
"""Boxes of a size on a ring: SINT's."""
RING_SCALES = (2**-0.5, 1.0, 2**0.5)
"""Sizes of the candidates, relative to the first frame's box: SINT's."""


def ring_boxes(
    centre: ArrayLike,
    size: ArrayLike,
    frame: tuple[int, int],
    scales: tuple[float, ...] = RING_SCALES,
) -> NDArray[np.float64]:
    """Boxes on rings around a point, in every size, as far as they lie inside the frame.

    The released code moves the upper left corner, so that its larger and smaller boxes are off centre; here the
    centres are on the rings, whatever the size.

    A frame of W pixels has `int(30 / 512 * W / 3)` rings, as in the released code: with 10 boxes a ring, the
    centre and 3 sizes these are 183 boxes at W = 320, 303 at 512, 363 at 640 and 753 at 1280.

    Args:
        centre: `(x, y)`.
        size: `(w, h)` of the box of scale 1: SINT takes the first frame's, always.
        frame: Width and height of the frame.
        scales: Sizes relative to `size`.

    Returns:
        `float64[N, 4]`; empty where none lies inside the frame.

    >>> ring_boxes((50, 50), (10, 20), (100, 100), scales=(1.0,)).shape
    (11, 4)
    """
    width, height = frame
    radii = STEP * np.arange(1, int(RADIUS * width / STEP + 1e-9) + 1)
    size = np.asarray(size, dtype=np.float64)
    box = np.concatenate([np.asarray(centre, dtype=np.float64) - size / 2, size])
    boxes = shifted(box, radii, ANGLES, scales)
    return boxes[inside(boxes, width, height)]
