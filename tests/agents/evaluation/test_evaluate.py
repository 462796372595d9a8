"""Agents beside baselines: on a matcher whose best occlusion is known, and the command for real."""

import base64
import json
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import occlusion_env
from agents.common.randomness import generator
from agents.evaluation import run as evaluation_run
from agents.evaluation.arms import arms_of, read_members
from agents.evaluation.comparison import compare
from agents.evaluation.contest import Contest
from agents.evaluation.leaks import Constant, constant_agents, without_features
from agents.evaluation.methods import BUDGETS
from agents.evaluation.run import EvaluationRun, evaluate_agents
from agents.evaluation.summary import record, summarise
from agents.evaluation.table import print_evaluation
from agents.policies.baselines import BASELINES
from agents.policies.belief import FittedPrior, describe_search, save_prior
from agents.policies.loading import algorithm_of, load_agent, load_policy, training_speed
from agents.policies.rollout import Agent, Masked, roll_out
from agents.training.environment import TrainingEnvironment, fingerprint_videos
from agents.training.runs import RunFolder
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.mdp.actions import ACTIONS, TRIGGER, RegionLimits
from occlusion_env.mdp.settings import SearchSettings
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.belief import Prior
from occlusion_env.search.core import Search
from tracker.data.images import read_image
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError


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


class Corners:
    """Features: the mean colours of a crop, and a number that is never 0."""

    input_size = 8
    length = 4

    def __call__(self, crops):
        return torch.cat([crops.mean(dim=(2, 3)), torch.ones(len(crops), 1)], dim=1)


class Scripted:
    """Plays a fixed list of action names, then the trigger."""

    def __init__(self, *names):
        self.names, self.time, self.seen = names, 0, []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.seen.append(observation)
        action = ACTIONS.index(self.names[self.time]) if self.time < len(self.names) else TRIGGER
        self.time += 1
        return np.full(len(observation), action), None


def agent(name, *script, **kwargs):
    return Agent(name, lambda search: Scripted(*script), **kwargs)


TO_THE_CORNER = ["right", "down"] * 4


