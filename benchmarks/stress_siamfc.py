"""What training with the hardest occlusions is worth to SiamFC, by the occlusion stress test.

The ladder's recipe (docs/reproduce.md) for another tracker, from its released weights:

- plain: trained on pairs of the training videos and of as many videos with pasted targets;
- hardest: the same pairs; in half of them 5 to 60 % of the target in the search region is covered, by the one of 8
  random regions, each with its own patch, with the lowest score for the network in training.

The learning rate and the share of the trained weights in the final ones (the rest is the released weights) are
chosen on two folds of the training videos. A fold is judged by networks trained on the other one: mean overlap
where 30 to 50 % of the target is covered by unseen occluders, by the sweep of `benchmarks/siamfc.py`. Both arms
take the setting with which plain is best.

Named before the judged sequences were read: the primary contrast is hardest less plain in OccAUC, with the
settings of `occlusion-search stress --quick` (one moment of each sequence), over sequences, and over seeds from
three on. The contrasts of both arms with the released network are secondary, with Holm's correction over the two.
Time decides the number of seeds, at most three.

Usage: python benchmarks/stress_siamfc.py --train DIR --judge DIR --weights FILE --out DIR --json FILE

Without --judge it ends after the choice. The same command resumes, also with more seeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import ladder_recipe
import numpy as np
import siamfc
from numpy.typing import NDArray

from agents.ablation.settings import HEAVY_COVER, PRIMARY_MEASURE
from agents.ablation.sweep_occluders import UNSEEN_KINDS
from agents.common.output import check_json_path, claim_folder
from agents.common.results import write_result
from agents.common.scripts import check_counts, check_videos, run_script
from agents.hard_positives.transforms import HardPositiveBatch, OccludedScore
from agents.hard_positives.transforms.batch import AREAS
from agents.stress.corruptions.settings import StressSettings
from agents.stress.stress_test import StressTest
from occlusion_env.mdp.actions import RegionLimits
from tracker import open_sequence
from tracker.data.identity import folder_digests
from tracker.data.pasting import paste_across
from tracker.data.readers import list_targets
from tracker.evaluation.intervals import Interval, holm, interval
from tracker.evaluation.running import weights_digest
from tracker.models.backbones import save_weights
from tracker.models.siamfc import load_siamfc
from tracker.records import read_record, write_record
from tracker.scorers.foreign import SiamFCScorer
from tracker.trackers.siamfc import SiamFCTracker
from tracker.training import SiamFCTraining, open_folder
from tracker.training.siamfc import train_siamfc

ARMS = ("plain", "hardest")
SECONDARY = (("plain", "released"), ("hardest", "released"))
RATES = (1e-5, 1e-4)
SHARES = (0.5, 1.0)
FOLDS = 2
HARD_SHARE = 0.5
"""Share of the pairs whose search region is covered."""


class Setting(NamedTuple):
    """What is chosen on the training videos."""

    learning_rate: float
    share: float

    @property
    def name(self) -> str:
        """In the figures."""
        return f"rate {self.learning_rate:g}, share {self.share:g}"


SETTINGS = tuple(Setting(*each) for each in product(RATES, SHARES))


@dataclass
class Arguments:
    """What to train and to judge.

    Attributes:
        train: Videos to train on.
        judge: Sequences of the stress test; nothing may have been trained on them.
        weights: SiamFC's released weights.
        out: Folder of networks and of what they find.
        seeds: Trainings of each arm.
        steps: Steps of a training.
        frozen: Convolutions that stay as they are.
        frames: Frames of a training video in the choice.
        json: Receives the figures; stress_siamfc.json in `out` by default.
    """

    train: Path
    weights: Path
    judge: Path | None = None
    out: Path = Path("out/stress_siamfc")
    seeds: int = 3
    steps: int = 200
    frozen: int = 2
    frames: int = 2
    json: Path | None = None


def train(given: Arguments, data: Path, out: Path, arm: str, rate: float, seed: int) -> dict[str, Any]:
    """Train an arm unless it is trained; returns its losses and seconds."""
    file = out / "figures.json"
    if (figures := read_record(file)) is not None:
        return figures
    began, net = time.perf_counter(), load_siamfc(given.weights)
    videos, held_out = open_folder(data)
    transform = None
    if arm == "hardest":
        objective = OccludedScore(SiamFCScorer(net))
        limits = RegionLimits(max_area=AREAS[1])
        transform = HardPositiveBatch(
            "best of 8 random", None, HARD_SHARE, limits, AREAS[0], patches=8, objective=objective
        )
    settings = SiamFCTraining(steps=given.steps, learning_rate=rate, frozen=given.frozen, seed=seed)
    card = train_siamfc(net, videos + paste_across(videos, len(videos)), held_out, out, settings, transform)
    figures = {
        "training_loss": round(float(np.mean(card["training_loss"][-50:])), 4),
        "validation_loss": card["validation_loss"],
        "seconds": round(time.perf_counter() - began, 1),
    }
    write_record(file, figures)
    return figures


def mix(given: Arguments, trained: Path, share: float) -> Path:
    """The file with a share of the trained weights and the rest of the released ones."""
    file = trained / f"share-{share:g}.safetensors"
    released, after = (load_siamfc(each).state_dict() for each in (given.weights, trained / "siamfc.safetensors"))
    save_weights(file, {name: value.lerp(after[name], share) for name, value in released.items()})
    return file


def choose(given: Arguments) -> dict[str, Any]:
    """Mean overlap of the plain arm under heavy cover on each training video, by setting, and the best setting."""
    heavy = [index for index, level in enumerate(siamfc.COVERED) if HEAVY_COVER[0] <= level <= HEAVY_COVER[1]]
    found: dict[str, dict[str, float]] = {}
    for fold in range(FOLDS):
        root = ladder_recipe.link_fold(ladder_recipe.Arguments(given.train, given.out / "choice", FOLDS), fold)
        sequences = [open_sequence(path, target=number) for path, number in list_targets(root / "otb").values()]
        networks = {"released": given.weights}
        for rate in RATES:
            trained = given.out / "choice" / f"{fold}-{rate:g}"
            train(given, root / "train", trained, "plain", rate, 0)
            networks |= {
                each.name: mix(given, trained, each.share) for each in SETTINGS if each.learning_rate == rate
            }
        sweep = siamfc.Arguments(given.train, root / "otb", given.weights, root, frames=given.frames)
        for name, file in networks.items():
            swept = siamfc.swept(sweep, name, file, sequences)
            for sequence in sequences:
                overlaps = np.array([swept[kind][sequence.name] for kind in UNSEEN_KINDS])
                found.setdefault(name, {})[sequence.name] = round(float(overlaps[:, heavy].mean()), 5)
    best = max(SETTINGS, key=lambda each: np.mean(list(found[each.name].values())))
    for name, values in found.items():
        print(f"{name}: {np.mean(list(values.values())):.4f}", flush=True)
    return {"measure": PRIMARY_MEASURE, "chosen": best.name, "released": found.pop("released"), "settings": found}


def load_named(weights: Path, name: str) -> SiamFCTracker:
    """SiamFC under the name of its arm and seed."""
    tracker = SiamFCTracker(weights)
    tracker.name = name
    return tracker


def describe(contrast: str, found: Interval, seeds: int) -> dict[str, Any]:
    """A difference of OccAUC as plain data."""
    low, high = (None, None) if found.bounds is None else (round(end, 5) for end in found.bounds)
    row = {"contrast": contrast, "measure": "OccAUC", "difference": round(found.mean, 5), "low": low, "high": high}
    return row | {"p": found.p, "sequences": found.targets, "seeds": seeds}


def compare(areas: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """The arms' mean OccAUC and the contrasts; `areas` are `[sequences, seeds]`, of the released network one."""
    seeds = areas[ARMS[0]].shape[1]

    def contrast(first: str, second: str) -> dict[str, Any]:
        return describe(f"{first} less {second}", interval(areas[first] - areas[second]), seeds)

    secondary = [contrast(*pair) for pair in SECONDARY]
    for row, p in zip(secondary, holm([row["p"] for row in secondary]), strict=True):
        row["p_holm"] = p
    arms = {}
    for arm, values in areas.items():
        found = interval(values)
        arms[arm] = {"occ_auc": round(found.mean, 5), "interval": found.ends(5), "seeds": values.shape[1]}
    return {"primary": [contrast("hardest", "plain")], "secondary": secondary, "arms": arms}


