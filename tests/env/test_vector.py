from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from occlusion_env import ACTIONS, ENV_ID, OcclusionSearchVectorEnv
from occlusion_env.mdp.rewards import SCORE_TOLERANCE
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import Search
from tracker.cache import ENTRY_BYTES
from tracker.errors import InputError

TRIGGER = ACTIONS.index("trigger")
MODES = list(AutoresetMode)


def make_vec(count: int = 3, **kwargs: Any) -> OcclusionSearchVectorEnv:
    if kwargs.get("reward") != "margin":
        kwargs.setdefault("drop", 0.05)
    kwargs.setdefault("info_names", True)
    return gym.make_vec(ENV_ID, num_envs=count, precision="fp32", **kwargs)


def make_sync(count: int, mode: AutoresetMode, **kwargs: Any) -> SyncVectorEnv:
    if kwargs.get("reward") != "margin":
        kwargs.setdefault("drop", 0.05)

    def make() -> gym.Env:
        return gym.make(ENV_ID, disable_env_checker=True, precision="fp32", info_names=True, **kwargs)

    return SyncVectorEnv([make] * count, autoreset_mode=mode)


def roll_out(envs: Any, steps: int = 12, seed: Any = 3) -> list[Any]:
    """Random actions; triggers make the episodes of different lengths."""
    rng = np.random.default_rng(1)
    found: list[Any] = [envs.reset(seed=seed)]
    for _ in range(steps):
        actions = rng.integers(0, 9, envs.num_envs)
        actions[rng.uniform(size=len(actions)) < 0.1] = TRIGGER
        found.append(envs.step(actions))
        done = found[-1][2] | found[-1][3]
        if envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED and done.any():
            found.append(envs.reset(options={"reset_mask": done}))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_n_environments_are_n_single_ones(mode: AutoresetMode, assert_close) -> None:
    kwargs = {"max_steps": 5, "history": 2}
    ours = roll_out(make_vec(3, autoreset_mode=mode, **kwargs), 16)
    theirs = roll_out(make_sync(3, mode, **kwargs), 16)
    ends = (
        np.array([each[2] for each in ours if len(each) == 5]),
        np.array([each[3] for each in ours if len(each) == 5]),
    )
    assert all(end.any(axis=0).sum() >= 2 for end in ends), "both kinds of end come"
    assert_close(ours, theirs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"observation": "features+region", "state": "roi", "context": 1.5, "reward": "difference"},
        {"observation": "dict", "reward": "potential", "occluder": "noise", "context": 2.0},
        {"observation": "pixels", "pixels": 20, "reward": "margin", "layer": "fc6"},
        {"cache_mb": 0, "reward": "potential", "gamma": 0.5},
        {"max_steps": None, "max_episode_steps": 3, "observation": "dict", "history": 0},
    ],
)
def test_n_environments_are_n_single_ones_in_every_variant(kwargs: dict[str, Any], assert_close) -> None:
    kwargs = {"max_steps": 4, **kwargs}
    ours = make_vec(2, autoreset_mode="SameStep", **kwargs)
    theirs = make_sync(2, AutoresetMode.SAME_STEP, **kwargs)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    results = roll_out(ours, 8)
    assert all(ours.observation_space.contains(result[0]) for result in results)
    assert_close(results, roll_out(theirs, 8))


def test_a_list_of_seeds_and_a_seed_each(assert_close) -> None:
    envs = make_vec(3)
    by_number = envs.reset(seed=7)
    assert envs.np_random_seed == (7, 8, 9)
    assert_close(by_number, envs.reset(seed=[7, 8, 9]))
    again = envs.reset(seed=[7, None, 9])
    assert again[1]["target"][0] == by_number[1]["target"][0]
    single = gym.make(ENV_ID, drop=0.05, precision="fp32", info_names=True)
    assert single.reset(seed=8)[1]["target"] == by_number[1]["target"][1]
    with pytest.raises(InputError, match="2 seeds for 3"):
        envs.reset(seed=[1, 2])