def square_video(frames=5, seed=0):
    """A target of 40 x 40 in a frame of coloured noise, so that patches differ."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(frames):
        frame = np.kron(rng.integers(0, 90, (10, 10, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        frame[20:60, 20:60] = (200, 100 + seed, 50)
        images.append(frame)
    return Sequence(
        f"square-{seed}", ArrayFrames(images), np.tile([20.0, 20.0, 40.0, 40.0], (frames, 1)), np.ones(frames),
        "test", "exact",
    )  # fmt: skip


@pytest.fixture
def targets():
    return list(TargetSet.from_sequence(square_video()))


@pytest.fixture
def networks():
    return Networks(Corner(), Corners())


def four_searches(networks):
    return Search(4, networks.scorer, networks.features, SearchSettings())


def test_the_agent_that_goes_to_the_corner_closes_the_gap(networks, targets):
    found = compare(networks, targets, [agent("good", *TO_THE_CORNER), agent("bad", "left", "up")])
    assert list(found.trials) == [
        "random", "best of k random", "cells", "hill climbing", "grid search", "good", "bad",
    ]  # fmt: skip
    good, bad, grid = (found.trials[name] for name in ("good", "bad", "grid search"))
    assert found.clean == pytest.approx(200 / 255, abs=1e-6)
    assert good.scores == pytest.approx(grid.scores, abs=0.02)
    assert found.closure("good") == pytest.approx(1, abs=0.05) and good.area == pytest.approx(0.25)
    assert good.queries == pytest.approx(7), "two of the eight moves end at the border"
    assert found.closure("grid search") == 1 and found.closure("random") == 0
    assert grid.queries == pytest.approx(336) and found.closure("bad") < found.closure("good") - 0.5
    assert np.array_equal(bad.after(1), found.trials["cells"].after(1)), "both begin in the centre"
    assert [episode.actions for episode in found.episodes["good"]] == [(*TO_THE_CORNER, "trigger")] * 4


def test_all_methods_have_one_scale(networks, targets):
    """Its ends are random regions and the grid at the largest area, whatever area a method ends with."""
    found = compare(networks, targets, [agent("small", "smaller", "smaller", "right", "down")], seed=4, key="k")
    search = four_searches(networks)
    search.begin(np.arange(4), targets, list(found.patches), drop=0.0)
    grid = RegionLimits().grid(0.25)
    scores = search.scores(np.repeat(np.arange(4), len(grid)), np.tile(grid, (4, 1))).reshape(4, -1)
    assert np.allclose(found.grid, scores, atol=1e-6)
    assert found.trials["grid search"].scores == pytest.approx(scores.min(axis=1), abs=1e-6)
    chance = RegionLimits().random(np.full(1600, 0.25), np.random.default_rng(1))
    scores = search.scores(np.repeat(np.arange(4), 400), chance).reshape(4, 400)
    random = found.trials["random"].scores
    assert random == pytest.approx(scores.mean(axis=1), abs=4 * scores.std() / 8)
    whole = (random.mean() - found.trials["small"].scores.mean()) / (
        random.mean() - found.trials["grid search"].scores.mean()
    )
    assert found.closure("small") == pytest.approx(whole)
    with pytest.raises(InputError, match=r"'large' covers up to 0.5 of a target, and the comparison allows 0.25"):
        compare(networks, targets, [agent("large", settings=SearchSettings(RegionLimits(max_area=0.5)))])


def test_every_method_has_the_same_patch(networks, targets):
    found = compare(networks, targets, [agent("agent", "right", "up")], seed=2)
    assert found.patches.std() > 5
    search = four_searches(networks)
    search.begin(np.arange(4), targets, list(found.patches), drop=0.0)
    for name in ("cells", "hill climbing", "grid search", "agent"):
        trial = found.trials[name]
        assert trial.scores == pytest.approx(search.scores(np.arange(4), trial.regions), abs=1e-6), name


def test_what_is_drawn_depends_on_seed_and_sequence_alone(networks, targets):
    def drawn(agents=(), seed=0, key=""):
        found = compare(networks, targets, agents, seed=seed, key=key)
        return found.trials["random"].scores, found.patches

    scores, patches = drawn()
    for other in (drawn(), drawn([agent("a", "up"), agent("b", "smaller")])):
        assert np.array_equal(scores, other[0]) and np.array_equal(patches, other[1])
    for other in (drawn(seed=1), drawn(key="x")):
        assert not np.array_equal(scores, other[0]) and not np.array_equal(patches, other[1])
    assert generator(0, "a").random() != generator(0, "b").random() != generator(1, "b").random()


def test_an_agent_searches_with_the_settings_of_its_training(networks, targets):
    own = agent("own", *["right"] * 9, settings=SearchSettings(history=2, max_steps=3))
    seen = []
    found = compare(
        networks, targets, [Agent("own", lambda search: seen.append(search) or Scripted("up"), own.settings)]
    )
    assert seen[0].settings.history == 2 and len(found.episodes["own"][0].actions) == 2
    limited = compare(networks, targets, [own])
    assert [len(episode.actions) for episode in limited.episodes["own"]] == [3] * 4
    assert not any(episode.triggered for episode in limited.episodes["own"])


def test_only_the_methods_that_are_given(networks, targets):
    done = []
    found = compare(networks, targets, methods={"centre": BASELINES["centre"]}, done=done.append)
    assert list(found.trials) == ["random", "best of k random", "centre", "grid search"] and sum(done) == 4


# ---------------------------------------------------------------------- leaks


def test_features_are_hidden_and_nothing_else(networks, targets):
    search = four_searches(networks)
    search.begin(np.arange(4), targets, [np.zeros((64, 64, 3), np.uint8)] * 4, drop=0.0)
    search.step(np.array([0, 1, 2, 3]))
    whole = search.observe()
    hidden = without_features(agent("a"), targets)[0].observe(search)
    assert (whole[:, :4] != 0).any() and (hidden[:, :4] == 0).all()
    assert np.array_equal(hidden[:, 4:], whole[:, 4:])


def test_features_come_from_another_video_after_the_same_actions(networks, targets):
    """Each observation has the features of the other video under the own region, and the own history."""
    others = list(TargetSet.from_sequence(square_video(3, seed=90)))
    policy = Scripted("right", "down", "smaller")
    check = without_features(Agent("a", lambda search: policy), others)[1]
    assert check.name == "a, features of another video"
    seen, own = [], four_searches(networks)
    own.begin(np.arange(4), targets, [np.zeros((64, 64, 3), np.uint8)] * 4, drop=0.0)
    observe = lambda search: seen.append((search.region.copy(), search.observe())) or seen[-1][1]  # noqa: E731
    roll_out(check.policy(own), own, observe)
    assert len(policy.seen) == len(seen) == 4 and len({region.tobytes() for region, _ in seen}) == 4
    mirror = four_searches(networks)
    mirror.begin(np.arange(4), [others[slot % 2] for slot in range(4)], [np.zeros((64, 64, 3), np.uint8)] * 4,
                 drop=0.0)  # fmt: skip
    for shown, (region, mine) in zip(policy.seen, seen, strict=True):
        mirror.region[:] = region
        assert np.allclose(shown[:, :4], mirror.observe()[:, :4], atol=1e-5)
        assert np.array_equal(shown[:, 4:], mine[:, 4:]) and not np.allclose(shown[:, 1], mine[:, 1], atol=1e-3)
    with pytest.raises(InputError, match="targets of another video"):
        without_features(agent("a"), [])[1].policy(own)


@pytest.mark.parametrize("observation", ["features+region", "dict", "pixels"])
def test_features_are_hidden_in_every_observation(networks, targets, observation):
    settings = SearchSettings(observation=observation)
    search = Search(4, networks.scorer, networks.features, settings)
    search.begin(np.arange(4), targets, [np.zeros((64, 64, 3), np.uint8)] * 4, drop=0.0)
    whole = search.observe()
    hidden = without_features(agent("a", settings=settings), targets)[0].observe(search)
    if observation == "dict":
        assert (hidden["features"] == 0).all() and np.array_equal(hidden["region"], whole["region"])
    elif observation == "pixels":
        assert (hidden == 0).all() and hidden.shape == whole.shape and hidden.dtype == np.uint8
    else:
        assert (hidden[:, :4] == 0).all() and np.array_equal(hidden[:, 4:], whole[:, 4:])
        assert hidden[:, -4:] == pytest.approx(np.tile([0.25, 0.25, 0.5, 0.5], (4, 1)))


def test_an_agent_that_looks_is_worse_without_its_features(networks):
    """Targets that are red on the left or on the right alone; the agent goes where the red is."""

    class Looks:
        def predict(self, observation, **_):
            return np.where(observation[:, 0] > 0.4, TRIGGER, 0), None

    crops = []
    for _ in range(6):
        frame = np.zeros((80, 80, 3), np.uint8)
        frame[40:60, 40:60] = (250, 0, 0)
        crops.append(frame)
    boxes = np.tile([20.0, 20.0, 40.0, 40.0], (6, 1))
    found = TargetSet.from_sequence(Sequence("c", ArrayFrames(crops), boxes, np.ones(6), "test", "exact"))
    looking = Agent("looks", lambda search: Looks())
    comparison = compare(
        networks, list(found), [looking], [*without_features(looking, list(found)), *constant_agents()]
    )
    assert list(comparison.checks)[:2] == ["looks, no features", "looks, features of another video"]
    assert list(comparison.checks)[2:] == [f"always {action}" for action in ACTIONS]
    assert comparison.trials["looks"].area == pytest.approx(0.25)
    trigger = comparison.checks["always trigger"]
    assert trigger.scores == pytest.approx(comparison.trials["cells"].after(1))
    assert (comparison.checks["always right"].regions[:, 0] >= 0.25).all()
    assert comparison.checks["always smaller"].area == pytest.approx(0.25)  # its best is its first


def test_a_constant_policy_is_constant():
    actions, state = Constant("taller", range(3)).predict(None, state="kept")
    assert actions.tolist() == [ACTIONS.index("taller")] * 3 and state == "kept"


# -------------------------------------------------------------------- summary


BUDGET_NAMES = [str(budget) for budget in BUDGETS]


def trial(score, first=None, area=0.25, queries=1.0):
    """Scores of two targets: `first` with one to three queries, `score` from the fifth on."""
    count, first = len(score), score if first is None else first
    return {
        "score": score, "best": [first if budget < 5 else score for budget in BUDGETS], "area": [area] * count,
        "queries": [queries] * count, "regions": [[0, 0, 0.5, 0.5]] * count,
    }  # fmt: skip


def made_up(scores, constant=None):
    """Two sequences, two seeds, two targets; the agent's score, between random 0.8 and grid search 0.4 or 0.6."""
    episodes = {
        "steps": [4, 6], "triggered": [True, False], "reversals": [1, 0], "at_cap": [True, True],
        "last": [0.8, 0.7],
    }  # fmt: skip
    records = {}
    for (name, end), rows in zip((("a", 0.4), ("b", 0.6)), scores, strict=True):
        seeds = {
            str(seed): {
                "clean": [0.9, 0.9],
                "trials": {
                    "random": trial([0.8, 0.8]), "grid search": trial([end] * 2),
                    **({} if constant is None else {"constant": trial([constant] * 2)}),
                    "agent": trial([row, row], [0.8, row]),
                },
                "checks": {"always up": trial([0.8, 0.7]), "always down": trial([0.8, 0.8])},
                "episodes": {"agent": episodes},
            }
            for seed, row in enumerate(rows)
        }  # fmt: skip
        records[name] = {"targets": [f"{name}/1", f"{name}/2"], "seeds": seeds}
    return records


