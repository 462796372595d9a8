"""The figures of the frontier and of the belief against plain loops, integrals and counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm, t

from agents.evaluation.comparison import MethodComparison, Trial, episode_queries
from agents.evaluation.methods import BUDGETS
from agents.evaluation.summary import record, summarise
from agents.hard_positives.image_targets import image_targets
from agents.policies.baselines import Querying
from agents.policies.belief import BeliefSearch, FittedPrior, fit_prior, fitting
from agents.policies.belief.method import BeliefProposer
from agents.policies.methods import NoFeatures
from agents.policies.rollout import roll_out
from occlusion_env.mdp.actions import ACTIONS, RegionLimits
from occlusion_env.search.belief import Belief, Prior, expected_improvement
from occlusion_env.search.core import Search, SearchSettings
from tracker.errors import InputError
from tracker.evaluation.intervals import ratio_interval

GRID = RegionLimits().grid(0.25)


class Bright:
    """A score that counts the images it is asked about."""

    input_size = 32
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        self.asked += len(candidates)
        return candidates[:, 0]

    def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


def begun(count: int, limits: RegionLimits | None = None) -> Search:
    images = np.random.default_rng(0).integers(0, 255, (count, 60, 80, 3), dtype=np.uint8)
    targets = list(image_targets(images, np.tile([20, 10, 40, 40], (count, 1))))
    search = Search(count, Bright(), NoFeatures(), SearchSettings(limits or RegionLimits()))
    search.begin(np.arange(count), targets, [np.zeros((64, 64, 3), np.uint8)] * count, drop=0.0)
    return search


def by_distance(regions: NDArray[np.float64]) -> FittedPrior:
    middle = regions[:, :2] + regions[:, 2:] / 2
    covariance = np.exp(-((middle[:, None] - middle[None]) ** 2).sum(axis=2) / 0.1) + 1e-6 * np.eye(len(regions))
    mean = np.linspace(0, 0.1, len(regions))
    return FittedPrior(Prior(regions, mean, mean, 0.01 * covariance), None)


def made_up_records(rng: np.random.Generator, sequences: int) -> dict[str, dict]:
    """Two seeds a sequence, a different number of targets in each."""
    found = {}
    for number in range(sequences):
        targets = 1 + number % 3

        def trial(queries: int, low: float, targets: int = targets) -> Trial:
            curve = np.minimum.accumulate(rng.uniform(low, low + 0.3, (targets, queries)), axis=1)
            return Trial(curve, np.full(targets, float(queries)), np.tile([0, 0, 0.5, 0.5], (targets, 1)))

        def comparison(trial: Callable[..., Trial] = trial, targets: int = targets) -> MethodComparison:
            trials = {
                "random": trial(1, 0.6), "best of k random": trial(50, 0.4), "constant": trial(1, 0.3),
                "belief": trial(12, 0.2), "grid search": trial(1, 0.1),
            }  # fmt: skip
            empty = np.zeros((targets, 2))
            return MethodComparison(
                np.ones(targets), empty, {}, trials, {}, {}, np.zeros((targets, 64, 64, 3), np.uint8)
            )

        ids = tuple(str(n) for n in range(targets))
        found[f"s{number}"] = record({0: comparison(), 1: comparison()}, ids, {})
    return found


def test_the_frontier_is_a_ratio_of_means_over_sequences() -> None:
    """By plain loops: targets are averaged within a seed, seeds within a sequence, sequences count alike."""
    records = made_up_records(np.random.default_rng(0), 9)
    content = summarise(records, [])

    def mean(name: str, place: int) -> list[float]:
        return [
            sum(sum(run["trials"][name]["best"][place]) / len(run["clean"]) for run in one["seeds"].values()) / 2
            for one in records.values()
        ]

    random, grid = mean("random", 0), mean("grid search", 0)
    gap = [r - g for r, g in zip(random, grid, strict=True)]
    constant = mean("constant", 0)
    for name in ("best of k random", "constant", "belief"):
        for place, budget in enumerate(BUDGETS):
            score = mean(name, place)
            closure = (sum(random) - sum(score)) / sum(gap)
            gain = (sum(constant) - sum(score)) / sum(gap)
            assert content["frontier"][name][str(budget)] == pytest.approx(closure, abs=2e-6)
            assert content["gain_over_constant"][name][str(budget)] == pytest.approx(gain, abs=2e-6)
            closed = [r - s for r, s in zip(random, score, strict=True)]
            low, high = content["frontier_intervals"][name][str(budget)]
            for end in (low, high):
                assert abs(statistic(closed, gap, end)) == pytest.approx(t.ppf(0.975, len(gap) - 1), rel=1e-3)
            assert low < closure < high


def statistic(numerators: list[float], denominators: list[float], ratio: float) -> float:
    """Student's t of the numerators less `ratio` times the denominators."""
    rest = np.array(numerators) - ratio * np.array(denominators)
    return float(rest.mean() / (rest.std(ddof=1) / np.sqrt(len(rest))))


