"""The stress test's page, one HTML file, and its card, one picture to share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

import numpy as np
from numpy.typing import NDArray

from tracker.data.readers import list_targets, read_sequence
from tracker.data.sequences import Sequence
from tracker.evaluation.intervals import LEAST_TARGETS, LEVEL, Interval
from tracker.evaluation.report.page import PageTable, Picture, Section, write_index
from tracker.files import replacing_file, temporary_folder
from tracker.records import read_record

from . import pictures
from .corruptions.settings import CONDITIONS, COVER_CURVE, PROTOCOL_VERSION
from .planning import find_place
from .running import BOXES, CARD
from .scores import RECOVERY_CONDITION, StressScores, TrackerStress

_DEFAULT = "sint"
"""The package's own default tracker, of which the page says where it stands."""


def write_report(out: Path, scores: StressScores, data: Path, command: str) -> Path:
    """Write `card.png` and `index.html`; the page comes last and contains its pictures.

    Args:
        out: Folder of a `StressTest`, with its records.
        scores: Its scores.
        data: Folder of the sequences, for exemplars and the frames of the worst moments.
        command: The command line.

    Returns:
        The page.

    Raises:
        InputError: If a frame cannot be read.
    """
    places = list_targets(data)

    def open_sequence(name: str) -> Sequence:
        path, target = find_place(places, name, data)
        return read_sequence(path, target=target)

    with replacing_file(out / CARD) as temporary:
        temporary.write_bytes(pictures.draw_card(scores, _title(scores)))
    sections = [
        _ranking(scores),
        _conditions(scores),
        _sequences(scores),
        _contrasts(scores),
        Section(
            "The worst moments",
            [
                "For each tracker the run that lost most overlap: corrupted on the left, the same frames without"
                " on the right. Green: the true box. Red: the tracker's."
            ],
            list(_worst(out, scores, open_sequence)),
            least_width=420,
        ),
        Section(
            "Where a target is sensitive",
            [
                "The mean loss of overlap of the frames in which a part of the target was covered, over all covers"
                " of less than the whole box. Bright parts are where an occlusion costs this tracker most. A map"
                " of one sequence shows its own moments. Parts without colour were never covered."
            ],
            list(_sensitivity(scores, open_sequence)),
            least_width=900,
        ),
    ]
    return write_index(
        out,
        _title(scores),
        summarise(scores),
        [section for section in sections if section.pictures or section.tables],
        command,
        settings=[
            ("protocol", f"version {PROTOCOL_VERSION}, docs/stress.md"),
            ("seed", str(scores.settings.seed)),
            ("moments", ", ".join(f"{name} {len(each)}" for name, each in scores.moments.items())),
        ],
        next_steps=[
            ("Run another tracker on the same moments", "occlusion-search stress --tracker module:function ..."),
            ("The figures as JSON", "the same command with --json FILE"),
        ],
        warnings=list_warnings(scores),
    )


def summarise(scores: StressScores) -> str:
    """The result in a few sentences; a verdict only from `LEAST_TARGETS` sequences on."""
    if not _is_held(scores):
        return "No tracker had its target just before any moment, so the figures say nothing of occlusion."
    count = len(scores.moments)
    if count < LEAST_TARGETS:
        described = "this one sequence" if count == 1 else f"these {count} sequences"
        return (
            f"The figures describe {described} alone: a verdict needs at least {LEAST_TARGETS}, and"
            " intervals are left out."
        )
    ranked = list(scores.trackers)
    best = scores.trackers[ranked[0]]
    auc, recovery = best.occ_auc, best.mean("recovery")
    covered, frozen = best.mean("endurance", COVER_CURVE[1.0]), best.mean("frozen", COVER_CURVE[1.0])
    assert recovery and covered and frozen
    if len(ranked) == 1:
        sentences = [
            f"{ranked[0]} has an OccAUC of {auc.format(2)}, and recovers in {recovery.format(2)} of moments."
        ]
    else:
        rates = {name: value.mean for name in ranked if (value := scores.trackers[name].mean("recovery"))}
        first = max(rates, key=lambda name: rates[name])
        sentences = [
            f"{ranked[0]} keeps most overlap under a cover: OccAUC {auc.format(2)}.",
            f"{first} recovers most often: in {rates[first]:.0%} of moments it has its target again 10 frames"
            " after 30 wholly covered ones.",
        ]
    sentences.append(
        f"While the whole target is covered, {ranked[0]} overlaps it by {covered.mean:.2f}; its last box before"
        f" the cover, held still, would by {frozen.mean:.2f}."
    )
    if _DEFAULT in ranked[1:]:
        sentences.append(
            f"{_DEFAULT}, this package's default, comes {ranked.index(_DEFAULT) + 1} of {len(ranked)} by OccAUC."
        )
    gap = best.mean("placement_gap", "hardest")
    if gap is not None:
        sentences.append(
            f"A cover where it is hardest for SINT costs {ranked[0]} {gap.format(2, sign=True)} overlap against"
            " one at random."
        )
    return " ".join(sentences)