def test_closure_is_a_ratio_of_means_over_sequences():
    content = summarise(made_up([[0.5, 0.6], [0.6, 0.6]]), ["agent"])
    row = content["methods"]["agent"]
    # The gaps are 0.4 and 0.2; closed are 0.25 (mean of 0.3 and 0.2) and 0.2.
    assert content["closure"] == row["closure"] == pytest.approx(0.45 / 0.6)
    assert row["interval"] is content["interval"] is None
    assert row["seeds"] == pytest.approx([0.5 / 0.6, 0.4 / 0.6])
    assert row["spread"] == pytest.approx(np.std([0.5 / 0.6, 0.4 / 0.6], ddof=1), abs=1e-6)
    assert row["score"] == pytest.approx(0.575) and content["methods"]["grid search"]["score"] == 0.5
    assert row["area"] == 0.25 and row["queries"] == 1 and content["methods"]["random"]["closure"] == 0
    assert content["targets"] == 4 and content["methods"]["clean"]["score"] == 0.9
    assert content["sequences"]["a"]["methods"]["agent"] == {"score": 0.55, "closure": 0.625}
    assert content["best_constant"] == "always up"
    assert content["agents"]["agent"] == {
        "episodes": 8, "steps": 5.0, "trigger_rate": 0.5, "reversal_share": 0.1, "at_cap": 1.0,
        "last_closure": pytest.approx(0.05 / 0.3, abs=1e-6),
    }  # fmt: skip


def test_the_frontier_is_the_closure_after_each_number_of_queries():
    """One of the two targets is at 0.8 until the fifth query, so half of the gap is open until then."""
    content = summarise(made_up([[0.5, 0.6], [0.6, 0.6]]), ["agent"])
    assert list(content["frontier"]) == ["agent"] and list(content["frontier"]["agent"]) == BUDGET_NAMES
    for budget, closed in content["frontier"]["agent"].items():
        assert closed == pytest.approx((0.5 if int(budget) < 5 else 1) * 0.75)
    assert content["frontier_intervals"]["agent"] == dict.fromkeys(BUDGET_NAMES)
    assert content["gain_over_constant"] == content["gain_over_constant_intervals"] == {}


def test_the_gain_over_the_constant_is_paired_over_sequences():
    """The agent's closures vary from sequence to sequence as the constant's do; their difference does not."""
    made = made_up([[0.5, 0.5], [0.7, 0.7]], constant=0.0)
    records = {}
    for number in range(4):
        for name, one in json.loads(json.dumps(made)).items():
            for run in one["seeds"].values():
                end = run["trials"]["grid search"]["score"][0]
                closed = 0.2 * number
                for method, extra in (("agent", 0.2), ("constant", 0.0)):
                    run["trials"][method] = trial([0.8 - (closed + extra) * (0.8 - end)] * 2)
            records[f"{name}{number}"] = one
    content = summarise(records, ["agent"])
    assert content["gain_over_constant"]["agent"] == pytest.approx(dict.fromkeys(BUDGET_NAMES, 0.2))
    assert content["gain_over_constant"]["constant"] == dict.fromkeys(BUDGET_NAMES, 0)
    assert content["gain_over_constant_intervals"]["agent"]["10"] == pytest.approx([0.2, 0.2], abs=1e-5)
    low, high = content["frontier_intervals"]["agent"]["10"]
    assert low < content["frontier"]["agent"]["10"] - 0.1 and high > content["frontier"]["agent"]["10"] + 0.1


