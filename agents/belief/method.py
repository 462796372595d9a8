"""The belief as a way to find the region to occlude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occlusion_env.belief import Belief
from occlusion_env.search import Search
from tracker.errors import InputError

from ..rollout import Rollout
from .fitting import FittedPrior
from .similarity import similarity_maps

__all__ = ["QUERIES", "BeliefSearch", "begin_belief"]

QUERIES = 10
"""Scorer queries a target: on 15 sequences that nothing was fitted to, ten find what grid search finds in 336."""


def begin_belief(fitted: FittedPrior, search: Search, slots: np.ndarray) -> Belief:
    """Start the belief about targets that searches have begun with.

    Args:
        fitted: The prior.
        search: The searches.
        slots: `int64[M]`, which of them.
    """
    if fitted.predictor is None:
        return Belief(fitted.prior, np.tile(fitted.prior.offset, (len(slots), 1)))
    return Belief(fitted.prior, fitted.expected(similarity_maps(search, slots).cpu()))


@dataclass(frozen=True)
class BeliefSearch:
    """Queries the candidate with the largest expected improvement, again and again, all targets in a batch.

    Attributes:
        fitted: The prior.
        queries: Scorer queries a target.
        wanted: A drop to come near to, in units of the score; `None` for the largest.

    Raises:
        InputError: If `queries` is not from 1 to the number of candidates.
    """

    fitted: FittedPrior
    queries: int = QUERIES
    wanted: float | None = None
    settings = None
    features = None
    looks = False

    def __post_init__(self) -> None:
        most = len(self.fitted.prior.regions)
        if not 1 <= self.queries <= most:
            raise InputError(
                f"queries is {self.queries}; it must lie between 1 and {most}, the candidate regions."
            )

    def find(self, search: Search, generators: Sequence[np.random.Generator]) -> list[Rollout]:
        """Search; see `Method`. Nothing is drawn. An episode's trail are the queried regions, in order."""
        slots, regions = np.arange(len(search)), self.fitted.prior.regions
        belief = begin_belief(self.fitted, search, slots)
        trail, scores = [], []
        for _ in range(self.queries):
            chosen = belief.propose(self.wanted)
            trail.append(regions[chosen])
            scores.append(search.scores(slots, regions[chosen]))
            belief.observe(chosen, search.clean_score[slots] - scores[-1])
        trails, curves = np.stack(trail, axis=1), np.stack(scores, axis=1)
        return [Rollout((), trails[slot], curves[slot], False) for slot in slots]