def _is_held(scores: StressScores) -> bool:
    """Whether any tracker had its target just before any moment."""
    return any(tracker.held > 0 for tracker in scores.trackers.values())


def _title(scores: StressScores) -> str:
    names = list(scores.trackers)
    return f"Where is {names[0]} blind?" if len(names) == 1 else f"Where are {len(names)} trackers blind?"


def list_warnings(scores: StressScores) -> list[str]:
    """One sentence for each sequence, tracker and condition left out, and for each tracker that failed."""
    found = [f"{name} was left out: {reason}" for name, reason in scores.left_out.items()]
    found += [
        f"{name} is not shown: {len(missing)} of {len(scores.moments)} sequences are not done"
        f" ({shorten(', '.join(missing), 60, placeholder=' ...')})."
        for name, missing in scores.unfinished.items()
    ]
    for name, tracker in scores.trackers.items():
        for label, reason in tracker.left_out.items():
            lacking = sum(label not in each.runs for each in tracker.moments)
            found.append(f"{name} lacks {label} in {lacking} of {len(tracker.moments)} moments: {reason}")
        if tracker.failures:
            label, sentence = next(iter(tracker.failures.items()))
            runs = sum(len(each.runs) for each in tracker.moments)
            found.append(f"{name} failed in {len(tracker.failures)} of {runs} runs, first in {label}: {sentence}")
    return found


def _ranking(scores: StressScores) -> Section:
    colours = {name: style.colour for name, style in pictures.look(scores).items()}
    several = len(scores.moments) >= LEAST_TARGETS
    intervals = f"; in brackets {LEVEL:.0%} intervals over sequences" if several else ""
    placements = {
        heading: name
        for heading, name in (
            ("hardest less random", "hardest"),
            ("hardest for itself less random", "hardest-own"),
        )
        if name in scores.settings.conditions
    }
    first = PageTable(
        f"Endurance and recovery, over all moments{intervals}.",
        [
            "tracker", "OccAUC", "uncovered", "covered 50 %", "covered 100 %", "box held still", "recovery",
            "moments held", "frames/s",
        ],
        colours=colours,
    )  # fmt: skip
    second = PageTable(
        "What a corruption changes, over the moments that were held: the tracker had its target just before"
        f"{intervals}.",
        ["tracker", "overlap kept", "recovery", "drift, target sizes", "ends on look-alike", *placements],
        colours=colours,
    )  # fmt: skip
    whole = COVER_CURVE[1.0]
    for name, tracker in scores.trackers.items():
        speed = tracker.frames_per_second
        first.rows.append(
            [
                name,
                _cell(tracker.occ_auc),
                _mean(tracker.mean("uncovered", whole)),
                _mean(tracker.mean("endurance", COVER_CURVE[0.5])),
                _mean(tracker.mean("endurance", whole)),
                _mean(tracker.mean("frozen", whole)),
                _cell(tracker.mean("recovery")),
                f"{tracker.held:.0%}",
                "-" if speed is None else f"{speed:.0f}",
            ]
        )
        second.rows.append(
            [
                name,
                _cell(tracker.mean("kept_auc")),
                _change(tracker.mean("recovered_change", RECOVERY_CONDITION)),
                _change(tracker.mean("drift_change", whole)),
                _change(tracker.mean("distracted", "look-alike")),
                *(_change(tracker.mean("placement_gap", label), -1) for label in placements.values()),
            ]
        )
    return Section(
        "Endurance and recovery",
        [
            "OccAUC is the area under the curve on the left: the mean overlap with the true box while 0 to 100 %"
            " of the target is covered for 10 frames by background that moves with it. Recovery: the share of"
            " moments with an overlap above .5 ten frames after the target was wholly covered for 30. Box held"
            " still: the overlap, while the target is covered, of the last box before; where targets are slow it"
            " is large, and a tracker endures by its own doing where it has more.",
            "In the second table everything is less the same moment without the corruption: overlap kept is the"
            " area of 1 less the loss of overlap over 0 to 100 %; recovery and drift (the distance from the target"
            " in the last covered frame) are of the whole target covered for 30 and 10 frames"
            + (
                "; hardest less random is the overlap where a cover lies worst, for SINT or for the tracker's own"
                " confidence, less that where it lies at random."
                if placements
                else "."
            ),
        ],
        [
            Picture(
                "curves.png", pictures.draw_curves(scores), "Overlap of each tracker by the covered share.",
                "Higher is better; a flat line is a tracker that a cover does not disturb.",
            ),
            Picture(
                "recovery.png", pictures.draw_recovery(scores), "Recovery of each tracker over its endurance.",
                "Up and to the right is better. Endurance and recovery are two abilities.",
            ),
        ],
        [first, second],
    )  # fmt: skip