def test_arms_are_one_method_whose_seeds_are_trainings(capsys):
    """Three agents of one episode each; the arm `high` closes 0.2 of every gap more than `low`."""
    records = made_up([[0.6, 0.6], [0.7, 0.7]])
    closures = {"high 1": 0.7, "high 2": 0.5, "low 1": 0.4}
    for one in records.values():
        for run in one["seeds"].values():
            end = run["trials"]["grid search"]["score"][0]
            for name, closed in closures.items():
                run["trials"][name] = trial([0.8 - closed * (0.8 - end)] * 2)
                run["episodes"][name] = run["episodes"]["agent"]
    content = summarise(records, [*closures], arms={"high": ["high 1", "high 2"], "low": ["low 1"]})
    high, low = content["arms"]["high"], content["arms"]["low"]
    assert high["agents"] == ["high 1", "high 2"] and high["seeds"] == pytest.approx([0.7, 0.5])
    assert high["closure"] == pytest.approx(0.6) and high["interval"] is None
    assert content["frontier"]["high"] == pytest.approx(dict.fromkeys(BUDGET_NAMES, 0.6))
    assert high["spread"] == pytest.approx(0.1 * 2**0.5, abs=1e-6)
    assert low["closure"] == pytest.approx(0.4) and low["spread"] is None
    (difference,) = content["differences"]
    assert (difference["of"], difference["less"]) == ("high", "low")
    assert difference["closure"] == pytest.approx(0.2) and difference["interval"] is None
    many = {f"{name}{copy}": one for name, one in records.items() for copy in range(4)}
    wide = summarise(many, [*closures], arms={"high": ["high 1", "high 2"], "low": ["low 1"]})
    assert wide["arms"]["high"]["interval"] == pytest.approx([0.6, 0.6])
    assert wide["differences"][0]["interval"] == pytest.approx([0.2, 0.2])
    assert wide["differences"][0]["p_holm"] < 0.001 and difference["p_holm"] is None
    print_evaluation(wide)
    assert "Holm-corrected p < 0.001" in " ".join(capsys.readouterr().out.split())
    same = {"one": ["high 1"], "two": ["low 1"], "three": ["low 1"]}
    p_values = [row["p_holm"] for row in summarise(many, [*closures], arms=same)["differences"]]
    assert p_values[2] == 1 and len(p_values) == 3
    assert "arms" not in summarise(records, [*closures])
    alone = summarise({"a": records["a"]}, [*closures], arms={"high": ["high 1"], "low": ["low 1"]})
    assert alone["differences"][0]["closure"] == pytest.approx(0.3) and alone["arms"]["high"][
        "closure"
    ] == pytest.approx(0.7)


def test_an_arm_is_named_before_its_agents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    members = read_members(["a=b", "x=pretrained", "c", "x=d", "=e"])
    assert [(one.spec, one.name) for one in members] == [
        ("a=b", None), ("pretrained", "x, training 1"), ("c", None), ("d", "x, training 2"), ("=e", None),
    ]  # fmt: skip
    assert arms_of(members) == {"x": ["x, training 1", "x, training 2"]}
    for twice in (["x=d", "x=./d/"], ["d", "d/"]):
        with pytest.raises(InputError, match="is given twice"):
            read_members(twice)
    assert len(read_members(["x=d", "y=d", "d"])) == 3


def test_without_an_agent_there_is_no_closure():
    content = summarise(made_up([[0.5, 0.6], [0.6, 0.6]]), [])
    assert content["closure"] is content["interval"] is None and content["agents"] == {}
    assert content["methods"]["agent"]["closure"] is not None


def test_seven_sequences_have_no_interval_and_a_closed_gap_no_closure():
    records = made_up([[0.5, 0.6], [0.6, 0.6]])
    many = {f"{name}{copy}": one for name, one in records.items() for copy in range(4)}
    low, high = summarise(many, ["agent"])["interval"]
    assert low < 0.75 < high and summarise(dict(list(many.items())[:7]), ["agent"])["interval"] is None
    alone = summarise({"a": records["a"]}, ["agent"])
    assert alone["closure"] == pytest.approx(0.625) and alone["interval"] is None
    for run in records["a"]["seeds"].values():
        run["trials"]["grid search"] = trial([0.8, 0.8])
    assert summarise({"a": records["a"]}, ["agent"])["closure"] is None
    both = summarise(records, ["agent"])
    assert both["closure"] is not None and both["interval"] is None


# ------------------------------------------------------------------------ run


@pytest.fixture
def folder(tmp_path, write_otb):
    for seed in (1, 2):
        write_otb(tmp_path / "data" / f"square-{seed}", square_video(6, seed))
    return tmp_path


def run_of(folder, **changes):
    given = {"per_sequence": 2, "seeds": (0, 1), "identity": {"features": "test"}, "out": folder / "out"} | changes
    return EvaluationRun(folder / "data", **given)


def test_a_run_goes_on_where_it_was_cut_off(folder, networks, monkeypatch):
    agents = [agent("agent", *TO_THE_CORNER)]
    seen = []
    first = evaluate_agents(
        run_of(folder), Contest(networks, agents, lambda others: constant_agents()),
        draw=lambda out, name, targets, found: seen.append((name, len(targets), list(found.trials))),
    )  # fmt: skip
    assert [name for name, _, _ in seen] == ["square-1", "square-2"] and seen[0][1] == 2
    assert first["closure"] > 0.9 and set(first["sequences"]) == {"square-1", "square-2"}
    assert len(first["methods"]["agent"]["seeds"]) == 2

    made = []
    original = evaluation_run.compare
    monkeypatch.setattr(evaluation_run, "compare", lambda *a, **k: made.append(k["key"]) or original(*a, **k))
    (folder / "out" / "sequences" / "square-2.json").unlink()
    second = evaluate_agents(run_of(folder), Contest(networks, agents, lambda others: constant_agents()))
    assert made == ["square-2"] * 2
    assert json.loads(json.dumps(second)) == json.loads(json.dumps(first))