def main(given: Arguments) -> None:
    """Choose the setting, train both arms, run the stress test and write the figures."""
    check_json_path(given.json)
    check_counts(seeds=given.seeds, steps=given.steps, frames=given.frames)
    SiamFCTraining(steps=given.steps, frozen=given.frozen)  # checks them
    load_siamfc(given.weights)
    check_videos(3 * FOLDS, train=given.train)  # beside a fold one is held out, and targets are pasted into others
    check_videos(judge=given.judge)
    identity = {
        "train": folder_digests(given.train),
        "weights": weights_digest(given.weights),
        **{name: getattr(given, name) for name in ("steps", "frozen", "frames")},
    }
    claim_folder(given.out, "settings.json", identity, "results of other arguments")
    content: dict[str, Any] = {"choice": choose(given)}
    if given.judge is None:
        return
    setting = next(each for each in SETTINGS if each.name == content["choice"]["chosen"])
    makers: dict[str, Callable[[], SiamFCTracker]] = {"released": partial(load_named, given.weights, "released")}
    training = {}
    for seed, arm in product(range(given.seeds), ARMS):
        name, folder = f"{arm}-{seed}", given.out / f"{arm}-{seed}"
        training[name] = train(given, given.train, folder, arm, setting.learning_rate, seed)
        makers[name] = partial(load_named, mix(given, folder, setting.share), name)
    test = StressTest(given.judge, given.out / "stress", StressSettings.quick())
    for make in makers.values():
        test.run(make)
    scores = test.report()
    area = {name: each.by_sequence("occ_auc") for name, each in scores.trackers.items()}
    names = {arm: [f"{arm}-{seed}" for seed in range(given.seeds)] for arm in ARMS} | {"released": ["released"]}
    areas = {
        arm: np.array([[area[name][sequence] for name in own] for sequence in scores.moments])
        for arm, own in names.items()
    }
    content |= compare(areas) | scores.to_json() | {"training": training, "steps": given.steps}
    write_result(given.json or given.out / "stress_siamfc.json", "stress_siamfc", content)
    for row in (*content["primary"], *content["secondary"]):
        print(f"{row['contrast']}: {row['difference']:+.4f} [{row['low']}, {row['high']}]")


if __name__ == "__main__":
    run_script(main, Arguments)
