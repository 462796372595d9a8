from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeAwareObservation
from safetensors.torch import save_file
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import occlusion_env
from occlusion_env import ACTIONS, TargetSet
from occlusion_env.envs.arguments import SearchArguments
from tracker.errors import InputError
from tracker.models.backbones import Slim

ID = occlusion_env.ENV_ID
IDS = sorted(name for name, spec in gym.registry.items() if str(spec.entry_point).startswith("occlusion_env"))
TRIGGER = ACTIONS.index("trigger")
INFO = {
    "score": float,
    "previous_score": float,
    "clean_score": float,
    "phi": float,
    "region": np.ndarray,
    "action_index": int,
    "target_index": int,
    "is_success": bool,
    "action_mask": np.ndarray,
    "queries": int,
}
NAMES = {"action": str, "target": str}


def make(name: str = ID, **kwargs: Any) -> gym.Env:
    """The environment as `gym.make` gives it, without the passive checker; `drop` saves measuring one."""
    kwargs.setdefault("info_names", True)
    if "phi" not in kwargs:
        kwargs.setdefault("drop", 0.02)
    return gym.make(name, disable_env_checker=True, **kwargs)


@contextmanager
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def env() -> gym.Env:
    return make().unwrapped


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def roll_out(env: gym.Env, steps: int = 30) -> list[tuple]:
    """What an environment gives for a fixed sequence of actions; episodes that end start over."""
    rng = np.random.default_rng(5)
    found: list[tuple] = [env.reset(seed=11)]
    for _ in range(steps):
        found.append(env.step(int(rng.integers(9))))
        if found[-1][2] or found[-1][3]:
            found.append(env.reset())
    return found


def test_the_ids() -> None:
    assert set(IDS) == set(occlusion_env.ENV_IDS) and ID in IDS


@pytest.mark.parametrize("name", IDS)
def test_gymnasiums_checker(name: str) -> None:
    env = gym.make(name, disable_env_checker=True)
    with no_warnings():
        check_env(env.unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_the_passive_checker(name: str) -> None:
    with no_warnings():
        env = gym.make(name, render_mode="rgb_array")
        roll_out(env, 25)
        env.render()
        env.close()


@pytest.mark.parametrize("name", IDS)
def test_stable_baselines3s_checker(name: str) -> None:
    with no_warnings():
        sb3_check_env(make(name))


@pytest.mark.parametrize("name", IDS)
def test_two_environments_with_one_seed_are_equal(name: str) -> None:
    first, second = make(name), make(name)
    assert data_equivalence(roll_out(first, 50), roll_out(second, 50), exact=True)
    first.action_space.seed(3)
    second.action_space.seed(3)
    assert [first.action_space.sample() for _ in range(9)] == [second.action_space.sample() for _ in range(9)]


def test_seeds_differ_and_episodes_too(env) -> None:
    first = env.reset(seed=0)[1]["target"], env.search.patches().tobytes()
    second = env.reset()[1]["target"], env.search.patches().tobytes()
    assert first != second
    assert (env.reset(seed=0)[1]["target"], env.search.patches().tobytes()) == first
    assert len({env.reset(seed=seed)[1]["target"] for seed in range(12)}) > 6


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("duplicate", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy])
def test_a_copy_rolls_out_alike(name: str, duplicate: Callable[[gym.Env], gym.Env]) -> None:
    env = make(name, history=3, max_steps=9, cache_mb=0)
    env.reset(seed=2)
    env.step(1)
    twin = duplicate(env)
    assert data_equivalence(roll_out(env), roll_out(twin), exact=True)
    assert twin.unwrapped.search is not env.unwrapped.search
    scorers = [each.unwrapped.search.scorer for each in (env, twin)]
    assert len({getattr(scorer, "backbone", scorer) for scorer in scorers}) == 1


@pytest.mark.parametrize("name", IDS)
def test_a_copy_of_the_spec_makes_the_same_environment(name: str) -> None:
    env = make(name, max_steps=5, step=0.3, targets="synthetic:1")
    spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    assert spec.kwargs == env.spec.kwargs and spec.kwargs["step"] == 0.3
    assert data_equivalence(roll_out(env, 8), roll_out(gym.make(spec), 8), exact=True)


def test_rendering(env) -> None:
    drawn = make(render_mode="rgb_array")
    drawn.reset(seed=0)
    before = drawn.render()
    assert before.shape == (430, 624, 3) and before.dtype == np.uint8
    drawn.step(0)
    assert (drawn.render() != before).any()
    env.reset(seed=0)
    assert env.render() is None
    fresh = make(render_mode="rgb_array").unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        fresh.render()
    with pytest.raises(gym.error.ResetNeeded):
        fresh.step(0)