def test_one_environment_does_not_feel_the_others(assert_close) -> None:
    """Neither how many there are nor what they do changes the draws of one."""
    few, many = (
        make_vec(1, autoreset_mode="SameStep", max_steps=3),
        make_vec(4, autoreset_mode="SameStep", max_steps=3),
    )
    few.reset(seed=5), many.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(9):
        actions = rng.integers(0, 9, 4)
        mine, theirs = few.step(actions[:1]), many.step(actions)
        assert_close(mine[0][0], theirs[0][0])
        assert mine[4]["target"][0] == theirs[4]["target"][0]


class CountingScorer:
    """Counts its forward passes; the score is the mean brightness."""

    input_size = 32
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.passes: list[int] = []

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(crops))
        return crops.mean(dim=(2, 3))

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return 1 - (exemplars - candidates).abs().mean(dim=1)

    def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_forward_passes_of_a_step(monkeypatch, mode: AutoresetMode) -> None:
    """One for the scores of all moves and one for all states; the same again where episodes end or begin."""
    scorer = CountingScorer()
    envs = make_vec(6, scorer=scorer, autoreset_mode=mode, max_steps=3, cache_mb=0)
    reader, states = envs.search._states.reader, []
    read = reader.read
    monkeypatch.setattr(reader, "read", lambda *args: states.append(len(args[1])) or read(*args))
    envs.reset(seed=0)
    ended = np.zeros(6, bool)
    for action in (0, 0, TRIGGER, 0, 3):
        scorer.passes.clear(), states.clear()
        before, actions = ended, np.full(6, 1)
        actions[:2] = action
        ended = np.logical_or(*envs.step(actions)[2:4])
        same_step = mode is AutoresetMode.SAME_STEP
        begun = ended if same_step else before
        assert len(scorer.passes) == int(same_step or not before.all()) + int(begun.any())
        assert states == [ended.sum()] * int(same_step and ended.any()) + [6]


def test_an_exemplar_is_embedded_once_and_a_target_scored_once() -> None:
    scorer = CountingScorer()
    envs = make_vec(2, scorer=scorer)
    envs.reset(seed=0, options={"target": 4})
    assert sum(scorer.passes) == 1 + 1 + 2  # the exemplar, the target, two first regions
    scorer.passes.clear()
    envs.reset(options={"target": 5})
    assert sum(scorer.passes) == 1 + 2
    scorer.passes.clear()
    envs.reset(options={"target": 4})
    assert sum(scorer.passes) == 2


def test_a_region_that_an_episode_comes_back_to_is_not_scored_again() -> None:
    scorer = CountingScorer()
    envs = make_vec(2, scorer=scorer)
    first = envs.reset(seed=0)[1]
    left, right = ACTIONS.index("left"), ACTIONS.index("right")
    there = envs.step(np.array([left, left]))[4]
    scorer.passes.clear()
    back = envs.step(np.array([right, right]))[4]
    assert not scorer.passes and (back["score"] == first["score"]).all()
    assert (back["previous_score"] == there["score"]).all() and back["queries"].tolist() == [3, 3]
    assert (envs.step(np.array([left, left]))[4]["score"] == there["score"]).all() and not scorer.passes


def test_what_is_remembered_is_what_would_be_computed(assert_close) -> None:
    kwargs = {"max_steps": 4, "autoreset_mode": "SameStep", "targets": "synthetic:1"}
    remembering, forgetful = make_vec(3, **kwargs), make_vec(3, cache_mb=0, **kwargs)
    assert_close(roll_out(remembering, 15), roll_out(forgetful, 15))
    assert remembering.search.cache.hits > 20 and len(forgetful.search.cache) == 0


@pytest.mark.parametrize(("state", "limit"), [("crop", 3 * 2**15), ("roi", 2**18)])
def test_the_memory_is_bounded(state: str, limit: int) -> None:
    envs = make_vec(3, cache_mb=limit / 2**20, state=state)
    roll_out(envs, 15)
    cache = envs.search.cache
    sizes = [size for _, size in cache._entries.values()]
    assert cache.bytes == sum(sizes) and cache.limit == limit
    assert min(sizes) > ENTRY_BYTES, "an entry is counted with its key"
    assert 0.4 * limit < cache.bytes <= limit, "it is in use, and full"


