"""Covers: an image spread over the target's box and a margin around it, of which a part is shown.

The shown part is relative to the box, so a larger cover from the same side shows all that a smaller one shows, and
the occluder stays the same object while the target moves and grows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlusion_env.scene.shapes import blob_distance
from tracker.data.images import resize

from .moments import MARGIN, Region

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_SHAPE_SIDE = 96
"""Cells along each side of a cut-out's shape."""

_TOUCHES = 1e-9
"""A region that is this close to a side of the box touches it."""


def side_region(side: str, share: float) -> Region:
    """The region of a share of the box that enters from a side, relative to the box.

    >>> side_region("right", 0.75)
    (0.25, 0.0, 0.75, 1.0)
    """
    along = (share, 1.0) if side in ("left", "right") else (1.0, share)
    low = (1 - along[0] if side == "right" else 0.0, 1 - along[1] if side == "bottom" else 0.0)
    return (*low, *along)


def pixel_edges(box: ArrayLike) -> tuple[int, int, int, int]:
    """Left, top, right and bottom edge of a box in whole pixels, rounded as `tracker.data.images.crop` rounds."""
    x, y, w, h = np.asarray(box, dtype=np.float64)
    left, top = math.floor(x + 0.5), math.floor(y + 0.5)
    return left, top, max(left + 1, math.floor(x + w + 0.5)), max(top + 1, math.floor(y + h + 0.5))


def in_box(region: ArrayLike, box: ArrayLike) -> NDArray[np.float64]:
    """A region relative to a box, in the box's pixels: `float64[4]`."""
    part, whole = np.asarray(region, dtype=np.float64), np.asarray(box, dtype=np.float64)
    return np.concatenate([whole[:2] + part[:2] * whole[2:], part[2:] * whole[2:]])


SPREAD = (-MARGIN, -MARGIN, 1 + 2 * MARGIN, 1 + 2 * MARGIN)
"""The box with its margin, relative to the box."""


def paste_part(frame: Image, image: Image, place: ArrayLike, part: ArrayLike, mask: Mask | None = None) -> None:
    """Paste an image that is spread over a place, as far as a part of the frame shows it; changes the frame.

    Args:
        frame: `uint8[H, W, 3]`.
        image: `uint8[h, w, 3]`, resized to the place.
        place: `(x, y, w, h)` in pixels.
        part: `(x, y, w, h)` in pixels, inside the place.
        mask: `bool[n, n]` over the place: which cells of it are shown. `None` shows all.
    """
    left, top, right, bottom = pixel_edges(place)
    x0, y0, x1, y1 = pixel_edges(part)
    x0, y0 = max(x0, left, 0), max(y0, top, 0)
    x1, y1 = min(x1, right, frame.shape[1]), min(y1, bottom, frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    spread = image
    if image.shape[:2] != (bottom - top, right - left):
        spread = resize(image, right - left, bottom - top)
    shown = spread[y0 - top : y1 - top, x0 - left : x1 - left]
    if mask is None:
        frame[y0:y1, x0:x1] = shown
        return
    rows = (np.arange(y0 - top, y1 - top) * len(mask)) // (bottom - top)
    columns = (np.arange(x0 - left, x1 - left) * len(mask)) // (right - left)
    np.copyto(frame[y0:y1, x0:x1], shown, where=mask[rows[:, None], columns][..., None])


@dataclass(frozen=True, eq=False)
class Cover:
    """An occluder of a target.

    Attributes:
        image: `uint8[h, w, 3]`, spread over the box and its margin.
        region: The shown part, relative to the box; where it touches a side of the box, the margin is shown too.
        shape: `bool[n, n]` over the box and its margin, for an irregular occluder; `None` for a rectangle.
        fixed: The box, `(x, y, w, h)` in pixels, at which the occluder stands; `None` where it moves with the
            target.
    """

    image: Image = field(repr=False)
    region: Region
    shape: Mask | None = field(default=None, repr=False)
    fixed: Region | None = None

    def standing_at(self, box: ArrayLike) -> Cover:
        """The same occluder, standing where it covers a target with this box."""
        x, y, w, h = (float(value) for value in np.asarray(box, dtype=np.float64))
        return replace(self, fixed=(x, y, w, h))

    @property
    def _shown(self) -> Region:
        """The shown part with its margin, relative to the box."""
        x, y, w, h = self.region
        x0, x1 = (-MARGIN if x <= _TOUCHES else x), (1 + MARGIN if x + w >= 1 - _TOUCHES else x + w)
        y0, y1 = (-MARGIN if y <= _TOUCHES else y), (1 + MARGIN if y + h >= 1 - _TOUCHES else y + h)
        return (x0, y0, x1 - x0, y1 - y0)

    def paste(self, frame: Image, box: ArrayLike) -> None:
        """Cover the target with this box; changes the frame."""
        place = box if self.fixed is None else self.fixed
        paste_part(frame, self.image, in_box(SPREAD, place), in_box(self._shown, place), self.shape)

    def covers(self, box: ArrayLike, side: int) -> Mask:
        """Which parts of a target with this box are covered, on a grid: `bool[side, side]`."""
        centres = (np.arange(side) + 0.5) / side
        x, y = np.meshgrid(centres, centres)
        if self.fixed is not None:
            (bx, by, bw, bh), (fx, fy, fw, fh) = np.asarray(box, dtype=np.float64), self.fixed
            x, y = (bx + x * bw - fx) / fw, (by + y * bh - fy) / fh
        x0, y0, w, h = self._shown
        covered = (x >= x0) & (x < x0 + w) & (y >= y0) & (y < y0 + h)
        if self.shape is not None:
            last = len(self.shape) - 1
            column, row = (
                np.clip(((v + MARGIN) / (1 + 2 * MARGIN) * (last + 1)).astype(int), 0, last) for v in (x, y)
            )
            covered &= self.shape[row, column]
        return np.asarray(covered)


def draw_shape(share: float, rng: np.random.Generator) -> Mask:
    """Draw an irregular shape that covers a share of the box, over the box and its margin: `bool[n, n]`."""
    centres = (np.arange(_SHAPE_SIDE) + 0.5) / _SHAPE_SIDE * (1 + 2 * MARGIN) - MARGIN
    x, y = np.meshgrid(centres, centres)
    distance = blob_distance(x, y, rng)
    inside = np.sort(distance[(x > 0) & (x < 1) & (y > 0) & (y < 1)])
    return np.asarray(distance <= inside[round(share * len(inside)) - 1])
