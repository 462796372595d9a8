from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from occlusion_env import ORACLE_ENV_ID, OcclusionSearchEnv
from occlusion_env.mdp.actions import TRIGGER, RegionLimits
from occlusion_env.scene.occluders import choose_occluder
from occlusion_env.scene.oracle import OracleFeatures, OracleScorer, optimum, oracle_sequence
from occlusion_env.scene.targets import TargetSet, load_targets
from occlusion_env.search.core import Search, SearchSettings
from tracker.data.images import to_tensor
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer


@pytest.fixture
def targets() -> TargetSet:
    return load_targets("oracle:3")


def begun(targets: TargetSet, settings: SearchSettings | None = None, count: int = 16) -> Search:
    search = Search(count, OracleScorer(), OracleFeatures(), settings or SearchSettings())
    rng = np.random.default_rng(0)
    chosen = [targets[index] for index in range(count)]
    patches = [choose_occluder("background", target, 0.25, rng).patch(target) for target in chosen]
    search.begin(np.arange(count), chosen, patches, drop=0.95)
    return search


def look_ahead(search: Search) -> np.ndarray:
    """The moves that lead to the lowest scores, and the trigger where none lowers them."""
    slots = np.repeat(np.arange(len(search)), TRIGGER)
    moved = search.settings.limits.move(search.region[slots], np.tile(np.arange(TRIGGER), len(search)))
    scores = search.scores(slots, moved).reshape(len(search), TRIGGER)
    return np.where(scores.min(axis=1) < search.score, scores.argmin(axis=1), TRIGGER)


def part_of(crop: np.ndarray) -> np.ndarray:
    """Where the planted part is: by its red, which nothing else has."""
    return crop[..., 0] > 200


def test_the_video() -> None:
    video = oracle_sequence(2)
    again, other = oracle_sequence(2), oracle_sequence(4)
    assert all((video.frames[t] == again.frames[t]).all() for t in range(5)) and (video.boxes == again.boxes).all()
    assert (video.frames[1] != other.frames[1]).any() and len(load_targets("oracle")) == 128
    assert load_targets("oracle:2").ids[0] == "oracle-2/000001"
    places = []
    for t in range(len(video)):
        crop = video.crop(t)
        rows, columns = np.nonzero(part_of(crop))
        assert crop.shape == (40, 40, 3) and len(rows) == 144 == (rows.max() - rows.min() + 1) ** 2
        assert not part_of(video.frames[t]).sum() > 144
        places.append((rows.min(), columns.min()))
    assert len(set(places)) > 100 and {0, 28} <= {row for row, _ in places}
    assert np.ptp(video.boxes[:, 0]) > 40


def test_the_scorer_counts_the_part_that_is_seen(targets: TargetSet) -> None:
    scorer = OracleScorer()
    assert isinstance(scorer, Scorer)
    target = targets[0]
    rows, columns = np.nonzero(part_of(target.crop))
    covered = target.crop.copy()
    covered[rows.min() : rows.min() + 4, :] = 90
    images = to_tensor(np.stack([target.crop, covered, np.full_like(covered, 90)]))
    scores = scorer(to_tensor(np.stack([target.exemplar] * 3)), images)
    assert scores.dtype == torch.float32 and scores.tolist() == pytest.approx([1, 8 / 12, 0])


def test_background_never_looks_like_the_part(targets: TargetSet) -> None:
    search = begun(targets, count=64)
    assert (search.clean_score == 1).all() and (search.score < 1).all() and (search.score >= 0).all()
    for slot in range(64):
        seen = ~np.pad(np.zeros((20, 20), bool), 10, constant_values=True)
        share = (part_of(targets[slot].crop) & ~seen).sum() / 144
        assert search.score[slot] == pytest.approx(share)