def test_the_interval_of_a_ratio_holds_what_its_t_test_does_not_reject() -> None:
    """Fieller's, by trying every ratio."""
    rng = np.random.default_rng(3)
    below = rng.uniform(0.1, 0.5, 9)
    above = below * rng.normal(0.8, 0.15, 9)
    tried = np.linspace(0, 2, 20_001)
    kept = [ratio for ratio in tried if abs(statistic(above, below, ratio)) <= t.ppf(0.975, 8)]
    assert ratio_interval(above, below).bounds == pytest.approx((min(kept), max(kept)), abs=2e-4)


@pytest.mark.parametrize(("mean", "deviation", "best"), [(0.1, 0.05, 0.2), (0.3, 0.02, 0.2), (-1, 2, 0.5)])
def test_expected_improvement_is_its_integral(mean: float, deviation: float, best: float) -> None:
    integral, _ = quad(
        lambda drop: (drop - best) * norm.pdf(drop, mean, deviation), best, max(best, mean) + 12 * deviation
    )
    found = expected_improvement(*(np.array(value) for value in (mean, deviation, best)))
    assert found == pytest.approx(integral, rel=1e-6)


def test_expected_improvement_is_not_negative() -> None:
    ratios = np.linspace(-60, 5, 500)
    assert (expected_improvement(ratios, np.ones(500), np.zeros(500)) >= 0).all()


def test_a_region_apart_from_all_candidates_has_weights() -> None:
    """Small candidates leave gaps; there the drop is the mean of all, with the noise of the whole variance."""
    fitted = by_distance(RegionLimits(max_area=0.0025, min_side=0.05).grid(0.0025))
    gap = np.array([[0.07, 0.07, 0.05, 0.05]])
    belief = Belief(fitted.prior, fitted.prior.mean[None])
    assert np.allclose(fitted.prior.weights(gap), 1 / len(fitted.prior.regions))
    belief.observe_regions(gap[None], np.array([[0.3]]), np.ones((1, 1), dtype=bool))
    assert np.isfinite(belief.mean).all() and (belief.deviation < np.sqrt(0.0101)).all()


def test_a_belief_ends_after_its_last_candidate() -> None:
    search, fitted = begun(2), by_distance(GRID[::28])
    found = Querying(BeliefProposer(fitted), 50).run(search, np.arange(2), [np.random.default_rng(0)] * 2)
    assert found.counts.tolist() == [12, 12]
    for regions in found.regions:
        assert len(np.unique(regions, axis=0)) == 12


def test_the_search_and_the_evaluation_query_the_same_regions() -> None:
    fitted, generators = by_distance(GRID), [np.random.default_rng(0)] * 3
    search = begun(3)
    compared = Querying(BeliefProposer(fitted), 50).run(search, np.arange(3), generators)
    for queries in (1, 7):
        found = BeliefSearch(fitted, queries).find(search, generators)
        assert [episode.best.score for episode in found] == compared.curve[:, queries - 1].tolist()
        assert [episode.best.queries for episode in found] == [queries] * 3


class Wandering:
    """Random moves, without the trigger."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)

    def predict(self, observation: object, **_: object) -> tuple[NDArray[np.int64], None]:
        return self.rng.integers(0, len(ACTIONS) - 1, 5), None


def test_an_agents_queries_are_what_the_scorer_is_asked() -> None:
    """One for each region that an episode visits; the clean score is counted for none."""
    search = begun(5)
    before = search.scorer.asked
    episodes = roll_out(Wandering(), search, lambda search: None)
    counts = episode_queries(episodes).counts
    assert search.scorer.asked - before == counts.sum() - 5, "the starts are scored when the search begins"
    assert (search.queries - 1 == counts).all()
    assert [episode.best.queries for episode in episodes] == counts.tolist()
    assert (counts < 21).any(), "some region was visited twice"


def test_every_error_of_the_covariance_is_of_a_left_out_video() -> None:
    """By a loop over videos, each left out alone."""
    rng = np.random.default_rng(4)
    videos = tuple("aabbbc")
    drops = rng.normal(0.2, 0.05, (6, len(GRID))) + rng.normal(0, 0.1, len(GRID))
    samples = fitting.GridDrops(torch.zeros(6, 2, 7, 7), drops, videos, GRID)
    fitted = fit_prior(samples, with_predictor=False)
    errors = np.array(
        [
            row - np.mean([other for other, name in zip(drops, videos, strict=True) if name != video], axis=0)
            for row, video in zip(drops, videos, strict=True)
        ]
    )
    np.testing.assert_allclose(fitted.prior.covariance, np.cov(errors.T, bias=True), atol=1e-12)
    with pytest.raises(InputError, match="folds is 1; it must be at least 2"):
        fit_prior(samples, folds=1)
