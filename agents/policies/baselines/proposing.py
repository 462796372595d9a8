"""Query methods: regions are proposed in turns, and each turn sees the scores of the turns before."""

from __future__ import annotations

from collections.abc import Callable, Generator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.search.core import Search
from tracker.errors import InputError

from ..rollout import Rollout

MOST_QUERIES = 100_000
"""Largest number of scorer queries of a method. Random regions are scored in one batch, which takes memory."""

Regions = NDArray[np.float64]
Scores = NDArray[np.float64]
Slots = NDArray[np.int64]
Generators = Many[np.random.Generator]


Proposals = Generator[Regions, Scores, None]
"""The queries of one method for M searches.

Yields the regions to query next, `float64[M, K, 4]`, relative to the target; NaN where a search has fewer than K.
Receives the drops of the score, `float64[M, K]`: the score of the unoccluded target less that with the region
covered; NaN where nothing was scored. Ends, or yields nothing but NaN, when no search has a query left.
"""

Proposer = Callable[[Search, Slots, Generators, int], Proposals]
"""Starts a method on M searches: `(search, slots int64[M], M generators, most)`.

A search's draws come from its own generator, and its state stays as it is. The regions of a search beyond the
number `most` are not scored; a method that does not depend on the drops may yield that many at once.
"""


@dataclass(frozen=True)
class Queries:
    """The scored regions of M searches in the order of their queries.

    Attributes:
        regions: `float64[M, K, 4]`, NaN after a search's last query.
        scores: `float64[M, K]`, NaN after a search's last query; each search has at least one.
    """

    regions: Regions
    scores: Scores

    @property
    def counts(self) -> Slots:
        """Number of queries, `int64[M]`."""
        return (~np.isnan(self.scores)).sum(axis=1)

    @property
    def curve(self) -> Scores:
        """Least score after 1 to K queries, `float64[M, K]`; constant after a search's last query."""
        return np.fmin.accumulate(self.scores, axis=1)

    @property
    def best(self) -> tuple[Regions, Scores]:
        """The region with the least score, `float64[M, 4]`, and that score, `float64[M]`."""
        return self.least(self.scores)

    def least(self, distances: Scores) -> tuple[Regions, Scores]:
        """The region with the least of the distances `[M, K]`, NaN left out, and its score; see `best`."""
        rows, place = np.arange(len(self.scores)), np.nanargmin(distances, axis=1)
        return self.regions[rows, place], self.scores[rows, place]


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

    def run(self, search: Search, slots: Slots, generators: Generators) -> Queries:
        """Score what the method proposes, until it has no further region or the number of queries is reached.

        Args:
            search: The searches, begun; their state stays as it is.
            slots: `int64[M]`, which of them; one may come more than once.
            generators: M generators.
        """
        proposals, clean = self.proposer(search, slots, generators, self.queries), search.clean_score[slots]
        left = np.full(len(slots), self.queries)
        regions, scores = [np.empty((len(slots), 0, 4))], [np.empty((len(slots), 0))]
        drops: Any = None  # what a generator is sent first
        while len(slots) and left.max() > 0:
            try:
                proposed = proposals.send(drops)
            except StopIteration:
                break
            asked = ~np.isnan(proposed[..., 0])
            asked &= np.cumsum(asked, axis=1) <= left[:, None]
            if not asked.any():
                break
            answers: Scores = np.full(asked.shape, np.nan)
            answers[asked] = search.scores(slots[np.nonzero(asked)[0]], proposed[asked])
            drops = clean[:, None] - answers
            regions.append(np.where(asked[..., None], proposed, np.nan))
            scores.append(answers)
            left -= asked.sum(axis=1)
        all_regions, all_scores = np.concatenate(regions, axis=1), np.concatenate(scores, axis=1)
        # A search that sat out a turn has its later queries moved up.
        order = np.argsort(np.isnan(all_scores), axis=1, kind="stable")
        length = int((~np.isnan(all_scores)).sum(axis=1).max(initial=0))
        order = order[:, :length]
        return Queries(
            np.take_along_axis(all_regions, order[..., None], axis=1),
            np.take_along_axis(all_scores, order, axis=1),
        )

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """The best regions, as episodes that begin where they end."""
        found = self.run(search, np.arange(len(search)), generators)
        answers = found.best
        if self.wanted is not None:
            answers = found.least(np.abs(search.clean_score[:, None] - found.scores - self.wanted))
        return [
            Rollout((), region[None], np.array([score]), False, queries=int(count))
            for region, score, count in zip(*answers, found.counts, strict=True)
        ]