@pytest.mark.parametrize("names", [False, True])
def test_info_has_the_same_keys_and_types_throughout(names: bool) -> None:
    env = make(info_names=names)
    results = roll_out(env, 30)
    assert {len(result) for result in results} == {2, 5}
    for result in results:
        info = result[-1]
        assert {key: type(value) for key, value in info.items()} == INFO | (NAMES if names else {})
        assert info["action_mask"].shape == (9,) and info["action_mask"].dtype == np.int8
        if names:
            assert info["action"] == [*ACTIONS, "reset"][info["action_index"]]
            assert info["target"] == env.unwrapped.targets.ids[info["target_index"]]
        assert info["region"].shape == (4,) and info["region"].dtype == np.float64
        if len(result) == 5:
            assert [type(value) for value in result[1:4]] == [float, bool, bool]
        assert result[0].dtype == np.float32 and env.observation_space.contains(result[0])
        assert info["is_success"] == (info["score"] <= info["phi"])
    assert {result[-1]["action_index"] for result in results if len(result) == 2} == {-1}


def test_the_caller_may_keep_and_change_what_it_got(env) -> None:
    observation, info = env.reset(seed=0)
    kept = observation.copy()
    info["region"][:] = 7
    stepped = env.step(4)
    assert (observation == kept).all() and stepped[4]["region"].tolist() == [0.25, 0.25, 0.5, 0.5]


def test_the_features_are_those_of_the_unoccluded_region(env, frame) -> None:
    """Another patch changes the score but not the state; another region changes the state."""
    own = {"image": frame, "box": (5, 5, 40, 40)}
    observation, info = env.reset(options=own | {"patch": np.zeros((8, 8, 3), np.uint8)})
    again, other = env.reset(options=own | {"patch": np.full((8, 8, 3), 255, np.uint8)})
    assert (observation == again).all() and info["score"] != other["score"]
    assert info["clean_score"] == other["clean_score"]
    assert (env.reset(options=own | {"region": (0.1, 0.2, 0.3, 0.3)})[0] != observation).any()
    assert np.sqrt((observation[:-90] ** 2).mean()) == pytest.approx(1, abs=1e-4)


def test_as_a_vector_environment() -> None:
    envs = SyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    singles = [make() for _ in range(3)]
    observations, infos = envs.reset(seed=4)
    alone = [env.reset(seed=4 + i) for i, env in enumerate(singles)]
    assert (observations == np.stack([pair[0] for pair in alone])).all()
    assert infos["score"].dtype == float and infos["region"].shape == (3, 4)
    assert infos["target"].tolist() == [pair[1]["target"] for pair in alone]
    _, rewards, terminated, truncated, infos = envs.step(np.array([TRIGGER, 0, 3]))
    alone = [env.step(action) for env, action in zip(singles, (TRIGGER, 0, 3), strict=True)]
    assert rewards.tolist() == [result[1] for result in alone]
    assert terminated.tolist() == [True, False, False] and not truncated.any()
    assert infos["final_info"]["action"][0] == "trigger"
    assert infos["action"].tolist() == ["reset", "right", "down"] and infos["score"].dtype == float
    envs.close()


def test_environments_of_one_process_share_the_network() -> None:
    first, second = make().unwrapped, make(layer="conv5").unwrapped
    assert first.search.scorer.backbone is second.search.scorer.backbone is second.search.features.backbone


def test_max_steps_truncates(env) -> None:
    short = make(max_steps=4)
    short.reset(seed=0)
    assert [short.step(0)[2:4] for _ in range(4)] == [(False, False)] * 3 + [(False, True)]
    short.reset()
    assert short.step(0)[3] is False
    long = make()
    long.reset(seed=0)
    assert [long.step(1)[3] for _ in range(20)].index(True) == 19


