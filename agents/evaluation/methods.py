"""The query methods of an evaluation, from those without any information to the belief."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from occlusion_env.search.belief import Prior
from occlusion_env.search.core import Search
from tracker.scorers import Scorer, SintScorer

from ..policies.baselines import (
    Generators,
    HillClimbing,
    Proposals,
    Querying,
    list_cells,
    list_regions,
    rank_by_attribution,
    rank_grid,
)
from ..policies.belief import FittedPrior
from ..policies.belief.method import BeliefProposer, expect_drops

BUDGETS = (1, 2, 3, 5, 8, 10, 15, 20, 50)
"""Numbers of scorer queries at which methods are compared."""

EXPLANATIONS = {
    "clean": "the target is not covered",
    "random": "a random region",
    "best of k random": "the best of as many random regions as there are queries",
    "centre": "the region in the middle of the target",
    "cells": "the best of the cells of a 3 x 3 grid",
    "constant": "the region that was best on the prior's training videos, the same for every target",
    "strips": "full-height and full-width strips, in the order of their worth on these videos",
    "attribution": "where the matcher's network is most sensitive",
    "predictor": "the drops that a regression predicts from the target's features, highest first",
    "hill climbing": "moves from a random region that lower the score",
    "belief": "a Gaussian belief over the drops of all regions, conditioned on each answer",
    "grid search": "every region of a grid; the standard of comparison",
}
"""How each method chooses the regions that it queries."""

Values = NDArray[np.float64]
Slots = NDArray[np.int64]

Expect = Callable[[Search, Slots], Values]
"""Expected drops of the grid's regions before any query, target by target: `float64[M, R]`."""


def strips(prior: Prior) -> Values:
    """The upright and the flat regions of greatest length, side by side, by their mean drop: `float64[K, 4]`.

    They are as high or as wide as the target if the largest area allows it.
    """
    aspect = prior.regions[:, 2] / prior.regions[:, 3]
    longest = np.flatnonzero((aspect < aspect.min() * 1.001) | (aspect > aspect.max() / 1.001))
    return prior.regions[longest[np.argsort(-prior.mean[longest], kind="stable")]]


def rank_by_prediction(
    expect: Expect, search: Search, slots: Slots, generators: Generators, most: int
) -> Proposals:
    """The grid's regions by their expected drop, near copies later (`spread_out`)."""
    limits = search.settings.limits
    return rank_grid(limits.grid(limits.max_area), expect(search, slots), most)


def query_methods(
    scorer: Scorer, fitted: FittedPrior | None = None, queries: int = BUDGETS[-1]
) -> dict[str, Querying]:
    """The query methods of an evaluation by name; random regions and grid search are always compared.

    Args:
        scorer: The matcher; attribution takes SINT's score apart, and no other's.
        fitted: Its prior: gives `constant`, `strips`, `belief`, and `predictor` where it has one; without it they
            are left out.
        queries: Largest number of queries.
    """
    methods = {"cells": Querying(list_cells, queries)}
    if fitted is not None:
        constant = fitted.prior.regions[[fitted.prior.best]]
        methods["constant"] = Querying(partial(list_regions, constant), 1)
        methods["strips"] = Querying(partial(list_regions, strips(fitted.prior)), queries)
    if isinstance(scorer, SintScorer):
        methods["attribution"] = Querying(rank_by_attribution, queries)
    if fitted is not None and fitted.predictor is not None:
        methods["predictor"] = Querying(partial(rank_by_prediction, partial(expect_drops, fitted)), queries)
    methods["hill climbing"] = Querying(HillClimbing, queries)
    if fitted is not None:
        methods["belief"] = Querying(BeliefProposer(fitted), queries)
    return methods
