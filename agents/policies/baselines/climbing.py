"""Hill climbing over the moves of the search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import MOVES, RegionLimits
from occlusion_env.search.core import Search

from .proposing import Generators

AREA_KEEPING = tuple(MOVES.index(name) for name in ("right", "left", "up", "down", "fatter", "taller"))
"""The moves that keep a region's area where the area is the largest allowed: there `bigger` does nothing."""


class HillClimbing:
    """The best neighbour of the current region, again and again, until none is better, as `Proposals`.

    It starts at the centred square of the largest area. There six of the eight moves keep the area
    (`AREA_KEEPING`); `smaller` is left out, because regions are compared at equal area. A region is queried once,
    however often it is a neighbour. It climbs `max_steps` steps at most.
    """

    def __init__(self, search: Search, slots: NDArray[np.int64], generators: Generators) -> None:
        self._limits, self._steps = search.settings.limits, search.settings.max_steps
        self._region = self._limits.start(len(slots))
        self._drop = np.full(len(slots), -np.inf)
        self._climbing = np.ones(len(slots), dtype=bool)
        self._proposed = self._region[:, None]
        self._seen = self._proposed[:, :0]

    def propose(self, most: int) -> NDArray[np.float64]:
        """The start, then the neighbours of each search's best region that were not queried before."""
        if not self._seen.shape[1]:
            return self._proposed
        if self._steps == 0:
            return self._seen[:, :0]
        self._steps -= 1
        near = neighbours(self._limits, self._region)
        queried = (np.abs(near[:, :, None] - self._seen[:, None]).max(axis=3) < 1e-9).any(axis=2)
        self._proposed = np.where((queried | ~self._climbing[:, None])[..., None], np.nan, near)
        return self._proposed

    def observe(self, drops: NDArray[np.float64]) -> None:
        """Go to the best of the proposed regions where it is better than the current one."""
        rows = np.arange(len(drops))
        known = np.where(np.isnan(drops), -np.inf, drops)
        best = known.argmax(axis=1)
        self._climbing = known[rows, best] > self._drop
        self._region = np.where(self._climbing[:, None], self._proposed[rows, best], self._region)
        self._drop = np.maximum(self._drop, known[rows, best])
        self._seen = np.concatenate([self._seen, self._proposed], axis=1)


def neighbours(limits: RegionLimits, regions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The regions that the moves of `AREA_KEEPING` lead to: `[M, 4]` to `[M, 6, 4]`."""
    moves = np.tile(AREA_KEEPING, len(regions))
    return limits.move(np.repeat(regions, len(AREA_KEEPING), axis=0), moves).reshape(len(regions), -1, 4)