def test_an_episode_that_is_over_takes_no_action(env) -> None:
    env.reset(seed=0)
    env.step(TRIGGER)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    assert env.reset()[1]["action"] == "reset" and env.step(0)[4]["action"] == "right"


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("horizon", [2, 30])
def test_the_horizon_is_declared_and_honoured(name: str, horizon: int) -> None:
    assert gym.spec(name).max_episode_steps == 20
    timed = TimeAwareObservation(make(name, max_episode_steps=horizon), flatten=False)
    assert timed.spec.max_episode_steps == timed.max_timesteps == horizon
    timed.reset(seed=0)
    steps = [timed.step(0) for _ in range(horizon)]
    assert [step[3] for step in steps] == [False] * (horizon - 1) + [True]
    assert steps[-1][0]["time"] == horizon and timed.observation_space.contains(steps[-1][0])
    assert TimeAwareObservation(make(name)).max_timesteps == 20
    envs = gym.make_vec(name, num_envs=2, drop=0.02, max_episode_steps=horizon, autoreset_mode="Disabled")
    envs.reset(seed=0)
    found = [envs.step(np.zeros(2, int))[3].tolist() for _ in range(horizon)]
    assert found == [[False] * 2] * (horizon - 1) + [[True] * 2]


def test_max_steps_ends_an_episode_before_the_horizon() -> None:
    for envs in (
        gym.make_vec(ID, num_envs=2, max_steps=3, drop=0.02),
        SyncVectorEnv([lambda: make(max_steps=3)] * 2),
    ):
        envs.reset(seed=0)
        assert [envs.step(np.zeros(2, int))[3].all() for _ in range(3)] == [False, False, True]
    for create in (make, partial(gym.make_vec, ID)):
        with pytest.raises(InputError, match="max_steps=50 lies beyond .* give max_episode_steps=50 in place"):
            create(max_steps=50)
    assert SearchArguments.from_keywords({"max_episode_steps": 50}).settings.max_steps == 50
    assert SearchArguments().settings.max_steps == 20


def test_the_trigger_terminates_and_moves_nothing(env) -> None:
    _, before = env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(TRIGGER)
    assert terminated is True and truncated is False and reward == (3 if info["is_success"] else -3)
    assert info["score"] == before["score"] and (info["region"] == before["region"]).all()


@pytest.mark.parametrize("action", [np.int64(2), np.array(2), 2, np.uint8(2)])
def test_integers_of_every_kind_are_actions(env, action) -> None:
    env.reset(seed=0)
    assert env.step(action)[4]["action"] == "up"


@pytest.mark.parametrize(
    "action", [9, -1, 2.0, np.float64(2), np.array(2.0), np.array([2]), [2], "up", None, True, 2**70]
)
def test_an_unknown_action_is_refused(env, action) -> None:
    env.reset(seed=0)
    with pytest.raises(InputError, match="is no action"):
        env.step(action)


def test_a_target_by_index_or_id(env) -> None:
    name = env.targets.ids[7]
    assert name == "synthetic-0/000008"
    for wanted in (7, np.int64(7), name):
        assert env.reset(options={"target": wanted})[1]["target"] == name


def test_a_picture_of_ones_own(env, frame) -> None:
    exemplar = np.random.default_rng(1).integers(0, 256, (33, 21, 3), dtype=np.uint8)
    patch = np.random.default_rng(2).integers(0, 256, (30, 9, 3), dtype=np.uint8)
    options = {
        "image": frame,
        "box": [10.4, 5, 30, 40],
        "exemplar": exemplar,
        "patch": patch,
        "region": [0.1, 0.6, 0.4, 0.3],
    }
    observation, info = env.reset(options=options)
    assert env.observation_space.contains(observation) and info["target"] == "image"
    assert info["region"].tolist() == [0.1, 0.6, 0.4, 0.3]
    by_itself = env.reset(options={"image": frame, "box": (10.4, 5, 30, 40)})[1]
    assert (
        by_itself["clean_score"] == pytest.approx(1, abs=1e-3) and info["clean_score"] < by_itself["clean_score"]
    )
    assert by_itself["region"].tolist() == [0.25, 0.25, 0.5, 0.5]


@pytest.mark.parametrize("reward", ["paper", "margin"])
@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((8, 8), (0, 0, 8, 8)),
        ((8, 8), (2, 2, 1, 1)),
        ((8, 900), (700, -3, 300, 9)),
        ((700, 9), (0.4, 650.5, 30, 80)),
        ((2160, 3840), (1000, 500, 1700, 1200)),
        ((2160, 3840), (3836, 2157, 4, 3)),
    ],
)
def test_frames_and_targets_of_any_size(shape: tuple[int, int], box: tuple[float, ...], reward: str) -> None:
    env = make(reward=reward, **({"drop": None} if reward == "margin" else {}))
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    observation, info = env.reset(seed=0, options={"image": image, "box": box})
    for action in (0, 4, 7, 2, 5, TRIGGER):
        assert env.observation_space.contains(observation) and np.isfinite(observation).all()
        assert np.isfinite([info["score"], info["clean_score"], info["phi"]]).all()
        observation, *_, info = env.step(action)