def test_features_of_any_state() -> None:
    for kwargs in ({}, {"state": "roi", "context": 1.3}, {"cache_mb": 0}):
        envs = make_vec(3, **kwargs)
        observations, infos = envs.reset(seed=0)
        after = envs.step(np.array([0, 4, 2]))
        targets = np.concatenate([infos["target_index"], infos["target_index"]])
        regions = np.concatenate([infos["region"], after[4]["region"]])
        found = envs.features_of(targets, regions)
        assert found.shape == (6, envs.feature_length) and found.dtype == np.float32
        expected = np.concatenate([observations, after[0]])[:, : envs.feature_length]
        assert np.allclose(found, expected, atol=2e-4)
        fresh = make_vec(1, **kwargs).features_of(targets[::-1], regions[::-1])
        assert np.allclose(fresh[::-1], expected, atol=2e-4)
    with pytest.raises(InputError, match="go beyond"):
        envs.features_of(np.array([10_000]), regions[:1])


def test_looking_features_up_computes_nothing(monkeypatch) -> None:
    """Neither a feature, nor a frame for its target."""
    envs = make_vec(2)
    _, infos = envs.reset(seed=0)
    monkeypatch.setattr(envs.search._states.reader, "read", None)
    monkeypatch.setattr(TargetSet, "__getitem__", None)
    envs.features_of(np.repeat(infos["target_index"], 3), np.repeat(infos["region"], 3, axis=0))


def test_an_image_of_ones_own_is_no_target_of_the_set() -> None:
    envs, last = make_vec(1), np.array([len(make_vec(1).targets) - 1])
    infos = envs.reset(options={"image": np.zeros((40, 60, 3), np.uint8), "box": (1, 1, 20, 20)})[1]
    expected = make_vec(1).features_of(last, infos["region"])
    assert np.allclose(envs.features_of(last, infos["region"]), expected, atol=2e-4)


@pytest.mark.parametrize("cache_mb", [256, 0])
def test_a_target_is_decoded_once_to_look_features_up_and_once_to_compute_them(
    monkeypatch, cache_mb: float
) -> None:
    decoded: list[int] = []
    take = TargetSet.__getitem__
    monkeypatch.setattr(TargetSet, "__getitem__", lambda self, index: decoded.append(index) or take(self, index))
    envs = make_vec(1, cache_mb=cache_mb)
    targets, rng = np.array([7, 3, 7, 7, 3]), np.random.default_rng(0)
    regions = np.column_stack([rng.uniform(0, 0.5, (5, 2)), np.full((5, 2), 0.4)])
    found = envs.features_of(targets, regions)
    assert sorted(decoded) == [3, 3, 7, 7]
    decoded.clear()
    assert np.allclose(envs.features_of(targets[::-1], regions[::-1])[::-1], found, atol=1e-4)
    assert sorted(decoded) == ([] if cache_mb else [3, 7])
    decoded.clear()
    other = envs.features_of(targets[1:2], regions[:1])
    assert decoded == [3] and not np.allclose(other, found[0]), "the same region of another target"


def test_masks_hide_what_would_change_nothing() -> None:
    envs = make_vec(3)
    envs.reset(seed=0, options={"region": (0.0, 0.0, 0.5, 0.5)})
    masks = envs.action_masks()
    assert masks.shape == (3, 9) and masks.dtype == bool
    infos = envs.reset(seed=0, options={"region": (0.0, 0.0, 0.5, 0.5)})[1]
    assert (infos["action_mask"] == masks).all() and infos["action_mask"].dtype == np.int8
    hidden = {name for name, allowed in zip(ACTIONS, masks[0], strict=True) if not allowed}
    assert hidden == {"left", "up", "bigger"}
    single = gym.make(ENV_ID, drop=0.05)
    single.reset(seed=0)
    rng = np.random.default_rng(2)
    for _ in range(15):
        before = single.unwrapped.search.region.copy()
        masks, action = single.unwrapped.action_masks(), int(rng.integers(8))
        assert masks.shape == (9,) and masks[TRIGGER]
        *_, info = single.step(action)
        assert (info["action_mask"] == single.unwrapped.action_masks()).all()
        assert masks[action] == (single.unwrapped.search.region != before).any()


def test_infos_are_numbers() -> None:
    """So that what turns them into tensors can: no strings, no objects, no key that others use."""
    envs = make_vec(2, info_names=False)
    _, infos = envs.reset(seed=0)
    assert infos["action_index"].tolist() == [-1, -1]
    infos = envs.step(np.array([3, TRIGGER]))[4]
    assert infos["action_index"].tolist() == [3, TRIGGER] and infos["action_mask"].shape == (2, 9)
    assert {values.dtype.kind for values in infos.values()} == set("fbi")
    assert not {"action", "target", "success"} & set(infos)


