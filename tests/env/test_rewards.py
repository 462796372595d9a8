from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from occlusion_env import ACTIONS, ENV_ID, SearchSettings, movement_reward, trigger_reward
from occlusion_env.envs.single import OcclusionSearchEnv
from occlusion_env.mdp.rewards import REWARDS, Transition
from occlusion_env.scene.distractors import distractor_boxes, distractor_crops
from tracker.data.boxes import inside, iou

RIGHT, LEFT, UP, DOWN, BIGGER, SMALLER, FATTER, TALLER, TRIGGER = range(9)


@pytest.mark.parametrize(
    ("score", "previous", "reward"),
    [(0.4, 0.5, 1), (0.5, 0.5, -1), (0.6, 0.5, -1), (-0.2, -0.1, 1), (0.0, -0.0, -1), (0.5 - 2e-5, 0.5, 1)],
)
def test_eq_5(score: float, previous: float, reward: float) -> None:
    assert movement_reward(score, previous) == reward


@pytest.mark.parametrize(
    ("score", "phi", "eta", "reward"),
    [(0.2, 0.3, 3, 3), (0.3, 0.3, 3, 3), (0.3 + 2e-5, 0.3, 3, -3), (0.9, 0.3, 0.5, -0.5), (-1, -0.5, 7, 7)],
)
def test_eq_6(score: float, phi: float, eta: float, reward: float) -> None:
    assert trigger_reward(score, phi, eta) == reward


@pytest.mark.parametrize("name", sorted(set(REWARDS) - {"potential"}))
@pytest.mark.parametrize("triggered", [False, True])
def test_rounding_changes_no_reward(name: str, triggered: bool) -> None:
    """Of scores that should be equal: S_t and S_{t-1}, S_t and phi, S_t and the least score."""
    reward = REWARDS[name](SearchSettings())
    noise = np.array([-9e-6, -1e-7, -1e-9, 0.0, 1e-9, 1e-7, 9e-6])
    score, equal = 0.5 + noise, np.full(len(noise), 0.5)
    found = reward(Transition(score, equal, equal + 0.1, equal, np.full(len(noise), triggered), equal))
    assert len(set(found.tolist())) == 1
    settled = {"paper": (-1, 3), "margin": (-1, 3), "difference": (0, 0), "record": (0, 0)}
    assert found[0] == settled[name][triggered]


def test_rewards_of_a_batch() -> None:
    assert movement_reward([1, 2, 3], [2, 2, 2]).tolist() == [1, -1, -1]
    found = trigger_reward(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.5]), 4)
    assert found.tolist() == [4, 4, -4] and found.dtype == np.float64


@pytest.fixture
def env(brightness) -> OcclusionSearchEnv:
    return gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, phi=0.25, info_names=True).unwrapped


@pytest.fixture
def start(half_white, black) -> dict:
    return {"image": half_white, "box": (0, 0, 40, 40), "patch": black}


def test_every_reward_of_a_walk(env, start) -> None:
    """Left half white (800 of 1600 pixels), black patch: the score is the white that is left, over 1600."""
    _, info = env.reset(options=start)
    assert info["clean_score"] == pytest.approx(0.5, abs=1e-6)
    assert info["score"] == info["previous_score"] == pytest.approx((800 - 10 * 20) / 1600, abs=1e-6)
    assert info["phi"] == 0.25 and not info["is_success"]
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
    assert info["score"] == 0.25 and info["is_success"]
    _, reward, terminated, truncated, info = env.step(TRIGGER)
    assert (reward, terminated, truncated) == (3, True, False)
    assert info["score"] == info["previous_score"] == 0.25 and info["action"] == "trigger"


def test_a_trigger_above_phi_costs_eta(brightness, start) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, phi=0.37, eta=5).unwrapped
    env.reset(options=start)
    _, reward, terminated, truncated, info = env.step(TRIGGER)
    assert (reward, terminated, truncated, info["is_success"]) == (-5, True, False, False)
    assert info["score"] == pytest.approx(0.375)


