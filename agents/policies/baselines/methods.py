"""The baselines by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlusion_env.search.core import Search
from tracker.errors import InputError

from ..rollout import Rollout
from .attribution import rank_by_attribution
from .climbing import HillClimbing
from .places import RandomRegions, list_cells, list_grid
from .proposing import Generators, Proposer, Queries, run_queries

_ALL = 10_000
"""More queries than a baseline has regions: it runs to its end."""


MOST_QUERIES = 100_000
"""Largest number of scorer queries of a method. Random regions are scored in one batch, which takes memory."""


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
        """Check the number.

        Raises:
            InputError: If it is below 1 or above `MOST_QUERIES`.
        """
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