def test_the_features_are_mean_colours() -> None:
    features = OracleFeatures()
    image = np.zeros((16, 16, 3), np.uint8)
    image[4:8, 12:] = 255
    found = features(to_tensor(image)).reshape(3, 4, 4)
    expected = torch.full((3, 4, 4), -1.0)
    expected[:, 1, 3] = 1
    assert torch.equal(found, expected) and features.length == 48
    for name in ("input_size", "length", "layer", "device"):
        assert hasattr(FeatureExtractor, name) or name in ("length", "layer", "device")
        assert hasattr(features, name)


@pytest.mark.parametrize("area", [0.25, 0.09, 0.04, 0.0625, 0.01])
@pytest.mark.parametrize("aspect", [1.0, 4.0])
def test_the_optimum_is_what_exhaustive_search_finds(area: float, aspect: float, targets: TargetSet) -> None:
    """Every width and height in thousandths of a pixel's half, counted on one target in whole numbers."""
    limits = RegionLimits(max_area=area, min_side=0.1, max_aspect=aspect)
    unit = 8000  # of these is the target long, 200 of them a pixel
    rows, columns = np.nonzero(part_of(targets[0].crop))
    sides = np.arange(unit // 10, unit // 2 + 1, 5)
    counts = []
    for centres in (np.unique(columns) * 200 + 100, np.unique(rows) * 200 + 100):
        inside = (centres >= centres[0]) & (centres < centres[0] + sides[:, None])
        counts.append(inside.sum(axis=1))
    width, height = sides[:, None], sides[None, :]
    allowed = (width * height <= round(area * unit**2)) & (width <= aspect * height) & (height <= aspect * width)
    covered = (counts[0][:, None] * counts[1][None, :])[allowed].max()
    assert optimum(limits) == pytest.approx(1 - covered / 144)


@pytest.mark.parametrize("step", [0.2, 0.1])
def test_greedy_look_ahead_reaches_the_optimum(step: float, targets: TargetSet) -> None:
    settings = SearchSettings(RegionLimits(step=step), max_steps=40)
    search = begun(targets, settings, count=64)
    for _ in range(40):
        search.step(look_ahead(search))
    assert search.score.tolist() == [optimum(settings.limits)] * 64 == [0.0] * 64
    assert search.success.all()


def test_nothing_beats_the_optimum_where_it_is_above_0(targets: TargetSet) -> None:
    settings = SearchSettings(RegionLimits(max_area=0.04))
    search = begun(targets, settings, count=6)
    best = optimum(settings.limits)
    assert 0.4 < best < 0.5
    regions = np.concatenate([settings.limits.grid(0.04, places=20, shapes=n) for n in (1, 7)])
    for slot in range(len(search)):
        scores = search.scores(np.full(len(regions), slot), regions)
        assert best - 1e-6 <= scores.min() < best + 0.15


def make(**kwargs: Any) -> gym.Env:
    return gym.make(ORACLE_ENV_ID, disable_env_checker=True, info_names=True, **kwargs)


def test_the_environment_is_the_search_with_other_arguments() -> None:
    env = make().unwrapped
    assert isinstance(env, OcclusionSearchEnv) and isinstance(env.search.scorer, OracleScorer)
    observation, info = env.reset(seed=0)
    assert observation.shape == (48 + 90,) and info["clean_score"] == 1 and info["phi"] == pytest.approx(0.05)
    assert info["target"].startswith("oracle-0/")
    assert make(targets="oracle:5").reset(seed=0)[1]["target"].startswith("oracle-5/")
    with pytest.raises(InputError, match="oracle:0"):
        make(targets="oracle:x")
    assert gym.make_vec(ORACLE_ENV_ID, num_envs=3).reset(seed=0)[0].shape == (3, 138)


def test_a_step_costs_little() -> None:
    """A millisecond or so; the bound leaves room for a busy machine."""
    env = make()
    env.reset(seed=0)
    start = time.process_time()
    for step in range(300):
        if any(env.step(step % 8)[2:4]):
            env.reset()
    assert time.process_time() - start < 300 * 0.006
