"""The belief over regions: its mathematics, the fitting of a prior, the files, the search and the observation."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import occlusion_env  # noqa: F401
from agents.hard_positives.image_targets import image_targets
from agents.policies.baselines import Querying, RandomRegions
from agents.policies.belief import (
    BeliefObservation,
    BeliefSearch,
    DropPredictor,
    FittedPrior,
    GridDrops,
    check_prior,
    describe_search,
    fit_prior,
    fitting,
    load_prior,
    prior_digest,
    save_prior,
    score_grids,
    shipped_prior,
)
from agents.policies.belief.method import FIRST_PASS
from agents.policies.belief.observation import LENGTH, PER_MOVE, count_moves
from agents.policies.methods import NoFeatures, as_method
from occlusion_env.mdp.actions import MOVES, RegionLimits
from occlusion_env.scene.targets import load_targets
from occlusion_env.search.belief import Belief, Prior, expected_improvement
from occlusion_env.search.core import Search, SearchSettings
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import load_scorer

LIMITS = RegionLimits()
GRID = LIMITS.grid(0.25)
NOISE = 0.01


def made_up(seed: int = 0, predictor: DropPredictor | None = None, **card: Any) -> FittedPrior:
    """A prior over the grid whose covariance falls with the distance of the centres."""
    rng = np.random.default_rng(seed)
    centre = GRID[:, :2] + GRID[:, 2:] / 2
    apart = np.linalg.norm(centre[:, None] - centre[None], axis=2)
    mean = rng.uniform(0, 0.2, len(GRID))
    covariance = 0.01 * np.exp(-((apart / 0.3) ** 2)) + 1e-6 * np.eye(len(GRID))
    return FittedPrior(Prior(GRID, mean, mean, covariance), predictor, {"unit": 0.05, **card})


def conditioned(
    expected: np.ndarray, covariance: np.ndarray, weights: np.ndarray, answers: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of one target, by the inverse of the joint covariance's block."""
    joint = weights @ covariance @ weights.T + np.diag(noise)
    gain = covariance @ weights.T @ np.linalg.inv(joint)
    mean = expected + gain @ (answers - weights @ expected)
    return mean, np.sqrt(np.diag(covariance - gain @ weights @ covariance))


def test_the_belief_is_the_conditioned_gaussian() -> None:
    """One answer at a time, for a batch of targets, against the plain formula."""
    prior, rng = made_up().prior, np.random.default_rng(1)
    expected = rng.uniform(0, 0.2, (3, len(GRID)))
    belief = Belief(prior, expected)
    chosen, answers = rng.choice(len(GRID), (3, 4), replace=False), rng.uniform(-0.1, 0.4, (3, 4))
    for number in range(4):
        belief.observe(chosen[:, number], answers[:, number])
    for row in range(3):
        weights = np.eye(len(GRID))[chosen[row]]
        noise = np.full(4, NOISE * prior.variance)
        mean, deviation = conditioned(expected[row], prior.covariance, weights, answers[row], noise)
        np.testing.assert_allclose(belief.mean[row], mean, atol=1e-9)
        np.testing.assert_allclose(belief.deviation[row], deviation, atol=1e-7)
    assert belief.best.tolist() == answers.max(axis=1).tolist()


def test_the_order_of_the_answers_does_not_matter() -> None:
    prior = made_up().prior
    first, second = (Belief(prior, prior.mean[None]) for _ in range(2))
    answers = [(3, 0.1), (200, 0.4), (77, -0.1)]
    for belief, order in ((first, answers), (second, answers[::-1])):
        for region, drop in order:
            belief.observe(np.array([region]), np.array([drop]))
    np.testing.assert_allclose(first.mean, second.mean, atol=1e-9)
    np.testing.assert_allclose(first.deviation, second.deviation, atol=1e-9)


def test_answers_about_any_regions() -> None:
    """Against the plain formula: a region is a weighted mean of candidates, with noise for what they leave out."""
    prior, rng = made_up().prior, np.random.default_rng(2)
    regions = LIMITS.random(np.full(6, 0.25), rng).reshape(2, 3, 4)
    answers = rng.uniform(0, 0.3, (2, 3))
    belief = Belief(prior, np.tile(prior.mean, (2, 1)))
    belief.observe_regions(regions, answers, np.ones((2, 3), dtype=bool))
    weights = prior.weights(regions)
    np.testing.assert_allclose(weights.sum(axis=2), 1)
    from tracker.data.boxes import iou

    apart = 1 - iou(regions[:, :, None], GRID).max(axis=2)
    for row in range(2):
        noise = prior.variance * (NOISE + apart[row])
        mean, deviation = conditioned(prior.mean, prior.covariance, weights[row], answers[row], noise)
        np.testing.assert_allclose(belief.mean[row], mean, atol=1e-9)
        np.testing.assert_allclose(belief.deviation[row], deviation, atol=1e-7)