def test_a_sequence_does_not_depend_on_the_others(folder, networks):
    both = evaluate_agents(run_of(folder), Contest(networks))
    (folder / "data" / "square-1").rename(folder / "square-1")
    alone = evaluate_agents(run_of(folder, out=folder / "alone"), Contest(networks))
    assert alone["sequences"]["square-2"] == both["sequences"]["square-2"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seeds": (0,)}, "seeds"),
        ({"per_sequence": 3}, "per_sequence"),
        ({"identity": {"features": "x"}}, "features"),
    ],
)
def test_results_of_another_evaluation_are_refused(folder, networks, changes, key):
    evaluate_agents(run_of(folder), Contest(networks, [agent("agent", "up")]))
    with pytest.raises(InputError, match=rf"another evaluation \({key}.* was "):
        evaluate_agents(run_of(folder, **changes), Contest(networks, [agent("agent", "up")]))
    with pytest.raises(InputError, match=r"agents\.agent\.search was"):
        evaluate_agents(run_of(folder), Contest(networks))
    with pytest.raises(
        InputError, match=r'another evaluation \(checks was \[\] and is .*"always right"'
    ) as raised:
        evaluate_agents(
            run_of(folder), Contest(networks, [agent("agent", "up")], lambda others: constant_agents())
        )
    assert len(str(raised.value)) < 400, "eleven checks"
    noise = SearchArguments(occluder="noise")
    with pytest.raises(InputError, match='occluder was "background" and is "noise"'):
        evaluate_agents(run_of(folder), Contest(networks, [agent("agent", "up")], arguments=noise))
    settings = json.loads((folder / "out" / "settings.json").read_text())
    (folder / "out" / "settings.json").write_text(json.dumps(settings | {"code": "0"}))
    with pytest.raises(InputError, match='code was "0" and is'):
        evaluate_agents(run_of(folder), Contest(networks, [agent("agent", "up")]))


def test_a_sequence_that_has_changed_is_evaluated_again(folder, networks, write_otb):
    first = evaluate_agents(run_of(folder), Contest(networks))
    shutil.rmtree(folder / "data" / "square-1")
    write_otb(folder / "data" / "square-1", square_video(6, 77))
    second = evaluate_agents(run_of(folder), Contest(networks))
    clean = [content["sequences"]["square-1"]["clean"] for content in (first, second)]
    assert first["sequences"]["square-2"] == second["sequences"]["square-2"]
    fresh = evaluate_agents(run_of(folder, out=folder / "fresh"), Contest(networks))
    assert second["sequences"] == fresh["sequences"] and clean[0] == clean[1], "red is the same, the rest is not"


def test_the_checks_see_the_next_sequence_or_a_synthetic_one(folder, networks):
    seen = []

    def checks(others):
        seen.append([target.source.video for target in others])
        return [agent("check", "up")]

    evaluate_agents(run_of(folder), Contest(networks, [agent("agent", "up")], checks))
    assert [videos for videos in seen if videos] == [["square-2"] * 2, ["square-1"] * 2]
    seen.clear()
    shutil.rmtree(folder / "data" / "square-2")
    (folder / "data" / "bad" / "img").mkdir(parents=True)
    for file in (folder / "data" / "square-1").rglob("*.*"):
        (folder / "data" / "bad" / file.relative_to(folder / "data" / "square-1")).write_bytes(file.read_bytes())
    (folder / "data" / "bad" / "img" / "0003.png").write_bytes(b"no picture")
    run = run_of(folder, out=folder / "alone", per_sequence=20)
    assert list(evaluate_agents(run, Contest(networks, [agent("agent", "up")], checks))["failed"]) == ["bad"]
    assert [videos for videos in seen if videos] == [["synthetic-0"] * 20]


def test_a_warning_where_an_agent_is_evaluated_on_its_training_videos(folder, networks):
    """By the name, or by the fingerprint where the video has another name."""
    renamed = fingerprint_videos(TargetSet.from_sequence(square_video(6, 2)))
    assert list(renamed) == ["square-2"]
    said = []
    for videos, shared in (
        ({"square-1": None}, ["square-1"]), ({"other": renamed["square-2"]}, ["square-2"]), ({"other": "0"}, []),
    ):  # fmt: skip
        trained = TrainingEnvironment(SearchArguments(), videos=videos)
        one = agent("agent", "up", trained=trained)
        run = run_of(folder, out=folder / f"out-{len(said)}-{len(shared)}", per_sequence=1, seeds=(0,))
        found = evaluate_agents(run, Contest(networks, [one]), warn=said.append)
        assert found["trained_on"] == {"agent": shared}
    assert [sentence.split(";")[0] for sentence in said] == [
        "'agent' was trained on square-1", "'agent' was trained on square-2",
    ]  # fmt: skip


def test_a_folder_with_other_files_is_refused(folder, networks):
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="other files"):
        evaluate_agents(run_of(folder), Contest(networks))
    assert [path.name for path in (folder / "out").iterdir()] == ["thesis.tex"]