def test_phi_below_the_clean_score_by_drop(brightness, start) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, drop=0.2).unwrapped
    _, info = env.reset(options=start)
    assert info["phi"] == pytest.approx(info["clean_score"] - 0.2) == pytest.approx(0.3, abs=1e-6)
    assert not info["is_success"]
    env.step(LEFT)
    assert env.step(LEFT)[4]["is_success"]


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


def turns(scores: list[float], triggered: bool, clean: float = 0.9, phi: float = 0.5) -> list[Transition]:
    """The turns of one episode, the last of them perhaps a trigger."""

    def turn(score: float, before: float, trigger: bool, least: float) -> Transition:
        one = (np.array([value]) for value in (score, before, clean, phi))
        return Transition(*one, np.array([trigger]), np.array([least]))

    moves = [turn(s, scores[t], False, min(scores[: t + 1])) for t, s in enumerate(scores[1:])]
    return moves + [turn(scores[-1], scores[-1], True, min(scores))] * triggered


def test_the_rewards_by_name() -> None:
    assert set(REWARDS) == {"paper", "difference", "potential", "margin", "record"}
    paper, margin = (REWARDS[name](SearchSettings(eta=2)) for name in ("paper", "margin"))
    for turn in turns([0.8, 0.7, 0.7, 0.4], True):
        assert paper(turn) == margin(turn)
    assert [float(paper(turn)[0]) for turn in turns([0.8, 0.7, 0.7, 0.4], True)] == [1, -1, 1, 2]
    assert margin.needs_distractors and not paper.needs_distractors


SCORES = st.lists(st.integers(-1000, 1000).map(lambda score: score / 1000), min_size=2, max_size=12)
"""Farther apart than rounding."""


@given(SCORES, st.booleans())
def test_differences_add_up_to_the_whole_fall(scores: list[float], triggered: bool) -> None:
    reward = REWARDS["difference"](SearchSettings(reward_scale=4))
    total = sum(reward(turn)[0] for turn in turns(scores, triggered))
    assert total == pytest.approx(4 * (scores[0] - scores[-1]), abs=1e-9)


@given(SCORES, st.booleans())
def test_records_add_up_to_the_fall_to_the_least(scores: list[float], triggered: bool) -> None:
    reward = REWARDS["record"](SearchSettings(reward_scale=4))
    earned = [reward(turn)[0] for turn in turns(scores, triggered)]
    assert min(earned) >= 0
    assert sum(earned) == pytest.approx(4 * (scores[0] - min(scores)), abs=1e-9)


@given(SCORES, st.floats(0.1, 1), st.floats(-1, 1))
def test_a_potential_changes_the_return_by_that_of_the_start_alone(
    scores: list[float], gamma: float, phi: float
) -> None:
    """Ng 1999: whatever is done, an episode that ends earns what it would have earned, less Phi of its start."""
    reward = REWARDS["potential"](SearchSettings(eta=3, gamma=gamma, reward_scale=5))
    episode = turns(scores, True, clean=0.9, phi=phi)
    total = sum(gamma**t * reward(turn)[0] for t, turn in enumerate(episode))
    base = gamma ** (len(episode) - 1) * trigger_reward(scores[-1], phi, 3)
    assert total == pytest.approx(base - 5 * (0.9 - scores[0]), abs=1e-9)


def test_a_cut_episode_keeps_the_potential_of_its_last_state() -> None:
    """A truncation ends nothing: gamma times the potential where it stands stays in the return."""
    reward = REWARDS["potential"](SearchSettings(gamma=0.9, reward_scale=10))
    found = [float(reward(turn)[0]) for turn in turns([0.8, 0.6], False)]
    assert found == pytest.approx([0.9 * 10 * 0.3 - 10 * 0.1])


