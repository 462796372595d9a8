"""The baselines: random regions, cells, hill climbing, grid search, and the table of all by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import MOVES
from occlusion_env.search.core import Search
from tracker.errors import InputError

from ..rollout import Rollout
from .attribution import rank_by_attribution
from .proposing import Generators, Listing, Proposals, Proposer, Queries, run_queries

_ALL = 10_000
"""More queries than a baseline has regions: it runs to its end."""

MOST_QUERIES = 100_000
"""Largest number of scorer queries of a method. Random regions are scored in one batch, which takes memory."""

_CELLS = 3
_CENTRE_FIRST = (4, 1, 3, 5, 7, 0, 2, 6, 8)
"""The cells of a 3 x 3 grid by their distance from its centre."""

AREA_KEEPING = tuple(MOVES.index(name) for name in ("right", "left", "up", "down", "fatter", "taller"))
"""The moves that keep a region's area where the area is the largest allowed: there `bigger` does nothing."""


@dataclass(frozen=True, repr=False)
class Querying:
    """The region with the least score among the first regions of a query method; a `Method` without moves.

    Attributes:
        proposer: The method.
        queries: Largest number of regions that are scored, each once.
        wanted: Wanted drop of the score, in its units: the region whose drop comes nearest to it is the answer;
            `None` for the largest drop.
    """

    proposer: Proposer
    queries: int
    wanted: float | None = None
    settings = None
    features = None
    looks = False

    def __post_init__(self) -> None:
        """Raise an `InputError` if `queries` is below 1 or above `MOST_QUERIES`."""
        if not 1 <= self.queries <= MOST_QUERIES:
            raise InputError(f"A method cannot make {self.queries} queries; give 1 to {MOST_QUERIES}.")

    def __repr__(self) -> str:
        """Name and number, without an address in memory."""
        name = getattr(self.proposer, "func", self.proposer)
        return f"Querying({getattr(name, '__name__', name)}, {self.queries})"

    def run(self, search: Search, slots: NDArray[np.int64], generators: Generators) -> Queries:
        """All its queries; see `run_queries`."""
        return run_queries(self.proposer, search, slots, generators, self.queries)

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """The best regions, as episodes that begin where they end."""
        found = self.run(search, np.arange(len(search)), generators)
        answers = found.best if self.wanted is None else found.nearest(search.clean_score - self.wanted)
        return [
            Rollout((), region[None], np.array([score]), False, queries=int(count))
            for region, score, count in zip(*answers, found.counts, strict=True)
        ]


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
        count, moves = len(self._region), len(AREA_KEEPING)
        near = self._limits.move(np.repeat(self._region, moves, axis=0), np.tile(AREA_KEEPING, count))
        near = near.reshape(count, moves, 4)
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