def test_a_sequence_that_fails_does_not_stop_the_others(folder, networks):
    (folder / "data" / "square-1" / "img" / "0003.png").write_bytes(b"no picture")
    found = evaluate_agents(run_of(folder, per_sequence=20), Contest(networks))
    assert list(found["sequences"]) == ["square-2"] and "0003.png" in found["failed"]["square-1"]
    assert not (folder / "out" / "sequences" / "square-1.json").exists()
    (folder / "data" / "square-2" / "img" / "0003.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="0003.png"):
        evaluate_agents(run_of(folder, per_sequence=20, out=folder / "other"), Contest(networks))


def test_processes_need_a_function_that_loads_the_contest(folder, networks):
    with pytest.raises(InputError, match="The evaluation cannot be sent to other processes .*; give a function"):
        evaluate_agents(run_of(folder), Contest(networks), workers=2, load=lambda: Contest(networks))
    assert not (folder / "out").exists()


def test_a_run_of_nothing_is_refused(folder, networks):
    for changes in ({"per_sequence": 0}, {"seeds": ()}, {"seeds": (1, 1)}):
        with pytest.raises(InputError, match="--(per-sequence|seeds) 1 or more"):
            run_of(folder, **changes)
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="holds no annotated target"):
        evaluate_agents(EvaluationRun(folder / "empty", folder / "out", 1, (0,), {}), Contest(networks))


# -------------------------------------------------------------------- loading


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Agents with untrained weights for the slim net's state."""
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import PPO

    from agents.dqn.algorithm import SquaredErrorDQN

    env = gym.make(occlusion_env.ENV_ID, targets="synthetic")
    folder = tmp_path_factory.mktemp("agents")
    for name, kind in (("dqn", SquaredErrorDQN), ("ppo", PPO), ("ppo_mask", MaskablePPO)):
        size = {"buffer_size": 10} if name == "dqn" else {"n_steps": 2, "batch_size": 2}
        kind("MlpPolicy", env, seed=0, policy_kwargs={"net_arch": [8]}, **size).save(folder / f"{name}-tiny.zip")
    return folder


@pytest.fixture(scope="module")
def slim():
    return load_networks(SearchArguments(device="cpu", precision="fp32"))


@pytest.mark.parametrize(
    ("path", "algo"),
    [
        ("dqn.zip", "dqn"), ("qrdqn_3.zip", "qrdqn"), ("PPO-mask.zip", "ppo"), ("ppo_mask.zip", "ppo_mask"),
        ("logs/a2c/Env-v0_1/best_model.zip", "a2c"), ("ppo/dqn-x.zip", "dqn"), ("model.zip", None),
        ("dqnx/model.zip", None),
    ],
)  # fmt: skip
def test_the_path_says_the_algorithm(path, algo):
    assert algorithm_of(Path(path)) == algo


@pytest.mark.parametrize("name", ["dqn", "ppo", "ppo_mask"])
def test_a_loaded_agent_acts_as_its_algorithm(trained, slim, targets, name):
    loaded = load_agent(str(trained / f"{name}-tiny.zip"), device="cpu")
    assert loaded.name == f"{name}-tiny"
    search = four_searches(slim)
    search.begin(np.arange(4), targets, [np.zeros((64, 64, 3), np.uint8)] * 4, drop=0.0)
    policy = loaded.policy(search)
    assert isinstance(policy, Masked) == (name == "ppo_mask")
    actions, _ = policy.predict(loaded.observe(search), deterministic=True)
    assert actions.shape == (4,) and actions.dtype.kind == "i"


