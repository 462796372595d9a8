"""The command `stress`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tracker.errors import InputError

from ...common.results import command_line
from ..shared import (
    GOES_ON,
    Device,
    Json,
    Open,
    Precision,
    Ray,
    Seed,
    WorkerCount,
    choose_workers,
    note,
    on_interrupt,
    open_page,
    print_table,
)  # fmt: skip
from .benchmark_run import choose_names, digest_of, weights_by_tracker

if TYPE_CHECKING:
    from tracker.evaluation.intervals import Interval

    from ...stress.scores import StressScores, TrackerStress


def stress(
    tracker: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")],
    data: Path,
    out: Path,
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE | NAME=FILE [NAME=FILE ...]")] = (),
    base_weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE | NAME=FILE [NAME=FILE ...]")] = (),
    quick: bool = False,
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = (),
    workers: WorkerCount = 1,
    ray: Ray = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = None,
    open: Open = False,
) -> None:
    """Test trackers under controlled occlusions of any video.

    At moments of the videos the target is covered, blurred or warped, one factor at a time. All trackers see the
    same frames. Writes OUT/index.html, a page, card.png to share, moments.json and TRACKER/boxes/SEQUENCE.json.
    The same command resumes a run that was cut off, and trackers that OUT holds already stay in the table.

    Args:
        tracker: sint, sint-slim, sint-vgg16, sint-alexnet, sint-torchvision:MODEL, nano, siamfc; boosting, csrt,
            kcf, medianflow, mil, mosse, tld of OpenCV; module:function for your own.
        data: Folder of annotated sequences (OTB, VOT, GOT-10k, LaSOT, ...), or one of them.
        out: Folder for the results; results that it holds already are kept.
        weights: Weights of the trackers that need them: NAME=FILE each, or FILE alone for one tracker.
        base_weights: The initial weights of the training, for weights that train-tracker wrote.
        quick: One moment of each sequence and 7 conditions (215 frames a sequence), instead of 2 moments and 19
            conditions (about 1050).
        only: Only these sequences; Jogging means both of its targets.

    Examples:
        occlusion-search stress --tracker sint mil --data path/to/otb --out out/stress --quick
        occlusion-search stress --tracker own:Tracker --data path/to/otb --out out/stress --workers 4
    """
    from tracker.data.readers import list_targets
    from tracker.evaluation.report.page import INDEX
    from tracker.trackers.registry import load_tracker

    from ...common.output import check_folder
    from ...common.results import write_result
    from ...stress.corruptions.settings import StressSettings
    from ...stress.stress_test import StressTest

    if not tracker:
        raise InputError("No tracker is named; give --tracker NAME.")
    if doubled := sorted({name for name in tracker if tracker.count(name) > 1}):
        raise InputError(f"The tracker '{doubled[0]}' is named twice; name it once.")
    if workers < 1:
        raise InputError(f"--workers is {workers}; give at least 1.")
    files, bases = weights_by_tracker(weights, tracker), weights_by_tracker(base_weights, tracker)
    check_folder(out, data, *files.values(), *bases.values(), json=json)
    settings = StressSettings.quick(seed) if quick else StressSettings(seed=seed)
    test = StressTest(data, out, settings, choose_names(list_targets(data), None, only) if only else None)
    makers = {
        name: partial(load_tracker, name, files.get(name), device, precision, bases.get(name)) for name in tracker
    }
    # What is wrong with any of them is said before the first one has run for an hour.
    names = [make().name for make in makers.values()]
    if len(set(names)) < len(names):
        raise InputError(f"Two trackers have the same name ({', '.join(names)}); give each its own.")
    with on_interrupt(GOES_ON):
        for name, make in makers.items():
            identity = {"weights": digest_of(files.get(name)), "base_weights": digest_of(bases.get(name))}
            test.run(make, identity, choose_workers(workers, ray), command_line())
        scores = test.report(command_line())
    write_result(json, "stress", scores.to_json())
    _print(scores)
    print(f"The page is {out / INDEX}.")
    if open:
        open_page(out / INDEX)


def _print(scores: StressScores) -> None:
    from ...stress.report import list_warnings

    headings = (
        "tracker", "OccAUC", "uncovered", "covered", "frozen", "recovery", "distracted", "held", "frames/s",
        "failures",
    )  # fmt: skip
    print_table(headings, [_cells(each) for each in scores.trackers.values()], width=120)
    print(
        "OccAUC: area under the overlap with the target while 0 to 100 % of it is covered for 10 frames."
        " uncovered, covered: the overlap in these frames without a cover, and under one of 100 %. frozen: the"
        " overlap that the last box before the cover, held still, has in them. recovery: share of moments in which"
        " the target is found again 10 frames after it was wholly covered for 30. held: share of moments in which"
        " the tracker had the target just before the cover. distracted: share of these that end on a second image"
        " of the target beside the covered one, less the share that do so without the cover."
    )
    for sentence in list_warnings(scores):
        note(sentence)


def _cells(tracker: TrackerStress) -> list[str]:
    def cell(found: Interval | None, bounds: bool = False) -> str:
        return "-" if found is None else found.format() if bounds else f"{found.mean:.3f}"

    speed = tracker.frames_per_second
    return [
        tracker.name,
        cell(tracker.occ_auc, bounds=True),
        cell(tracker.mean("uncovered", "base")),
        cell(tracker.mean("endurance", "cover-100")),
        cell(tracker.mean("frozen", "cover-100")),
        cell(tracker.mean("recovery")),
        cell(tracker.mean("distracted", "look-alike")),
        f"{tracker.held:.0%}",
        "-" if speed is None else f"{speed:.1f}",
        str(len(tracker.failures)),
    ]
