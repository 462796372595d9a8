"""The query methods that an evaluation compares, from those that know nothing to the belief."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from occlusion_env.belief import Belief, Prior
from occlusion_env.search import Search
from tracker.scorers import Scorer, SintScorer

from .baselines import (
    Generators,
    HillClimbing,
    Listing,
    Proposals,
    Querying,
    list_cells,
    rank_by_attribution,
    rank_grid,
)
from .belief.method import begin_belief

if TYPE_CHECKING:
    from .belief import FittedPrior

__all__ = [
    "BUDGETS",
    "BeliefMethod",
    "Expect",
    "Queried",
    "best_constant",
    "prior_methods",
    "query_methods",
    "strips",
]

BUDGETS = (1, 2, 3, 5, 8, 10, 15, 20, 50)
"""Numbers of scorer queries at which methods are compared."""

Values = NDArray[np.float64]
Slots = NDArray[np.int64]

Expect = Callable[[Search, Slots], Values]
"""Expected drops of the grid's regions before any query, target by target: `float64[M, R]`."""


class Queried(Protocol):
    """A belief over the drops of the grid's regions for N targets, such as `occlusion_env.belief.Belief`."""

    def propose(self) -> NDArray[np.int64]:
        """The region to query next for each target, `int64[N]`, an index into the grid."""
        ...

    def observe(self, chosen: NDArray[np.int64], drops: Values, /) -> None:
        """Take the answers to a proposal: `int64[N]` and `float64[N]`."""
        ...


@dataclass(frozen=True)
class BeliefMethod:
    """A belief as a `Proposer`.

    Attributes:
        make: Makes a belief for N targets from their expected drops `float64[N, R]`.
        expect: Gives the expected drops.
    """

    make: Callable[[Values], Queried]
    expect: Expect

    def __call__(self, search: Search, slots: Slots, generators: Generators) -> Proposals:
        """Start on M searches; nothing is drawn."""
        limits = search.settings.limits
        return _BeliefProposals(self.make(self.expect(search, slots)), limits.grid(limits.max_area))


class _BeliefProposals:
    """The queries of a belief; see `Proposals`."""

    def __init__(self, belief: Queried, grid: Values) -> None:
        self._belief, self._grid = belief, grid
        self._chosen = np.empty(0, dtype=np.int64)

    def propose(self, most: int) -> Values:
        """The belief's next region of each search, `float64[M, 1, 4]`."""
        self._chosen = self._belief.propose()
        return self._grid[self._chosen][:, None]

    def observe(self, drops: Values) -> None:
        """Pass the answers on."""
        self._belief.observe(self._chosen, drops[:, 0])


def best_constant(prior: Prior) -> Values:
    """The region with the largest mean drop over the training videos, `float64[4]`."""
    return prior.regions[prior.best]


def strips(prior: Prior) -> Values:
    """The upright and the flat regions of greatest length, side by side, by their mean drop: `float64[K, 4]`.

    Where the largest area allows it they are as high or as wide as the target.
    """
    aspect = prior.regions[:, 2] / prior.regions[:, 3]
    longest = np.flatnonzero((aspect < aspect.min() * 1.001) | (aspect > aspect.max() / 1.001))
    return prior.regions[longest[np.argsort(-prior.mean[longest], kind="stable")]]


def list_regions(regions: Values, search: Search, slots: Slots, generators: Generators) -> Proposals:
    """The same regions `[K, 4]` in the same order for every search."""
    return Listing(lambda most: np.tile(regions[:most], (len(slots), 1, 1)))


def rank_by_prediction(expect: Expect, search: Search, slots: Slots, generators: Generators) -> Proposals:
    """The grid's regions by their expected drop, near copies later (`spread_out`)."""
    limits = search.settings.limits
    return rank_grid(limits.grid(limits.max_area), expect(search, slots))


def query_methods(
    scorer: Scorer,
    prior: Prior | None = None,
    predict: Expect | None = None,
    belief: BeliefMethod | None = None,
    queries: int = BUDGETS[-1],
) -> dict[str, Querying]:
    """The query methods of an evaluation by name; random regions and grid search are always compared.

    Args:
        scorer: The matcher; attribution takes SINT's score apart, and no other's.
        prior: Gives `constant` and `strips`; without it they are left out.
        predict: Gives `predictor`; without it it is left out.
        belief: Gives `belief`; without it it is left out.
        queries: Largest number of queries.
    """
    methods = {"cells": Querying(list_cells, queries)}
    if prior is not None:
        methods["constant"] = Querying(partial(list_regions, best_constant(prior)[None]), 1)
        methods["strips"] = Querying(partial(list_regions, strips(prior)), queries)
    if isinstance(scorer, SintScorer):
        methods["attribution"] = Querying(rank_by_attribution, queries)
    if predict is not None:
        methods["predictor"] = Querying(partial(rank_by_prediction, predict), queries)
    methods["hill climbing"] = Querying(HillClimbing, queries)
    if belief is not None:
        methods["belief"] = Querying(belief, queries)
    return methods


def prior_methods(scorer: Scorer, fitted: FittedPrior | None) -> dict[str, Querying]:
    """`query_methods` with all that a fitted prior gives; without one these are left out.

    Args:
        scorer: The matcher.
        fitted: Its prior.
    """
    if fitted is None:
        return query_methods(scorer)
    expect = partial(_expect, fitted)
    predict = None if fitted.predictor is None else expect
    return query_methods(scorer, fitted.prior, predict, BeliefMethod(partial(Belief, fitted.prior), expect))


def _expect(fitted: FittedPrior, search: Search, slots: Slots) -> Values:
    return begin_belief(fitted, search, slots).mean
