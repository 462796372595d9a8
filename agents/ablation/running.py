"""The ladder as a run: every arm trained and judged with every seed, by several processes; a cut-off run goes on.

OUT/
  settings.json                everything that changes the figures; a folder with others is refused
  bank/                        a manifold a training video (unless --bank)
  positives/bank.json          digests of the manifolds
  positives/ARM/               samples of the manifolds, occluded as the arm has it; ARM.json, their digest
  adversary.safetensors        Adv-Net's; adversary.json, its digest
  networks/ARM/SEED/           what was trained, and its card
  boxes/ARM-SEED/ope/          the boxes that it tracked with, in OTB's form
  results/ARM/SEED.json        its figures by sequence
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from concurrent.futures import as_completed
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from occlusion_env.scene.targets import visible_frames
from tracker.data.identity import code_version, content_digest, folder_digests
from tracker.data.readers import list_targets, open_usable
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.evaluation.annotations import Annotation, read_annotations
from tracker.evaluation.running import run_benchmark, weights_digest
from tracker.evaluation.scoring import score_results
from tracker.models.sint import Sint, load_sint
from tracker.records import read_record, write_record
from tracker.trackers.following import open_sequence
from tracker.trackers.sint.tracker import SintTracker
from tracker.training import TrainingRun, open_folder, read_hard_positives, train_sint

from ..common.output import claim_folder
from ..common.processes import process_pool
from ..common.versions import versions
from .arms import Tools, choose_arms
from .making import bank_digests, cutouts, is_made, make_adversary, make_bank, make_positives, start_network
from .occlusion_sweep import occlusion_sweep
from .settings import LadderRun
from .sweep_occluders import UNSEEN_KINDS, other_videos

__all__ = ["START", "judging_videos", "run_ladder", "tools_of"]

START = "start"
"""What the table calls the network that all arms start from, judged as it is."""


def run_ladder(run: LadderRun) -> dict[str, dict[int, dict[str, Any]]]:
    """Train and judge what is not there yet.

    Returns:
        For each arm, `START` first, and each of its seeds the figures: `ope` (by target `auc`, `precision`),
        `sweep` (by kind of occluder and sequence the mean overlap at each level), `training` (the card's figures).

    Raises:
        InputError: If there is nothing to train on or to judge with, a video is in both, the folder holds another
            run, or something named cannot be loaded.
    """
    arms = choose_arms(run.arms)
    _check(run)
    claim_folder(run.out, "settings.json", _identity(run), "the results of another ladder", versions())
    unmade = [arm for arm in arms if arm.samples is not None and not is_made(run.positives_folder(arm.name))]
    if unmade:
        make_bank(run)
        claim_folder(run.out / "positives", "bank.json", bank_digests(run), "hard positives of other manifolds")
    jobs: dict[str, Callable[[], None]] = {}
    for arm in unmade:
        jobs[f"positives of {arm.name}"] = partial(make_positives, run, arm)
    if any(arm.needs == "adversary" for arm in arms) and not is_made(run.adversary_file):
        jobs["adversary"] = partial(make_adversary, run)
    _work(run, jobs, "preparing")
    jobs = {}
    if read_record(run.result_file(START, 0)) is None:
        jobs[START] = partial(_judge_start, run)
    # Seed by seed, so that a run that is cut off has whole ladders.
    for seed in range(run.seeds):
        for arm in arms:
            if read_record(run.result_file(arm.name, seed)) is None:
                jobs[f"{arm.name}, seed {seed}"] = partial(_train_and_judge, run, arm.name, seed)
    _work(run, jobs, "ladder")
    found = {START: {0: _read(run, START, 0)}}
    for arm in arms:
        found[arm.name] = {seed: _read(run, arm.name, seed) for seed in range(run.seeds)}
    return found


def _work(run: LadderRun, jobs: dict[str, Callable[[], None]], what: str) -> None:
    """Do jobs, several at a time."""
    with closing(_done(run, jobs)) as done, tqdm(total=len(jobs), desc=what, unit="job") as bar:
        for name in done:
            bar.set_postfix_str(name)
            bar.update()


def _done(run: LadderRun, jobs: dict[str, Callable[[], None]]) -> Generator[str, None, None]:
    if run.workers == 1 or len(jobs) < 2:
        for name, job in jobs.items():
            job()
            yield name
        return
    with process_pool(run.workers) as pool:
        futures = {pool.submit(job): name for name, job in jobs.items()}
        for future in as_completed(futures):
            future.result()
            yield futures[future]


def _train_and_judge(run: LadderRun, name: str, seed: int) -> None:
    (arm,) = choose_arms((name,))
    began = time.perf_counter()
    train, held_out = open_folder(run.train)
    folder = run.network_folder(name, seed)
    positives = [] if arm.samples is None else read_hard_positives(run.positives_folder(name))
    tools = tools_of(run)
    harden = arm.harden
    card = train_sint(
        train, held_out, folder, run.network, run.training(seed), run.weights, positives, run.device,
        TrainingRun(run.precision, progress=False),
        None if harden is None else lambda sint: harden(sint, tools),
    )  # fmt: skip
    trained = time.perf_counter()
    sint = load_sint(folder, run.weights, run.device)
    figures = _judge(run, sint, f"{name}-{seed}")
    _write(
        run.result_file(name, seed),
        {
            **figures,
            "training": card["validation"],
            "hardening": card["hardening"],
            "hard_positives": card["hard_positives"],
            "seconds": {
                "training": round(trained - began, 1),
                "judging": round(time.perf_counter() - trained, 1),
            },
        },
    )


def tools_of(run: LadderRun, share: float | None = None) -> Tools:
    """What a run's arms are made with; `share` in place of the run's."""
    return Tools(run.share if share is None else share, run.adversary_file, partial(cutouts, run))


def _judge_start(run: LadderRun) -> None:
    _write(run.result_file(START, 0), _judge(run, start_network(run), f"{START}-0"))


def _judge(run: LadderRun, sint: Sint, name: str) -> dict[str, Any]:
    """The figures of a network: one pass over the judging videos, and the sweep."""

    def tracker() -> SintTracker:
        return SintTracker(sint, None, name, run.precision)

    # Half of a pass may have been made with another number of threads; a whole one takes minutes.
    shutil.rmtree(run.out / "boxes" / name, ignore_errors=True)
    videos = judging_videos(run)
    report = run_benchmark(tracker, videos, run.out / "boxes", progress=False)
    for target, reason in report.failures.items():
        raise InputError(f"'{name}' could not be judged on '{target}': {reason}")
    scores = score_results(report.folder, _annotations(run, report.annotations), tracker=name)
    swept = occlusion_sweep(tracker(), videos, run.sweep, other_videos(videos))
    return {
        "ope": {
            target.name: {"auc": target.auc, "precision": target.precision, "attributes": target.attributes}
            for target in scores.targets
        },
        "sweep": {kind: {target.name: list(target.overlap[kind]) for target in swept} for kind in run.sweep.kinds},
    }


def judging_videos(run: LadderRun) -> list[Sequence]:
    """The videos that judge; those that cannot be used are left out with a warning.

    Raises:
        InputError: If there is none, or none can be used.
    """
    places = list_targets(run.judge)
    return list(open_usable({name: partial(_judging_video, *place) for name, place in places.items()}).values())


def _judging_video(path: Path, number: int | None) -> Sequence:
    sequence = open_sequence(path, target=number)
    if len(visible_frames(sequence)) < 2:
        raise InputError(f"'{sequence.name}' shows its target in no frame after the first; give another.")
    return sequence


def _annotations(run: LadderRun, known: dict[str, Annotation]) -> dict[str, Annotation]:
    """The judging videos' annotations, with their attributes where a file tells them."""
    if run.attributes is None:
        return known
    return {name: each for name, each in read_annotations(run.judge, run.attributes).items() if name in known}


def _read(run: LadderRun, name: str, seed: int) -> dict[str, Any]:
    return read_record(run.result_file(name, seed)) or {}


def _write(file: Path, figures: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_record(file, figures)


def _check(run: LadderRun) -> None:
    """Say what is wrong before anything is trained."""
    train, held_out = open_folder(run.train)
    judging = {sequence.name for sequence in judging_videos(run)}
    if len(judging) < 2 and set(UNSEEN_KINDS) & set(run.sweep.kinds):
        raise InputError(
            f"'{run.judge}' holds one sequence, and the sweep covers its target with pieces of others; give two or"
            " more."
        )
    if both := sorted({sequence.name for sequence in [*train, *held_out]} & judging):
        raise InputError(f"'{both[0]}' is a training video and a judging one; take it out of one of the folders.")
    start_network(run)
    left_out = read_annotations(run.judge, run.attributes).left_out
    for name in sorted(judging & left_out.keys()):
        raise InputError(left_out[name])


def _identity(run: LadderRun) -> dict[str, Any]:
    """Everything that changes the figures, but the arms and seeds, which may be added to."""
    files = {"weights": run.weights, "agent": run.agent, "attributes": run.attributes}
    return {
        **run.record(),
        "train": folder_digests(run.train, content_digest),
        "judge": folder_digests(run.judge, content_digest),
        "digests": {name: weights_digest(file) for name, file in files.items() if file and Path(file).exists()},
        "code": code_version("tracker", "vae", "occlusion_env", "agents"),
    }
