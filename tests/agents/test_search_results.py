"""Rollout, evaluation and generation, on a matcher whose best occlusion is known."""

import json

import numpy as np
import pytest
import torch

from agents.evaluation import evaluate
from agents.generation import find_hard_positives, score_images, write_hard_positives
from agents.rollout import begin_all, roll_out
from occlusion_env.actions import ACTIONS, TRIGGER
from occlusion_env.search import Search, SearchSettings
from occlusion_env.targets import TargetSet
from tracker.images import read_image
from tracker.sequences import ArrayFrames, Sequence


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
    begin_all(search, list(targets), np.random.default_rng(0), drop=0.1)
    return search


def test_patches_come_from_the_background_of_the_same_frame(targets):
    search = Search(len(targets), Corner(), Place(), SearchSettings())
    boxes = begin_all(search, list(targets), np.random.default_rng(0), drop=0.1)
    assert all(box is not None for box in boxes)
    assert (search.patches() == 0).all()


def test_rollout_records_what_happened(search):
    episodes = roll_out(Scripted("right", "down", "up"), search)
    assert len(episodes) == 4
    for episode in episodes:
        assert episode.actions == ("right", "down", "up", "trigger")
        assert episode.triggered
        assert episode.trail.shape == (5, 4) and episode.scores.shape == (5,)
        assert episode.trail[0] == pytest.approx([0.25, 0.25, 0.5, 0.5])
        assert episode.region == pytest.approx([0.35, 0.25, 0.5, 0.5])


def test_rollout_ends_at_the_last_step_without_a_trigger(targets):
    search = Search(len(targets), Corner(), Place(), SearchSettings(max_steps=3))
    begin_all(search, list(targets), np.random.default_rng(0), drop=0.1)
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


def test_the_agent_that_goes_to_the_corner_closes_the_gap(search):
    reaches_it = roll_out(Scripted(*["right", "down"] * 4), search)
    judged = evaluate(search, reaches_it, np.random.default_rng(1))
    assert judged.agent == pytest.approx(0.0, abs=1e-6)
    assert judged.exhaustive == pytest.approx(0.0, abs=1e-6)
    assert judged.clean == pytest.approx(200 / 255, abs=1e-6)
    assert (judged.random > 0.2).all() and (judged.random < judged.clean).all()
    assert judged.centre == pytest.approx(200 / 255 * 0.75, abs=1e-6)
    assert judged.closure == pytest.approx(1.0)
    summary = judged.summary()
    assert summary["closure"] == 1.0
    assert summary["trigger_rate"] == 1.0
    assert summary["queries"]["exhaustive"] == 336


def test_the_agent_that_goes_the_wrong_way_has_a_closure_below_zero(search):
    judged = evaluate(search, roll_out(Scripted(*["left", "up"] * 4), search), np.random.default_rng(1))
    assert judged.agent == pytest.approx(judged.clean, abs=1e-6)
    assert judged.closure == pytest.approx(1 - judged.clean.mean() / judged.random.mean(), abs=1e-6)
    assert judged.closure < -0.2


def test_every_method_is_compared_at_the_agents_area(search):
    episodes = roll_out(Scripted("smaller", "smaller", "right"), search)
    judged = evaluate(search, episodes, np.random.default_rng(1))
    assert judged.area == pytest.approx((0.5 * 0.8 * 0.8) ** 2)
    side = 0.32
    assert judged.centre.mean() == pytest.approx(200 / 255 * (1 - (side * 32 / 2) ** 2 / 256), abs=0.05)


def test_closure_without_a_gap_is_undefined(search):
    judged = evaluate(search, roll_out(Scripted("right"), search), np.random.default_rng(1))
    object.__setattr__(judged, "random", judged.exhaustive)
    assert judged.closure is None and judged.summary()["closure"] is None


def test_hard_positives_are_what_their_records_say(targets, tmp_path):
    script = ["right", "down"] * 4
    found = find_hard_positives(Scripted(*script), targets, Corner(), Place(), seed=5)
    assert [hard.target.id for hard in found] == list(targets.ids)
    count = write_hard_positives(tmp_path / "hard_positives", found, seed=5)
    lines = (tmp_path / "hard_positives" / "metadata.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert count == len(records) == 4
    for record, hard in zip(records, found, strict=True):
        assert set(record) == {
            "file_name", "target", "source", "region", "patch", "actions", "triggered",
            "score_before", "score_after", "seed",
        }  # fmt: skip
        assert record["source"]["video"] == "square" and record["source"]["box"] == [20, 20, 40, 40]
        assert record["actions"] == [*script, "trigger"] and record["seed"] == 5
        image = read_image(tmp_path / "hard_positives" / record["file_name"])
        assert image.shape == (40, 40, 3)
        again = score_images(Corner(), [hard.target.exemplar], [image])
        assert again[0] == pytest.approx(record["score_after"], abs=1e-5)
        assert record["score_after"] < 0.05 < record["score_before"]
        x, y, w, h = np.array(record["region"]) * 40
        assert (image[round(y) : round(y + h), round(x) : round(x + w)] == 0).all()
        assert (image[:19, :19] == (200, 100, 50)).all()


def test_batches_do_not_change_the_policy_or_the_patches(targets):
    class Still:
        def predict(self, observation, **_):
            return np.full(len(observation), TRIGGER), None

    whole = find_hard_positives(Still(), targets, Corner(), Place(), seed=3)
    parts = find_hard_positives(Still(), targets, Corner(), Place(), seed=3, batch=2)
    for a, b in zip(whole, parts, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.patch_box, b.patch_box)
