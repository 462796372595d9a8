"""The benchmarks' scripts: results of other arguments, SiamFC's sweep, and the learners of the paper's state."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.ablation.sweep_occluders import KINDS
from agents.common.results import FORMATS
from agents.dqn.bridge import VectorEnvBridge
from agents.policies.belief import FittedPrior
from agents.policies.belief.method import BeliefProposer
from agents.policies.rollout import Agent
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.background import BackgroundSearch
from occlusion_env.envs.building import load_networks
from occlusion_env.mdp.actions import TRIGGER, RegionLimits
from occlusion_env.scene.occluders import CONTRAST_SIDE, choose_occluder
from occlusion_env.scene.oracle import OracleFeatures, OracleScorer
from occlusion_env.scene.shapes import other_videos
from occlusion_env.scene.targets import TargetSet, load_targets
from occlusion_env.search.belief import Prior
from occlusion_env.search.core import Search, SearchSettings
from tracker.errors import InputError
from tracker.evaluation.result_files import write_boxes
from tracker.models.backbones import save_weights
from tracker.models.siamfc import SiamFCNet, load_siamfc
from tracker.training import SiamFCTraining

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write_siamfc(file: Path, seed: int = 0) -> None:
    """Random weights of SiamFC."""
    torch.manual_seed(seed)
    save_weights(file, SiamFCNet().state_dict())


@pytest.fixture
def data(tmp_path: Path, make_video: Any, write_otb: Any) -> Path:
    for seed, name in enumerate(("train/a", "train/b", "judge/c", "judge/d")):
        write_otb(tmp_path / name, make_video(frames=3, seed=seed))
    write_siamfc(tmp_path / "net")
    return tmp_path


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory, make_video: Any, write_otb: Any, vgg_file: Path
) -> dict[str, Path]:
    """Folders of one, two and six videos and of files of results that are none; weights; an agent."""
    root = tmp_path_factory.mktemp("inputs")
    for name, videos in (("one", "a"), ("two", "ab"), ("six", "abcdef")):
        for seed, video in enumerate(videos):
            write_otb(root / name / video, make_video(frames=3, seed=seed))
    for name, content in (("empty", "{}"), ("damaged", "{"), ("foreign", '{"format": "vae/2"}')):
        (root / name).mkdir()
        (root / name / "otb15.json").write_text(content)
    (root / "other").mkdir()
    for name, kind in script("plots")._READ.items():
        (root / "other" / f"{name}.json").write_text(json.dumps({"format": f"{kind}/{FORMATS[kind]}"}))
    write_siamfc(root / "siamfc")
    found = {name: root / name for name in ("one", "two", "six", "siamfc")}
    return found | {"root": root, "vgg": vgg_file, "agent": BENCHMARKS.parent / "agents/weights/agent.safetensors"}


def zeros(given: str, *names: str) -> list[tuple[str, str]]:
    """Options that must be at least 1, each as 0, beside the options `given`."""
    return [(f"{given} --{name} 0", f"--{name} is 0; it must be at least 1.") for name in names]


BOTH = "--train {two} --judge {two}"
SIAMFC = "--weights {siamfc}"
MISSING = "The folder 'nowhere' does not exist."
NOT_SIAMFC, NOT_VGG = (
    "The weights in '{vgg}' are not those of SiamFC's",
    "The weights in '{siamfc}' are not those of",
)
NO_RESULTS = "otb15.json' cannot be read as results of the format benchmark report/2"
REFUSALS = {
    "env_speed": [
        *zeros("", "counts", "steps", "rounds", "training-targets", "training-steps", "threads"),
        ("--counts", "--counts is empty; give at least one number of environments."),
        ("--cache-mb -1", "cache_mb is -1.0;"),
    ],
    "generation_speed": [
        *zeros("", "targets", "per-target", "rounds", "batch", "threads"),
        ("--workers -1", "--workers is -1; it must be at least 0."),
        ("--workers-targets 0 2", "--workers-targets is 0; it must be at least 1."),
        ("--workers-targets 2 2", "--workers-targets is (2, 2); the long run must have more than the short one."),
        ("--methods random nope", "'nope' is no method; choose"),
    ],
    "ladder_recipe": [
        *zeros("--data {two}", "frames", "workers"),
        ("--data {two} --folds 1", "--folds is 1; it must be at least 2."),
        ("--data {six} --folds 4", "--data takes at least 8 annotated videos, and '{six}' has 6."),
    ],
    "learning_curves": [
        *zeros("--train {two}", "seeds", "change-seeds"),
        ("--train {two} --steps 0", "--steps is 0; it must be at least 2500."),
        ("--train nowhere", MISSING),
    ],
    "loader_speed": zeros("--data {two}", "steps", "images", "rounds"),
    "paper_state": [
        *zeros("--train {six}", "per-video", "per-sequence", "seeds"),
        ("--train {two}", "--train takes at least 6 annotated videos, and '{two}' has 2."),
        ("--train {six} --judge nowhere", MISSING),
        ("--train {six} --dqn nowhere", "There is no agent 'nowhere';"),
        ("--train {six} --dqn {agent}", "The observations of '{agent}' are (45,) and not (346,);"),
        ("--train {six} --vgg16 {siamfc}", NOT_VGG),
        ("--train {six} --vgg16 {vgg} --per-video 2", "--per-video is 2; it must be at least 4."),
    ],
    "patches": zeros("--judge {two} --json patches.json", "per-sequence"),
    "plots": [
        ("--results nowhere", f"'nowhere/{NO_RESULTS}"),
        ("--results {root}/empty", f"'{{root}}/empty/{NO_RESULTS} (no 'format'); give --results"),
        ("--results {root}/damaged", f"'{{root}}/damaged/{NO_RESULTS}"),
        ("--results {root}/foreign", f"'{{root}}/foreign/{NO_RESULTS} (its format is 'vae/2')"),
        ("--results {root}/other", "'{root}/other' cannot be read as results of these benchmarks (no 'trackers')"),
        ("--out {siamfc}", "'{siamfc}' is a file; give a folder for --out."),
    ],
    "priors": [
        ("--data {two} --out new --number 9999", "--number is 9999; 'drawn:9' has the targets 0 to "),
        ("--data {two} --out new --number -1", "--number is -1; it must be at least 0."),
        ("--data {two} --out new --target nowhere", MISSING),
        ("--data {two} --out {siamfc}", "'{siamfc}' is a file; give a folder for --out."),
    ],
    "robustness": [
        *zeros("", "steps", "envs", "sample-every"),
        ("--side 4", "--side is 4; it must be at least 8."),
        ("--seed -1", "--seed is -1; it must be at least 0."),
    ],
    "siamfc": [
        *zeros(f"{BOTH} {SIAMFC}", "seeds", "steps", "frames"),
        (f"{BOTH} --weights {{vgg}}", NOT_SIAMFC),
        (f"{BOTH} {SIAMFC} --frozen 5", "The setting frozen is 5;"),
        (f"{BOTH} {SIAMFC} --ope a nope", "There is no sequence 'nope' in the data;"),
        (f"--train {{one}} --judge {{two}} {SIAMFC}", "Of 1 videos none is left to train on;"),
        (f"--train {{two}} --judge {{one}} {SIAMFC}", "--judge takes at least 2 annotated videos,"),
    ],
    "state_correlation": [
        *zeros(BOTH, "per-sequence"),
        (f"{BOTH} --regions 1", "--regions is 1; it must be at least 2."),
        (f"{BOTH} --seed -1", "--seed is -1; it must be at least 0."),
        (f"{BOTH} --vgg16 {{siamfc}}", NOT_VGG),
        ("--train {one} --judge {two}", "--train takes at least 2 annotated videos, and '{one}' has 1."),
        ("--train {two} --judge nowhere", MISSING),
    ],
    "stopping": [
        *zeros("--train {two}", "per-video", "per-sequence", "seeds"),
        ("--train {one}", "--train takes at least 2 annotated videos, and '{one}' has 1."),
        ("--train {two} --judge nowhere", MISSING),
    ],
    "stress_prediction": [
        ("--data {two} --stress nowhere --ope nowhere --annotations {one}/a --json figures.json",
         "There is no annotation of b; give a file or folder that has them."),
    ],
    "stress_siamfc": [
        *zeros(f"--train {{six}} {SIAMFC}", "seeds", "steps", "frames"),
        ("--train {six} --weights {vgg}", NOT_SIAMFC),
        (f"--train {{six}} {SIAMFC} --frozen 5", "The setting frozen is 5;"),
        (f"--train {{two}} {SIAMFC}", "--train takes at least 6 annotated videos, and '{two}' has 2."),
        (f"--train {{six}} {SIAMFC} --judge nowhere", MISSING),
    ],
    "tracker_speed": zeros("", "frames", "rounds", "naive", "batch", "threads"),
    "vae_speed": [
        *zeros("", "crops", "epochs", "rounds", "quality-seeds", "threads"),
        ("--quality-epochs -1", "--quality-epochs is -1; it must be at least 0."),
    ],
    "vae_validation": zeros("--data {two}", "epochs"),
}  # fmt: skip
"""Wrong options of each script, and the beginning of the sentence."""


@pytest.mark.parametrize("name", REFUSALS)
def test_wrong_options_are_one_sentence_and_leave_nothing(
    name: str,
    inputs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before the work begins, and before a folder is claimed, so that the corrected command can run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)
    for words, sentence in REFUSALS[name]:
        file = BENCHMARKS / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(file), *fill(words, inputs).split()])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(file), run_name="__main__")
        error = capsys.readouterr().err
        assert end.value.code == 2 and error.count("\n") == 1, (words, error)
        assert error.startswith(f"{name}.py: error: {fill(sentence, inputs)}"), (words, error)
        assert not list(tmp_path.iterdir()), words


def test_a_short_run_does_not_judge_the_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = script("robustness")
    for steps, every in ((100, 5000), (96, 32)):
        given = module.Settings(steps=steps, sample_every=every, bound_mb=1e6, json=tmp_path / "robustness.json")
        assert module.main(given) == 0
        searches = json.loads(given.json.read_text())["searches"].values()
        judged = [row["rise_second_half_mb"] is not None for row in searches]
        assert all(row["ok"] for row in searches) and judged == [every == 32] * 2
        assert capsys.readouterr().err.count("too few steps to judge the memory") == 2 * (every == 5000)
    assert module.main(module.Settings(steps=96, sample_every=32, bound_mb=-1e6)) == 1


def test_a_command_that_fails_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="`occlusion-search nope --x 'a b'` failed with exit code 2"):
        script("siamfc").run_command(["nope", "--x", "a b"])
    assert capfd.readouterr().err


def test_a_prediction_takes_three_values_and_results_of_all_targets(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("stress_prediction")
    different, two = np.arange(5.0), np.array([0.0, 0, 0, 1, 1])
    with pytest.raises(InputError, match="The OccAUC has 2 values over 5 trackers"):
        module.correlate(different, two, different)
    monkeypatch.setattr(module, "RESAMPLES", 20)
    found = module.correlate(different, np.array([0.0, 0, 0, 1, 2]), different)
    assert found["plain_auc"]["rho"] == 1 and 0 < found["occ_auc"]["rho"] < 1
    (tmp_path / "tracker" / "ope").mkdir(parents=True)
    write_boxes(tmp_path / "tracker" / "ope" / "a.txt", np.ones((3, 4)))
    truth = {"a": {"boxes": [[1, 1, 9, 9]] * 3, "attributes": ["OCC"]}, "b": {"boxes": [[1, 1, 9, 9]] * 3}}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    tracker = SimpleNamespace(occ_auc=SimpleNamespace(mean=0.5))
    monkeypatch.setattr(module, "score_stress", lambda *_: SimpleNamespace(trackers={"tracker": tracker}))
    with pytest.raises(InputError, match="has no results for b; run the tracker"):
        module.main(inputs["two"], tmp_path, tmp_path, tmp_path / "truth.json", tmp_path / "figures.json")


def test_the_example_of_a_help_has_its_line_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = BENCHMARKS / "stress_prediction.py"
    monkeypatch.setattr(sys, "argv", [str(file), "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(file), run_name="__main__")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1 + next(row for row, line in enumerate(lines) if line.endswith("\\"))].startswith("--json ")


def fill(text: str, inputs: dict[str, Path]) -> str:
    """Put the paths in."""
    for key, path in inputs.items():
        text = text.replace(f"{{{key}}}", str(path))
    return text


class Stop(Exception):
    """The work that follows."""


def stop(*_: object, **__: object) -> None:
    raise Stop


def test_results_of_other_arguments_are_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch, make_video: Any, write_otb: Any
) -> None:
    module = script("siamfc")
    monkeypatch.setattr(module, "train", stop)
    for variable in ("WEIGHTS", "PRIORS", "TRAIN"):
        monkeypatch.setenv(f"OCCLUSION_SEARCH_{variable}", "")
    weights = data / "net"
    given = {"train": data / "train", "judge": data / "judge", "weights": weights, "out": data / "out"}
    for _ in range(2):
        with pytest.raises(Stop):
            module.main(module.Arguments(**given))
    with pytest.raises(InputError, match=r"other arguments \(steps was 200 and is 300\); give another --out"):
        module.main(module.Arguments(**given, steps=300))
    write_siamfc(weights, seed=1)
    with pytest.raises(InputError, match="weights was .* and is"):
        module.main(module.Arguments(**given))
    write_siamfc(weights)
    write_otb(data / "train" / "e", make_video(frames=3, seed=5))
    with pytest.raises(InputError, match="train.e was not set and is"):
        module.main(module.Arguments(**given))


def test_siamfc_is_swept_with_seen_and_unseen_occluders(make_video: Any) -> None:
    module = script("siamfc")
    videos = [make_video(frames=4, width=160, height=120, seed=seed) for seed in range(2)]
    net = SiamFCNet().eval().requires_grad_(False)
    found = module.localised(net, videos[0], 2, 0, other_videos(videos[1:]))
    assert list(found) == list(KINDS)
    for overlaps in found.values():
        assert overlaps.shape == (6, 2) and (0 <= overlaps).all() and (overlaps <= 1).all()
        assert np.array_equal(overlaps[0], found["background"][0])


def test_the_claims_of_siamfcs_sweep_are_corrected_apart_from_the_rest() -> None:
    module = script("siamfc")
    rng = np.random.default_rng(0)
    gains = {"released": 0.0, "fine-tuned": 0.0, "random occlusion": 0.03, "hardest of 8": 0.03}
    level = rng.uniform(0.4, 0.8, (10, 6, 1))
    rows = {
        arm: dict(zip("abcdefghij", (level + gain + rng.normal(0, 0.06, (10, 6, 3))).tolist(), strict=True))
        for arm, gain in gains.items()
    }
    found = module.sweep_figures(rows, module.PRIMARY_CONTRASTS)
    differences = found["differences"]
    claim = differences["random occlusion less fine-tuned"]["all covered"]
    assert claim["p_holm"] < 0.05 and claim["interval"][0] > 0
    assert differences["hardest of 8 less random occlusion"]["all covered"]["p_holm"] > 0.05
    none = module.sweep_figures(rows, ())
    assert none["differences"]["random occlusion less fine-tuned"]["all covered"]["p_holm"] > claim["p_holm"]


@pytest.fixture
def stress_siamfc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)  # it imports scripts beside it
    return script("stress_siamfc")


def test_the_arms_of_siamfc_differ_in_their_search_regions(
    stress_siamfc: Any, tmp_path: Path, make_video: Any, write_otb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stress_siamfc, "SiamFCTraining", partial(SiamFCTraining, pairs=4, validate_pairs=1))
    monkeypatch.setattr("tracker.training.siamfc.CALIBRATION_PAIRS", 2)
    for seed, name in enumerate("abc"):
        write_otb(tmp_path / "train" / name, make_video(frames=3, width=160, height=120, seed=seed))
    torch.manual_seed(0)
    save_weights(tmp_path / "net", SiamFCNet().state_dict())
    given = stress_siamfc.Arguments(tmp_path / "train", tmp_path / "net", steps=1)
    losses = {}
    for arm in stress_siamfc.ARMS:
        figures = stress_siamfc.train(given, given.train, tmp_path / arm, arm, 1e-4, 0)
        assert stress_siamfc.train(given, given.train, tmp_path / arm, arm, 1e-4, 0) == figures, "trained once"
        losses[arm] = json.loads((tmp_path / arm / "siamfc.json").read_text())["training_loss"]
        assert set(json.loads((tmp_path / arm / "siamfc.json").read_text())["trained_on"]) > {
            "pasted-0",
            "pasted-1",
        }
    assert losses["plain"] != losses["hardest"]
    mixed = load_siamfc(stress_siamfc.mix(given, tmp_path / "plain", 0.5)).state_dict()
    before, after = (load_siamfc(tmp_path / name).state_dict() for name in ("net", "plain/siamfc.safetensors"))
    assert not torch.equal(before["conv5.weight"], after["conv5.weight"])
    for name, values in mixed.items():
        assert torch.allclose(values, (before[name] + after[name]) / 2)


def test_the_ladder_under_stress_is_paired_over_sequences_and_seeds(tmp_path: Path) -> None:
    module = script("stress_ladder")
    rng = np.random.default_rng(0)
    target, levels = (
        rng.random((9, 1)),
        {"start": 0.0, "sint": 0.1, "vae-random": 0.1, "vae-hptn": 0.3, "hardest": 0.4},
    )
    values = {
        arm: {"OccAUC": level + target + rng.normal(0, 0.003, (9, 1 if arm == "start" else 3))}
        for arm, level in levels.items()
    }
    found = module.compare(values)
    rows = {row["contrast"]: row for row in found["contrasts"]}
    assert list(rows)[:3] == ["hardest less sint", "vae-hptn less vae-random", "vae-hptn less sint"]
    for name, row in rows.items():
        first, second = name.split(" less ")
        low, high = row["interval"]
        assert abs((low + high) / 2 - levels[first] + levels[second]) < 0.005 and 0 < high - low < 0.05, name
        assert row["seeds"] == 3 and row["measure"] == "OccAUC"
    assert found["arms"]["start"]["OccAUC"]["seeds"] == 1
    with pytest.raises(InputError, match="no network .*sint/0/slim.safetensors'; give --ladder"):
        module.main(module.Arguments(tmp_path, tmp_path))


def test_the_claim_about_siamfc_is_paired_over_sequences_and_seeds(stress_siamfc: Any) -> None:
    rng = np.random.default_rng(0)
    level, seeds = rng.uniform(0.3, 0.8, (15, 1)), rng.normal(0, 0.01, (2, 15, 3))
    areas = {"released": level, "plain": level + seeds[0], "hardest": level + 0.05 + seeds[1]}
    found = stress_siamfc.compare(areas)
    (claim,) = found["primary"]
    assert claim["contrast"] == "hardest less plain" and (claim["sequences"], claim["seeds"]) == (15, 3)
    assert claim["difference"] == pytest.approx((areas["hardest"] - areas["plain"]).mean(), abs=1e-5)
    assert 0.03 < claim["low"] < claim["difference"] < claim["high"] < 0.07
    plain, hardest = found["secondary"]
    assert plain["low"] < 0 < plain["high"] and hardest["low"] > 0
    assert plain["p_holm"] == plain["p"] and hardest["p_holm"] == pytest.approx(2 * hardest["p"])


@pytest.fixture
def learners(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)  # it imports the script beside it
    return script("region_learners")


class Oracle:
    """A world of oracle targets: features and drops of regions, and the targets whose features were read."""

    def __init__(self, count: int) -> None:
        self.search = Search(count, OracleScorer(), OracleFeatures(), SearchSettings())
        self.targets = list(load_targets("oracle").subset(range(count)))
        self.search.begin_random(self.targets, np.random.default_rng(0))
        self.limits, self.rows, self.read = RegionLimits(), np.arange(count), set[int]()
        self.videos = np.array([f"video {row // 2}" for row in self.rows])
        self.candidates = grid = self.limits.grid(0.25)
        self.drops = self.drop(self.rows, np.tile(grid, (count, 1, 1)))
        self.gap, self.goals = self.drops.max(axis=1), grid[self.drops.argmax(axis=1)]

    def drop(self, rows: np.ndarray, regions: np.ndarray) -> np.ndarray:
        scores = self.search.scores(np.repeat(rows, regions.shape[1]), regions.reshape(-1, 4))
        return 1 - scores.reshape(regions.shape[:2])

    def features(self, rows: np.ndarray, regions: np.ndarray) -> np.ndarray:
        self.read |= set(rows.tolist())
        keys = [self.search.view_keys[row] for row in rows]
        return self.search.features_of(keys, regions, lambda place: self.targets[rows[place]])


@pytest.fixture
def oracle() -> Oracle:
    return Oracle(12)


def test_the_expert_walks_to_the_optimum(learners: Any, oracle: Oracle) -> None:
    start = oracle.limits.centre()[0]
    expert = learners.walked(start, lambda world: partial(learners.towards, world.limits, world.goals))
    drops = expert(oracle, oracle.rows)
    assert drops[:, 0].mean() < 0.7 and drops.max(axis=1).mean() > 0.9
    actions = learners.towards(oracle.limits, oracle.goals, oracle.rows, oracle.goals, None).argmax(axis=1)
    assert (actions == TRIGGER).all(), "at the goal, also where borders stop a move"


def test_a_walk_visits_ten_regions_and_remembers_its_moves(learners: Any) -> None:
    limits, rows = RegionLimits(), np.arange(3)
    rng = np.random.default_rng(0)
    regions, history = learners.walk(limits, rows, limits.centre()[0], lambda *_: rng.random((3, 9)))
    assert all(len(np.unique(each.round(6), axis=0)) == 10 for each in regions)
    moves = history[:, -1, :9][:, ::-1].argmax(axis=2)
    for step in range(9):
        assert regions[:, step + 1] == pytest.approx(limits.move(regions[:, step], moves[:, step]))


def test_no_round_of_dagger_reads_a_left_out_video(learners: Any, oracle: Oracle) -> None:
    start, groups = oracle.limits.centre()[0], []

    def fit(rows: np.ndarray) -> Any:
        oracle.read = set()
        queried = learners.imitate(oracle, rows, ("features", "history"), 2, start, 20, 0)
        groups.append(set(oracle.read))
        return queried

    drops = script("paper_state").left_out(oracle, fit)
    assert drops[:, 0] == pytest.approx(learners.listed(start[None])(oracle, oracle.rows)[:, 0])
    videos = [{oracle.videos[row] for row in rows} for rows in groups]
    assert [len(rows) for rows in groups] == [10] * 6 and [len(names) for names in videos] == [5] * 6
    assert {name for names in videos for name in {*oracle.videos} - names} == {*oracle.videos}


def test_constants_of_the_training_videos(learners: Any, oracle: Oracle) -> None:
    start = oracle.limits.centre()[0]
    chosen = learners.best_list(oracle.drops)
    assert chosen[0] == oracle.drops.mean(axis=0).argmax()
    best = oracle.drops[:, chosen].max(axis=1).mean()
    assert best > oracle.drops[:, chosen[0]].mean() + 0.1
    regions = learners.best_sequence(oracle, oracle.rows, start)
    after = learners.neighbours(oracle.limits, np.array(regions[:-1]))
    assert (
        len(regions) == 10
        and (np.abs(after - np.array(regions[1:])[:, None]).max(axis=2).min(axis=1) < 1e-9).all()
    )
    drops = learners.listed(np.array(regions))(oracle, oracle.rows).max(axis=1).mean()
    at_random = [learners.move_randomly(start, seed)(oracle, oracle.rows).max(axis=1).mean() for seed in range(5)]
    assert drops > max(at_random)


def test_values_of_regions_are_computed_once_and_stored(learners: Any, tmp_path: Path) -> None:
    calls = []

    def compute(rows: np.ndarray, regions: np.ndarray) -> np.ndarray:
        calls.append(len(rows))
        return rows[:, None] + regions

    regions = np.random.default_rng(0).random((4, 4)).round(6)
    lookup = sys.modules["region_tables"].Lookup(tmp_path / "values.npz", compute)
    rows = np.array([0, 1, 1, 0])
    assert lookup(rows, regions[[0, 1, 1, 2]]) == pytest.approx(rows[:, None] + regions[[0, 1, 1, 2]])
    lookup.save()
    again = sys.modules["region_tables"].Lookup(tmp_path / "values.npz", compute)
    assert again(rows[:2], regions[:2]) == pytest.approx(rows[:2, None] + regions[:2]) and calls == [3]
    assert again(np.array([3]), regions[3:]).shape == (1, 4) and calls == [3, 1]


def test_closure_less_the_price_of_the_queries_is_a_mean_over_videos() -> None:
    """Two videos of unequal numbers of targets, worked out by hand."""
    module = script("stopping")
    drops = np.array([[0.1, 0.5], [0.1, 0.3], [0.2, 0.6]])
    judged = module.Judged(drops, np.array([0.1, 0.1, 0.2]), drops, ["a", "a", "b"])
    assert judged.gap == pytest.approx((0.4 + 0.2 + 0.4) / 3)
    best, queries = np.array([0.3, 0.2, 0.6]), np.array([2.0, 4.0, 5.0])
    assert judged.closure(best) == pytest.approx([(0.25 - 0.1) / (0.4 - 0.1), 1.0])
    assert judged.net(best, queries) == pytest.approx([0.5 - 0.03, 1.0 - 0.05])
    assert judged.net(best[:, None], queries[:, None]).shape == (2, 1)


def test_the_stopping_rule_of_the_benchmark_is_that_of_the_belief() -> None:
    module = script("stopping")
    rng, grid = np.random.default_rng(0), RegionLimits().grid(0.25)
    centre = grid[:, :2] + grid[:, 2:] / 2
    covariance = 0.01 * np.exp(-((np.linalg.norm(centre[:, None] - centre[None], axis=2) / 0.3) ** 2))
    prior = Prior(grid, np.zeros(len(grid)), np.zeros(len(grid)), covariance + 1e-6 * np.eye(len(grid)))
    drops = rng.multivariate_normal(prior.mean, prior.covariance, 6)
    judged = module.Judged(drops, drops.mean(axis=1), np.zeros_like(drops), ["a"] * 6)
    best, queries = module.stop(*module.query_belief(prior, judged), 0.02)
    proposals = BeliefProposer(FittedPrior(prior, None), query_price=0.02)(None, np.arange(6), [], 336)
    proposed, found, counts = next(proposals), np.full(6, -np.inf), np.zeros(6)
    while (asked := ~np.isnan(proposed[:, 0, 0])).any():
        place = [(grid == region).all(axis=1).argmax() for region in proposed[:, 0]]
        answers = np.where(asked, drops[np.arange(6), place], np.nan)[:, None]
        found, counts = np.fmax(found, answers[:, 0]), counts + asked
        proposed = proposals.send(answers)
    assert counts.tolist() == queries.tolist() and len(set(counts)) > 1
    assert found == pytest.approx(best)


def test_the_searches_for_a_patch_are_compared_at_equal_queries(make_video: Any) -> None:
    """Curves fall, no second search is worse than none, and a division has as many queries as the first search."""
    module = script("patches")
    targets = list(TargetSet.from_sequence(make_video(frames=3, width=160, height=120)))
    agent = Agent("right", lambda search: Right())
    drops = module.judge_sequence(
        module.Judge(load_networks(SearchArguments(device="cpu")), targets, {"right": agent})
    )
    none = drops["no second search"][0]
    assert none == pytest.approx(drops["region, random patch"][9])
    for name in ("random", "random small", "contrast", "hill climbing", "right"):
        assert drops[name].shape == (20,) and (np.diff(drops[name]) >= 0).all() and drops[name][0] >= none - 1e-9
    for first in ("random", "random small", "contrast"):
        for total in (5, 10, 20):
            alone = drops[f"region, {first} patch"][total - 4]
            for second in ("random", "random small", "contrast"):
                assert drops[module.division(first, second, total)][0] >= alone - 1e-9


def test_small_random_patches_have_the_size_of_contrasting_ones(make_video: Any, monkeypatch: Any) -> None:
    """In the search for the patch, and as the patch of the search for the region."""
    module = script("patches")
    targets = list(TargetSet.from_sequence(make_video(frames=3, width=160, height=120)))
    networks = load_networks(SearchArguments(device="cpu"))
    drawn: dict[str, list[Any]] = {name: [] for name in module.PATCHES}

    def choose(*given: Any) -> Any:
        drawn[first].append(choose_occluder(*given))
        return drawn[first][-1]

    monkeypatch.setattr(module, "choose_occluder", choose)
    for first in module.PATCHES:
        module.Judge(networks, targets, {}).regions(first)
    sizes = {name: [occluder.box[2:] for occluder in found] for name, found in drawn.items()}
    assert sizes["random small"] == sizes["contrast"] and len(drawn["contrast"]) == len(targets)
    assert all(small[0] < plain[0] for small, plain in zip(sizes["random small"], sizes["random"], strict=True))
    assert [one.box for one in drawn["random small"]] != [one.box for one in drawn["contrast"]]

    search, slots = BackgroundSearch(1, OracleScorer(), OracleFeatures(), SearchSettings()), np.array([0])
    search.begin_random(targets[:1], np.random.default_rng(0))
    boxes = {
        name: module.METHODS[name](search, slots, [np.random.default_rng(1)], 5).send(None)[0]
        for name in module.PATCHES
    }
    assert boxes["random small"].shape == (5, 4)
    assert boxes["random small"][:, 2:] == pytest.approx(boxes["contrast"][:, 2:])
    assert boxes["random small"][:, 2:] == pytest.approx(CONTRAST_SIDE * boxes["random"][:, 2:])
    assert len(np.unique(boxes["random small"], axis=0)) == 5


def test_two_sequences_are_too_few_for_intervals_and_enough_for_figures(
    stress_siamfc: Any, tmp_path: Path, make_video: Any, write_otb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, module, siamfc = np.random.default_rng(0), script("patches"), script("siamfc")
    for seed, name in enumerate("ab"):
        write_otb(tmp_path / "judge" / name, make_video(frames=3, seed=seed))
    names = ["no second search", *module.METHODS, *(f"region, {first} patch" for first in module.PATCHES)]
    divisions = product(module.PATCHES, module.PATCHES, module.TOTALS)
    sizes = {name: module.MOST for name in names} | {module.division(*each): 1 for each in divisions}
    monkeypatch.setattr(module, "judge_sequence", lambda _: {name: rng.random(k) for name, k in sizes.items()})
    module.main(module.Arguments(tmp_path / "judge", json=tmp_path / "patches.json"))
    primary = json.loads((tmp_path / "patches.json").read_text())["primary"]
    assert [(row["interval"], row["p_holm"], row["sequences"]) for row in primary] == [(None, None, 2)] * 2
    few = {arm: {name: rng.random((6, 1)).tolist() for name in "ab"} for arm in ("released", *siamfc.ARMS)}
    found = siamfc.sweep_figures(few, siamfc.PRIMARY_CONTRASTS)["differences"]
    assert {row["p_holm"] for rows in found.values() for row in rows.values()} == {None}
    rows = stress_siamfc.compare({arm: rng.random((2, 1)) for arm in ("released", *stress_siamfc.ARMS)})
    assert [row["p_holm"] for row in rows["secondary"]] == [None, None]
    stopping = script("stopping")
    assert stopping.bounds(stopping.interval([0.1, 0.2])) == {"difference": 0.15, "low": None, "high": None}


def test_two_runs_of_one_algorithm_are_refused() -> None:
    """Before anything is loaded; a run named like a method would take its place too."""
    module = script("patches")
    for runs in ("logs/dqn/X_1 logs/ppo/X_1 other/dqn/X_2", "logs/dqn/X_1 logs/random/X_1"):
        name = "dqn" if "X_2" in runs else "random"
        with pytest.raises(InputError, match=f"Two rows would have the name '{name}'; give one run"):
            module.load_agents([Path(run) for run in runs.split()])


class Right:
    """Moves to the right, again and again."""

    def predict(self, observation: Any, **_: Any) -> tuple[np.ndarray, None]:
        return np.zeros(len(observation), dtype=np.int64), None


def test_climbing_moves_the_best_box_until_none_is_better() -> None:
    module = script("patches")
    search = BackgroundSearch(1, OracleScorer(), OracleFeatures(), SearchSettings())
    target, rng = load_targets("oracle")[0], np.random.default_rng(0)
    search.begin_random([target], rng)
    slots = np.array([0])
    proposals = module.climb(search, slots, [rng], 50)
    first = proposals.send(None)
    near = proposals.send(np.array([[0.2]]))
    assert first.shape == (1, 1, 4) and near.shape == (1, 8, 4)
    moved = search.move(np.zeros(8, np.int64), np.tile(first[0], (8, 1)), np.arange(8))
    assert np.array_equal(near[0], moved)
    further = proposals.send(np.array([[0.1, 0.5, 0.3, *[0.0] * 5]]))
    assert np.array_equal(
        further[0], search.move(np.zeros(8, np.int64), np.tile(near[0, [1]], (8, 1)), np.arange(8))
    )
    assert np.isnan(proposals.send(np.full((1, 8), 0.4))).all(), "none is better"


def test_prioritised_replay_draws_by_temporal_difference() -> None:
    module = script("learning_curves")
    space = spaces.Box(-10.0, 10.0, (1,))
    buffer = module.PrioritisedReplayBuffer(20, space, spaces.Discrete(2), "cpu", n_envs=2)
    for number in range(3):
        states = np.array([[2.0 * number], [2.0 * number + 1]], dtype=np.float32)
        buffer.add(states, states + 1, np.zeros((2, 1)), states[:, 0], np.array([number == 2] * 2), [{}, {}])
    np.random.seed(0)
    batch = buffer.sample(6000)
    assert np.bincount(batch.rewards.flatten().int(), minlength=6).min() > 900, "new ones are drawn alike"
    assert (batch.observations == batch.rewards).all() and (batch.next_observations == batch.rewards + 1).all()
    assert (batch.dones == (batch.rewards >= 4)).all()
    buffer.sampled = np.arange(6)
    buffer.update(torch.tensor([[0.0], [0.0], [-4.0], [0.0], [0.0], [1.0]]))
    batch = buffer.sample(6000)
    drawn = np.bincount(batch.rewards.flatten().int(), minlength=6) / 6000
    weights = np.array([0.001, 0.001, 4.001, 0.001, 0.001, 1.001]) ** 0.6
    assert drawn == pytest.approx(weights / weights.sum(), abs=0.03)
    assert buffer.chances == pytest.approx((weights / weights.mean())[batch.rewards.flatten().int()])


def test_learning_curves_resume_with_the_same_settings_alone(
    tmp_path: Path, make_video: Any, write_otb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("learning_curves")
    write_otb(tmp_path / "videos" / "clip", make_video(frames=4))
    monkeypatch.setattr(module, "FOLDER", tmp_path / "out")
    monkeypatch.setattr(module, "LOSSES", {})
    begun: list[int] = []

    def train_arm(name: str, seed: int, given: Any) -> None:
        begun.append(given.steps)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_arm", train_arm)
    given = module.Arguments(tmp_path / "videos", steps=2564)
    for allowed in (given, given, replace(given, seeds=7, change_seeds=6)):
        with pytest.raises(KeyboardInterrupt):
            module.main(allowed)
    with pytest.raises(InputError, match="trainings with other settings .*steps was 2564 and is 2565"):
        module.main(replace(given, steps=2565))
    write_otb(tmp_path / "videos" / "other", make_video(frames=4, seed=1))
    with pytest.raises(InputError, match="trainings with other settings .*train.other was not set"):
        module.main(given)
    assert begun == [2564] * 3


def test_stopping_keeps_nothing_of_other_targets(
    tmp_path: Path, make_video: Any, write_otb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("stopping")
    for seed, name in enumerate("ab"):
        write_otb(tmp_path / "videos" / name, make_video(frames=4, seed=seed))
    monkeypatch.setattr(module, "FOLDER", tmp_path / "out")
    monkeypatch.setattr(module, "VIDEOS", tmp_path / "out" / "videos.json")
    begun: list[int] = []

    def score_training_videos(folder: Path, per_video: int) -> None:
        begun.append(per_video)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "score_training_videos", score_training_videos)
    given = module.Arguments(tmp_path / "videos", per_video=2)
    for allowed in (given, replace(given, seeds=7)):
        with pytest.raises(KeyboardInterrupt):
            module.main(allowed)
    with pytest.raises(InputError, match="trainings on other targets .*per_video was 2 and is 3"):
        module.main(replace(given, per_video=3))
    assert begun == [2, 2]


@pytest.mark.parametrize("name", ["DuelingDQN", "PrioritisedDQN"])
def test_a_change_of_dqn_learns(name: str) -> None:
    module = script("learning_curves")
    envs = gym.make_vec("OcclusionSearchOracle-v0", num_envs=2, autoreset_mode="SameStep")
    kind, small = (
        getattr(module, name),
        {"learning_starts": 8, "batch_size": 8, "policy_kwargs": {"net_arch": [4]}},
    )
    agent = kind("MlpPolicy", VectorEnvBridge(envs), buffer_size=40, seed=0, **small)
    before = [each.clone() for each in agent.q_net.parameters()]
    agent.learn(60)
    changed = [bool((new != old).any()) for new, old in zip(agent.q_net.parameters(), before, strict=True)]
    assert all(changed) and len(changed) == (8 if name == "DuelingDQN" else 4)
    if name == "DuelingDQN":
        state = torch.zeros(1, *agent.observation_space.shape)
        mean, value = agent.q_net(state).mean().item(), agent.q_net.value(state).item()
        assert mean == pytest.approx(value, abs=1e-5)
