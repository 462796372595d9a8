"""Whatever frame, box and scorer come: limits hold, numbers are finite, and what fails is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlusion_env import ACTIONS, BACKGROUND_ENV_ID, ENV_ID
from occlusion_env.scene.oracle import OracleFeatures
from tracker.data.boxes import iou
from tracker.errors import InputError

CHEAP = {"features": "occlusion_env.scene.oracle:OracleFeatures", "drop": 0.02}
SHORT = {"max_steps": 12}


class Grey:
    """A matcher that costs nothing: how far two crops are apart, as a score."""

    input_size = 24
    device = torch.device("cpu")

    def embed(self, crops):
        return crops.mean(dim=1).flatten(1)

    def compare(self, exemplars, candidates):
        return 1 - (exemplars - candidates).abs().mean(dim=1)

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


@pytest.fixture(scope="module")
def searches() -> dict[str, gym.Env]:
    return {
        name: gym.make(name, disable_env_checker=True, targets="oracle", scorer=Grey(), **CHEAP, **SHORT)
        for name in (ENV_ID, BACKGROUND_ENV_ID)
    }


@pytest.fixture(scope="module")
def with_networks() -> gym.Env:
    return gym.make(ENV_ID, disable_env_checker=True, drop=0.02, **SHORT)


def frame_of(draw: Callable[..., Any], sides: st.SearchStrategy[int]) -> tuple[np.ndarray, list[float]]:
    """A frame of any shape and content, and a box that overlaps it: beyond its border, under a pixel, or all."""
    width, height = draw(sides, label="width"), draw(sides, label="height")
    kind = draw(st.sampled_from(["noise", "black", "white", "half"]), label="content")
    frame = np.full((height, width, 3), 255 if kind == "white" else 0, np.uint8)
    if kind == "noise":
        frame[:] = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    if kind == "half":
        frame[: height // 2] = 255
    box = []
    for size in (width, height):
        extent = draw(st.floats(0.05, 1.5 * size), label="extent")
        low = draw(st.floats(-extent + 0.01, size - 0.01), label="corner")
        box.append((low, extent))
    return frame, [box[0][0], box[1][0], box[0][1], box[1][1]]


def check(env: gym.Env, seed: int, frame: np.ndarray, box: list[float]) -> None:
    """Reset on a frame and take random actions."""
    rng = np.random.default_rng(seed)
    search = env.unwrapped.search
    searches_background = env.spec.id == BACKGROUND_ENV_ID
    observation, info = env.reset(seed=seed, options={"image": frame, "box": box})
    over = False
    while True:
        assert env.observation_space.contains(observation) and np.isfinite(observation).all()
        assert all(np.isfinite(info[key]) for key in ("score", "previous_score", "clean_score", "phi"))
        if searches_background:
            place = search.boxes()[0]
            assert iou(place, box) == 0
            assert (place[:2] >= -1e-9).all()
            assert (place[:2] + place[2:] <= np.array(frame.shape[1::-1]) * (1 + 1e-12)).all()
        else:
            assert search.settings.limits.holds(info["region"])
        if over:
            break
        observation, reward, terminated, truncated, info = env.step(int(rng.integers(9)))
        over = terminated or truncated
        assert np.isfinite(reward)


SEEDS = st.integers(0, 2**31)


@settings(max_examples=120, deadline=None)
@given(st.data(), SEEDS)
def test_any_frame_and_box(searches: dict[str, gym.Env], data: st.DataObject, seed: int) -> None:
    frame, box = frame_of(data.draw, st.integers(8, 400))
    check(searches[ENV_ID], seed, frame, box)


@settings(max_examples=120, deadline=None)
@given(st.data(), SEEDS)
def test_any_frame_and_box_with_a_background(searches: dict[str, gym.Env], data: st.DataObject, seed: int) -> None:
    frame, box = frame_of(data.draw, st.integers(8, 400))
    try:
        check(searches[BACKGROUND_ENV_ID], seed, frame, box)
    except InputError as error:
        assert "no room" in str(error)


@settings(max_examples=15, deadline=None)
@given(st.data(), SEEDS)
def test_any_frame_and_box_with_networks(with_networks: gym.Env, data: st.DataObject, seed: int) -> None:
    frame, box = frame_of(data.draw, st.integers(8, 200))
    check(with_networks, seed, frame, box)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((2160, 3840), (100.0, 50.0, 3000.0, 1800.0)),
        ((2160, 3840), (3838.5, 2158.5, 4.0, 4.0)),
        ((8, 3840), (10.0, 1.0, 200.0, 6.0)),
        ((2160, 8), (0.0, 1000.0, 3.0, 700.0)),
    ],
)
@pytest.mark.parametrize("name", [ENV_ID, BACKGROUND_ENV_ID])
def test_large_and_long_frames(searches: dict[str, gym.Env], name: str, shape: tuple[int, int], box) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    check(searches[name], 0, frame, list(box))


@settings(max_examples=80, deadline=None)
@given(
    st.floats(0.02, 1), st.floats(0.01, 1), st.floats(1, 30), st.floats(0.01, 0.9), SEEDS,
    st.sampled_from(["features+region", "dict", "pixels"]),
)  # fmt: skip
def test_any_limits(area: float, side: float, aspect: float, step: float, seed: int, observation: str) -> None:
    """Regions stay within any limits that can be kept, whatever is shown."""
    side = min(side, area**0.5)
    env = gym.make(
        ENV_ID, disable_env_checker=True, targets="oracle", scorer=Grey(), observation=observation, pixels=8,
        max_area=area, min_side=side, max_aspect=aspect, step=step, **CHEAP, **SHORT,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    shown, info = env.reset(seed=seed)
    for _ in range(12):
        assert env.observation_space.contains(shown)
        assert env.unwrapped.search.settings.limits.holds(info["region"])
        shown, *_, info = env.step(int(rng.integers(8)))


class Faulty(Grey):
    """Works for the first crops, then does something wrong."""

    def __init__(self, fault: str, after: int) -> None:
        self.fault, self.left = fault, after

    def due(self, fault: str) -> bool:
        return self.fault == fault and self.left <= 0

    def embed(self, crops):
        self.left -= 1
        if self.due("embed raises"):
            raise RuntimeError("out of memory")
        if self.due("embed gives less"):
            return super().embed(crops)[:-1]
        if self.due("embed gives a list"):
            return [1.0]
        return super().embed(crops)

    def compare(self, exemplars, candidates):
        if self.due("compare raises"):
            raise KeyError("fc9")
        scores = super().compare(exemplars, candidates)
        if self.due("nan"):
            return scores * float("nan")
        if self.due("infinite"):
            return scores / 0
        if self.due("two a pair"):
            return scores[:, None].expand(-1, 2)
        if self.due("one for all"):
            return scores.mean()
        if self.due("numpy"):
            return scores.numpy()
        return scores


FAULTS = {
    "embed raises": (r"Faulty failed \(RuntimeError: out of memory\)", RuntimeError),
    "compare raises": (r"Faulty failed \(KeyError: 'fc9'\)", KeyError),
    "embed gives less": r"Faulty embedded \d+ crops as \d+ rows",
    "embed gives a list": r"Faulty failed \(TypeError",
    "nan": "Faulty gave a score that is not finite",
    "infinite": "Faulty gave a score that is not finite",
    "two a pair": r"Faulty gave the shape \[\d+, 2\] for \d+ candidates",
    "one for all": r"Faulty gave the shape \[\] for \d+ candidates",
    "numpy": "Faulty gave a ndarray",
}


@pytest.mark.parametrize("after", [0, 4])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [ENV_ID, BACKGROUND_ENV_ID])
def test_a_scorer_that_fails_is_named(name: str, fault: str, after: int) -> None:
    expected = FAULTS[fault]
    message, cause = expected if isinstance(expected, tuple) else (expected, None)
    env = gym.make(name, disable_env_checker=True, targets="oracle", scorer=Faulty(fault, after), **CHEAP)
    with pytest.raises(InputError, match=message) as caught:
        env.reset(seed=0)
        for action in [*range(8)] * 2:
            env.step(action)
    assert cause is None or isinstance(caught.value.__cause__, cause)


def broken() -> Grey:
    """A scorer by `module:function` that cannot be made."""
    raise OSError("no such weights")


class Blank(OracleFeatures):
    """Features that are no numbers."""

    def __call__(self, crops):
        return super().__call__(crops) / 0 * 0


def test_a_scorer_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("my_scorers")
    module.broken, module.blank = broken, Blank  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_scorers", module)
    with pytest.raises(InputError, match=r"my_scorers:broken.*OSError: no such weights") as caught:
        gym.make(ENV_ID, targets="oracle", scorer="my_scorers:broken", **CHEAP)
    assert isinstance(caught.value.__cause__, OSError)
    env = gym.make(ENV_ID, targets="oracle", scorer=Grey(), **CHEAP | {"features": "my_scorers:blank"})
    with pytest.raises(InputError, match="not finite"):
        env.reset(seed=0)


def test_an_episode_goes_on_after_an_error() -> None:
    """A refused action or option leaves the search as it was."""
    env = gym.make(ENV_ID, disable_env_checker=True, targets="oracle", scorer=Grey(), **CHEAP)
    env.reset(seed=0)
    _, _, _, _, info = env.step(0)
    for wrong in (9, "up"):
        with pytest.raises(InputError):
            env.step(wrong)
    with pytest.raises(InputError):
        env.reset(options={"region": (0, 0, 1, 1)})
    _, _, _, _, after = env.step(ACTIONS.index("left"))
    assert after["previous_score"] == info["score"] and after["queries"] == info["queries"] + 0