def test_a_masked_action_is_never_taken(trained, slim, targets):
    search = four_searches(slim)
    search.begin(np.arange(4), targets, [np.zeros((64, 64, 3), np.uint8)] * 4, drop=0.0)
    policy = load_agent(str(trained / "ppo_mask-tiny.zip"), device="cpu").policy(search)
    for _ in range(40):
        masks = search.action_masks()
        actions, _ = policy.predict(search.observe())
        assert masks[np.arange(4), actions].all()
        search.step(np.where(actions == TRIGGER, 0, actions))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run whose agent was shown pool5 and three actions, and may cover a tenth."""
    from stable_baselines3 import PPO

    run = RunFolder.create(tmp_path_factory.mktemp("logs"), "ppo", "OcclusionSearch-v0")
    kwargs = {"targets": "synthetic:1", "layer": "conv1", "history": 3, "max_area": 0.1, "state": "roi"}
    env = gym.make(occlusion_env.ENV_ID, **kwargs)
    PPO("MlpPolicy", env, seed=0, n_steps=2, batch_size=2, policy_kwargs={"net_arch": [4]}).save(run.model)
    run.write_parameters({"env_kwargs": kwargs}, {"algo": "ppo", "env": "OcclusionSearch-v0"}, "")
    return run


def test_an_agent_of_a_run_is_judged_as_it_was_trained(run_folder, slim, targets):
    for spec in (run_folder.path, run_folder.model):
        loaded = load_agent(str(spec), device="cpu")
        assert loaded.name == "ppo/OcclusionSearch-v0_1/OcclusionSearch-v0"
        assert loaded.settings.history == 3 and loaded.settings.limits.max_area == 0.1
        assert loaded.settings.state == "roi" and loaded.features.layer == "conv1"
    found = compare(slim, targets[:2], [loaded], without_features(loaded, targets), methods={})
    assert found.trials["random"].area == pytest.approx(0.25) and len(found.checks) == 2
    assert (found.trials[loaded.name].area <= 0.1 + 1e-9).all()
    episodes = record({0: found}, ("a", "b"), {loaded.name: 0.1})["seeds"]["0"]["episodes"][loaded.name]
    areas = [float(np.prod(episode.best.region[2:])) for episode in found.episodes[loaded.name]]
    assert episodes["at_cap"] == [area > 0.0999 for area in areas]
    assert load_policy(run_folder.path).environment.arguments.targets == "synthetic"
    assert training_speed(str(run_folder.path)) is None, "it has no log"
    log = run_folder.path / "0.monitor.csv"
    log.write_text('#{"t_start": 0, "env_id": "x"}\nr,l,t\n1,30,2\n2,10,5\n')
    assert training_speed(str(run_folder.model)) == {"steps": 40, "seconds": 5.0, "steps_a_second": 8.0}
    log.unlink()
    assert run_folder.agent_file() == run_folder.model
    run_folder.best_model.write_bytes(b"not yet")
    assert (
        run_folder.agent_file() == run_folder.best_model and run_folder.agent_file(last=True) == run_folder.model
    )
    with pytest.raises(InputError, match="cannot be loaded as an agent of ppo"):
        load_agent(str(run_folder.path))
    run_folder.best_model.unlink()


def test_a_baseline_by_name_moves_as_an_agent_does(networks, targets):
    loaded = load_agent("grid")
    found = compare(networks, targets, [loaded], methods={})
    steered = found.trials["grid, steered"]
    assert found.closure("grid, steered") > 0.8 and steered.queries.max() <= 21
    assert all(len(episode.actions) > 2 for episode in found.episodes["grid, steered"])


def test_what_is_no_agent(trained, tmp_path):
    (tmp_path / "dqn.zip").write_bytes(b"no zip")
    (tmp_path / "model.zip").write_bytes((trained / "dqn-tiny.zip").read_bytes())
    for spec, algo, message in (
        ("nowhere.zip", None, "no agent 'nowhere.zip'"), (str(tmp_path / "dqn.zip"), None, "cannot be loaded"),
        (str(tmp_path / "model.zip"), None, "names no algorithm"), (str(tmp_path / "model.zip"), "x", "'x' is no"),
        (str(trained / "dqn-tiny.zip"), "ppo", "cannot be loaded as an agent of ppo"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            load_agent(spec, algo)


def test_an_agent_of_another_state_is_told_apart(trained, networks, targets):
    loaded = load_agent(str(trained / "dqn-tiny.zip"), device="cpu")
    with pytest.raises(InputError, match=r"observes Box\[346\] and this search shows Box\[94\]"):
        loaded.policy(four_searches(networks))


# -------------------------------------------------------------------- command


@pytest.fixture(autouse=True)
def no_shipped_prior(monkeypatch):
    monkeypatch.setattr("agents.evaluation.contest.shipped_prior", lambda *search: None)


def test_the_command_without_an_agent(folder, run):
    code, out, err = run(
        "evaluate", "--data", folder / "data", "--per-sequence", 1, "--seeds", 1, "--device", "cpu",
        "--json", folder / "copy.json",
    )  # fmt: skip
    assert code == 0, err
    content = json.loads((folder / "copy.json").read_text())
    assert content == json.loads((folder / "out" / "evaluation" / "evaluation.json").read_text())
    assert content["closure"] is None and content["interval"] is None and content["targets"] == 2
    curves = {"best of k random", "cells", "attribution", "hill climbing"}
    assert set(content["methods"]) == curves | {"clean", "random", "grid search"}
    assert set(content["frontier"]) == set(content["frontier_intervals"]) == curves
    for row in content["frontier"].values():
        assert list(row) == BUDGET_NAMES and (np.diff(list(row.values())) >= 0).all()
    assert content["frontier"]["best of k random"]["1"] == pytest.approx(0, abs=1e-5)
    for name, row in content["methods"].items():
        assert {"score", "area", "queries"} <= set(row), name
    assert content["command"].startswith("occlusion-search evaluate --data") and "torch" in content["machine"]
    assert "hill climbing" in out and "Closure by scorer queries" in out and "no prior for this scorer" in err
    assert err.count("no prior for this scorer, area and occluder; constant, strips") == 1
    for picture in ("frontier.png", "pictures/square-1.png", "pictures/square-2.png"):
        assert read_image(folder / "out" / "evaluation" / picture).std() > 10
    page = (folder / "out" / "evaluation" / "index.html").read_text("utf-8")
    assert "No verdict: fewer than 8 sequences give no interval" in page and "occlusion-search evaluate" in page
    assert base64.b64encode((folder / "out" / "evaluation" / "frontier.png").read_bytes()).decode() in page
    assert 'src="pictures/square-1.png"' in page and 'src="pictures/square-2.png"' in page
    closure = content["sequences"]["square-1"]["methods"]["cells"]["closure"]
    cells = page[page.index('<th scope="row">square-1</th>') :]
    assert f"{closure:.3f}" in cells[: cells.index("</tr>")]
    assert "index.html" in out and "Leak checks" not in page


def test_a_folder_named_like_a_baseline_changes_nothing(folder, run, tmp_path):
    """The baseline plays; the folder is no input, so that results may lie in it."""
    command = ["evaluate", "--data", folder / "data", "--per-sequence", 1, "--seeds", 1, "--device", "cpu"]
    command += ["--agent", "centre", "--checks", "none", "--out", "centre/out"]
    (tmp_path / "centre").mkdir()
    code, _, err = run(*command)
    assert code == 0, err
    content = json.loads((tmp_path / "centre" / "out" / "evaluation.json").read_text())
    assert (
        list(content["agents"]) == ["centre, steered"] and content["agents"]["centre, steered"]["training"] is None
    )
    assert json.loads((tmp_path / "centre" / "out" / "settings.json").read_text())["agent_files"] == ["centre"]


def test_the_command_with_a_prior(folder, run, slim):
    """Two videos: the belief is checked with the other one's answers. A prior of another search is refused."""
    grid = RegionLimits().grid(0.25)
    prior = Prior(grid, grid[:, 3], grid[:, 3], 0.01 * np.eye(len(grid)))
    card = describe_search(slim.scorer, RegionLimits(), "background") | {"videos": {"square-2": "0"}, "unit": 0.1}
    file = folder / "prior.safetensors"
    save_prior(file, FittedPrior(prior, None, card))
    given = [
        "evaluate", "--data", folder / "data", "--per-sequence", 1, "--seeds", 1, "--device", "cpu", "--out",
        folder / "o", "--prior", file, "--json", folder / "a.json",
    ]  # fmt: skip
    code, out, err = run(*given)
    assert code == 0 and "the prior was fitted to square-2" in err, err
    content = json.loads((folder / "a.json").read_text())
    assert {"constant", "strips", "belief"} <= set(content["frontier"]) and "predictor" not in content["frontier"]
    assert content["gain_over_constant"]["constant"] == dict.fromkeys(BUDGET_NAMES, 0)
    assert list(content["checks"]) == ["belief, answers of another video"]
    assert content["prior"]["videos"] == {"square-2": "0"} and "Gain over the constant region" in out
    code, _, err = run(*given, "--out", folder / "two", "--workers", 2)
    assert code == 0, err
    for file_name in ("sequences/square-1.json", "sequences/square-2.json", "pictures/square-2.png"):
        assert (folder / "two" / file_name).read_bytes() == (folder / "o" / file_name).read_bytes()
    assert json.loads((folder / "a.json").read_text())["methods"] == content["methods"]
    save_prior(file, FittedPrior(prior, None, card | {"occluder": "noise"}))
    code, _, err = run(*given)
    assert code == 2 and "was fitted for occluder 'noise' and is used with 'background'" in " ".join(err.split())