def test_a_candidate_weighs_almost_alone_in_its_own_place() -> None:
    weights = made_up().prior.weights(GRID[:5])
    assert (weights.argmax(axis=1) == np.arange(5)).all()


def test_padding_counts_nothing() -> None:
    prior, rng = made_up().prior, np.random.default_rng(3)
    regions = LIMITS.random(np.full(5, 0.25), rng)[None]
    answers = np.array([[0.1, 0.3, 9.0, np.nan, -9.0]])
    short, padded = (Belief(prior, prior.mean[None]) for _ in range(2))
    short.observe_regions(regions[:, :2], answers[:, :2], np.ones((1, 2), dtype=bool))
    padded.observe_regions(regions, answers, np.array([[True, True, False, False, False]]))
    np.testing.assert_allclose(short.mean, padded.mean, atol=1e-12)
    np.testing.assert_allclose(short.deviation, padded.deviation, atol=1e-12)
    assert padded.best.tolist() == [0.3]


@given(st.floats(-1, 1), st.floats(0.01, 2), st.floats(-1, 1))
@settings(max_examples=10, deadline=None)
def test_expected_improvement_is_the_mean_of_the_improvements(mean: float, deviation: float, best: float) -> None:
    drawn = np.random.default_rng(0).normal(mean, deviation, 50_000)
    found = expected_improvement(*(np.array(value) for value in (mean, deviation, best)))
    assert found == pytest.approx(np.maximum(drawn - best, 0).mean(), abs=0.025 * deviation)