def test_rewards_of_many_searches_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    *columns, best = rng.uniform(-1, 1, (5, 30))
    triggered = rng.uniform(size=30) < 0.3
    for name, make in REWARDS.items():
        reward = make(SearchSettings())
        together = reward(Transition(*columns, triggered, best))
        alone = [
            reward(Transition(*(c[i : i + 1] for c in columns), triggered[i : i + 1], best[i : i + 1]))[0]
            for i in range(30)
        ]
        assert together.dtype == np.float64 and together.tolist() == alone, name


def test_a_reward_of_ones_own(tmp_path, monkeypatch, start) -> None:
    (tmp_path / "own_reward.py").write_text(
        "class Area:\n"
        "    needs_distractors = False\n"
        "    def __init__(self, settings):\n"
        "        self.eta = settings.eta\n"
        "    def __call__(self, turn):\n"
        "        return 0 * turn.score + self.eta\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    env = gym.make(ENV_ID, disable_env_checker=True, reward="own_reward:Area", phi=0.2, eta=1.25)
    env.reset(options=start)
    assert env.step(LEFT)[1] == 1.25


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_phi_is_measured_where_the_reward_uses_it(monkeypatch, brightness, name: str) -> None:
    measured: list[float] = []
    monkeypatch.setattr("occlusion_env.envs.vector.measure_drop", lambda *_: measured.append(0.2) or 0.2)
    env = gym.make(ENV_ID, targets="oracle", scorer=brightness, reward=name, render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    _, info = env.reset(seed=0)
    info = env.step(LEFT)[4]
    assert len(measured) == (name in ("paper", "potential"))
    unused = name in ("difference", "record")
    assert (info["phi"] == -np.inf) == unused and not (unused and info["is_success"])
    assert env.render().shape == (430, 624, 3)
    given = gym.make(ENV_ID, targets="oracle", scorer=brightness, reward="record", drop=-0.0)
    assert given.reset(seed=0)[1]["phi"] == given.unwrapped.search.clean_score[0]


@pytest.fixture
def scene() -> np.ndarray:
    """A black frame with a target half white at (40, 40), and a distractor a quarter white at (0, 40)."""
    frame = np.zeros((120, 120, 3), np.uint8)
    frame[40:80, 40:60] = 255
    frame[40:80, :10] = 255
    return frame


def test_phi_of_the_margin_is_the_best_distractors_score(brightness, scene, black) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, scorer=brightness, reward="margin", eta=2).unwrapped
    _, info = env.reset(options={"image": scene, "box": (40, 40, 40, 40), "patch": black})
    assert info["phi"] == pytest.approx(0.25, abs=1e-6)  # of the box at (0, 40)
    for _ in range(3):
        info = env.step(LEFT)[4]
    assert info["score"] == pytest.approx(0.25, abs=1e-6)
    # Covering all of the white that fits is a success just here.
    assert env.step(TRIGGER)[1] == (2 if info["score"] <= info["phi"] else -2)


def test_distractors_are_of_the_targets_size_and_share_nothing_with_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        width, height = rng.integers(20, 200, 2)
        size = rng.uniform(3, [width, height])
        target = np.array([*rng.uniform(0, [width, height] - size), *size])
        boxes = distractor_boxes(width, height, target, at_most=9)
        assert len(boxes) <= 9 and (boxes[:, 2:] == size).all()
        assert (iou(boxes, target) == 0).all() and inside(boxes, width + 1e-6, height + 1e-6).all()
        if (np.maximum(target[:2], [width, height] - target[:2] - size) >= size).any():
            assert len(boxes), "there is room beside the target"


def test_a_target_that_fills_its_frame_is_compared_with_its_mean_colour() -> None:
    frame = np.zeros((30, 40, 3), np.uint8)
    frame[:, :20] = 100
    crops = distractor_crops(frame, np.array([1.0, 1, 38, 28]), 16)
    assert crops.shape == (1, 16, 16, 3) and (crops == 50).all()