def test_only_some_are_reset() -> None:
    envs = make_vec(3, autoreset_mode="Disabled", max_steps=5)
    with pytest.raises(gym.error.ResetNeeded, match="all"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    first = envs.reset(seed=0)
    moved = envs.step(np.array([1, TRIGGER, 2]))
    with pytest.raises(gym.error.ResetNeeded, match=r"\[1\]"):
        envs.step(np.array([0, 0, 0]))
    observations, infos = envs.reset(options={"reset_mask": moved[2]})
    assert (observations[[0, 2]] == moved[0][[0, 2]]).all()
    assert infos["_score"].tolist() == [False, True, False] and infos["score"][0] == 0
    assert infos["target"].tolist()[0] is None and infos["action"][1] == "reset"
    assert first[1]["_target"].all() and envs.search.steps.tolist() == [1, 0, 1]
    envs.step(np.array([0, 0, 0]))


@pytest.mark.parametrize(
    "mask",
    [np.array([True]), np.zeros(3, bool), np.ones(3, int), [True, True, True], "all"],
)
def test_a_bad_mask_is_named(mask: object) -> None:
    envs = make_vec(3)
    envs.reset(seed=0)
    with pytest.raises(InputError, match="reset_mask"):
        envs.reset(options={"reset_mask": mask})


def test_options_hold_for_all_that_are_reset() -> None:
    envs = make_vec(3)
    options = {"target": 7, "region": (0.1, 0.1, 0.3, 0.3)}
    infos = envs.reset(seed=0, options=options)[1]
    assert infos["target_index"].tolist() == [7, 7, 7] and (infos["region"] == [0.1, 0.1, 0.3, 0.3]).all()
    assert set(options) == {"target", "region"}
    patches = envs.search.patches()
    assert (patches[0] != patches[1]).any(), "each draws its own occluder"
    own = envs.reset(options={"image": np.zeros((40, 60, 3), np.uint8), "box": (1, 1, 20, 20)})[1]
    assert own["target"].tolist() == ["image"] * 3 and own["target_index"].tolist() == [-1] * 3


@pytest.mark.parametrize("actions", [np.array([0, 1]), np.array([0, 1, 9]), np.array([0.0, 1, 2]), 3])
def test_bad_actions_are_named(actions: object) -> None:
    envs = make_vec(3)
    envs.reset(seed=0)
    with pytest.raises(InputError, match="is no action"):
        envs.step(actions)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"num_envs": 1.5}, "num_envs"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"autoreset_mode": "Sometimes"}, "Sometimes.*NextStep"),
        ({"render_mode": "human"}, "human"),
        ({"hsitory": 1}, "hsitory.*history"),
    ],
)
def test_a_bad_argument_is_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OcclusionSearchVectorEnv(**kwargs)