def test_proposals() -> None:
    prior = made_up().prior
    belief = Belief(prior, np.tile(prior.mean, (2, 1)))
    first = belief.propose()
    assert first.tolist() == [prior.mean.argmax()] * 2 == [prior.best] * 2
    seen = [first]
    for _ in range(20):
        belief.observe(seen[-1], np.array([0.0, 0.5]))
        seen.append(belief.propose())
    assert all(len(set(row)) == 21 for row in np.stack(seen, axis=1).tolist())
    nearest = Belief(prior, prior.mean[None]).propose(wanted=0.07)
    assert abs(prior.mean[nearest[0]] - 0.07) == np.abs(prior.mean - 0.07).min()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.zeros(3)}, r"prior's mean must be finite numbers of shape \[336\]"),
        ({"covariance": np.full((336, 336), np.nan)}, "prior's covariance must be finite"),
        ({"covariance": np.zeros((336, 336))}, "not symmetric and positive"),
        ({"covariance": -np.eye(336)}, "not symmetric and positive"),
        ({"covariance": np.triu(np.ones((336, 336)))}, "not symmetric and positive"),
        ({"regions": np.zeros((0, 4))}, "prior's regions"),
    ],
)
def test_arrays_that_are_no_prior(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(made_up().prior, **change)


def test_a_move_counts_as_one() -> None:
    inner = np.array([[0.3, 0.35, 0.4, 0.4]])
    there = LIMITS.move(np.repeat(inner, len(MOVES), axis=0), np.arange(len(MOVES)))
    found = dict(zip(MOVES, count_moves(LIMITS, inner, there), strict=True))
    assert [found[name] for name in ("right", "left", "up", "down")] == pytest.approx([1] * 4)
    assert found["bigger"] == found["smaller"] == pytest.approx(0)
    at_cap = LIMITS.centre(2)
    assert count_moves(LIMITS, at_cap, LIMITS.move(at_cap, np.array([6, 7]))) == pytest.approx([1, 1])


def planted(count: int, seed: int, videos: int = 6) -> GridDrops:
    """Targets whose score is the uncovered part of what their cells add: their maps tell the drops."""
    rng = np.random.default_rng(seed)
    maps = torch.from_numpy(rng.uniform(0, 0.02, (count, 2, 7, 7))).float()
    for row, (i, j) in enumerate(rng.integers(0, 6, (count, 2))):
        maps[row, :, i : i + 2, j : j + 2] += 0.05
    edges = np.arange(8) / 7
    across, down = (
        np.diff(np.clip(edges - GRID[..., axis, None], 0, GRID[..., axis + 2, None]), axis=-1) * 7
        for axis in (0, 1)
    )
    drops = np.einsum("npij,ri,rj->nr", maps.numpy(), down, across)
    return GridDrops(maps, drops, tuple(f"v{n % videos}" for n in range(count)), GRID)


def test_a_predictor_becomes_the_mean_where_the_maps_tell_the_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_STEPS", 80), ("_BATCH", 24), ("_CANDIDATES", 24)):
        monkeypatch.setattr(fitting, name, value)
    samples, unseen = planted(48, 0), planted(10, 1)
    fitted = fit_prior(samples, folds=2)
    assert fitted.card["expected_drops"] == "predictor" and fitted.card["targets"] == 48
    assert fitted.card["unexplained"]["predictor"] < 0.5 < fitted.card["unexplained"]["average"]
    assert fitted.card["correlation"] > 0.7
    assert fitted.card["unit"] == pytest.approx(fitting._within(samples.drops).std(), abs=1e-6)
    errors = fitted.expected(unseen.maps) - unseen.drops
    assert errors.std() < 0.6 * (samples.drops.mean(axis=0) - unseen.drops).std()
    np.testing.assert_allclose(fitted.prior.mean, samples.drops.mean(axis=0))


def test_the_average_is_the_mean_where_the_maps_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_STEPS", 5)
    samples, rng = planted(12, 0), np.random.default_rng(0)
    drops = GRID[:, 0] + rng.normal(0, 0.05, (12, len(GRID)))
    fitted = fit_prior(replace(samples, drops=drops), folds=3)
    assert fitted.card["expected_drops"] == "average" and fitted.predictor is None
    np.testing.assert_allclose(fitted.expected(samples.maps), np.tile(drops.mean(axis=0), (12, 1)))
    np.testing.assert_allclose(fitted.prior.offset, drops.mean(axis=0))
    without = fit_prior(replace(samples, drops=drops), folds=3, with_predictor=False)
    np.testing.assert_array_equal(without.prior.covariance, fitted.prior.covariance)
    assert without.card["correlation"] is None and "predictor" not in without.card["unexplained"]


def test_the_covariance_is_that_of_left_out_videos() -> None:
    """Two videos, one pattern each: an average that has seen the video would halve the errors."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(2, len(GRID)))
    samples = replace(planted(4, 0), drops=patterns[[0, 0, 1, 1]], videos=("a", "a", "b", "b"))
    fitted = fit_prior(samples, with_predictor=False)
    error = patterns[0] - patterns[1]
    np.testing.assert_allclose(fitted.prior.covariance, np.outer(error, error), atol=1e-9)


def test_a_predictor_is_judged_on_videos_that_it_was_not_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A predictor that knows the drops of the targets that it has seen, and nothing else, is of no use."""
    samples, seen = planted(12, 0, videos=4), []

    def remember(chosen: GridDrops, *_: Any) -> dict[bytes, np.ndarray]:
        seen.append(set(chosen.videos))
        return {row.numpy().tobytes(): drops for row, drops in zip(chosen.maps, chosen.drops, strict=True)}

    def recall(memory: dict[bytes, np.ndarray], maps: torch.Tensor, regions: np.ndarray) -> np.ndarray:
        return np.stack([memory.get(row.numpy().tobytes(), -samples.drops[0]) for row in maps])

    monkeypatch.setattr(fitting, "fit_predictor", remember)
    monkeypatch.setattr(fitting, "predict", recall)
    fitted = fit_prior(samples, folds=2)
    assert seen == [{"v1", "v3"}, {"v0", "v2"}]
    assert fitted.card["expected_drops"] == "average" and fitted.card["unexplained"]["predictor"] > 1


def test_what_no_prior_can_be_fitted_to() -> None:
    samples = planted(3, 0)
    with pytest.raises(InputError, match="2 targets or more, not of 1"):
        fit_prior(samples.select(np.array([1])))
    with pytest.raises(InputError, match="the same wherever"):
        fit_prior(replace(samples, drops=np.ones_like(samples.drops)))


def test_the_same_seed_gives_the_same_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_STEPS", 3)
    samples, state = planted(8, 0), torch.random.get_rng_state()
    networks = [fitting.fit_predictor(samples, seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.random.get_rng_state(), state)
    first, second, other = (torch.cat([v.flatten() for v in n.state_dict().values()]) for n in networks)
    assert torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize("parts", [None, 3])
def test_a_prior_comes_back_from_its_file(tmp_path: Path, parts: int | None) -> None:
    predictor = None if parts is None else DropPredictor(parts, 4, 8, unit=0.3).eval()
    fitted, file = made_up(predictor=predictor, matcher="mine"), tmp_path / "prior.safetensors"
    save_prior(file, fitted)
    again = load_prior(file)
    for name in ("regions", "mean", "offset"):
        np.testing.assert_array_equal(getattr(again.prior, name), getattr(fitted.prior, name))
    np.testing.assert_allclose(again.prior.covariance, fitted.prior.covariance, rtol=1e-6)
    assert again.card["matcher"] == "mine" and again.card["unit"] == 0.05
    maps = torch.rand(2, parts or 2, 7, 7)
    np.testing.assert_array_equal(again.expected(maps), fitted.expected(maps))
    assert prior_digest(again) == prior_digest(fitted) != prior_digest(made_up(1))
    assert {path.name for path in tmp_path.iterdir()} == {"prior.json", "prior.safetensors"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("prior.json", None, r"There is no '.*prior\.json'; give the \.safetensors file"),
        ("prior.json", b"[]", "cannot be read as the card of a prior"),
        ("prior.json", b"{", "cannot be read as the card of a prior"),
        ("prior.json", b"\xff", "cannot be read as the card of a prior"),
        ("prior.json", b"{}", "cannot be read as the card of a prior"),
        ("prior.json", b'{"predictor": 3}', "cannot be read as the card of a prior"),
        (
            "prior.json",
            b'{"unit": 1, "predictor": {"parts": 2, "width": 4, "hidden": 8, "unit": 1}}',
            "not hold the prior of",
        ),
        ("prior.safetensors", None, r"prior\.safetensors"),
        ("prior.safetensors", b"numbers", r"prior\.safetensors"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    save_prior(tmp_path / "prior.safetensors", made_up(predictor=DropPredictor(3, 4, 8)))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_prior(tmp_path / "prior.safetensors")


def test_a_prior_for_something_else_names_both() -> None:
    search = {"matcher": "SintScorer 1", "max_area": 0.25, "occluder": "background"}
    fitted = made_up(**search)
    check_prior(fitted, search, "'p'")
    for name, value in (("matcher", "SintScorer 2"), ("max_area", 0.1), ("occluder", "mean")):
        sentence = f"The prior 'p' was fitted for {name} {search[name]!r} and is used with {value!r}; fit another"
        with pytest.raises(InputError, match=sentence):
            check_prior(fitted, {**search, name: value}, "'p'")
    check_prior(fitted, {**search, "occluder": "contrast"}, "'p'")
    with pytest.raises(InputError, match="was fitted for occluder 'contrast' and is used with 'background'"):
        check_prior(made_up(**search | {"occluder": "contrast"}), search, "'p'")


class Bright:
    """A matcher whose score falls by what a region hides of the brightness of a crop."""

    input_size = 32
    device = torch.device("cpu")

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return 10 * candidates[:, 0]

    def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


class Blind(Bright):
    """A matcher whose score is always the same."""

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(candidates))


def bright_targets(count: int, seed: int = 0) -> Any:
    """Dark noise, with targets that are bright within one part."""
    rng = np.random.default_rng(seed)
    images, boxes = rng.integers(0, 60, (count, 60, 80, 3), dtype=np.uint8), np.tile([20, 10, 40, 40], (count, 1))
    for image in images:
        left, top = rng.integers(0, 20, 2)
        image[10 + top : 30 + top, 20 + left : 40 + left] = 250
    return image_targets(images, boxes)


def begun(scorer: Any, targets: Any) -> Search:
    search = Search(len(targets), scorer, NoFeatures(), SearchSettings())
    patches = [np.zeros((64, 64, 3), np.uint8)] * len(targets)
    search.begin(np.arange(len(targets)), list(targets), patches)
    return search


def drops_found(method: Any, search: Search) -> np.ndarray:
    rngs = [np.random.default_rng(n) for n in range(len(search))]
    return search.clean_score - [episode.best.score for episode in method.find(search, rngs)]


@pytest.fixture(scope="module")
def fitted() -> FittedPrior:
    drops = score_grids(bright_targets(24), Bright(), NoFeatures())
    card = describe_search(Bright(), LIMITS, "background")
    made = fit_prior(drops, with_predictor=False)
    return replace(made, card={**card, **made.card})


def test_ten_queries_find_nearly_what_grid_search_finds(fitted: FittedPrior) -> None:
    search = begun(Bright(), bright_targets(10, seed=9))
    best = drops_found(as_method("grid"), search).mean()
    random = drops_found(as_method("random"), search).mean()
    search.queries[:] = 0
    ten = drops_found(BeliefSearch(fitted), search)
    assert (search.queries == 10).all()
    one = drops_found(BeliefSearch(fitted, 1), search).mean()
    assert one < ten.mean() and (ten.mean() - random) / (best - random) > 0.85
    drawn = drops_found(as_method("best of 10 random"), search).mean()
    assert ten.mean() > drawn


def test_episodes_are_the_answer_with_its_queries(fitted: FittedPrior) -> None:
    search = begun(Bright(), bright_targets(3, seed=5))
    for episode in BeliefSearch(fitted, 7).find(search, [np.random.default_rng(0)] * 3):
        assert episode.actions == () and episode.trail.shape == (1, 4)
        assert episode.best.score == episode.last.score and episode.best.queries == episode.last.queries == 7


def test_a_search_stops_where_the_next_query_is_not_worth_its_price(fitted: FittedPrior) -> None:
    """Each target by itself, against the sentence: it goes on while the next query promises the price."""
    search, price = begun(Bright(), bright_targets(8, seed=3)), 0.02
    rngs = [np.random.default_rng(0)] * 8
    found = BeliefSearch(fitted, 40, query_price=price).find(search, rngs)
    counts = []
    for slot, episode in enumerate(found):
        belief, row = Belief(fitted.prior, fitted.prior.offset[None]), np.array([slot])
        chosen, drops = belief.propose(), []
        while not drops or belief.improvement(chosen)[0] >= price:
            drops.append(search.clean_score[row] - search.scores(row, GRID[chosen]))
            belief.observe(chosen, drops[-1])
            chosen = belief.propose()
        counts.append(len(drops))
        assert episode.best.queries == len(drops)
        assert search.clean_score[slot] - episode.best.score == pytest.approx(float(max(drops)[0]), abs=1e-5)
    assert len(set(counts)) > 1 and max(counts) < 40
    free = BeliefSearch(fitted, 12, query_price=0.0).find(search, rngs)
    assert [episode.best.queries for episode in free] == [12] * 8
    dear = BeliefSearch(fitted, 12, query_price=9.0).find(search, rngs)
    assert [episode.best.queries for episode in dear] == [1] * 8


@pytest.mark.parametrize("name", ["belief", "random"])
def test_a_wanted_drop_is_come_near_to(name: str, fitted: FittedPrior) -> None:
    proposer = fitted if name == "belief" else RandomRegions
    method = BeliefSearch if name == "belief" else Querying
    search = begun(Bright(), bright_targets(8, seed=7))
    most = drops_found(BeliefSearch(fitted, 20), search)
    found = {wanted: drops_found(method(proposer, 20, wanted), search) for wanted in (0.3, 0.8)}
    for wanted, drops in found.items():
        assert np.abs(drops - wanted).mean() < 0.5 * np.abs(most - wanted).mean()
    assert (found[0.3] < found[0.8]).all()


def test_numbers_that_cannot_be(fitted: FittedPrior) -> None:
    for change, message in (
        ({"queries": 0}, "queries is 0"), ({"queries": 337}, "between 1 and 336"),
        ({"wanted": float("nan")}, "wanted drop is nan"), ({"query_price": -1.0}, "query_price is -1"),
        ({"query_price": 0.1, "wanted": 0.2}, "0 with a wanted drop"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            BeliefSearch(fitted, **change)
    with pytest.raises(InputError, match="no prior"):
        BeliefSearch().find(begun(Bright(), bright_targets(1)), [np.random.default_rng(0)])
    assert as_method("belief") == BeliefSearch()


def chosen(method: BeliefSearch, scorer: Any, targets: Any, occluder: str = "background") -> Any:
    return method.with_prior(scorer, NoFeatures(), LIMITS, occluder, lambda: targets)


def test_a_first_pass_where_there_is_no_prior() -> None:
    targets, asked = bright_targets(30), []

    class Counted(Bright):
        def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
            asked.append(len(candidates))
            return super().compare(exemplars, candidates)

    said = r"matcher Counted at .*; one is fitted to grid search on 12 of the targets \(4032 scorer queries\)"
    with pytest.warns(UserWarning, match=said):
        found = chosen(BeliefSearch(queries=5, wanted=0.2), Counted(), targets)
    assert found.fitted.card["targets"] == FIRST_PASS == 12 and found.fitted.predictor is None
    assert (found.queries, found.wanted) == (5, 0.2) and sum(asked) >= 4032
    # It is a prior like one of fit-prior: for this matcher and no other.
    assert chosen(found, Counted(), targets) is found
    with pytest.raises(
        InputError, match="The prior that is given was fitted for matcher 'Counted' and is used with"
    ):
        chosen(found, Bright(), targets)


@pytest.mark.parametrize(
    ("scorer", "count", "reason"),
    [(Bright(), 1, "There is one target alone"), (Blind(), 5, "The score does not depend on where")],
    ids=["one", "blind"],
)
def test_random_regions_where_no_prior_can_be_fitted(scorer: Any, count: int, reason: str) -> None:
    targets = bright_targets(count)
    with pytest.warns(UserWarning, match=f"{reason}.*; 6 random regions are queried"):
        found = chosen(BeliefSearch(queries=6), scorer, targets)
    assert found == Querying(RandomRegions, 6)
    search = begun(scorer, targets)
    before = search.queries.copy()
    episodes = found.find(search, [np.random.default_rng(n) for n in range(count)])
    assert (search.queries - before == 6).all() and {each.best.queries for each in episodes} == {6}
    assert all(each.last.region[2] * each.last.region[3] == pytest.approx(0.25) for each in episodes)


def test_the_shipped_priors() -> None:
    scorer = load_scorer("slim", precision="fp32")
    fitted = shipped_prior(scorer, LIMITS)
    assert fitted is not None and len(fitted.prior.regions) == 336
    check_prior(fitted, describe_search(scorer, LIMITS, "background"), "slim")
    assert shipped_prior(scorer, RegionLimits(max_area=0.1)) is None
    assert shipped_prior(scorer, LIMITS, "noise") is None and shipped_prior(Bright(), LIMITS) is None
    assert shipped_prior(scorer, LIMITS, "contrast") is fitted
    assert describe_search(scorer, LIMITS, "contrast")["occluder"] == "contrast"
    found = chosen(BeliefSearch(), scorer, None)
    assert found.fitted is fitted
    # The hardest constant region of slim SINT is an upright strip.
    _, _, width, height = fitted.prior.regions[fitted.prior.best]
    assert height > 0.9 and width < 0.3


def test_the_matcher_is_told_by_its_weights() -> None:
    first, again = (load_scorer("slim", precision=precision) for precision in ("fp32", "bf16"))
    described = [describe_search(each, LIMITS, "background")["matcher"] for each in (first, again)]
    assert described[0] == described[1] and described[0].startswith("SintScorer sha256:")
    assert describe_search(Bright(), LIMITS, "mean")["matcher"] == "Bright"

    class Bare:
        __slots__ = ()

    assert describe_search(Bare(), LIMITS, "mean")["matcher"] == "Bare"  # type: ignore[arg-type]


def test_importing_the_belief_imports_no_torch() -> None:
    script = "import sys, agents.policies.belief, occlusion_env.search.belief; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


OBSERVATION = "agents.policies.belief:BeliefObservation"


def tiny(count: int, scorer: Any = None, **changed: Any) -> Search:
    sint = load_scorer("slim", precision="fp32")
    features = FeatureExtractor(sint.backbone, sint.backbone.convolutions[-1], "fp32")
    return Search(count, scorer or sint, features, SearchSettings(**changed))


def test_the_observation_in_the_environment() -> None:
    keywords = {"observation": OBSERVATION, "reward": "record", "history": 0, "precision": "fp32"}
    many = gym.make_vec("OcclusionSearch-v0", num_envs=3, autoreset_mode="SameStep", max_steps=4, **keywords)
    ones = [gym.make("OcclusionSearch-v0", max_steps=4, **keywords) for _ in range(3)]
    seen, _ = many.reset(seed=5)
    assert seen.shape == (3, LENGTH) and many.single_observation_space.contains(seen[0])
    single = [env.reset(seed=5 + i)[0] for i, env in enumerate(ones)]
    np.testing.assert_allclose(seen, single, atol=1e-3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        actions = rng.integers(0, 8, 3)
        seen, rewards, *_ = many.step(actions)
        found = [env.step(action) for env, action in zip(ones, actions, strict=True)]
        np.testing.assert_allclose(seen, [each[0] for each in found], atol=1e-3)
        np.testing.assert_allclose(rewards, [each[1] for each in found], atol=1e-4)
    assert not np.allclose(seen[0], seen[1])


def test_the_observation_shows_the_answers() -> None:
    search = tiny(1, observation=OBSERVATION, max_steps=5)
    unit = search.observation.fitted.card["unit"]
    search.begin(np.array([0]), [load_targets("synthetic")[3]], [np.zeros((64, 64, 3), np.uint8)], drop=0.0)
    drops = [float(search.clean_score[0] - search.score[0])]
    for steps, action in enumerate((0, 7, 2), 1):
        search.step(np.array([action]))
        drops.append(float(search.clean_score[0] - search.score[0]))
        best, here, left = search.observe()[0, 8 * PER_MOVE :][:3]
        assert best == pytest.approx(max(drops) / unit, abs=1e-3)
        assert here == pytest.approx(drops[-1] / unit, abs=1e-3)
        assert left == pytest.approx(1 - steps / 5)
    before = search.queries.copy()
    search.observe()
    assert (search.queries == before).all()


def test_a_scorer_without_a_prior_is_named() -> None:
    with pytest.raises(
        InputError, match="no prior for the scorer Bright at max_area 0.25; fit one with fit-prior"
    ):
        gym.make("OcclusionSearch-v0", scorer=Bright(), observation=OBSERVATION)


class Scaled:
    """SINT's matching on another scale."""

    def __init__(self, factor: float) -> None:
        self.sint, self.factor = load_scorer("slim", precision="fp32"), factor
        self.input_size, self.device = self.sint.input_size, self.sint.device

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        return self.sint.embed(crops)

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return 5 + self.factor * self.sint.compare(exemplars, candidates)

    def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


FACTOR = 0.3


class ScaledObservation(BeliefObservation):
    """The belief for `Scaled`: the shipped prior, scaled as the scores are."""

    def prior(self) -> FittedPrior:
        fitted = shipped_prior(load_scorer("slim", precision="fp32"), LIMITS)
        assert fitted is not None
        prior, predictor = fitted.prior, fitted.predictor
        scaled = Prior(prior.regions, FACTOR * prior.mean, FACTOR * prior.offset, FACTOR**2 * prior.covariance)
        if predictor is not None:
            other = DropPredictor(predictor.parts, predictor.width, predictor.hidden, FACTOR * predictor.unit)
            other.load_state_dict(predictor.state_dict())
            predictor = other.eval()
        return FittedPrior(scaled, predictor, {"unit": FACTOR * fitted.card["unit"]})


def test_another_scale_of_the_scores_is_the_same_observation() -> None:
    """An agent that was trained on SINT cannot tell SINT from SINT on another scale."""
    target, patch = load_targets("synthetic")[3], np.zeros((64, 64, 3), np.uint8)
    shown = []
    for scorer, observation in ((None, OBSERVATION), (Scaled(FACTOR), f"{__name__}:ScaledObservation")):
        search = tiny(1, scorer, observation=observation)
        search.begin(np.array([0]), [target], [patch], drop=0.0)
        seen = [search.observe()]
        for action in (0, 7, 2):
            search.step(np.array([action]))
            seen.append(search.observe())
        shown.append(np.concatenate(seen))
    np.testing.assert_allclose(
        *shown, atol=2e-2
    )  # the maps of one are computed in half precision where it is fast
    assert np.abs(shown[0]).max() > 0.3


def test_the_card_is_plain_data(tmp_path: Path, fitted: FittedPrior) -> None:
    save_prior(tmp_path / "p.safetensors", fitted)
    card = json.loads((tmp_path / "p.json").read_text())
    assert card["matcher"] == "Bright" and card["targets"] == 24 and card["predictor"] is None
