"""Regions that are chosen by their place alone, and all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from occlusion_env.search import Search

from .choosing import Choice, by_area, lowest_of

__all__ = ["Cell", "Centre", "Exhaustive", "RandomCell", "RandomRegion"]

_CELLS = 3


class RandomRegion:
    """A uniformly random region (`RegionLimits.random`)."""

    draws = 16

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`."""
        return lowest_of(search, slots, search.settings.limits.random(area, rng)[:, None])


class Centre:
    """The centred square."""

    draws = 1

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`."""
        return lowest_of(search, slots, search.settings.limits.centred(area)[:, None])


class Cell:
    """The cell of a 3 x 3 grid that hurts most (VITAL, Song et al. 2018), at the given area."""

    draws = 1

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`."""
        return lowest_of(search, slots, cells(area))


class RandomCell:
    """One of the same nine, drawn at random."""

    draws = 9

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`."""
        drawn = rng.integers(_CELLS**2, size=len(slots))
        return lowest_of(search, slots, cells(area)[np.arange(len(slots)), drawn][:, None])


class Exhaustive:
    """The region of `RegionLimits.grid` that hurts most: the ceiling."""

    draws = 1

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`."""
        regions, scores = np.empty((len(slots), 4)), np.empty(len(slots))
        queries = np.empty(len(slots), dtype=np.int64)
        for size, rows in by_area(area):
            grid = search.settings.limits.grid(size)
            found = lowest_of(search, slots[rows], np.broadcast_to(grid, (len(rows), *grid.shape)))
            regions[rows], scores[rows], queries[rows] = found.regions, found.scores, found.queries
        return Choice(regions, scores, queries)


def cells(area: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squares of these areas on the nine cells of a 3 x 3 grid: `[M]` to `[M, 9, 4]`, row by row.

    A square larger than a cell is pushed inside the target.

    >>> cells(np.array([1 / 9]))[0, 4].round(3).tolist()
    [0.333, 0.333, 0.333, 0.333]
    """
    side = np.repeat(np.sqrt(area)[:, None], _CELLS**2, axis=1)
    row, column = np.divmod(np.arange(_CELLS**2), _CELLS)
    left, top = (np.clip((place + 0.5) / _CELLS - side / 2, 0, 1 - side) for place in (column, row))
    return np.stack([left, top, side, side], axis=2)
