"""Where a search begins, what a query costs, and which videos targets are drawn from."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from agents.policies.belief import load_prior
from occlusion_env import ACTIONS, BACKGROUND_ENV_ID, ENV_ID
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.mdp.rewards import SCORE_TOLERANCE
from occlusion_env.scene.splits import split_targets
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import Search
from tracker.errors import InputError

TRIGGER = ACTIONS.index("trigger")
WEIGHTS = Path(__file__).parents[2] / "agents/weights"


@pytest.fixture
def videos(tmp_path, make_video, write_otb) -> Path:
    for seed in range(7):
        write_otb(tmp_path / "videos" / f"clip-{seed}", make_video(frames=3, seed=seed))
    return tmp_path / "videos"


@pytest.mark.parametrize("observation", ["features", "features+region", "dict", "pixels", "belief"])
def test_the_constant_region_of_the_prior_is_the_start(observation: str, make_video) -> None:
    prior = load_prior(WEIGHTS / "prior_slim.safetensors").prior
    best = prior.regions[prior.mean.argmax()]
    assert not np.allclose(best, RegionLimits().centre()[0])
    targets = TargetSet.from_sequence(make_video(frames=3))
    arguments = {"targets": targets, "observation": observation, "drop": 0.02, "device": "cpu"}
    env = gym.make(ENV_ID, start="prior", disable_env_checker=True, **arguments)
    observed, info = env.reset(seed=0)
    assert np.array_equal(info["region"], best) and env.observation_space.contains(observed)
    given = gym.make(ENV_ID, disable_env_checker=True, **arguments).reset(seed=0, options={"region": best})[1]
    assert info["score"] == pytest.approx(given["score"], abs=1e-5)
    many = gym.make_vec(ENV_ID, 2, "vector_entry_point", start="prior", autoreset_mode="SameStep", **arguments)
    assert np.array_equal(many.reset(seed=0)[1]["region"], [best, best])
    assert np.array_equal(many.step(np.full(2, TRIGGER))[4]["region"], [best, best])
    for each in (env, many):
        each.close()


def test_the_region_of_reset_goes_before_the_start(brightness, make_video) -> None:
    targets = TargetSet.from_sequence(make_video(frames=3))
    arguments = {"targets": targets, "scorer": brightness, "reward": "record"}
    env = gym.make(ENV_ID, start=f"{__name__}:corner", **arguments)
    assert env.reset(seed=0)[1]["region"].tolist() == [0, 0, 0.5, 0.5]
    assert env.reset(options={"region": (0.1, 0.1, 0.5, 0.5)})[1]["region"][0] == 0.1
    assert gym.make(ENV_ID, **arguments).reset(seed=0)[1]["region"].tolist() == [0.25, 0.25, 0.5, 0.5]


def corner(search: Search) -> list[float]:
    return [0, 0, 0.5, 0.5]


def beyond(search: Search) -> list[float]:
    return [0, 0, 0.9, 0.9]


def pair(search: Search) -> list[float]:
    return [0, 0]


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            "prior",
            "no prior for the scorer Brightness at max_area 0.25; fit one with fit-prior, and give",
        ),
        (f"{__name__}:beyond", "x, y, w, h of a region within the limits"),
        (f"{__name__}:pair", "x, y, w, h of a region within the limits"),
        ("middle", "'middle' is no start; choose centre, prior"),
    ],
)
def test_a_start_that_is_none(start: str, message: str, brightness, make_video) -> None:
    targets = TargetSet.from_sequence(make_video(frames=3))
    with pytest.raises(InputError, match=message):
        gym.make(ENV_ID, targets=targets, scorer=brightness, start=start)


def test_limits_without_a_prior_have_no_prior_start() -> None:
    with pytest.raises(InputError, match=r"no prior for the scorer SintScorer at max_area 0\.1"):
        gym.make(ENV_ID, start="prior", max_area=0.1)


def test_the_search_over_the_background_has_no_start() -> None:
    with pytest.raises(InputError, match="leave start out"):
        gym.make(BACKGROUND_ENV_ID, start="prior")


def test_the_return_is_the_fall_less_the_price_of_the_queries(brightness, make_video) -> None:
    """Walks with visited regions, moves against the border and a trigger at the end."""
    rng, price, scale = np.random.default_rng(0), 0.013, 7.0
    rounding = scale * 20 * SCORE_TOLERANCE  # falls below it count as none
    targets = TargetSet.from_sequence(make_video(frames=4))
    arguments = {"targets": targets, "scorer": brightness, "reward": "record", "reward_scale": scale}
    env = gym.make(ENV_ID, query_price=price, **arguments)
    free = gym.make(ENV_ID, **arguments)
    revisits = 0
    for episode in range(8):
        _, info = env.reset(seed=episode)
        free.reset(seed=episode)
        first, scores, total, total_free, over = info["score"], [info["score"]], 0.0, 0.0, False
        assert info["queries"] == 2
        while not over:
            action = TRIGGER if len(scores) > 14 else int(rng.integers(TRIGGER))
            before = info["queries"]
            _, reward, terminated, truncated, info = env.step(action)
            plain = free.step(action)[1]
            assert reward == pytest.approx(plain - scale * price * (info["queries"] - before))
            over, total, total_free = terminated or truncated, total + reward, total_free + plain
            revisits += info["queries"] == before
            scores.append(info["score"])
        assert total == pytest.approx(scale * (first - min(scores) - price * (info["queries"] - 2)), abs=rounding)
        assert total_free == pytest.approx(scale * (first - min(scores)), abs=rounding)
    assert revisits > 10


@pytest.mark.parametrize("reward", ["paper", "difference", "potential", "record"])
def test_a_price_of_0_changes_no_bit(reward: str, brightness, make_video) -> None:
    targets = TargetSet.from_sequence(make_video(frames=3))
    found = []
    for keywords in ({}, {"query_price": 0.0}):
        env = gym.make_vec(
            ENV_ID, 4, "vector_entry_point", targets=targets, scorer=brightness, phi=0.4, reward=reward, **keywords
        )
        env.reset(seed=1)
        rng = np.random.default_rng(2)
        found.append(np.concatenate([env.step(rng.integers(0, 9, 4))[1] for _ in range(30)]))
    assert found[0].tobytes() == found[1].tobytes() and found[0].any()


@pytest.mark.parametrize("price", [-0.1, float("inf"), float("nan"), "cheap", True])
def test_prices_that_are_none(price: object) -> None:
    with pytest.raises(InputError, match="query_price is"):
        gym.make(ENV_ID, query_price=price)


def test_splits_share_no_video_and_cover_all(videos: Path, brightness) -> None:
    envs = {
        split: gym.make(ENV_ID, targets=str(videos), split=split, scorer=brightness, reward="record")
        for split in (None, "train", "test")
    }
    sets = {split: env.unwrapped.targets for split, env in envs.items()}
    assert set(sets["train"].videos) & set(sets["test"].videos) == set()
    assert len(set(sets["train"].videos)) == 6 and len(set(sets["test"].videos)) == 1
    assert sorted(sets["train"].ids + sets["test"].ids) == sorted(sets[None].ids)
    assert sets["test"].ids == split_targets(str(videos))[1].ids  # those that `train` chooses the best model by
    envs["test"].reset(seed=0)
    drawn = {envs["test"].reset()[1]["target_index"] for _ in range(20)}
    assert drawn == set(range(len(sets["test"])))
    many = gym.make_vec(ENV_ID, 2, targets=str(videos), split="test", scorer=brightness, reward="record")
    assert many.unwrapped.targets.ids == sets["test"].ids


def test_splits_of_sets_and_of_generated_videos(make_video, brightness) -> None:
    one = TargetSet.from_sequence(make_video(frames=10))
    ids = [
        gym.make(ENV_ID, targets=one, split=split, scorer=brightness, reward="record").unwrapped.targets.ids
        for split in ("train", "test")
    ]
    assert ids[0] + ids[1] == one.ids and len(ids[1]) == 3
    env = gym.make("OcclusionSearchOracle-v0", split="test")
    assert env.unwrapped.targets.videos[0] != gym.make("OcclusionSearchOracle-v0").unwrapped.targets.videos[0]


@pytest.mark.parametrize("split", ["valid", 1, True])
def test_splits_that_are_none(split: object) -> None:
    with pytest.raises(InputError, match="is no split; choose train, test"):
        gym.make(ENV_ID, split=split)
