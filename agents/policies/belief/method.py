"""The belief as a way to find the region to occlude."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.belief import Belief
from occlusion_env.search.core import Search, SearchSettings
from tracker.data.sequences import evenly_spaced
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from ..baselines import Generators, Proposals, Querying, RandomRegions
from ..baselines.attribution import similarity_maps
from ..rollout import Rollout
from .files import check_prior, describe_search, shipped_prior
from .fitting import FittedPrior, fit_prior, score_grids

Values = NDArray[np.float64]

QUERIES = 10
"""Scorer queries a target: on 15 sequences that nothing was fitted to, ten reach a closure of .98 (slim SINT)."""

FIRST_PASS = 12
"""Targets that a prior is fitted to where none was given and the package ships none."""


def expect_drops(fitted: FittedPrior, search: Search, slots: np.ndarray) -> Values:
    """Expected drops of the candidates before any query, `float64[M, R]`."""
    if fitted.predictor is None:
        return np.tile(fitted.prior.offset, (len(slots), 1))
    return fitted.expected(similarity_maps(search, slots).cpu())


@dataclass(frozen=True)
class BeliefProposer:
    """The belief as a `Proposer`: all targets in a batch, one query of each target a turn.

    Attributes:
        fitted: The prior.
        wanted: See `BeliefSearch`.
        query_price: See `BeliefSearch`.
    """

    fitted: FittedPrior
    wanted: float | None = None
    query_price: float = 0.0

    def __call__(self, search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
        """Start on M searches; a belief draws nothing."""
        prior = self.fitted.prior
        belief = Belief(prior, expect_drops(self.fitted, search, slots))
        stopped = np.zeros(len(slots), dtype=bool)
        for number, _ in enumerate(prior.regions):
            chosen = belief.propose(self.wanted)
            if number:
                stopped |= belief.improvement(chosen) < self.query_price
            drops = yield np.where(stopped[:, None], np.nan, prior.regions[chosen])[:, None]
            belief.observe(chosen, np.where(stopped, belief.best, drops[:, 0]))


@dataclass(frozen=True)
class BeliefTrace:
    """The belief about one target after 0 to K queries.

    Attributes:
        means: `float64[K + 1, R]`, expected drops of the candidates.
        deviations: `float64[K + 1, R]`, their standard deviations.
        regions: `float64[K, 4]`, the queried candidates in order.
        drops: `float64[K]`, their drops of the score.
    """

    means: Values
    deviations: Values
    regions: Values
    drops: Values


def trace_belief(fitted: FittedPrior, search: Search, queries: int = QUERIES) -> BeliefTrace:
    """Query one target as `BeliefSearch` does, and record the belief before and after each query.

    Args:
        fitted: The prior.
        search: One search, begun with the target.
        queries: K, at most the number of candidates.
    """
    slot, regions = np.zeros(1, dtype=np.int64), fitted.prior.regions
    belief = Belief(fitted.prior, expect_drops(fitted, search, slot))
    means, deviations, queried, drops = [belief.mean[0]], [belief.deviation[0]], [], []
    for _ in range(queries):
        chosen = belief.propose()
        queried.append(regions[chosen[0]])
        drop = search.clean_score[slot] - search.scores(slot, regions[chosen])
        drops.append(drop[0])
        belief.observe(chosen, drop)
        means.append(belief.mean[0])
        deviations.append(belief.deviation[0])
    return BeliefTrace(np.stack(means), np.stack(deviations), np.stack(queried), np.array(drops))


@dataclass(frozen=True)
class BeliefSearch:
    """Queries the candidate with the largest expected improvement, again and again, all targets in a batch.

    Attributes:
        fitted: The prior; `None` until `with_prior` finds one for the matcher.
        queries: Scorer queries a target.
        wanted: Wanted drop of the score, in its units; `None` for the largest.
        query_price: Fall of the score that a query must be worth: a search ends before `queries` where the
            expected improvement of its next query is below it. Not with a `wanted` drop.

    Raises:
        InputError: If `queries` is not from 1 to the number of candidates, `wanted` is not finite, or
            `query_price` is below 0.
    """

    fitted: FittedPrior | None = None
    queries: int = QUERIES
    wanted: float | None = None
    query_price: float = 0.0
    settings = None
    features = None
    looks = False

    def __post_init__(self) -> None:
        if self.wanted is not None and not np.isfinite(self.wanted):
            raise InputError(f"The wanted drop is {self.wanted}; it must be a finite number.")
        if not 0 <= self.query_price < np.inf or (self.query_price and self.wanted is not None):
            raise InputError(
                f"query_price is {self.query_price}; it must be 0 or more and finite, and 0 with a wanted drop."
            )
        if self.queries < 1:
            raise InputError(f"queries is {self.queries}; it must be at least 1.")
        if self.fitted is not None and self.queries > (most := len(self.fitted.prior.regions)):
            raise InputError(
                f"queries is {self.queries}; it must lie between 1 and {most}, the candidate regions."
            )

    def __repr__(self) -> str:
        """Its numbers, without the arrays of the prior."""
        price = f", query_price={self.query_price}" if self.query_price else ""
        return f"BeliefSearch(queries={self.queries}, wanted={self.wanted}{price})"

    def with_prior(
        self,
        scorer: Scorer,
        features: FeatureExtractor,
        limits: RegionLimits,
        occluder: str,
        targets: Callable[[], TargetSet],
    ) -> BeliefSearch | Querying:
        """Choose the prior for a matcher.

        A given prior must fit. Otherwise it is the one that the package ships for the matcher, the limits and the
        occluder. Where there is none, it is fitted to the drops that grid search finds on `FIRST_PASS` of the
        targets, evenly spaced; a warning says so. A predictor is not fitted to so few.

        Args:
            scorer: The matcher.
            features: Needed by a search; not used.
            limits: Of the regions.
            occluder: See `occlusion_env.scene.occluders.OCCLUDERS`.
            targets: Returns the targets; called where a prior must be fitted.

        Returns:
            The search with its prior. Where none can be fitted, because there is one target alone or the score is
            the same wherever a target is occluded, a warning says so and random regions are queried.

        Raises:
            InputError: If the given prior was fitted for another matcher, other limits or another occluder.
        """
        if self.fitted is not None:
            check_prior(self.fitted, describe_search(scorer, limits, occluder), "that is given")
            return self
        if (fitted := shipped_prior(scorer, limits, occluder)) is not None:
            return replace(self, fitted=fitted)
        every, name = targets(), type(scorer).__name__
        chosen = every.subset(evenly_spaced(len(every), FIRST_PASS))
        if len(chosen) < 2:
            return self._without_prior(name, "There is one target alone")
        drops = score_grids(chosen, scorer, features, SearchSettings(limits), occluder)
        try:
            fitted = fit_prior(drops, with_predictor=False)
        except InputError:
            return self._without_prior(name, "The score does not depend on where a target is occluded")
        search = describe_search(scorer, limits, occluder)
        warnings.warn(
            f"There is no prior for the matcher {name} at max_area {limits.max_area:g} with occluder {occluder};"
            f" one is fitted to grid search on {len(chosen)} of the targets ({drops.drops.size} scorer queries).",
            stacklevel=2,
        )
        card = {**search, **fitted.card}
        return replace(self, fitted=replace(fitted, card=card))

    def _without_prior(self, scorer: str, reason: str) -> Querying:
        warnings.warn(
            f"{reason}, and there is no prior for the matcher {scorer}; {self.queries} random regions are"
            " queried.",
            stacklevel=3,
        )
        return Querying(RandomRegions, self.queries, self.wanted)

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """Search; see `Method`. Nothing is drawn. An episode is the answer alone, with the number of queries.

        Raises:
            InputError: If there is no prior.
        """
        if self.fitted is None:
            raise InputError("The belief has no prior; choose one for the matcher with with_prior.")
        proposer = BeliefProposer(self.fitted, self.wanted, self.query_price)
        return Querying(proposer, self.queries, self.wanted).find(search, generators)
