"""Regions that do not depend on the target: random ones, a grid, the cells of a 3 x 3 grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from occlusion_env.search.core import Search

from .proposing import Generators, Listing, Proposals

_CELLS = 3
_CENTRE_FIRST = (4, 1, 3, 5, 7, 0, 2, 6, 8)
"""The cells of a 3 x 3 grid by their distance from its centre."""


class RandomRegions:
    """Uniformly random regions of the largest area (`RegionLimits.random`), as `Proposals`."""

    def __init__(self, search: Search, slots: NDArray[np.int64], generators: Generators) -> None:
        self._limits, self._generators = search.settings.limits, generators

    def propose(self, most: int) -> NDArray[np.float64]:
        """`most` regions for each search."""
        area = np.full(most, self._limits.max_area)
        return np.stack([self._limits.random(area, rng) for rng in self._generators])

    def observe(self, drops: NDArray[np.float64]) -> None:
        """The answers change nothing."""


def list_grid(search: Search, slots: NDArray[np.int64], generators: Generators) -> Proposals:
    """Grid search: every region of `RegionLimits.grid` with the largest area."""
    grid = search.settings.limits.grid(search.settings.limits.max_area)
    return Listing(lambda most: np.tile(grid[:most], (len(slots), 1, 1)))


def list_cells(search: Search, slots: NDArray[np.int64], generators: Generators) -> Proposals:
    """The squares on the cells of a 3 x 3 grid (VITAL, Song et al. 2018), the centre first, the corners last."""
    found = cells(search.settings.limits.max_area)[list(_CENTRE_FIRST)]
    return Listing(lambda most: np.tile(found[:most], (len(slots), 1, 1)))


def cells(area: float) -> NDArray[np.float64]:
    """Squares of one area on the nine cells of a 3 x 3 grid, `float64[9, 4]`, row by row.

    A square larger than a cell is pushed inside the target.

    >>> cells(1 / 9)[4].round(3).tolist()
    [0.333, 0.333, 0.333, 0.333]
    """
    side = np.full(_CELLS**2, np.sqrt(area))
    row, column = np.divmod(np.arange(_CELLS**2), _CELLS)
    left, top = (np.clip((place + 0.5) / _CELLS - side / 2, 0, 1 - side) for place in (column, row))
    return np.stack([left, top, side, side], axis=1)
