"""The command `benchmark run`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tracker.errors import InputError

from ...common.results import command_line
from ..shared import (
    GOES_ON,
    Device,
    Json,
    Precision,
    Ray,
    WorkerCount,
    choose_workers,
    on_interrupt,
    print_table,
)  # fmt: skip

if TYPE_CHECKING:
    from tracker.evaluation.running import RunReport
    from tracker.trackers.protocol import Tracker


def benchmark_run(
    tracker: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")],
    data: Path,
    out: Path,
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE | NAME=FILE [NAME=FILE ...]")] = (),
    base_weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE | NAME=FILE [NAME=FILE ...]")] = (),
    protocol: Literal["ope", "tre", "sre"] = "ope",
    targets: Annotated[Literal["otb2013", "tb50", "tb100", "vot2014"] | None, tyro.conf.arg(name="list")] = None,
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = (),
    workers: WorkerCount = 1,
    ray: Ray = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = None,
) -> None:
    """Run trackers on a benchmark and print their scores.

    Writes OUT/TRACKER/PROTOCOL/TARGET.txt, 1-based x,y,w,h. The same command resumes a run that was cut off. A
    sequence on which a tracker fails is named at the end and recorded in failures.json; the exit code is then 1.

    Args:
        tracker: sint, sint-slim, sint-vgg16, sint-alexnet, sint-torchvision:MODEL, nano, siamfc; boosting, csrt,
            kcf, medianflow, mil, mosse, tld of OpenCV; module:function for your own.
        data: Folder of annotated sequences (OTB, VOT, GOT-10k, LaSOT, ...), or one of them.
        out: Folder for the results; results that it holds already are kept.
        weights: Weights of the trackers that need them: NAME=FILE each, or FILE alone for one tracker.
        base_weights: The initial weights of the training, for weights that train-tracker wrote.
        protocol: One pass (ope), 20 starts in time (tre) or 12 shifted starts (sre).
        targets: Only the targets of this list.
        only: Only these sequences; Jogging means both of its targets.

    Examples:
        occlusion-search benchmark run --tracker sint mil --data path/to/otb --out results
        occlusion-search benchmark run --tracker own:Tracker --data path/to/otb --only Coke Girl --out results
    """
    from tracker.data.readers import list_targets
    from tracker.evaluation.experiment import Experiment
    from tracker.trackers.registry import load_tracker

    from ...common.locks import lock_folder
    from ...common.output import check_folder
    from ...common.results import write_result

    if not tracker:
        raise InputError("No tracker is named; give --tracker NAME.")
    if doubled := sorted({name for name in tracker if tracker.count(name) > 1}):
        raise InputError(f"The tracker '{doubled[0]}' is named twice; name it once.")
    files, bases = weights_by_tracker(weights, tracker), weights_by_tracker(base_weights, tracker)
    check_folder(out, data, *files.values(), *bases.values(), json=json)
    experiment = Experiment(
        data, out=out, protocol=protocol, targets=choose_names(list_targets(data), targets, only),
        workers=choose_workers(workers, ray),
    )  # fmt: skip

    def maker(name: str) -> Callable[[], Tracker]:
        return partial(load_tracker, name, files.get(name), device, precision, bases.get(name))

    # What is wrong with any of them is said before the first one has run for an hour.
    names = [maker(name)().name for name in tracker]
    if len(set(names)) < len(names):
        raise InputError(f"Two trackers have the same name ({', '.join(names)}); give each its own.")
    rows: dict[str, dict[str, Any]] = {}
    with on_interrupt(GOES_ON):
        for name, label in zip(tracker, names, strict=True):
            with lock_folder(out / label / protocol):
                settings = {"weights": digest_of(files.get(name)), "base_weights": digest_of(bases.get(name))}
                report = experiment.run(maker(name), settings, command_line()).runs[label]
            rows[report.tracker] = _scores(report)
            if not report.annotations and not report.failures:
                print(
                    f"Only the first boxes of the targets are known: the boxes of {report.tracker} are in"
                    f" {report.folder}, and cannot be scored here.",
                    file=sys.stderr,
                )
    write_result(json, "benchmark run", {"protocol": protocol, "list": targets, "trackers": rows})
    headings = ("tracker", "AUC", "precision", "Pnorm", "AO", "SR.50", "SR.75", "frames/s", "targets", "failures")
    print_table(headings, [_cells(name, row) for name, row in rows.items()], width=100)
    for name, row in rows.items():
        for label, sentence in row["failures"].items():
            print(f"{name} failed on {label}: {sentence}", file=sys.stderr)
    if any(row["failures"] for row in rows.values()):
        sys.exit(1)


def weights_by_tracker(weights: Sequence[str], trackers: Sequence[str]) -> dict[str, str]:
    """Which weights belong to which tracker.

    >>> weights_by_tracker(["nano=a", "siamfc=b=c"], ["nano", "mil", "siamfc"])
    {'nano': 'a', 'siamfc': 'b=c'}
    >>> weights_by_tracker(["a=b"], ["siamfc"])
    {'siamfc': 'a=b'}
    """
    found: dict[str, str] = {}
    for entry in weights:
        name, equals, file = entry.partition("=")
        if not (equals and name in trackers):
            if len(trackers) > 1:
                raise InputError(
                    f"'--weights {entry}' does not say whose; write NAME=FILE with one of {', '.join(trackers)}."
                )
            name, file = trackers[0], entry
        if name in found:
            raise InputError(f"There are two weights for '{name}'; give one.")
        found[name] = file
    return found


def choose_names(there: dict[str, Any], benchmark: str | None, sequences: Sequence[str]) -> list[str]:
    """The targets to run, of those that are there."""
    from tracker.data.lists import LISTS

    chosen = list(there)
    if benchmark is not None:
        chosen = [name for name in chosen if name in LISTS[benchmark]]
        if len(chosen) < len(LISTS[benchmark]):
            print(
                f"{len(chosen)} of the {len(LISTS[benchmark])} targets of {benchmark} are there.", file=sys.stderr
            )
    for name in sequences:
        if not any(name in (target, there[target][0].name) for target in there):
            raise InputError(
                f"There is no sequence '{name}' in the data; there are {', '.join(list(there)[:8])} ..."
            )
    if sequences:
        chosen = [target for target in chosen if target in sequences or there[target][0].name in sequences]
    if not chosen:
        raise InputError(f"None of the {len(there)} targets in the data was asked for; change --list or --only.")
    return chosen


def digest_of(weights: str | None) -> str | None:
    """The digest of weights for the record of a run, or their name."""
    from tracker.evaluation.running import weights_digest

    if weights is None or (weights in ("imagenet", "random") and not Path(weights).exists()):
        return weights
    return f"sha256:{weights_digest(weights)}"


def _scores(report: RunReport) -> dict[str, Any]:
    from tracker.evaluation.scoring import OTHER_MEASURES, score_results

    try:
        scores = score_results(
            report.folder, report.annotations, protocol=report.protocol, tracker=report.tracker
        ).to_json()
    except InputError:
        # Every sequence failed.
        unknown = dict.fromkeys(("auc", "precision", *OTHER_MEASURES, "fps"))
        scores = {"tracker": report.tracker, **unknown, "targets": 0}
    return {**scores, "failures": report.failures}


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    from tracker.evaluation.scoring import format_measure

    keys = ("auc", "precision", "norm_precision", "ao", "sr50", "sr75")
    numbers = [format_measure(row[key], 3) for key in keys]
    return [name, *numbers, format_measure(row["fps"], 1), str(row["targets"]), str(len(row["failures"]))]