@pytest.mark.parametrize("duplicate", [lambda envs: pickle.loads(pickle.dumps(envs)), copy.deepcopy])
def test_a_copy_rolls_out_alike(duplicate: Callable[[Any], Any], assert_close) -> None:
    """To the bit where nothing is remembered; a memory changes the sizes of batches, and so the rounding."""
    for cache_mb in (0, 256):
        envs = OcclusionSearchVectorEnv(2, autoreset_mode="SameStep", max_steps=3, drop=0.05, cache_mb=cache_mb)
        roll_out(envs, 4)
        twin = duplicate(envs)
        assert twin.autoreset_mode is AutoresetMode.SAME_STEP and twin.search is not envs.search
        ours, theirs = roll_out(envs), roll_out(twin)
        assert_close(ours, theirs)
        assert cache_mb or data_equivalence(ours, theirs, exact=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_scores_agree_to_the_stated_tolerance(precision: str) -> None:
    """Whatever the size of a batch; and features to 1e-4."""
    rng = np.random.default_rng(0)
    many, few = (
        gym.make_vec(ENV_ID, num_envs=count, drop=0.05, precision=precision, cache_mb=0) for count in (5, 1)
    )
    seen, infos = many.reset(seed=4)
    alone, info = few.reset(seed=4)
    for _ in range(8):
        assert abs(infos["score"][0] - info["score"][0]) < SCORE_TOLERANCE
        assert abs(infos["clean_score"][0] - info["clean_score"][0]) < SCORE_TOLERANCE
        assert np.abs(seen[0] - alone[0]).max() < 1e-4
        actions = rng.integers(0, TRIGGER, 5)
        seen, rewards, *_, infos = many.step(actions)
        alone, reward, *_, info = few.step(actions[:1])
        assert rewards[0] == reward[0]


def test_the_spec_of_a_vector_environment_makes_it_again() -> None:
    envs = make_vec(2, max_steps=3, observation="dict")
    again = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert again.num_envs == 2 and data_equivalence(roll_out(envs), roll_out(again), exact=True)


def test_gymnasiums_vector_wrappers_know_the_mode() -> None:
    envs = RecordEpisodeStatistics(make_vec(2, autoreset_mode=AutoresetMode.SAME_STEP, max_steps=3))
    envs.reset(seed=0)
    for _ in range(3):
        infos = envs.step(np.array([0, 1]))[4]
    assert infos["episode"]["l"].tolist() == [3, 3]
    assert gym.make_vec(ENV_ID).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_pictures_of_all() -> None:
    envs = make_vec(2, render_mode="rgb_array", autoreset_mode="SameStep", max_steps=2)
    with pytest.raises(gym.error.ResetNeeded):
        envs.render()
    envs.reset(seed=0)
    before = envs.render()
    assert len(before) == 2 and before[0].shape == (430, 624, 3) and (before[0] != before[1]).any()
    envs.step(np.array([0, 1]))
    assert (envs.render()[0] != before[0]).any()
    envs.step(np.array([0, 1]))
    assert all(len(trail) == 1 for trail in envs._trails), "a new episode has a new trail"


def test_a_caller_may_keep_what_it_got() -> None:
    envs = make_vec(2)
    observations, infos = envs.reset(seed=0)
    kept = observations.copy(), copy.deepcopy(infos)
    observations[:] += 1
    infos["region"][:] = 9
    again = envs.step(np.array([4, 4]))
    assert (again[4]["region"] == [0.25, 0.25, 0.5, 0.5]).all()
    assert (again[0][:, : envs.feature_length] == kept[0][:, : envs.feature_length]).all()


def test_closing_frees_the_memory() -> None:
    envs = make_vec(2)
    envs.reset(seed=0)
    assert envs.search.cache.bytes > 0 and isinstance(envs.search, Search)
    envs.close()
    assert envs.search.cache.bytes == 0


def test_a_target_with_few_occluders_has_its_scores_remembered(assert_close) -> None:
    scorer = CountingScorer()
    envs = make_vec(2, scorer=scorer, patches=1, autoreset_mode="SameStep", max_steps=3)
    options = {"target": 3}
    walk = [np.array([0, 0]), np.array([2, 2])]
    first = [envs.reset(seed=0, options=options), *map(envs.step, walk)]
    patches = envs.search.patches()
    scorer.passes.clear()
    again = [envs.reset(seed=9, options=options), *map(envs.step, walk)]
    assert not scorer.passes, "all has been asked for before"
    assert (envs.search.patches() == patches).all() and (patches[0] == patches[1]).all()
    assert_close([each[-1] for each in first], [each[-1] for each in again])
    envs.reset(options={"target": 4})
    assert (envs.search.patches() != patches).any() and scorer.passes


def test_as_many_occluders_as_asked_for() -> None:
    envs = make_vec(1, patches=3)
    seen = {envs.reset(seed=seed, options={"target": 3}) and envs.search.patches().tobytes() for seed in range(30)}
    assert len(seen) == 3
    kwargs: dict[str, Any] = {"patches": 2, "max_steps": 4, "reward": "potential", "autoreset_mode": "SameStep"}
    ours = roll_out(make_vec(3, targets="synthetic:1", **kwargs))
    kwargs.pop("autoreset_mode")
    theirs = roll_out(make_sync(3, AutoresetMode.SAME_STEP, targets="synthetic:1", **kwargs))
    assert [each[-1]["queries"].tolist() for each in ours] == [each[-1]["queries"].tolist() for each in theirs]
