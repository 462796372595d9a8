"""The baselines: random regions, cells, hill climbing, grid search, and the table of all by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import MOVES
from occlusion_env.search.core import Search

from .attribution import rank_by_attribution
from .proposing import Generators, Proposals, Querying

_ALL = 10_000
"""More queries than a baseline has regions: it runs to its end."""

_CELLS = 3
_CENTRE_FIRST = (4, 1, 3, 5, 7, 0, 2, 6, 8)
"""The cells of a 3 x 3 grid by their distance from its centre."""

AREA_KEEPING = tuple(MOVES.index(name) for name in ("right", "left", "up", "down", "fatter", "taller"))
"""The moves that keep a region's area where the area is the largest allowed: there `bigger` does nothing."""


# Cards of trained networks hold the names `RandomRegions` and `HillClimbing`.
def RandomRegions(search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """Propose uniformly random regions of the largest area, or boxes of background (`Search.random_regions`)."""
    yield np.stack([
        search.random_regions(np.full(most, slot), rng) for slot, rng in zip(slots, generators, strict=True)
    ])  # fmt: skip


def list_regions(
    regions: NDArray[np.float64], search: Search, slots: NDArray[np.int64], generators: Generators, most: int
) -> Proposals:
    """Propose the same regions, `[R, 4]`, in the same order for every search."""
    yield np.tile(regions[:most], (len(slots), 1, 1))


def list_grid(search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """Grid search: every region of `RegionLimits.grid` with the largest area."""
    limits = search.settings.limits
    return list_regions(limits.grid(limits.max_area), search, slots, generators, most)


def list_cells(search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """The squares on the cells of a 3 x 3 grid (VITAL, Song et al. 2018), the centre first, the corners last."""
    found = cells(search.settings.limits.max_area)[list(_CENTRE_FIRST)]
    return list_regions(found, search, slots, generators, most)


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


def HillClimbing(search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """Propose the neighbours of the best region so far, again and again, until none is better.

    It starts at the centred square of the largest area. There six of the eight moves keep the area
    (`AREA_KEEPING`); `smaller` is left out, because regions are compared at equal area. A region is queried once,
    however often it is a neighbour. It climbs `max_steps` steps at most.
    """
    limits, moves, rows = search.settings.limits, len(AREA_KEEPING), np.arange(len(slots))
    region, drop = limits.centre(len(slots)), np.full(len(slots), -np.inf)
    proposed = seen = region[:, None]
    for _ in range(search.settings.max_steps + 1):
        drops = yield proposed
        known = np.where(np.isnan(drops), -np.inf, drops)
        best = known.argmax(axis=1)
        climbing = known[rows, best] > drop
        region = np.where(climbing[:, None], proposed[rows, best], region)
        drop = np.maximum(drop, known[rows, best])
        near = limits.move(np.repeat(region, moves, axis=0), np.tile(AREA_KEEPING, len(slots)))
        near = near.reshape(len(slots), moves, 4)
        queried = (np.abs(near[:, :, None] - seen[:, None]).max(axis=3) < 1e-9).any(axis=2)
        proposed = np.where((queried | ~climbing[:, None])[..., None], np.nan, near)
        seen = np.concatenate([seen, proposed], axis=1)


BASELINES: dict[str, Querying] = {
    "random": Querying(RandomRegions, 1),
    "centre": Querying(list_cells, 1),
    "cell": Querying(list_cells, 9),
    "attribution": Querying(rank_by_attribution, 1),
    "best of 5": Querying(rank_by_attribution, 5),
    "best of 20": Querying(rank_by_attribution, 20),
    "hill climbing": Querying(HillClimbing, _ALL),
    "grid": Querying(list_grid, _ALL),
}
"""By name, cheapest first; `best of 5` and `best of 20` are attribution's, `grid` is grid search."""