IMAGE = np.zeros((40, 60, 3), np.uint8)
BOX = (1, 1, 20, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foo": 1}, "foo"),
        ({"target": "nobody"}, "nobody"),
        ({"target": 10_000}, "10000"),
        ({"target": -1}, "-1"),
        ({"target": 1.0}, "1.0"),
        ({"target": [1]}, r"\[1\]"),
        ({"box": BOX}, "box"),
        ({"exemplar": IMAGE}, "exemplar"),
        ({"image": IMAGE}, "box"),
        ({"image": IMAGE, "box": BOX, "target": 0}, "target"),
        ({"image": "a.png", "box": BOX}, "image"),
        ({"image": IMAGE.astype(float), "box": BOX}, "image"),
        ({"image": IMAGE[..., 0], "box": BOX}, "image"),
        ({"image": IMAGE[:0], "box": BOX}, "image"),
        ({"image": IMAGE, "box": "1,1,20,20"}, "box"),
        ({"image": IMAGE, "box": (1, 1, 20)}, "box"),
        ({"image": IMAGE, "box": (1, [1, 2], 3, 4)}, "box"),
        ({"image": IMAGE, "box": (1, 1, 0, 20)}, "box"),
        ({"image": IMAGE, "box": (61, 1, 5, 20)}, "box"),
        ({"image": IMAGE, "box": (1, 1, float("nan"), 20)}, "box"),
        ({"image": IMAGE, "box": BOX, "exemplar": 3}, "exemplar"),
        ({"patch": IMAGE / 255}, "patch"),
        ({"patch": 0}, "patch"),
        ({"region": "all"}, "region"),
        ({"region": 0.5}, "region"),
        ({"region": (0, 0, 1, 1)}, "region"),
        ({"region": (0.8, 0, 0.4, 0.4)}, "region"),
        ({"region": (0, 0, 0.4, 0.05)}, "region"),
        ({"region": (0, 0, float("nan"), 0.4)}, "region"),
    ],
)
def test_a_bad_option_is_named(env, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        env.reset(options=options)
    assert env.reset(seed=0)[1]["action"] == "reset"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"features": "resnet"}, "resnet"),
        ({"features": "vgg16"}, "weights"),
        ({"layer": "fc9"}, "fc9"),
        ({"weights": "/no/such/file.safetensors"}, "/no/such/file.safetensors"),
        ({"device": "tpu"}, "tpu"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"precision": "fp8"}, "fp8"),
        ({"scorer": "ncc"}, "ncc"),
        ({"scorer": 3}, "3 is no scorer|scorer is int"),
        ({"targets": "/no/such/folder"}, "/no/such/folder"),
        ({"targets": "synthetic:x"}, "synthetic:x"),
        ({"targets": TargetSet()}, "target"),
        ({"targets": 3}, "targets"),
        ({"render_mode": "ansi"}, "ansi"),
        ({"phi": 0.1, "drop": 0.1}, "phi and drop"),
        ({"phi": float("nan")}, "phi"),
        ({"drop": float("nan")}, "drop"),
        ({"phi_quantile": 0}, "phi_quantile"),
        ({"phi_quantile": 1.5}, "phi_quantile"),
        ({"step": 0}, "step"),
        ({"max_area": 2}, "max_area"),
        ({"min_side": 0.6}, "min_side"),
        ({"max_aspect": 0.5}, "max_aspect"),
        ({"history": -1}, "history"),
        ({"max_steps": 0}, "max_steps"),
        ({"eta": 0}, "eta"),
        ({"eta": float("nan")}, "eta"),
        ({"histroy": 3}, "histroy.*history"),
        ({"colour": "red"}, "colour"),
        ({"observation": "smell"}, "smell"),
        ({"observation": "no_such_module:Smell"}, "no_such_module"),
        ({"observation": "math:Smell"}, "math.*Smell"),
        ({"pixels": -1}, "pixels"),
        ({"state": "whole"}, "whole"),
        ({"context": 0.5}, "context"),
        ({"reward": "money"}, "money"),
        ({"reward": "margin", "phi": 0.1}, "margin.*phi"),
        ({"gamma": 1.5}, "gamma"),
        ({"reward_scale": 0}, "reward_scale"),
        ({"occluder": "curtain"}, "curtain"),
        ({"cache_mb": -1}, "cache_mb"),
        ({"patches": -1}, "patches"),
        ({"features": 3}, "features"),
        ({"scorer": "math:pi"}, "math:pi"),
        ({"targets": "math:sqrt_two"}, "sqrt_two"),
    ],
)
def test_a_bad_argument_is_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        occlusion_env.OcclusionSearchEnv(**kwargs)