def slim_is_fp32():
    from tracker.models.backbones import resolve_precision

    return resolve_precision("auto", torch.device("cpu")) == torch.float32


def test_the_command_with_agents(folder, run, trained):
    given = [
        "evaluate", "--data", folder / "data" / "square-1", "--per-sequence", 1, "--seeds", 1,
        "--device", "cpu", "--out", folder / "o", "--agent", trained / "dqn-tiny.zip",
    ]  # fmt: skip
    code, out, err = run(*given, trained / "ppo-tiny.zip", "--json", folder / "a.json")
    assert code == 0, err
    content = json.loads((folder / "a.json").read_text())
    assert content["closure"] == content["methods"]["dqn-tiny"]["closure"] is not None
    assert {"dqn-tiny", "ppo-tiny"} <= set(content["methods"]) & set(content["frontier"])
    assert set(content["agents"]) == {"dqn-tiny", "ppo-tiny"}
    assert {"dqn-tiny, no features", "dqn-tiny, features of another video", "always trigger"} <= set(
        content["checks"]
    )
    again = [*given, trained / "ppo-tiny.zip"]
    code, _, err = run(*again, "--checks", "none")
    assert code == 2 and "another evaluation (checks was" in err and "and is []" in err
    code, _, err = run(*again, "--precision", "bf16" if slim_is_fp32() else "fp32")
    assert code == 2 and "another evaluation (arithmetic was" in err
    assert content["best_constant"].startswith("always ") and "trigger pulled" in out
    assert content["methods"]["dqn-tiny"]["queries"] >= 1
    code, _, err = run(*given)
    assert code == 2 and "another evaluation (agent" in err
    code, _, err = run(*given, trained / "dqn-tiny.zip")
    assert code == 2 and "dqn-tiny.zip' is given twice" in err
    other = folder / "dqn-tiny.zip"
    shutil.copy(trained / "dqn-tiny.zip", other)
    code, _, err = run(*given, other)
    assert code == 2 and "Two agents have the name 'dqn-tiny'" in err


def test_the_command_with_arms(folder, run, trained):
    again = shutil.copy(trained / "dqn-tiny.zip", folder / "dqn-again.zip")
    arms = [f"one={trained / 'dqn-tiny.zip'}", f"other={trained / 'ppo-tiny.zip'}", f"one={again}"]
    code, out, err = run(
        "evaluate", "--data", folder / "data", "--per-sequence", 1, "--seeds", 1,
        "--device", "cpu", "--out", folder / "o", "--json", folder / "a.json", "--agent", *arms,
    )  # fmt: skip
    assert code == 0, err
    content = json.loads((folder / "a.json").read_text())
    assert content["arms"]["one"]["agents"] == ["one, training 1", "one, training 2"]
    assert content["arms"]["one"]["closure"] == pytest.approx(content["closure"])
    assert content["arms"]["one"]["spread"] == 0 and content["methods"]["one, training 2"]["queries"] >= 1
    first = content["agents"]["one, training 1"]
    assert first["agent"].endswith("dqn-tiny.zip") and first["training"] is None
    difference = content["differences"][0]
    closed = content["arms"]["one"]["closure"] - content["arms"]["other"]["closure"]
    assert difference["closure"] == pytest.approx(closed, abs=1e-5)
    assert "closure of one less that of other" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "data", "--agent", "nobody.zip"], "no agent 'nobody.zip'"),
        (["--data", "data", "--seeds", "0"], "--seeds 1 or more"),
        (["--data", "data", "--per-sequence", "0"], "--per-sequence 1 or more"),
        (["--data", "data", "--weights", "no.safetensors"], "no.safetensors"),
        (["--data", "data", "--json", "no/where.json"], "cannot be written"),
        (["--data", "data", "--layer", "fc9"], "fc9"),
    ],
)
def test_what_a_person_gets_wrong_is_one_sentence(folder, run, arguments, message):
    code, _, err = run("evaluate", *arguments, "--device", "cpu")
    assert code == 2 and err.count("\n") <= 2 and message in err
    assert not (folder / "out" / "evaluation" / "sequences").exists()
