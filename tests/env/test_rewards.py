from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from occlusion_env import ACTIONS, ENV_ID, movement_reward, trigger_reward
from occlusion_env.env import OcclusionSearchEnv

RIGHT, LEFT, UP, DOWN, BIGGER, SMALLER, FATTER, TALLER, TRIGGER = range(9)


@pytest.mark.parametrize(
    ("score", "previous", "reward"),
    [(0.4, 0.5, 1), (0.5, 0.5, -1), (0.6, 0.5, -1), (-0.2, -0.1, 1), (0.0, -0.0, -1), (0.5 - 1e-9, 0.5, 1)],
)
def test_eq_5(score: float, previous: float, reward: float) -> None:
    assert movement_reward(score, previous) == reward


@pytest.mark.parametrize(
    ("score", "phi", "eta", "reward"),
    [(0.2, 0.3, 3, 3), (0.3, 0.3, 3, 3), (0.3 + 1e-9, 0.3, 3, -3), (0.9, 0.3, 0.5, -0.5), (-1, -0.5, 7, 7)],
)
def test_eq_6(score: float, phi: float, eta: float, reward: float) -> None:
    assert trigger_reward(score, phi, eta) == reward


def test_rewards_of_a_batch() -> None:
    assert movement_reward([1, 2, 3], [2, 2, 2]).tolist() == [1, -1, -1]
    found = trigger_reward(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.5]), 4)
    assert found.tolist() == [4, 4, -4] and found.dtype == np.float64


@pytest.fixture
def env(brightness) -> OcclusionSearchEnv:
    return gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, phi=0.25, max_steps=50).unwrapped


@pytest.fixture
def start(half_white, black) -> dict:
    return {"image": half_white, "box": (0, 0, 40, 40), "patch": black}


def test_every_reward_of_a_walk(env, start) -> None:
    """Left half white (800 of 1600 pixels), black patch: the score is the white that is left, over 1600."""
    _, info = env.reset(options=start)
    assert info["clean_score"] == pytest.approx(0.5, abs=1e-6)
    assert info["score"] == info["previous_score"] == pytest.approx((800 - 10 * 20) / 1600, abs=1e-6)
    assert info["phi"] == 0.25 and not info["success"]
    walk = [
        (LEFT, 800 - 14 * 20, 1),  # columns 6 to 25
        (LEFT, 800 - 18 * 20, 1),  # 2 to 21
        (UP, 800 - 18 * 20, -1),  # rows 6 to 25: as much white as before, a tie
        (LEFT, 800 - 20 * 20, 1),  # 0 to 19, against the border
        (LEFT, 800 - 20 * 20, -1),  # cannot move
        (BIGGER, 800 - 20 * 20, -1),  # is as large as it may be
        (SMALLER, 800 - 16 * 16, -1),  # columns 2 to 17
        (RIGHT, 800 - 15 * 16, -1),  # columns 5 to 20, of which the last is black already
    ]
    previous = info["score"]
    for step, (action, white, reward) in enumerate(walk):
        _, got, terminated, truncated, info = env.step(action)
        assert info["score"] == pytest.approx(white / 1600, abs=1e-6), step
        assert info["previous_score"] == previous and got == reward, step
        assert not terminated and not truncated and info["action"] == ACTIONS[action]
        previous = info["score"]


def test_a_trigger_at_exactly_phi_is_a_success(env, start) -> None:
    env.reset(options=start)
    for _ in range(3):
        info = env.step(LEFT)[4]
    assert info["score"] == 0.25 and info["success"]
    _, reward, terminated, truncated, info = env.step(TRIGGER)
    assert (reward, terminated, truncated) == (3, True, False)
    assert info["score"] == info["previous_score"] == 0.25 and info["action"] == "trigger"


def test_a_trigger_above_phi_costs_eta(brightness, start) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, phi=0.37, eta=5).unwrapped
    env.reset(options=start)
    _, reward, terminated, truncated, info = env.step(TRIGGER)
    assert (reward, terminated, truncated, info["success"]) == (-5, True, False, False)
    assert info["score"] == pytest.approx(0.375)


def test_phi_below_the_clean_score_by_drop(brightness, start) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, drop=0.2).unwrapped
    _, info = env.reset(options=start)
    assert info["phi"] == pytest.approx(info["clean_score"] - 0.2) == pytest.approx(0.3, abs=1e-6)
    assert not info["success"]
    env.step(LEFT)
    assert env.step(LEFT)[4]["success"]


def test_the_last_step_truncates_unless_it_is_the_trigger(brightness, start) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, phi=0.25, max_steps=3).unwrapped
    for last, ends in ((RIGHT, (False, True)), (TRIGGER, (True, False))):
        env.reset(options=start)
        assert [env.step(action)[2:4] for action in (UP, DOWN, last)] == [(False, False), (False, False), ends]


def test_history_is_one_hot_newest_first(env, start) -> None:
    observation, _ = env.reset(options=start)
    assert observation[256:].shape == (90,) and not observation[256:].any()
    taken = []
    for action in (LEFT, UP, BIGGER, TALLER, LEFT, DOWN, SMALLER, FATTER, RIGHT, RIGHT, UP, DOWN):
        taken.insert(0, action)
        rows = env.step(action)[0][256:].reshape(10, 9)
        expected = np.zeros((10, 9))
        expected[np.arange(len(taken[:10])), taken[:10]] = 1
        assert (rows == expected).all()
    observation, _ = env.reset(options=start)
    assert not observation[256:].any()


@pytest.mark.parametrize("history", [0, 1, 3])
def test_length_of_the_history(brightness, start, history: int) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, phi=0.0, history=history).unwrapped
    env.reset(options=start)
    observation = env.step(TALLER)[0]
    assert observation.shape == env.observation_space.shape == (256 + 9 * history,)
    assert observation[256:].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0][: 9 * history] + [0] * 9 * (history - 1)
