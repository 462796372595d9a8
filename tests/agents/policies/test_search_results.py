"""Rollout, on a matcher whose best occlusion is known."""

import numpy as np
import pytest
import torch

from agents.policies.rollout import Rollout, roll_out
from occlusion_env.mdp.actions import ACTIONS, TRIGGER
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import Search, SearchSettings
from tracker.data.sequences import ArrayFrames, Sequence


class Corner:
    """Scores a target by what is left of the red in its lower right quarter; embeds nothing."""

    input_size = 32
    device = torch.device("cpu")

    def embed(self, crops):
        return crops

    def compare(self, exemplars, candidates):
        return candidates[:, 0, 16:, 16:].mean(dim=(1, 2))

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


class Place:
    """Features that tell nothing; the scripted policies do not look."""

    input_size = 8
    length = 4

    def __call__(self, crops):
        return torch.zeros(len(crops), self.length)


class Scripted:
    """Plays a fixed list of action names, then the trigger."""

    def __init__(self, *names):
        self.names, self.time = names, 0

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        action = ACTIONS.index(self.names[self.time]) if self.time < len(self.names) else TRIGGER
        self.time += 1
        return np.full(len(observation), action), None


@pytest.fixture
def targets():
    frame = np.zeros((80, 80, 3), np.uint8)
    frame[20:60, 20:60] = (200, 100, 50)
    boxes = np.tile([20.0, 20.0, 40.0, 40.0], (5, 1))
    sequence = Sequence("square", ArrayFrames([frame] * 5), boxes, np.ones(5), "test", "exact")
    return TargetSet.from_sequence(sequence)


@pytest.fixture
def search(targets):
    search = Search(len(targets), Corner(), Place(), SearchSettings())
    search.begin_random(list(targets), np.random.default_rng(0), drop=0.1)
    return search


def test_patches_come_from_the_background_of_the_same_frame(targets):
    search = Search(len(targets), Corner(), Place(), SearchSettings())
    search.begin_random(list(targets), np.random.default_rng(0), drop=0.1)
    assert (search.patches() == 0).all()


def test_rollout_records_what_happened(search):
    episodes = roll_out(Scripted("right", "down", "up"), search)
    assert len(episodes) == 4
    for episode in episodes:
        assert episode.actions == ("right", "down", "up", "trigger")
        assert episode.triggered
        assert episode.trail.shape == (5, 4) and episode.scores.shape == (5,)
        assert episode.trail[0] == pytest.approx([0.25, 0.25, 0.5, 0.5])
        assert episode.last.region == pytest.approx([0.35, 0.25, 0.5, 0.5])


def test_rollout_ends_at_the_last_step_without_a_trigger(targets):
    search = Search(len(targets), Corner(), Place(), SearchSettings(max_steps=3))
    search.begin_random(list(targets), np.random.default_rng(0), drop=0.1)
    episodes = roll_out(Scripted(*["left"] * 9), search)
    assert [len(episode.actions) for episode in episodes] == [3] * 4
    assert not any(episode.triggered for episode in episodes)


def test_finished_searches_wait_for_the_others(search):
    class Uneven:
        time = 0

        def predict(self, observation, **_):
            self.time += 1
            action = np.full(len(observation), ACTIONS.index("right"))
            action[0] = TRIGGER
            return action, None

    episodes = roll_out(Uneven(), search)
    assert episodes[0].actions == ("trigger",)
    assert episodes[0].trail[-1] == pytest.approx([0.25, 0.25, 0.5, 0.5])
    assert len(episodes[1].actions) == 20


def test_an_answer_is_the_last_region_or_the_best_one(search):
    episodes = roll_out(Scripted("right", "down", "down", "left", "right", "up", "up"), search)
    for episode in episodes:
        assert episode.last.region == pytest.approx([0.35, 0.25, 0.5, 0.5])
        assert episode.last.score == episode.scores[-1] and episode.last.queries == 1
        assert episode.best.region == pytest.approx([0.35, 0.45, 0.5, 0.5])
        assert episode.best.score == episode.scores.min() < episode.last.score
        # Of the nine regions of the trail, four have been there before.
        assert episode.best.queries == 5
        assert episode.reversals == 1


def test_moves_that_undo_the_last_one():
    def reversals(*actions):
        trail = np.zeros((len(actions) + 1, 4))
        return Rollout(actions, trail, np.zeros(len(trail)), False).reversals

    assert reversals("up", "down", "up") == 2 and reversals("bigger", "smaller", "trigger") == 1
    assert reversals("up", "up") == reversals("up", "left", "down") == reversals("trigger") == 0
    assert reversals("taller", "fatter", "right", "left") == 2


def test_a_policy_is_told_where_episodes_start_and_keeps_its_state(search):
    class Recurrent:
        seen = []

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            self.seen.append((observation, state, episode_start.tolist(), deterministic))
            return np.full(4, TRIGGER if state == 1 else 0), 0 if state is None else state + 1

    policy = Recurrent()
    roll_out(policy, search, observe=lambda search: "shown")
    assert [state for _, state, _, _ in policy.seen] == [None, 0, 1]
    assert [starts for _, _, starts, _ in policy.seen] == [[True] * 4, [False] * 4, [False] * 4]
    assert all(shown == "shown" and greedy for shown, _, _, greedy in policy.seen)
