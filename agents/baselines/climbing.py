"""Hill climbing over the moves of the search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from occlusion_env.actions import MOVES, RegionLimits
from occlusion_env.search import Search

from .choosing import Choice, by_area

__all__ = ["AREA_KEEPING", "HillClimbing"]

AREA_KEEPING = tuple(MOVES.index(name) for name in ("right", "left", "up", "down", "fatter", "taller"))
"""The moves that keep a region's area where the area is the largest allowed: there `bigger` does nothing."""


class HillClimbing:
    """The best neighbour of the current region, again and again, until none is better.

    It starts at the centred square of the given area and takes that area for the largest allowed one. There six
    of the eight moves keep it (`AREA_KEEPING`); `smaller` is left out, because what covers less is not to be
    compared with what covers more. A region is scored once, however often it is a neighbour.
    """

    draws = 1

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`. It climbs `max_steps` steps at most."""
        limits = search.settings.limits
        region = limits.centred(area)
        score = search.scores(slots, region)
        seen = region[:, None].copy()
        rows = climbing = np.arange(len(slots))
        queries = np.ones(len(slots), dtype=np.int64)
        for _ in range(search.settings.max_steps):
            near = neighbours(limits, region, area)
            same = np.abs(near[:, :, None] - seen[:, None]).max(axis=3) < 1e-9
            new = np.zeros(near.shape[:2], dtype=bool)
            new[climbing] = ~same[climbing].any(axis=2)
            scores = np.full(new.shape, np.inf)
            scores[new] = search.scores(slots[np.nonzero(new)[0]], near[new])
            queries += new.sum(axis=1)
            best = scores.argmin(axis=1)
            climbing = np.flatnonzero(scores[rows, best] < score)
            if not len(climbing):
                break
            region[climbing], score[climbing] = near[climbing, best[climbing]], scores[climbing, best[climbing]]
            seen = np.concatenate([seen, near], axis=1)
        return Choice(region, score, queries)


def neighbours(
    limits: RegionLimits, regions: NDArray[np.float64], area: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the moves of `AREA_KEEPING` lead: regions `[M, 4]` with areas `[M]` to `[M, 6, 4]`."""
    found = np.empty((len(regions), len(AREA_KEEPING), 4))
    for largest, rows in by_area(area):
        own = replace(limits, max_area=largest)
        moves = np.tile(AREA_KEEPING, len(rows))
        found[rows] = own.move(np.repeat(regions[rows], len(AREA_KEEPING), axis=0), moves).reshape(
            len(rows), -1, 4
        )
    return found
