"""Query methods: regions are proposed in turns, and each turn sees the scores of the turns before."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from occlusion_env.search.core import Search

Regions = NDArray[np.float64]
Scores = NDArray[np.float64]
Slots = NDArray[np.int64]
Generators = Many[np.random.Generator]


class Proposals(Protocol):
    """The queries of one method for M searches."""

    def propose(self, most: int) -> Regions:
        """The regions to query next, `float64[M, K, 4]`, relative to the target.

        Args:
            most: The largest number of queries that any of the searches has left. A method that does not depend on
                the answers may propose that many at once. Regions beyond this number are not scored.

        Returns:
            NaN where a search has fewer than K; nothing but NaN, or K = 0, where no search has a query left.
        """
        ...

    def observe(self, drops: Scores) -> None:
        """Take the answers to the last proposal.

        Args:
            drops: `float64[M, K]`, score of the unoccluded target less the score with the region covered; NaN
                where nothing was scored.
        """
        ...


Proposer = Callable[[Search, Slots, Generators], Proposals]
"""Starts a method on M searches: `(search, slots int64[M], M generators)`; a search's draws come from its own
generator, and its state stays as it is."""


class Listing:
    """Regions that do not depend on the answers.

    Args:
        first: Maps a number K to the first K regions of each search, `float64[M, K, 4]`, or to all where there are
            fewer.
    """

    def __init__(self, first: Callable[[int], Regions]) -> None:
        self._first = first
        self._listed = False

    def propose(self, most: int) -> Regions:
        """All of the regions in the first turn."""
        found = self._first(0 if self._listed else most)
        self._listed = True
        return found

    def observe(self, drops: Scores) -> None:
        """The answers change nothing."""


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
        return self._answers(self.scores)

    def nearest(self, wanted: Scores) -> tuple[Regions, Scores]:
        """The region whose score is nearest to a wanted one, `float64[M, 4]`, and that score, `float64[M]`.

        Args:
            wanted: `float64[M]`, the wanted scores.
        """
        return self._answers(np.abs(self.scores - wanted[:, None]))

    def _answers(self, distances: Scores) -> tuple[Regions, Scores]:
        rows, place = np.arange(len(self.scores)), np.nanargmin(distances, axis=1)
        return self.regions[rows, place], self.scores[rows, place]


def run_queries(proposer: Proposer, search: Search, slots: Slots, generators: Generators, most: int) -> Queries:
    """Score what a method proposes, until it has no further region or the number of queries is reached.

    Args:
        proposer: The method.
        search: The searches, begun; their state stays as it is.
        slots: `int64[M]`, which of them; one may come more than once.
        generators: M generators.
        most: Largest number of queries a search, at least 1.
    """
    proposals, clean = proposer(search, slots, generators), search.clean_score[slots]
    left = np.full(len(slots), most)
    regions, scores = [np.empty((len(slots), 0, 4))], [np.empty((len(slots), 0))]
    while len(slots) and left.max() > 0:
        proposed = proposals.propose(int(left.max()))
        asked = ~np.isnan(proposed[..., 0])
        asked &= np.cumsum(asked, axis=1) <= left[:, None]
        if not asked.any():
            break
        answers: Scores = np.full(asked.shape, np.nan)
        answers[asked] = search.scores(slots[np.nonzero(asked)[0]], proposed[asked])
        proposals.observe(clean[:, None] - answers)
        regions.append(np.where(asked[..., None], proposed, np.nan))
        scores.append(answers)
        left -= asked.sum(axis=1)
    all_regions, all_scores = np.concatenate(regions, axis=1), np.concatenate(scores, axis=1)
    # A search that sat out a turn has its later queries moved up.
    order = np.argsort(np.isnan(all_scores), axis=1, kind="stable")
    length = int((~np.isnan(all_scores)).sum(axis=1).max(initial=0))
    order = order[:, :length]
    return Queries(
        np.take_along_axis(all_regions, order[..., None], axis=1), np.take_along_axis(all_scores, order, axis=1)
    )
