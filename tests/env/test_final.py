"""The last observation and infos of an episode are the same in every autoreset mode."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from occlusion_env import ACTIONS, BACKGROUND_ENV_ID, ENV_ID, ORACLE_ENV_ID
from occlusion_env.mdp.rewards import REWARDS
from occlusion_env.search.core import Search
from occlusion_env.search.observations import OBSERVATIONS

TRIGGER = ACTIONS.index("trigger")
COUNT, STEPS = 3, 9
CHEAP = {
    "targets": "oracle",
    "scorer": "occlusion_env.scene.oracle:OracleScorer",
    "features": "occlusion_env.scene.oracle:OracleFeatures",
    "max_steps": 4,
    "history": 2,
}
SLIM = {"precision": "fp32", "max_steps": 3, "history": 0}
PLAIN = [name for name in OBSERVATIONS if name != "belief"]


class Scores:
    """An observation that reads everything that a move changes."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.space = gym.spaces.Box(-np.inf, np.inf, (10,), np.float32)

    def __call__(self, slots: np.ndarray) -> np.ndarray:
        search = self.search
        read = [search.score, search.previous_score, search.best_score, search.steps, search.queries]
        visited = [[len(search.visited(int(slot))[1])] for slot in slots]
        columns = np.stack(read, axis=1)[slots]
        return np.concatenate([columns, search.region[slots], visited], axis=1).astype(np.float32)


def actions_of(number: int) -> np.ndarray:
    """The actions of one step; one environment pulls the trigger now and then."""
    actions = np.random.default_rng(number).integers(0, TRIGGER, COUNT)
    actions[1] = TRIGGER if number % 3 == 1 else actions[1]
    return actions


def episodes(name: str, mode: AutoresetMode, **kwargs: Any) -> list[list[tuple[Any, dict[str, Any]]]]:
    """What each environment's episodes ended with: observation and infos, episode by episode.

    An environment's k-th action is the same in every mode: an action that starts an episode over is not counted.
    """
    envs = gym.make_vec(name, num_envs=COUNT, autoreset_mode=mode, **kwargs)
    envs.reset(seed=7)
    found: list[list[tuple[Any, dict[str, Any]]]] = [[] for _ in range(COUNT)]
    taken, ended = np.zeros(COUNT, int), np.zeros(COUNT, bool)
    while taken.min() < STEPS:
        actions = np.array([actions_of(number)[slot] for slot, number in enumerate(taken)])
        observations, _, terminated, truncated, infos = envs.step(actions)
        taken += ~ended if mode is AutoresetMode.NEXT_STEP else 1
        over = terminated | truncated
        for slot in np.flatnonzero(over):
            if mode is AutoresetMode.SAME_STEP:
                assert infos["_final_obs"][slot] and infos["_final_info"][slot]
                observation, last = infos["final_obs"][slot], infos["final_info"]
            else:
                observation, last = row(observations, slot), infos
            found[slot].append((observation, {key: values[slot] for key, values in last.items() if key[0] != "_"}))
        if mode is AutoresetMode.DISABLED and over.any():
            envs.reset(options={"reset_mask": over})
        ended = over
    return found


def row(batch: Any, slot: int) -> Any:
    return {key: value[slot] for key, value in batch.items()} if isinstance(batch, dict) else batch[slot].copy()


def same(name: str, assert_close: Any, **kwargs: Any) -> None:
    expected = episodes(name, AutoresetMode.DISABLED, **kwargs)
    assert all(len(each) >= 2 for each in expected)
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        found = episodes(name, mode, **kwargs)
        for mine, theirs in zip(found, expected, strict=True):
            count = min(len(mine), len(theirs))
            assert count >= 2
            assert_close(mine[:count], theirs[:count])


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("observation", [*PLAIN, f"{__name__}:Scores"])
@pytest.mark.parametrize("name", [ENV_ID, BACKGROUND_ENV_ID])
def test_the_last_observation_and_infos(name: str, observation: str, reward: str, assert_close) -> None:
    drop = {} if reward == "margin" else {"drop": 0.3}
    same(name, assert_close, observation=observation, reward=reward, pixels=8, **CHEAP, **drop)


@pytest.mark.parametrize("observation", PLAIN)
def test_of_the_oracle(observation: str, assert_close) -> None:
    same(ORACLE_ENV_ID, assert_close, observation=observation, max_steps=3, pixels=8)


@pytest.mark.parametrize("reward", ["record", "paper"])
def test_of_the_belief(reward: str, assert_close) -> None:
    """It counts the moves left and is conditioned on the scores so far."""
    same(ENV_ID, assert_close, observation="belief", reward=reward, drop=0.05, **SLIM)


def test_the_belief_of_a_long_episode_has_no_moves_left() -> None:
    """It counts to `max_steps`, or 20; a longer horizon leaves none, not fewer than none."""
    envs = gym.make_vec(ENV_ID, num_envs=1, observation="belief", reward="record", max_episode_steps=22)
    seen = [envs.reset(seed=0)[0]] + [envs.step(np.array([number % 2]))[0] for number in range(21)]
    left = np.concatenate(seen)[:, -3]
    assert left == pytest.approx(np.maximum(0, 1 - np.arange(22) / 20), abs=1e-6)


@pytest.mark.parametrize("state", ["crop", "roi"])
def test_of_a_network(state: str, assert_close) -> None:
    same(ENV_ID, assert_close, state=state, drop=0.05, **SLIM)
    same(BACKGROUND_ENV_ID, assert_close, state=state, drop=0.05, **SLIM)
