"""A run of the ladder: every arm trained and judged with every seed, by several processes; it can be resumed.

OUT/
  settings.json                the settings that change the figures; a folder with others is refused
  bank/                        a manifold a training video (unless --bank)
  positives/bank.json          digests of the manifolds
  positives/ARM/               samples of the manifolds, occluded as the arm has it; ARM.json, their digest
  adversary.safetensors        Adv-Net's; adversary.json, its digest
  networks/ARM/SEED/           the trained network, and its card
  boxes/ARM-SEED/PROTOCOL/     the boxes of its tracker, in OTB's form; boxes-tre-all/ and boxes-vot/ likewise
  results/ARM/SEED/MEASURE.json its figures by sequence; training.json, the card's figures
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from occlusion_env.scene.shapes import other_videos
from occlusion_env.scene.targets import visible_frames
from tracker.data.identity import code_version, content_digest, folder_digests
from tracker.data.pasting import paste_across
from tracker.data.readers import list_targets, open_usable
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.evaluation.annotations import read_annotations
from tracker.evaluation.protocols import OTB_PROTOCOLS, OtbProtocol
from tracker.evaluation.running import run_benchmark, weights_digest
from tracker.evaluation.scoring import score_results
from tracker.models.sint import Sint, load_sint
from tracker.processes import run_jobs
from tracker.records import read_record, write_record
from tracker.trackers.following import open_sequence
from tracker.trackers.sint.tracker import SintTracker
from tracker.training import TrainingRun, open_folder, read_hard_positives, train_sint

from ..common.output import claim_folder
from ..common.versions import versions
from ..hard_positives.generation_run import method_path
from .arms import ArmInputs, choose_arms
from .making import bank_digests, cutouts, is_made, make_adversary, make_bank, make_positives, start_network
from .occlusion_sweep import occlusion_sweep
from .paper import BENCHMARKS, VOT
from .settings import LadderRun
from .sweep_occluders import UNSEEN_KINDS

START = "start"
"""Name of the network that all arms start from, judged before any training."""


def run_ladder(run: LadderRun) -> dict[str, dict[int, dict[str, Any]]]:
    """Train and judge the arms and seeds that have no results yet.

    Returns:
        For each arm, `START` first, and each of its seeds the figures: `ope`, `tre`, `tre-all` and `vot` (by
        target `auc`, `precision`, `attributes`), `sweep` (by kind of occluder and sequence the mean overlap at
        each level), `training` (the card's figures), and the `seconds` of each.

    Raises:
        InputError: If there are no training or no judging videos, a video is in both, `otb` or `vot` lacks a
            target, the folder holds another run, or a file cannot be loaded.
    """
    arms = choose_arms(run.only)
    _check(run)
    claim_folder(run.out, "settings.json", _identity(run), "the results of another ladder", versions())
    if "vot" in run.evaluations:
        videos = {"vot": folder_digests(run.videos("vot"), content_digest)}
        claim_folder(run.out / "boxes-vot", "videos.json", videos, "results on other videos")
    unmade = [arm for arm in arms if arm.samples is not None and not is_made(run.positives_folder(arm.name))]
    if unmade:
        make_bank(run)
        claim_folder(run.out / "positives", "bank.json", bank_digests(run), "hard positives of other manifolds")
    jobs = {f"positives of {arm.name}": partial(make_positives, run, arm) for arm in unmade}
    if any(arm.needs == "adversary" for arm in arms) and not is_made(run.adversary_file):
        jobs["adversary"] = partial(make_adversary, run)
    _work(run, jobs, "preparing")
    # Seed by seed, so that an interrupted run has complete ladders.
    trainings = [(START, 0), *((arm.name, seed) for seed in range(run.seeds) for arm in arms)]
    missing = [(name, seed) for name, seed in trainings if _missing(run, name, seed)]
    _work(run, {f"{name}, seed {seed}": partial(_measure, run, name, seed) for name, seed in missing}, "ladder")
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in (START, *(arm.name for arm in arms))}
    for name, seed in trainings:
        records = {part: read_record(run.result_file(name, seed, part)) or {} for part in _parts(run, name)}
        figures = {part: record["figures"] for part, record in records.items()}
        found[name][seed] = {
            **figures.pop("training", {}), **figures,
            "seconds": {part: record["seconds"] for part, record in records.items()},
        }  # fmt: skip
    return found


def _parts(run: LadderRun, name: str) -> list[str]:
    """The records of a network: its training, unless it is `START`, and its measures."""
    return [*([] if name == START else ["training"]), *run.evaluations]


def _missing(run: LadderRun, name: str, seed: int) -> list[str]:
    """The parts that have no record yet."""
    return [part for part in _parts(run, name) if read_record(run.result_file(name, seed, part)) is None]


def _work(run: LadderRun, jobs: Mapping[str, Callable[[], object]], description: str) -> None:
    workers = 1 if len(jobs) < 2 else run.workers
    with (
        closing(run_jobs(workers, jobs.items(), run.out)) as done,
        tqdm(total=len(jobs), desc=description, unit="job") as bar,
    ):
        for name, _ in done:
            bar.set_postfix_str(name)
            bar.update()


def _measure(run: LadderRun, name: str, seed: int) -> None:
    """Train an arm, unless it is `START` or trained already, and write the figures that are missing."""
    missing = _missing(run, name, seed)
    if "training" in missing:
        began = time.perf_counter()
        card = _train(run, name, seed)
        figures = {
            "training": card["validation"],
            "hardening": card["hardening"],
            "hard_positives": card["hard_positives"],
        }
        _write(run.result_file(name, seed, missing.pop(0)), figures, began)
    network = (
        start_network(run) if name == START else load_sint(run.network_folder(name, seed), run.weights, run.device)
    )
    for measure in missing:
        began = time.perf_counter()
        _write(run.result_file(name, seed, measure), _judge(run, network, f"{name}-{seed}", measure), began)


def _write(file: Path, figures: dict[str, Any], began: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_record(file, {"figures": figures, "seconds": round(time.perf_counter() - began, 1)})


def _train(run: LadderRun, name: str, seed: int) -> dict[str, Any]:
    """Train an arm; returns its card."""
    (arm,) = choose_arms((name,))
    train, held_out = open_folder(run.train)
    if len(train) > 1:
        train += paste_across(train, run.pasted)
    positives = [] if arm.samples is None else read_hard_positives(run.positives_folder(name))
    harden, inputs = arm.harden, arm_inputs(run)
    return train_sint(
        train, held_out, run.network_folder(name, seed), run.network, run.training(seed), run.weights, positives,
        run.device, TrainingRun(run.precision, progress=False),
        None if harden is None else lambda sint: harden(sint, inputs),
    )  # fmt: skip


def arm_inputs(run: LadderRun, share: float | None = None) -> ArmInputs:
    """The inputs of a run's hardenings; `share` replaces the run's."""
    return ArmInputs(run.share if share is None else share, run.adversary_file, partial(cutouts, run))


def _judge(run: LadderRun, sint: Sint, name: str, measure: str) -> dict[str, Any]:
    """The figures of a network by a measure: by target, or of the sweep by kind of occluder and target."""

    def tracker() -> SintTracker:
        return SintTracker(sint, None, name, run.precision)

    videos = judging_videos(run.videos(measure))
    if measure == "sweep":
        swept = occlusion_sweep(tracker(), videos, run.sweep, other_videos(videos))
        return {kind: {target.name: list(target.overlap[kind]) for target in swept} for kind in run.sweep.kinds}
    protocol: OtbProtocol = "tre" if measure in ("tre", "tre-all") else "ope"
    boxes = run.out / ("boxes" if measure in OTB_PROTOCOLS else f"boxes-{measure}")
    labels = {}
    if run.attributes is not None:
        labels = {key: each.attributes for key, each in read_annotations(run.test, run.attributes).items()}
    if measure == "tre":
        videos = [video for video in videos if "OCC" in (labels.get(video.name) or ())]
    # Part of a run may have been computed with another number of threads; a complete one takes minutes. 20 starts
    # on all videos take hours, so that their runs are kept.
    if measure != "tre-all":
        shutil.rmtree(boxes / name / protocol, ignore_errors=True)
    report = run_benchmark(tracker, videos, boxes, protocol=protocol, progress=False)
    for target, reason in report.failures.items():
        raise InputError(f"'{name}' could not be judged on '{target}': {reason}")
    annotations = {key: replace(each, attributes=labels.get(key)) for key, each in report.annotations.items()}
    scores = score_results(report.folder, annotations, protocol=protocol, tracker=name)
    return {
        target.name: {"auc": target.auc, "precision": target.precision, "attributes": target.attributes}
        for target in scores.targets
    }


def judging_videos(folder: Path) -> list[Sequence]:
    """The judging videos; unusable ones are left out with a warning.

    Raises:
        InputError: If there is no usable one.
    """
    places = list_targets(folder)
    return list(open_usable({name: partial(_judging_video, *place) for name, place in places.items()}).values())


def _judging_video(path: Path, number: int | None) -> Sequence:
    sequence = open_sequence(path, target=number)
    if len(visible_frames(sequence)) < 2:
        raise InputError(f"'{sequence.name}' shows its target in no frame after the first; give another.")
    return sequence


def _check(run: LadderRun) -> None:
    """Check the videos and the network before anything is trained."""
    train, held_out = open_folder(run.train)
    judging = {sequence.name for sequence in judging_videos(run.test)}
    if run.otb is not None:
        _check_whole(run.otb, "OTB-100", judging)
    if len(judging) < 2 and set(UNSEEN_KINDS) & set(run.sweep.kinds):
        raise InputError(
            f"'{run.test}' holds one sequence, and the sweep covers its target with pieces of others; give two or"
            " more."
        )
    vot = set[str]()
    if run.vot is not None:
        vot = {sequence.name for sequence in judging_videos(run.vot)}
        _check_whole(run.vot, VOT, vot)
    videos = {_video(name) for name in judging | vot}
    if both := sorted(sequence.name for sequence in [*train, *held_out] if _video(sequence.name) in videos):
        raise InputError(f"'{both[0]}' is a training video and a judging one; take it out of one of the folders.")
    start_network(run)
    left_out = read_annotations(run.test, run.attributes).left_out
    for name in sorted(judging & left_out.keys()):
        raise InputError(left_out[name])


def _check_whole(folder: Path, benchmark: str, names: set[str]) -> None:
    """Refuse a folder that lacks targets of a benchmark: its figures would not be the benchmark's."""
    targets = BENCHMARKS[benchmark]
    if lacking := [name for name in targets if name not in names]:
        listed = ", ".join(lacking[:5]) + ("" if len(lacking) <= 5 else ", ...")
        raise InputError(
            f"'{folder}' lacks {len(lacking)} of the {len(targets)} targets of {benchmark} ({listed}); give the"
            " whole benchmark, or the videos that you have as --judge."
        )


def _video(name: str) -> str:
    """The name of a target's video, which OTB and VOT spell differently: `jogging` for `Jogging-1`."""
    return re.sub(r"-\d$", "", name).casefold()


def _identity(run: LadderRun) -> dict[str, Any]:
    """The settings that change the figures; arms and seeds can be added to a run."""
    files = {"weights": run.weights, "agent": method_path(run.agent), "attributes": run.attributes}
    return {
        **run.record(),
        "train": folder_digests(run.train, content_digest),
        "judge": folder_digests(run.test, content_digest),
        "digests": {name: weights_digest(file) for name, file in files.items() if file and Path(file).exists()},
        "code": code_version("tracker", "vae", "occlusion_env", "agents"),
    }