@pytest.mark.parametrize("name", IDS)
def test_an_unknown_argument_is_pythons_type_error(name: str) -> None:
    """TorchRL tries `frameskip`, and leaves it out where a TypeError says that it is unexpected."""
    for create in (gym.make, gym.make_vec):
        for error in (TypeError, InputError):
            with pytest.raises(error, match="got an unexpected keyword argument 'frameskip'"):
                create(name, frameskip=1)


def test_a_step_after_the_end_is_told_in_gymnasiums_words() -> None:
    env = make().unwrapped
    env.reset(seed=0)
    env.step(TRIGGER)
    with pytest.raises(gym.error.ResetNeeded, match=r"already returned terminated = True.*'reset\(\)'") as caught:
        env.step(0)
    assert "reset_mask" not in str(caught.value)


@pytest.mark.parametrize("name", IDS)
def test_every_action_has_a_key(name: str) -> None:
    """`gymnasium.utils.play` reads them: tuples of single characters."""
    keys = make(name).get_wrapper_attr("get_keys_to_action")()
    assert sorted(keys.values()) == list(range(len(ACTIONS)))
    assert all(isinstance(key, tuple) and len(key) == 1 and len(key[0]) == 1 for key in keys)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_a_broken_weights_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "broken.safetensors"
    if content is None:
        save_file(Slim().state_dict(), file)
        content = file.read_bytes()[:-1000]
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.safetensors.*corrupt"):
        make(weights=str(file))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors.*slim"):
        make(weights=str(tmp_path / "other.safetensors"))


def test_weights_are_read_from_the_file_that_is_given(tmp_path: Path, frame) -> None:
    torch.manual_seed(0)
    save_file(Slim().state_dict(), tmp_path / "mine.safetensors")
    own = {"image": frame, "box": (5, 5, 40, 40)}
    mine, shipped = make(weights=str(tmp_path / "mine.safetensors")), make()
    assert (mine.reset(options=own)[0] != shipped.reset(options=own)[0]).any()


@pytest.mark.parametrize(
    ("layer", "length"), [("conv5", 128 * 14 * 14), ("pool5", 128 * 49), ("fc8", 128), (None, 256)]
)
def test_the_layer_that_is_the_state(layer: str | None, length: int) -> None:
    env = make(layer=layer)
    assert env.observation_space.shape == (length + 90,)
    assert env.observation_space.contains(env.reset(seed=0)[0])


def test_the_measured_drop_is_the_same_in_every_environment() -> None:
    first, second = (gym.make(ID, disable_env_checker=True, targets="synthetic:1") for _ in range(2))
    a, b = first.reset(seed=0)[1], second.reset(seed=1)[1]
    assert a["clean_score"] - a["phi"] == pytest.approx(b["clean_score"] - b["phi"], abs=1e-12)
    assert a["clean_score"] != b["clean_score"]
    lucky = gym.make(ID, disable_env_checker=True, targets="synthetic:1", phi_quantile=0.5).reset(seed=0)[1]
    assert lucky["phi"] > a["phi"]


@pytest.mark.data
def test_a_roll_out_on_real_frames(data_root: Path) -> None:
    env = gym.make(ID, disable_env_checker=True, targets=str(data_root / "train" / "fernando"), info_names=True)
    results = roll_out(env, 25)
    assert all(env.observation_space.contains(result[0]) for result in results)
    assert all(result[-1]["target"].startswith("fernando/") for result in results)
    assert all(-1.001 <= result[-1]["score"] <= 1.001 for result in results)


@pytest.mark.data
def test_vgg_16s_convolutions_as_the_state(data_root: Path) -> None:
    file = data_root.parent / "weights" / "vgg16_conv_imagenet_fp16.safetensors"
    env = make(features="vgg16", weights=str(file), targets=str(data_root / "train" / "fernando"))
    observation, info = env.reset(seed=0)
    assert env.unwrapped.search.features.layer == "pool5"
    assert observation.shape == (25088 + 90,) and env.observation_space.contains(observation)
    assert (observation[:-90] >= 0).all() and info["score"] < info["clean_score"] <= 1.001


@pytest.mark.parametrize(("name", "value"), [("max_area", "big"), ("phi", "x"), ("step", True), ("gamma", None)])
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} is .*; it must be a number"):
        SearchArguments.from_keywords({name: value})
