"""Methods at equal scorer queries: how queries are counted, shared and shuffled."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch

from agents.evaluation import pictures
from agents.evaluation.comparison import RANDOM_DRAWS, best_of_k, compare, episode_queries
from agents.evaluation.contest import Contest
from agents.evaluation.leaks import with_foreign_answers
from agents.evaluation.methods import BUDGETS, query_methods, rank_by_prediction, strips
from agents.evaluation.pictures import draw_frontier
from agents.evaluation.run import EvaluationRun, evaluate_agents
from agents.evaluation.table import print_evaluation
from agents.policies.baselines import Querying
from agents.policies.belief import DropPredictor, FittedPrior
from agents.policies.belief.method import BeliefProposer
from agents.policies.rollout import Agent, Rollout
from occlusion_env.envs.building import Networks
from occlusion_env.mdp.actions import ACTIONS, TRIGGER, RegionLimits
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.belief import Belief, Prior
from tracker.data.images import read_image
from tracker.data.sequences import ArrayFrames, Sequence

GRID = RegionLimits().grid(0.25)


class Spot:
    """Scores a target by the red that is left in it, and counts the images that it embeds."""

    input_size = 32
    device = torch.device("cpu")

    def __init__(self):
        self.embedded = 0

    def embed(self, crops):
        self.embedded += len(crops)
        return crops

    def compare(self, exemplars, candidates):
        return candidates[:, 0].mean(dim=(1, 2))

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


class Nothing:
    """Features that tell nothing."""

    input_size = 8
    length = 4

    def __call__(self, crops):
        return torch.zeros(len(crops), self.length)


def spot_video(name, column, row, frames=5):
    """Targets of 40 x 40 with a red spot that moves a little, in a dark frame."""
    images = []
    for number in range(frames):
        frame = np.zeros((80, 80, 3), np.uint8)
        frame[20:60, 20:60] = 40
        top, left = 20 + row, 20 + min(column + number, 32)
        frame[top : top + 8, left : left + 8, 0] = 255
        images.append(frame)
    boxes = np.tile([20.0, 20.0, 40.0, 40.0], (frames, 1))
    return Sequence(name, ArrayFrames(images), boxes, np.ones(frames), "test", "exact")


def overlap_covariance():
    """Regions with near centres and like shapes have like drops."""
    middle = np.concatenate([GRID[:, :2] + GRID[:, 2:] / 2, GRID[:, 2:]], axis=1)
    apart = ((middle[:, None] - middle[None]) ** 2).sum(axis=2)
    return 0.01 * np.exp(-apart / 0.1)


def by_mean(prior, search, slots):
    return np.tile(prior.mean, (len(slots), 1))


@pytest.fixture
def prior():
    """Tall regions first, those in the middle before the others."""
    middle = GRID[:, 0] + GRID[:, 2] / 2
    mean = 0.1 * GRID[:, 3] - 0.05 * np.abs(middle - 0.43)
    return Prior(GRID, mean, mean, overlap_covariance())


@pytest.fixture
def targets():
    return list(TargetSet.from_sequence(spot_video("a", 24, 4)))


def test_the_best_of_k_is_the_mean_over_all_subsets():
    scores = np.random.default_rng(0).normal(size=(2, 6))
    found = best_of_k(scores, 6)
    for k in range(1, 7):
        subsets = list(combinations(range(6), k))
        brute = np.mean([scores[:, list(subset)].min(axis=1) for subset in subsets], axis=0)
        assert found[:, k - 1] == pytest.approx(brute)


def test_an_episode_queries_its_start_first_and_each_region_once():
    a, b, c = ([0.1 * i, 0, 0.5, 0.5] for i in range(3))
    trail = np.array([a, b, a, c, c])
    found = episode_queries(
        [
            Rollout(("right", "left", "right", "trigger"), trail, np.array([0.5, 0.6, 0.5, 0.2, 0.2]), True),
            Rollout(("trigger",), trail[:1].repeat(2, axis=0), np.array([0.4, 0.4]), True),
        ]
    )
    assert found.counts.tolist() == [3, 1]
    assert found.curve.tolist() == [[0.5, 0.5, 0.2], [0.4, 0.4, 0.4]], "flat after the last query"
    assert found.best[0].tolist() == [c, a]


def test_constant_and_strips_come_from_the_prior(prior):
    constant = prior.regions[prior.best]
    assert constant.round(2).tolist() == [0.32, 0, 0.25, 1]
    found = strips(prior)
    assert len(found) == 16 and (found[:8, 3] == 1).all() and (found[8:, 2] == 1).all()
    assert np.array_equal(found[0], constant)
    assert np.abs(found[:8, 0] + 0.125 - 0.43).tolist() == sorted(np.abs(found[:8, 0] + 0.125 - 0.43))
    small = RegionLimits(max_area=0.1).grid(0.1)
    shortened = strips(Prior(small, small[:, 2], small[:, 2], np.eye(len(small))))
    assert np.allclose(shortened[:, 2:].max(axis=1), np.sqrt(0.4)) and shortened[0, 2] > shortened[-1, 2]


def test_methods_without_a_prior_are_left_out(prior):
    assert list(query_methods(Spot())) == ["cells", "hill climbing"]
    whole = query_methods(Spot(), FittedPrior(prior, None))
    assert list(whole) == ["cells", "constant", "strips", "hill climbing", "belief"]
    whole = query_methods(Spot(), FittedPrior(prior, DropPredictor()))
    assert list(whole) == ["cells", "constant", "strips", "predictor", "hill climbing", "belief"]
    assert whole["constant"].queries == 1 and whole["belief"].queries == BUDGETS[-1]


def test_every_method_on_the_grid_shares_one_pass_of_the_scorer(targets, prior):
    """What constant, strips, predictor and belief query was scored for grid search."""
    scorer = Spot()
    methods = query_methods(scorer, FittedPrior(prior, None))
    on_grid = {name: methods[name] for name in ("constant", "strips", "belief")}
    on_grid["predictor"] = Querying(partial(rank_by_prediction, partial(by_mean, prior)), BUDGETS[-1])
    compare(Networks(scorer, Nothing()), targets, methods={})
    alone, scorer.embedded = scorer.embedded, 0
    found = compare(Networks(scorer, Nothing()), targets, methods=on_grid)
    assert scorer.embedded == alone
    assert alone <= len(targets) * (len(GRID) + RANDOM_DRAWS + 2) + 1, "and the start and the clean score"
    trials = found.trials
    assert trials["belief"].queries.tolist() == [50] * 4 and trials["strips"].queries.tolist() == [16] * 4
    assert found.expected["belief"].shape == (4, len(GRID)) and list(found.expected) == ["belief"]
    for name in on_grid:
        assert np.allclose(trials[name].after(1), trials["constant"].scores), name
        index = [np.flatnonzero((GRID == region).all(axis=1))[0] for region in trials[name].regions]
        assert np.array_equal(found.grid[np.arange(4), index], trials[name].scores)
    assert found.closure("belief") > 0.95 > found.closure("constant")


def test_a_belief_is_told_the_drops_of_its_own_queries(targets, prior, monkeypatch):
    told = []

    class Recorder(Belief):
        def observe(self, chosen, drops):
            told.append((chosen.copy(), drops.copy()))
            super().observe(chosen, drops)

    monkeypatch.setattr("agents.policies.belief.method.Belief", Recorder)
    method = Querying(BeliefProposer(FittedPrior(prior, None)), 4)
    found = compare(Networks(Spot(), Nothing()), targets, methods={"belief": method})
    assert len(told) == 3 and all(len(set(queried)) == 3 for queried in zip(*(c for c, _ in told), strict=True))
    for chosen, drops in told:
        assert np.allclose(drops, found.clean - found.grid[np.arange(4), chosen])
    assert (found.trials["belief"].after(3) == np.min([found.clean - drops for _, drops in told], axis=0)).all()


def test_foreign_answers_teach_a_belief_nothing():
    """Drops with a common part and a part of each target's own, 40 targets of each of two videos."""
    rng, grid = np.random.default_rng(1), GRID[::5]
    covariance, mean = overlap_covariance()[::5, ::5], 0.3 * grid[:, 3]
    root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(grid)))
    own, foreign = (mean + rng.normal(size=(40, len(grid))) @ root.T for _ in range(2))
    closed = {}
    for name, answers in (("own", own), ("foreign", foreign)):
        belief = Belief(Prior(grid, mean, mean, covariance), np.tile(mean, (40, 1)))
        curve, answer = with_foreign_answers(belief, 1 - own, answers)
        assert curve.shape == (40, 50) and np.array_equal(curve[:, -1], 1 - own[np.arange(40), answer])
        closed[name] = (own.mean() - (1 - curve).mean(axis=0)) / (own.mean() - own.max(axis=1).mean())
    assert closed["own"][0] == closed["foreign"][0], "the first region is the prior's"
    assert closed["own"][20] > closed["own"][0] + 0.2
    assert (closed["foreign"][5:] < closed["foreign"][0] + 0.1).all()
    assert closed["foreign"][-1] < closed["own"][-1] - 0.3


