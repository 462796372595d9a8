"""The network that foretells drops, what is made of its predictions, and the observation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import occlusion_env  # noqa: F401
from agents.foresight import DropPredictor, Foresight, Samples, fit_predictor, load_predictor, save_predictor
from agents.foresight.learning import correlation, sample_drops
from agents.foresight.network import shipped_predictor
from agents.foresight.planning import LENGTH, PER_MOVE, Known, distance, outlook, revised
from occlusion_env.actions import MOVES, RegionLimits
from occlusion_env.search import Search
from occlusion_env.targets import load_targets
from tracker.backbones import FeatureExtractor
from tracker.boxes import iou
from tracker.errors import InputError
from tracker.scorers import load_scorer

LIMITS = RegionLimits()


def planted(count: int, seed: int) -> Samples:
    """Targets whose score is the uncovered part of what their cells add: the best network knows all of it."""
    rng = np.random.default_rng(seed)
    maps = torch.from_numpy(rng.uniform(0, 0.02, (count, 2, 7, 7))).float()
    for row, (i, j) in enumerate(rng.integers(0, 6, (count, 2))):
        maps[row, :, i : i + 2, j : j + 2] += 0.05
    regions = LIMITS.random(np.full(count * 30, 0.25), rng).reshape(count, 30, 4)
    edges = np.arange(8) / 7
    across, down = (
        np.diff(np.clip(edges - regions[..., axis, None], 0, regions[..., axis + 2, None]), axis=-1) * 7
        for axis in (0, 1)
    )
    drops = np.einsum("npij,nri,nrj->nr", maps.numpy(), down, across)
    return Samples(
        maps,
        torch.from_numpy(regions).float(),
        torch.from_numpy(drops).float(),
        tuple(f"v{n % 5}" for n in range(count)),
    )


def test_the_network_learns_what_regions_hide() -> None:
    samples, unseen = planted(120, 0), planted(30, 1)
    network, figures = fit_predictor(samples, unseen, epochs=150)
    fresh = correlation(DropPredictor(), unseen)
    assert figures["held_out_correlation"] > 0.9 > abs(fresh)
    assert figures["samples"] == 120 * 30
    foretold = network(unseen.maps, unseen.regions)
    assert float((foretold - unseen.drops).abs().mean()) < 0.25 * float(unseen.drops.std())


def test_the_same_seed_gives_the_same_network() -> None:
    samples = planted(20, 0)
    state = torch.random.get_rng_state()
    first, second, other = (fit_predictor(samples, epochs=1, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(first.judge[0].weight, other.judge[0].weight)


def test_samples_of_some_videos() -> None:
    samples = planted(10, 0)
    part = samples.of(["v1", "v3"])
    assert set(part.videos) == {"v1", "v3"}
    assert torch.equal(part.maps, samples.maps[[1, 3, 6, 8]])
    with pytest.raises(InputError, match="no scored occlusions"):
        fit_predictor(samples.of([]))


def test_a_predictor_comes_back_from_its_file(tmp_path: Path) -> None:
    network = DropPredictor(parts=3, width=4, hidden=8).eval()
    save_predictor(tmp_path / "mine.safetensors", network, {"note": 1})
    again = load_predictor(tmp_path / "mine.safetensors")
    maps, regions = torch.rand(2, 3, 7, 7), torch.from_numpy(LIMITS.grid(0.25)).float().expand(2, -1, -1)
    assert torch.equal(again(maps, regions), network(maps, regions))
    (tmp_path / "mine.json").write_text('{"sizes": {"parts": 2, "width": 4, "hidden": 8}}')
    with pytest.raises(InputError, match="not those of the predictor"):
        load_predictor(tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text("[]")
    with pytest.raises(InputError, match="no card"):
        load_predictor(tmp_path / "mine.safetensors")
    with pytest.raises(InputError, match=r"no '.*other\.json'"):
        load_predictor(tmp_path / "other.safetensors")


def test_a_move_is_about_one_move_away() -> None:
    inner = np.array([[0.3, 0.35, 0.4, 0.4]])
    start = np.repeat(inner, len(MOVES), axis=0)
    there = LIMITS.move(start, np.arange(len(MOVES)))
    found = dict(zip(MOVES, distance(LIMITS, start, there), strict=True))
    assert [found[name] for name in ("right", "left", "up", "down")] == pytest.approx([1] * 4)
    assert found["bigger"] == found["smaller"] == pytest.approx(0)
    at_cap = LIMITS.start(2)
    assert distance(LIMITS, at_cap, LIMITS.move(at_cap, np.array([6, 7]))) == pytest.approx([1, 1])


def known(drops: list[float], predicted: list[float], regions: np.ndarray) -> Known:
    return Known(regions[None], np.array([drops]), np.array([predicted]), np.ones((1, len(drops)), dtype=bool))


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_what_is_known_moves_predictions_towards_it(seed: int) -> None:
    """An error of +e at one region raises all predictions, most of all those beside it, and none beyond e."""
    rng = np.random.default_rng(seed)
    regions = LIMITS.random(np.full(12, 0.25), rng)
    predicted, error = rng.uniform(0, 0.2, (1, 12)), rng.uniform(0.01, 0.3)
    seen = known([predicted[0, 0] + error], [predicted[0, 0]], regions[:1])
    overlap = iou(regions[:, None], regions[None, :1])[None]
    found, mean = revised(predicted, overlap, seen)
    raised = (found - predicted)[0]
    assert mean[0] == pytest.approx(error / 2)
    assert (raised >= error / 2 - 1e-12).all() and (raised <= error + 1e-12).all()
    assert raised.argmax() == 0
    order = np.argsort(overlap[0, :, 0])
    assert all(raised[a] <= raised[b] + 1e-12 for a, b in pairwise(order))


def test_filled_up_rows_count_nothing() -> None:
    rng = np.random.default_rng(0)
    regions = LIMITS.random(np.full(5, 0.25), rng)
    short = known([0.1, 0.3], [0.2, 0.1], regions[:2])
    filled = Known(
        np.concatenate([short.regions, regions[None, 2:]], axis=1), np.array([[0.1, 0.3, 9, 9, 9]]),
        np.array([[0.2, 0.1, -9, -9, -9]]), np.array([[True, True, False, False, False]]),
    )  # fmt: skip
    grid = LIMITS.grid(0.25)
    beyond = LIMITS.move(np.repeat(regions[1:2], 8, axis=0), np.arange(8))[None]
    promised = (rng.uniform(0, 0.2, (1, 8)), rng.uniform(0, 0.2, (1, len(grid))))
    found = [outlook(LIMITS, np.array([0.3]), beyond, grid, promised, one, np.ones(1)) for one in (short, filled)]
    assert np.array_equal(*found)


def test_the_outlook_points_to_where_the_promise_is() -> None:
    """The grid promises most at the far right: the plans of the move to the right are the best."""
    grid = LIMITS.grid(0.25)
    now = LIMITS.start(1)
    beyond = LIMITS.move(np.repeat(now, 8, axis=0), np.arange(8))[None]
    square = np.abs(grid[:, 2] - grid[:, 3]) < 1e-9
    far = np.where(square & (np.abs(grid[:, 1] - 0.25) < 0.05), grid[:, 0], 0.0)[None]
    seen = known([0.05], [0.05], now)
    shown = outlook(LIMITS, np.array([0.05]), beyond, grid, (np.full((1, 8), 0.05), far), seen, np.array([0.5]))
    per_move = shown[0, : 8 * PER_MOVE].reshape(8, PER_MOVE)
    assert shown.shape == (1, LENGTH)
    assert (per_move[:, 2:5].argmax(axis=0) == MOVES.index("right")).all()
    assert per_move[MOVES.index("bigger"), 5] == 1 and per_move[MOVES.index("right"), 5] == 0
    assert shown[0, 8 * PER_MOVE :][:3].tolist() == pytest.approx([0.5, 0.5, 0.5])


def tiny(count: int, **changed: object) -> Search:
    scorer = load_scorer("slim", precision="fp32")
    features = FeatureExtractor(scorer.backbone, scorer.backbone.convolutions[-1], "fp32")
    return Search(count, scorer, features, occlusion_env.SearchSettings(**changed))


def test_samples_are_what_a_search_says() -> None:
    search = tiny(1)
    targets = load_targets("synthetic").subset(range(3))
    samples = sample_drops(targets, search.scorer, search.features, patches=2, regions=3, seed=1)
    assert samples.maps.shape == (6, 2, 7, 7) and samples.drops.shape == (6, 3)
    assert (samples.drops.std(dim=1) > 0).all()
    again = sample_drops(targets, search.scorer, search.features, patches=2, regions=3, seed=1)
    assert torch.equal(samples.drops, again.drops)
    assert LIMITS.holds(samples.regions.double().numpy(), slack=1e-6).all()


def test_the_observation_in_the_environment() -> None:
    keywords = {"observation": "foresight", "reward": "record", "history": 0, "precision": "fp32"}
    many = gym.make_vec("OcclusionSearch-v0", num_envs=3, autoreset_mode="SameStep", max_steps=4, **keywords)
    ones = [gym.make("OcclusionSearch-v0", max_steps=4, **keywords) for _ in range(3)]
    seen, _ = many.reset(seed=5)
    assert seen.shape == (3, LENGTH) and many.single_observation_space.contains(seen[0])
    single = [env.reset(seed=5 + i)[0] for i, env in enumerate(ones)]
    np.testing.assert_allclose(seen, single, atol=1e-4)
    rng = np.random.default_rng(0)
    for _ in range(3):
        actions = rng.integers(0, 8, 3)
        seen, rewards, *_ = many.step(actions)
        found = [env.step(action) for env, action in zip(ones, actions, strict=True)]
        np.testing.assert_allclose(seen, [each[0] for each in found], atol=1e-4)
        np.testing.assert_allclose(rewards, [each[1] for each in found], atol=1e-4)
    assert not np.allclose(seen[0], seen[1])


def test_the_observation_tells_the_scores_that_were_asked_for() -> None:
    search = tiny(1, observation="foresight", max_steps=5)
    target = load_targets("synthetic")[3]
    search.begin(np.array([0]), [target], [np.zeros((64, 64, 3), np.uint8)], drop=0.0)
    drops = [float(search.clean_score[0] - search.score[0])]
    for action in (0, 7, 2):
        search.step(np.array([action]))
        drops.append(float(search.clean_score[0] - search.score[0]))
        best, here, left = search.observe()[0, 8 * PER_MOVE :][:3]
        assert best == pytest.approx(10 * max(drops), abs=1e-4)
        assert here == pytest.approx(10 * drops[-1], abs=1e-4)
    assert left == pytest.approx(1 - 3 / 5)
    assert len(search.visited(0)[1]) == 4
    before = search.queries.copy()
    search.observe()
    assert (search.queries == before).all()


def test_another_scorer_is_named() -> None:
    class Brightness:
        input_size = 32
        device = torch.device("cpu")

        def embed(self, crops: torch.Tensor) -> torch.Tensor:
            return crops.mean(dim=(1, 2, 3))

        def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
            return candidates

        def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
            return self.compare(self.embed(exemplars), self.embed(candidates))

    with pytest.raises(InputError, match="Brightness has no attribute unit"):
        gym.make("OcclusionSearch-v0", scorer=Brightness(), observation="foresight")


def test_the_shipped_predictor() -> None:
    network = shipped_predictor()
    assert network.parts == 2 and not network.training
    assert issubclass(Foresight, object) and shipped_predictor() is network


class Scaled:
    """SINT's matching, its scores in other units: what a matcher of one's own is to foresight."""

    def __init__(self, factor: float, unit: float | None) -> None:
        self.sint, self.factor, self.unit = load_scorer("slim", precision="fp32"), factor, unit
        self.input_size, self.device = self.sint.input_size, self.sint.device

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        return self.sint.embed(crops)

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return 5 + self.factor * self.sint.compare(exemplars, candidates)

    def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


def test_another_matchers_scores_are_shown_in_sints_scale() -> None:
    """An agent that learned on SINT cannot tell a matcher that is SINT in disguise from SINT."""
    target, patch = load_targets("synthetic")[3], np.zeros((64, 64, 3), np.uint8)
    shown = []
    for scorer in (load_scorer("slim", precision="fp32"), Scaled(0.3, 0.03)):
        search = Search(1, scorer, tiny(1).features, occlusion_env.SearchSettings(observation="foresight"))
        search.begin(np.array([0]), [target], [patch], drop=0.0)
        seen = [search.observe()]
        for action in (0, 7, 2):
            search.step(np.array([action]))
            seen.append(search.observe())
        shown.append(np.concatenate(seen))
    np.testing.assert_allclose(*shown, atol=1e-2)  # one of them looks in half precision
    assert np.abs(shown[0]).max() > 0.3


def test_the_unit_is_measured_and_kept(tmp_path: Path) -> None:
    targets = load_targets("synthetic").subset(range(4))
    features = tiny(1).features
    own, scaled = (
        sample_drops(targets, scorer, features, patches=1, regions=8, seed=1)
        for scorer in (load_scorer("slim", precision="fp32"), Scaled(0.25, None))
    )
    assert scaled.unit == pytest.approx(0.25 * own.unit, rel=1e-3)
    torch.testing.assert_close(scaled.maps, own.maps, atol=1e-4, rtol=1e-2)
    network, _ = fit_predictor(scaled, epochs=1)
    assert network.unit == scaled.unit and fit_predictor(scaled, epochs=1, unit=7.0)[0].unit == 7
    save_predictor(tmp_path / "mine.safetensors", network, {})
    assert load_predictor(tmp_path / "mine.safetensors").unit == scaled.unit
    still = Samples(own.maps, own.regions, torch.ones_like(own.drops), own.videos)
    with pytest.raises(InputError, match="the same wherever"):
        fit_predictor(still)


def test_a_predictor_in_another_unit() -> None:
    network = shipped_predictor()
    maps, regions = torch.rand(2, 2, 7, 7) / 49, torch.from_numpy(LIMITS.grid(0.25)).float().expand(2, -1, -1)
    other = network.in_unit(3 * network.unit)
    torch.testing.assert_close(other(maps, regions), 3 * network(maps, regions))
    assert network.unit == 0.1 and not other.training