def _conditions(scores: StressScores) -> Section:
    factors: dict[str, list[str]] = {}
    for name in scores.settings.conditions:
        if name != "reference":
            factors.setdefault(CONDITIONS[name].factor, []).append(name)
    varied = "; ".join(f"{factor}: {', '.join(names)}" for factor, names in factors.items() if factor != "base")
    return Section(
        "What hurts whom",
        [
            "The base condition covers three quarters of the target from a side for 10 frames, by background that"
            f" moves with it. The others vary one factor ({varied})."
        ],
        [
            Picture(
                "losses.png", pictures.draw_losses(scores), "Overlap that each condition costs each tracker.",
                "Overlap lost while corrupted, against the same frames without corruption. 0: no effect.",
            )
        ]
        if _is_held(scores)
        else [],
        least_width=900,
    )  # fmt: skip


def _sequences(scores: StressScores) -> Section:
    rows = {name: tracker.by_sequence("occ_auc") for name, tracker in scores.trackers.items()}
    table = PageTable(
        "OccAUC of each sequence.",
        ["sequence", *rows],
        [[name, *(f"{row[name]:.2f}" for row in rows.values())] for name in scores.moments],
        {name: style.colour for name, style in pictures.look(scores).items()},
    )
    return Section("Every sequence", tables=[table])


def _contrasts(scores: StressScores) -> Section:
    names = list(scores.trackers)
    if not any(each.p is not None for each in scores.contrasts):
        return Section("Differences")
    tables = []
    for measure, title in (("occ_auc", "OccAUC"), ("recovery", "Recovery")):
        cells = {}
        for each in (each for each in scores.contrasts if each.measure == measure):
            clear = "*" if each.p is not None and each.p < 1 - LEVEL else ""
            cells[each.first, each.second] = f"{each.difference.mean:+.2f}{clear}"
            cells[each.second, each.first] = f"{-each.difference.mean:+.2f}{clear}"
        rows = [[row, *(cells.get((row, column), "") for column in names)] for row in names]
        tables.append(PageTable(f"{title} of the row's tracker less the column's.", ["tracker", *names], rows))
    return Section(
        "Differences",
        [
            "Paired over the same moments. *: p below .05 after Holm's correction among all pairs of the table."
            " The intervals are in the file of --json."
        ],
        tables=tables,
    )


def _worst(out: Path, scores: StressScores, open_sequence: pictures.Open) -> Iterator[Picture]:
    folder = temporary_folder(out / "worst")
    try:
        for name, tracker in scores.trackers.items():
            worst = pictures.worst_run(tracker)
            if worst is None:
                continue
            moment, run = worst.moment.moment, worst.run
            file = folder / "worst.gif"
            pictures.animate(file, worst, _boxes(out, tracker, moment.sequence, moment.number), open_sequence)
            yield Picture(
                f"worst-{name}.gif",
                file.read_bytes(),
                f"{name} on {moment.sequence} under {run.condition}, and without.",
                f"{name}: {moment.sequence}, frame {moment.frame + 1}, {run.condition}: overlap"
                f" {run.endurance:.2f} of {run.uncovered:.2f}.",
            )
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _boxes(out: Path, tracker: TrackerStress, sequence: str, number: int) -> dict[str, NDArray[np.float64]]:
    record = read_record(out / tracker.name / BOXES / f"{sequence}.json") or {"moments": []}
    runs = next(each["runs"] for each in record["moments"] if each["number"] == number)
    return {name: np.array(run["boxes"], dtype=np.float64) for name, run in runs.items()}


def _sensitivity(scores: StressScores, open_sequence: pictures.Open) -> Iterator[Picture]:
    for name in scores.trackers:
        drawn = pictures.draw_sensitivity(scores, name, open_sequence)
        if drawn is not None:
            yield Picture(f"sensitivity-{name}.jpg", drawn, f"Where covers cost {name} most overlap.", f"{name}.")


def _cell(value: Interval | None) -> str:
    return "-" if value is None else value.format(2)


def _mean(value: Interval | None) -> str:
    return "-" if value is None else f"{value.mean:.2f}"


def _change(value: Interval | None, sign: int = 1) -> str:
    return "-" if value is None else f"{sign * value.mean:+.2f}"
