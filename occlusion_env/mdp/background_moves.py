"""Moves of a box over the background of a frame, never onto the target (section 4.2, question ii)."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .actions import RegionLimits

Boxes = NDArray[np.float64]

BACKGROUND_MIN_SIDE = 0.3
"""Least width and height of a box, in units of the covered region's; the largest area is the region's own."""

_GAP = 1e-6
"""Pixels kept between a box and the target, far above rounding errors, so that the IoU is 0 exactly."""

_TOLERANCE = 1.001 * _GAP
"""A box that touches the target still lies beside it; its next move keeps the gap."""


@dataclass(frozen=True)
class Background:
    """The backgrounds of N frames, and how a box moves over each.

    The background is the union of four strips: left of the target, right of it, above and below it, each as long
    as the frame. A box is always inside at least one, and a move is a move inside that strip by the rules of
    `RegionLimits`; so towards the target it goes as far as it can, as it does towards the frame's border. Two
    strips hold a box off a corner of the target (see `move`).

    Sizes are limited in units of the region that the patch will cover, so that a patch is neither enlarged nor
    distorted much: the area is at most that of the region, a side at least `BACKGROUND_MIN_SIDE` of its side, the
    aspect at most `max_aspect` off its aspect.

    Attributes:
        size: `float64[N, 2]`, width and height of the frames in pixels.
        target: `float64[N, 4]`, the targets' boxes in pixels.
        region: `float64[N, 2]`, width and height in pixels of the region that the patch covers.
        limits: Of the boxes, in units of the region.
    """

    size: Boxes
    target: Boxes
    region: Boxes
    limits: RegionLimits

    @classmethod
    def around(cls, size: Boxes, target: Boxes, region: Boxes, limits: RegionLimits) -> Background:
        """The backgrounds around targets.

        Args:
            size: `[N, 2]`, width and height of the frames in pixels.
            target: `[N, 4]`, the targets' boxes in pixels.
            region: `[N, 4]`, the regions to be covered, relative to the targets.
            limits: Of the search for the region: its step and its aspect hold here too.
        """
        box_limits = RegionLimits(limits.step, 1.0, BACKGROUND_MIN_SIDE, limits.max_aspect)
        # A box that is a pixel long at least never rounds to pixels of the target.
        pixels = np.maximum(region[:, 2:] * target[:, 2:], (1 + _GAP) / BACKGROUND_MIN_SIDE)
        return cls(np.asarray(size, np.float64), np.asarray(target, np.float64), pixels, box_limits)

    def __len__(self) -> int:
        return len(self.size)

    def rows(self, slots: NDArray[np.int64]) -> Background:
        """Some of the backgrounds, by index."""
        return Background(self.size[slots], self.target[slots], self.region[slots], self.limits)

    def replace(self, slots: NDArray[np.int64], others: Background) -> Background:
        """The same backgrounds, with those at `slots` replaced."""
        size, target, region = self.size.copy(), self.target.copy(), self.region.copy()
        size[slots], target[slots], region[slots] = others.size, others.target, others.region
        return Background(size, target, region, self.limits)

    def pixels(self, regions: Boxes) -> Boxes:
        """Boxes relative to the frames, `[N, 4]`, in pixels."""
        return regions * np.tile(self.size, 2)

    def relative(self, boxes: Boxes) -> Boxes:
        """Boxes in pixels, `[N, 4]`, relative to the frames."""
        return boxes / np.tile(self.size, 2)

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether any box within the limits lies beside the target, `bool[N]`."""
        return self._largest() >= BACKGROUND_MIN_SIDE

    def start(self, generators: Many[np.random.Generator]) -> Boxes:
        """Draw the first boxes: of the region's size, or the largest of its shape that fits; the place is uniform.

        Each of N generators gives three numbers. The boxes, `float64[N, 4]` in pixels, are meaningless where
        nothing `fits`.
        """
        side = self._largest()[:, None] * self.region
        draws = np.array([rng.uniform(size=3) for rng in generators]).reshape(len(self), 3)
        near, far = self._hole()
        end = self.size - side
        # Where the upper left corner may be: four rectangles that do not overlap.
        between = [np.maximum(near[:, 0] - side[:, 0], 0), np.minimum(far[:, 0], end[:, 0])]
        zero = np.zeros(len(self))
        corners = np.array([
            [zero, zero, near[:, 0] - side[:, 0], end[:, 1]],
            [far[:, 0], zero, end[:, 0], end[:, 1]],
            [between[0], zero, between[1], near[:, 1] - side[:, 1]],
            [between[0], far[:, 1], between[1], end[:, 1]],
        ])  # fmt: skip
        extent = corners[:, 2:] - corners[:, :2]
        weight = np.where((extent >= -_TOLERANCE).all(axis=1), (np.maximum(extent, 0) + _GAP).prod(axis=1), 0)
        passed = np.cumsum(weight, axis=0) <= draws[:, 0] * weight.sum(axis=0)
        chosen = np.minimum(passed.sum(axis=0), 3), slice(None), np.arange(len(self))
        place = corners[:, :2][chosen] + draws[:, 1:] * np.maximum(extent[chosen], 0)
        return np.concatenate([np.clip(place, 0, np.maximum(end, 0)), side], axis=1)

    def shrink(self, boxes: Boxes, side: float, generators: Many[np.random.Generator]) -> Boxes:
        """Replace each box by a smaller one at a uniform place inside it.

        Args:
            boxes: `[N, 4]` in pixels, from `start`.
            side: Wanted sides in units of the region's, `BACKGROUND_MIN_SIDE` to 1.
            generators: Each of N gives two numbers.

        Returns:
            `[N, 4]` in pixels, within the limits.
        """
        sides = np.minimum(side * self.region, boxes[:, 2:])
        draws = np.array([rng.uniform(size=2) for rng in generators]).reshape(len(self), 2)
        return np.concatenate([boxes[:, :2] + draws * (boxes[:, 2:] - sides), sides], axis=1)

    def move(self, boxes: Boxes, actions: NDArray[np.integer]) -> Boxes:
        """Move each box by its action.

        A box moves within each strip by the rules of `RegionLimits`, and once more within the whole frame, as if
        there were no target. Of the strips that hold the box, the one whose result is nearest to that last one
        counts.

        Args:
            boxes: `[N, 4]` in pixels, beside the target and within the limits.
            actions: `int[N]`, indices into `ACTIONS`.

        Returns:
            `[N, 4]`, likewise.
        """
        low, high = self._strips()
        low = np.concatenate([low, np.zeros((1, len(self), 2))]) / self.region
        high = np.concatenate([high, self.size[None]]) / self.region
        unit = np.tile(self.region, 2)
        moved = self.limits.move(
            np.tile(boxes / unit, (5, 1)), np.tile(actions, 5), low.reshape(-1, 2), high.reshape(-1, 2)
        )
        moved = moved.reshape(5, len(self), 4) * unit
        within_strips, within_frame = moved[:4], moved[4]
        distance = np.abs(within_strips - within_frame).sum(axis=2)
        nearest = np.where(self._inside_strips(boxes), distance, np.inf).argmin(axis=0)
        return within_strips[nearest, np.arange(len(self))]

    def holds(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Whether boxes `[N, 4]` in pixels lie in the frame, beside the target and within the limits."""
        beside = np.logical_or.reduce(self._inside_strips(boxes))
        return beside & self.limits.allows_size(boxes[:, 2:] / self.region)

    def _inside_strips(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Which of the four strips hold each box, `bool[4, N]`."""
        low, high = self._strips()
        end = boxes[:, :2] + boxes[:, 2:]
        inside = (boxes[:, :2] >= low - _TOLERANCE) & (end <= high + _TOLERANCE)
        return inside[..., 0] & inside[..., 1]

    def _hole(self) -> tuple[Boxes, Boxes]:
        """Both corners of the target with the gap around it, `[N, 2]` each."""
        return self.target[:, :2] - _GAP, self.target[:, :2] + self.target[:, 2:] + _GAP

    def _strips(self) -> tuple[Boxes, Boxes]:
        """Both corners of the strips left, right, above and below, `[4, N, 2]` each; some may be empty."""
        near, far = self._hole()
        low, high = np.zeros((4, len(self), 2)), np.tile(self.size, (4, 1, 1))
        high[0, :, 0], low[1, :, 0] = near[:, 0], far[:, 0]
        high[2, :, 1], low[3, :, 1] = near[:, 1], far[:, 1]
        return low, high

    def _largest(self) -> NDArray[np.float64]:
        """Scale of the largest box of the region's shape that fits in a strip, `float64[N]`; 1 at most."""
        low, high = self._strips()
        return np.minimum(((high - low) / self.region).min(axis=2).max(axis=0), 1.0)