class Right:
    """Goes right twice, then pulls the trigger."""

    def __init__(self):
        self.time = 0

    def predict(self, observation, **_):
        self.time += 1
        return np.full(len(observation), ACTIONS.index("right") if self.time < 3 else TRIGGER), None


def test_an_evaluation_with_a_belief(tmp_path, write_otb, prior, capsys, monkeypatch):
    for name, column, row in (("left", 2, 4), ("right", 30, 4), ("low", 16, 30)):
        write_otb(tmp_path / "data" / name, spot_video(name, column, row))
    scorer = Spot()
    content = evaluate_agents(
        EvaluationRun(tmp_path / "data", tmp_path / "out", 2, (0,), {}),
        Contest(
            Networks(scorer, Nothing()),
            [Agent("right", lambda search: Right())],
            methods=query_methods(scorer, FittedPrior(prior, None)),
        ),
    )
    frontier, gain = content["frontier"], content["gain_over_constant"]
    assert set(frontier) == {
        "best of k random", "cells", "constant", "strips", "hill climbing", "belief", "right",
    }  # fmt: skip
    assert set(gain) == set(content["gain_over_constant_intervals"]) == set(frontier)
    for name, row in frontier.items():
        for budget, closed in row.items():
            assert gain[name][budget] == pytest.approx(closed - frontier["constant"]["1"], abs=1e-5)
    assert len(set(frontier["constant"].values())) == 1
    assert frontier["belief"]["1"] == frontier["constant"]["1"] < 0.7 and frontier["belief"]["20"] > 0.9
    assert frontier["right"]["1"] == frontier["cells"]["1"], "the start is an agent's first query"
    assert frontier["right"]["5"] == frontier["right"]["50"] == content["methods"]["right"]["closure"]
    check = content["checks"]["belief, answers of another video"]
    assert check["frontier"]["1"] == frontier["constant"]["1"]
    assert check["frontier"]["20"] < frontier["constant"]["1"] + 0.1
    print_evaluation(content)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Gain over the constant region" in printed and "belief" in printed
    draw_frontier(tmp_path / "frontier.png", content)
    assert read_image(tmp_path / "frontier.png").std() > 10
    for figures in (content["frontier"], content["frontier_intervals"]):
        figures["ppo_mask"] = figures.pop("right")
    drawn = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: drawn.append(figure))
    draw_frontier(tmp_path / "frontier.png", content)
    names = [text.get_text().partition(":")[0] for text in drawn[0].axes[0].get_legend().get_texts()]
    assert "maskable PPO" in names and not any("_" in name for name in names)
