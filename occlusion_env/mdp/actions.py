"""The nine actions (Fig. 4) and the regions that they may reach.

A region is `(x, y, w, h)` relative to the target's crop, in [0, 1]. Eight actions move it, the ninth ends the
search. Nothing in the paper limits the region; without a limit the best occlusion covers the whole target,
which makes no positive but a wrong label, so a region has a largest area, a least side and a largest aspect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.errors import InputError

MOVES = ("right", "left", "up", "down", "bigger", "smaller", "fatter", "taller")
TRIGGER = len(MOVES)
ACTIONS = (*MOVES, "trigger")
KEYS = (*"dawseqft", " ")
"""The key of each action."""

Regions = NDArray[np.float64]

_MOST_REGIONS = 1_000_000


@dataclass(frozen=True)
class RegionLimits:
    """The set of regions of a search, and how an action moves within it.

    Attributes:
        step: Length of a move, as a share of the region's own width and height (alpha; Caicedo and Lazebnik 2015).
        max_area: Largest area of a region, as a share of the target.
        min_side: Least width and height of a region, as a share of the target's.
        max_aspect: Largest ratio of a region's width to its height, and of its height to its width.
    """

    step: float = 0.2
    max_area: float = 0.25
    min_side: float = 0.1
    max_aspect: float = 4.0

    def __post_init__(self) -> None:
        """Raise an `InputError` if the limits leave no region."""
        if not 0 < self.step < 1:
            raise InputError(f"step is {self.step}; it must lie between 0 and 1.")
        if not 0 < self.max_area <= 1:
            raise InputError(f"max_area is {self.max_area}; it must be above 0 and at most 1.")
        if not 0 < self.min_side <= math.sqrt(self.max_area):
            raise InputError(
                f"min_side is {self.min_side}; it must be above 0 and at most the square root of max_area."
            )
        if not self.max_aspect >= 1:
            raise InputError(f"max_aspect is {self.max_aspect}; it must be at least 1.")

    def centre(self, count: int = 1) -> Regions:
        """The centred square of the largest area, p0: `[count, 4]`."""
        return self.centred(np.full(count, self.max_area))

    def centred(self, area: NDArray[np.float64]) -> Regions:
        """Centred squares with these areas: `[N]` to `[N, 4]`."""
        side = np.sqrt(area)
        return np.stack([0.5 - side / 2, 0.5 - side / 2, side, side], axis=1)

    def move(
        self, regions: Regions, actions: NDArray[np.integer], low: ArrayLike = 0.0, high: ArrayLike = 1.0
    ) -> Regions:
        """Move each region by its action.

        `right`, `left`, `up`, `down` shift it by `step` of its own size. `bigger` and `smaller` scale it about
        its centre. `fatter` widens it and `taller` heightens it; at the largest area the other side gives way.
        Where a limit or the border is in the way, it goes as far as it can. `trigger` leaves it.

        Args:
            regions: `[N, 4]`, within these limits.
            actions: `int[N]`, indices into `ACTIONS`.
            low: Upper left corner of the rectangle that the region stays in, broadcast to `[N, 2]`.
            high: Its lower right corner.

        Returns:
            `[N, 4]`, within these limits.

        >>> limits = RegionLimits()
        >>> limits.move(limits.centre(3), np.array([0, 4, 6])).round(3).tolist()
        [[0.35, 0.25, 0.5, 0.5], [0.25, 0.25, 0.5, 0.5], [0.2, 0.292, 0.6, 0.417]]
        """
        x, y, w, h = regions.T
        x0, y0 = np.broadcast_to(low, (len(regions), 2)).T
        x1, y1 = np.broadcast_to(high, (len(regions), 2)).T
        across = self.step * (np.array([1, -1, 0, 0, 0, 0, 0, 0, 0])[actions] * w)
        down = self.step * (np.array([0, 0, -1, 1, 0, 0, 0, 0, 0])[actions] * h)
        grow = np.maximum(
            1,
            np.minimum.reduce(
                [np.full_like(w, 1 + self.step), np.sqrt(self.max_area / (w * h)), (x1 - x0) / w, (y1 - y0) / h]
            ),
        )
        shrink = np.minimum(
            1, np.maximum.reduce([np.full_like(w, 1 - self.step), self.min_side / w, self.min_side / h])
        )
        wide, flat = self._stretch(w, h, x1 - x0)
        tall, thin = self._stretch(h, w, y1 - y0)
        width = np.choose(actions, [w, w, w, w, w * grow, w * shrink, wide, thin, w])
        height = np.choose(actions, [h, h, h, h, h * grow, h * shrink, flat, tall, h])
        left = np.clip(x + across + (w - width) / 2, x0, x1 - width)
        top = np.clip(y + down + (h - height) / 2, y0, y1 - height)
        return np.stack([left, top, width, height], axis=1)

    def _stretch(self, along: Regions, across: Regions, extent: Regions) -> tuple[Regions, Regions]:
        """Lengthen one side, and shorten the other where the largest area requires it."""
        longest = min(self.max_area / self.min_side, math.sqrt(self.max_aspect * self.max_area))
        limit = np.minimum(np.minimum(extent, longest), self.max_aspect * across)
        longer = np.maximum(along, np.minimum(along * (1 + self.step), limit))
        return longer, np.minimum(across, np.maximum(self.max_area / longer, self.min_side))

    def aspects(self, area: NDArray[np.float64] | float) -> tuple[Regions, Regions]:
        """Least and largest width-to-height ratio that a region of this area can have.

        Args:
            area: Between the square of `min_side` and `max_area`.

        Raises:
            InputError: If it is not.
        """
        area = np.asarray(area, dtype=np.float64)
        if not ((area >= self.min_side**2 - 1e-9) & (area <= self.max_area + 1e-9)).all():
            raise InputError(
                f"The area of a region must lie between {self.min_side**2:g} and {self.max_area:g} (its limits)."
            )
        widest = np.minimum.reduce([np.full_like(area, self.max_aspect), area / self.min_side**2, 1 / area])
        widest = np.maximum(widest, 1.0)
        return 1 / widest, widest

    def random(self, area: NDArray[np.float64], rng: np.random.Generator) -> Regions:
        """Draw regions `[N, 4]` of areas `[N]`; the place is uniform, and so is the aspect's logarithm."""
        low, high = self.aspects(area)
        aspect = np.exp(rng.uniform(np.log(low), np.log(high)))
        width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
        place = rng.uniform(size=(2, len(area)))
        return np.stack([place[0] * (1 - width), place[1] * (1 - height), width, height], axis=1)

    def grid(self, area: float, places: int = 8, shapes: int = 7) -> Regions:
        """Regions of one area on a regular grid: the candidates of grid search.

        Args:
            area: Of every region.
            places: Positions along each axis, from border to border.
            shapes: Number of aspects, evenly spaced in logarithm within the limits.

        Returns:
            `[N, 4]`, N at most `shapes * places * places`: a shape as long as the target has one place along it.

        Raises:
            InputError: If the area is beyond the limits, or there are more than a million regions.

        >>> RegionLimits().grid(0.25).shape
        (336, 4)
        """
        if min(places, shapes) < 1 or shapes * places * places > _MOST_REGIONS:
            raise InputError(
                f"A grid of {shapes} shapes at {places} x {places} places is none; give at least 1 of each and at"
                f" most {_MOST_REGIONS} regions in all."
            )
        low, high = self.aspects(area)
        aspect = np.exp(np.linspace(np.log(low), np.log(high), shapes))
        width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
        place = np.linspace(0, 1, places)
        s, i, j = (index.ravel() for index in np.indices((shapes, places, places)))
        regions = np.stack([place[i] * (1 - width[s]), place[j] * (1 - height[s]), width[s], height[s]], axis=1)
        return np.unique(regions.round(12), axis=0)

    def holds(self, region: Regions, slack: float = 1e-9) -> NDArray[np.bool_]:
        """Whether each region `[..., 4]` lies inside the target and within these limits."""
        region = np.asarray(region, dtype=np.float64)
        low, size = region[..., :2], region[..., 2:]
        inside = ((low >= -slack) & (low + size <= 1 + slack)).all(axis=-1)
        return inside & self.allows_size(size, slack)

    def allows_size(self, size: Regions, slack: float = 1e-9) -> NDArray[np.bool_]:
        """Whether each width and height `[..., 2]` is within these limits."""
        w, h = np.moveaxis(size, -1, 0)
        shorter, longer = np.minimum(w, h), np.maximum(w, h)
        aspect = longer <= self.max_aspect * shorter + slack
        return (shorter >= self.min_side - slack) & aspect & (w * h <= self.max_area + slack)
