"""A comparison of trackers as one HTML page that needs no other file, and its pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...data.lists import ATTRIBUTES
from ...data.readers import list_targets, read_sequence
from ...data.sequences import Frames
from ...errors import InputError
from ...files import replacing_file
from ..annotations import Annotation
from ..comparison import ComparedTracker, TrackerComparison
from ..intervals import LEAST_TARGETS, LEVEL, format_p
from ..measures import MEASURES, PRECISION_AT
from ..protocols import list_runs
from ..result_files import Origin, ResultFiles
from ..scoring import OTHER_MEASURES, format_measure
from . import pictures, plots
from .page import PageTable, Picture, render_page

PAGE = "report.html"

WORST = 3
"""Lost stretches shown for each tracker."""

_PROTOCOLS = {
    "ope": "one-pass evaluation (OPE): each tracker gets the target in the first frame and runs through",
    "tre": "temporal robustness (TRE): up to 20 runs a target, each from another frame to the end",
    "sre": "spatial robustness (SRE): 12 runs a target, each from a shifted or scaled first box",
}
_INVALID = {
    "otb": "as in the OTB authors' toolkit and pysot (otb): a failure in the success curve, a hit in precision",
    "strict": "as in pytracking (strict): a failure in the success curve and in precision",
}
_TEXTS = {
    "success": (
        "Success curves of the trackers; their AUC is in the table of scores.",
        "Higher is better. The AUC in the legend is the mean height of the curve.",
    ),
    "precision": (
        "Precision curves of the trackers; their precision is in the table of scores.",
        f"Higher is better. The grey line marks the {PRECISION_AT} pixels at which the precision is read.",
    ),
    "differences": (
        "Paired differences with their intervals; the numbers are in the table below.",
        "Right of the line, the baseline is better; left of it, the other tracker is.",
    ),
    "attributes": (
        "AUC by attribute; the numbers are in the table below.",
        "In brackets: the number of targets. With few targets a difference says little.",
    ),
    "speed": ("AUC over speed; the numbers are in the table of scores.", "Up and to the right is better."),
}
"""Alternative text and caption of each plot."""
_FIRST = ("OCC", "not OCC", "MB", "not MB")
"""The paper's two claims and their complements come first."""


def write_report(
    folder: str | Path,
    comparison: TrackerComparison,
    annotations: Mapping[str, Annotation],
    *,
    frames: str | Path | None = None,
    layout: str = "auto",
    zero_based: bool = False,
    command: str | None = None,
) -> None:
    """Write `report.html`, the plots as PNG and pictures of lost stretches as JPEG; the page comes last.

    Args:
        folder: An existing folder.
        comparison: The trackers.
        annotations: The annotations by target.
        frames: Folder of sequences for the pictures of lost stretches; without it the page has none and says so.
        layout: Layout of these sequences, one of `tracker.data.readers.LAYOUTS`.
        zero_based: The result files count pixels from 0.
        command: The command that made the report, for the record.

    Raises:
        InputError: If a frame or a result file cannot be read.
    """
    folder = Path(folder)
    shown = {
        name: Picture(f"{name}.png", plots.to_png(figure), *_TEXTS[name])
        for name, figure in _figures(comparison).items()
    }
    worst, losses, worst_notes = _worst(comparison, annotations, frames, layout, 0 if zero_based else 1)
    shown |= worst
    for picture in shown.values():
        if picture.data is not None:
            with replacing_file(folder / picture.file, durable=False) as temporary:
                temporary.write_bytes(picture.data)
    differences, attributes = _difference_table(comparison), _attribute_table(comparison)
    scores, targets = _score_table(comparison), _target_table(comparison)
    interval_note, difference_note = _interval_notes(len(comparison.targets))
    looks = plots.styles(tracker.name for tracker in comparison.trackers)
    for table in (scores, losses, attributes, targets):
        if table is not None:
            table.colours = {name: look.colour for name, look in looks.items()}
    sections = [("scores", "Scores")]
    sections += [("differences", "Differences")] if differences else []
    sections += [("attributes", "Attributes")] if attributes else []
    sections += [("speed", "Speed"), ("worst", "Where they fail"), ("targets", "Every target")]
    page = render_page(
        "tracker.evaluation.report",
        "report.html.j2",
        title=f"Tracker benchmark: {_title(comparison)}",
        lead=_lead(comparison),
        sections=[*sections, ("settings", "How this was made")],
        warnings=_warnings(comparison),
        pictures=shown,
        scores=scores,
        interval_note=interval_note,
        difference_note=difference_note,
        differences=differences,
        target_count=_count(len(comparison.targets), "target"),
        attributes=attributes,
        speed_note=_speed_note(comparison),
        worst=list(worst),
        losses=losses,
        worst_notes=worst_notes,
        targets=targets,
        settings=_settings(comparison, annotations, command),
        runs=[{"name": tracker.name, "rows": list(_flat(tracker.settings))} for tracker in comparison.trackers],
    )
    with replacing_file(folder / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _title(comparison: TrackerComparison) -> str:
    first = comparison.trackers[0]
    who = first.name if len(comparison.trackers) == 1 else _count(len(comparison.trackers), "tracker")
    count, missing = len(comparison.targets), len(_not_common(comparison))
    share = f"{count} of {count + missing} targets" if missing else _count(count, "target")
    return f"{who} on {share}" + (f" of {comparison.list_name}" if comparison.list_name else "")


def _not_common(comparison: TrackerComparison) -> list[str]:
    """Targets that were asked for, or that a tracker has, and that not all trackers have."""
    return sorted({name for tracker in comparison.trackers for name in (*tracker.other, *tracker.missing)})


def _lead(comparison: TrackerComparison) -> str:
    best = comparison.trackers[0]
    auc = best.interval("auc")
    frames = sum(target.frames for target in best.scores.targets)
    on = f"{_count(len(comparison.targets), 'target')} ({frames:,} judged frames)"
    if len(comparison.trackers) == 1:
        return f"{best.name} reaches an AUC of {auc.format()} on {on}."
    second = comparison.trackers[1]
    lead = comparison.difference(best.name, second.name, "auc")
    if lead.p is None:
        return (
            f"No verdict: {on} do not tell which of {len(comparison.trackers)} trackers is better. With fewer"
            f" than {LEAST_TARGETS} targets one video can turn the order, so there is no interval and no p-value,"
            " and the figures below hold for these videos alone."
        )
    pairs = len(comparison.trackers) * (len(comparison.trackers) - 1) // 2
    told = f"{format_p(lead.p)}, Holm-corrected over {_count(pairs, 'pair')} of trackers"
    told += "" if lead.p < 1 - LEVEL else ": no measurable difference"
    return (
        f"{best.name} has the highest AUC, {auc.mean:.3f}, on {on} that all trackers have in common. Its lead on "
        f"the next, {second.name}, is {lead.mean:.3f} ({told})."
    )


def _interval_notes(targets: int) -> tuple[str, str]:
    """What to know about the intervals of the scores, and of the differences."""
    if targets < LEAST_TARGETS:
        none = f"There are no intervals, because {LEAST_TARGETS} targets are the fewest for one."
        return none, f"With fewer than {LEAST_TARGETS} targets they have no intervals and no p-values."
    return (
        f"In brackets: the {LEVEL:.0%} Student's t interval over targets, which says how far the mean would move"
        " with other videos of the same kind.",
        "The intervals are not corrected for the number of pairs; the p-values are. Where p is .05 or above, these"
        " targets do not tell which of the two is better.",
    )


def _warnings(comparison: TrackerComparison) -> list[str]:
    warnings = [f"{name} is not in this report: {why.rstrip('.')}." for name, why in comparison.left_out.items()]
    for tracker in comparison.trackers:
        for target, why in tracker.failures.items():
            warnings.append(f"{tracker.name} failed on {target}: {' '.join(why.split())}")
        if tracker.missing:
            warnings.append(f"{tracker.name} has no whole result for {_names(tracker.missing)}.")
    warnings += comparison.warnings
    if apart := _not_common(comparison):
        warnings.append(
            f"{_count(len(apart), 'target')} left out for all trackers, because not every tracker has a whole "
            f"result there: {_names(apart)}."
        )
    for name in ("machine", "processors", "device", "threads", "workers"):
        if len({str(tracker.settings[name]) for tracker in comparison.trackers if name in tracker.settings}) > 1:
            warnings.append(f"The runs do not have the same {name} (see the end), so their speeds tell less.")
    return warnings


def _score_table(comparison: TrackerComparison) -> PageTable:
    table = PageTable(
        "Best AUC first. Pnorm: LaSOT's normalised precision at 0.2 of the target's sides, and its AUC from 0 to "
        "0.5. AO and SR: GOT-10k's, over all frames but the first and those without a visible target.",
        ["tracker", "AUC", f"precision at {PRECISION_AT} px", *OTHER_MEASURES.values(), "frames a second"],
    )
    for tracker in comparison.trackers:
        auc, precision, fps = tracker.interval("auc"), tracker.interval("precision"), tracker.scores.fps
        speed = "not recorded" if fps is None else f"{fps:.2f}" if fps < 10 else f"{fps:.1f}"
        others = [format_measure(getattr(tracker.scores, measure), 4) for measure in OTHER_MEASURES]
        table.rows.append([tracker.name, auc.format(4), precision.format(4), *others, speed])
    return table


def _difference_table(comparison: TrackerComparison) -> PageTable | None:
    if len(comparison.trackers) < 2:
        return None
    rest = [tracker.name for tracker in comparison.trackers if tracker.name != comparison.baseline]
    known = len(comparison.targets) >= LEAST_TARGETS
    table = PageTable(
        f"First less second, target by target; those of {comparison.baseline} first."
        + f" In brackets: {LEVEL:.0%} intervals; p: two-sided, Holm-corrected over all pairs." * known,
        ["first less second", "AUC", f"precision at {PRECISION_AT} px", "targets"],
    )
    for first, second in combinations([comparison.baseline, *rest], 2):
        differences = [comparison.difference(first, second, measure) for measure in MEASURES]
        cells = [
            each.format(4, sign=True) + ("" if each.p is None else f" {format_p(each.p)}") for each in differences
        ]
        table.rows.append([f"{first} less {second}", *cells, str(len(comparison.targets))])
    return table


def _attribute_groups(comparison: TrackerComparison) -> dict[str, int]:
    """The attributes in the order of the page, and how many targets each has."""
    counts = {name: count for name, (_, _, count) in comparison.trackers[0].scores.by_attribute().items()}
    first = [name for name in _FIRST if name in counts]
    rest = sorted((name for name in counts if name not in _FIRST), key=lambda name: (-counts[name], name))
    return {name: counts[name] for name in first + rest}


def _attribute_table(comparison: TrackerComparison) -> PageTable | None:
    groups = _attribute_groups(comparison)
    if not groups:
        return None
    values = [tracker.scores.by_attribute() for tracker in comparison.trackers]
    table = PageTable(
        f"AUC / precision at {PRECISION_AT} px on the targets with a label (or, with 'not', without it).",
        ["attribute", "targets", *(tracker.name for tracker in comparison.trackers)],
    )
    for name, count in groups.items():
        heading = f"{name}, {ATTRIBUTES[name]}" if name in ATTRIBUTES else name
        cells = [f"{scores[name][0]:.3f} / {scores[name][1]:.3f}" for scores in values]
        table.rows.append([heading, str(count), *cells])
    return table


def _target_table(comparison: TrackerComparison) -> PageTable:
    scored = [{target.name: target for target in tracker.scores.targets} for tracker in comparison.trackers]
    table = PageTable(
        f"AUC / precision at {PRECISION_AT} px.",
        ["target", "frames", *(tracker.name for tracker in comparison.trackers)],
    )
    for name in comparison.targets:
        cells = [f"{scores[name].auc:.3f} / {scores[name].precision:.3f}" for scores in scored]
        table.rows.append([name, str(scored[0][name].frames), *cells])
    return table


def _speed_note(comparison: TrackerComparison) -> str:
    without = [tracker.name for tracker in comparison.trackers if tracker.scores.fps is None]
    if len(without) == len(comparison.trackers):
        return "No times were recorded, so nothing is known about speed."
    note = "Frames a second are the mean over targets, without the first frame of each run."
    partly = [
        f"{tracker.name} on {known} of {len(comparison.targets)} targets"
        for tracker in comparison.trackers
        if 0 < (known := sum(t.fps is not None for t in tracker.scores.targets)) < len(comparison.targets)
    ]
    if partly:
        note += f" Times are known of {', '.join(partly)} only."
    return note + (f" No times were recorded of {_names(without)}." if without else "")


def _settings(
    comparison: TrackerComparison, annotations: Mapping[str, Annotation], command: str | None
) -> list[tuple[str, str]]:
    invalid = sum(int((~annotations[name].valid).sum()) for name in comparison.targets)
    rows = [
        ("Protocol", _PROTOCOLS[comparison.protocol] + "."),
        (
            "Frames with an invalid annotation",
            f"{invalid} in these targets, counted {_INVALID[comparison.invalid]}."
            if invalid
            else f"none in these targets (they would count {_INVALID[comparison.invalid]}).",
        ),
        ("Intervals", f"{LEVEL:.0%} Student's t over targets, from {LEAST_TARGETS} targets on."),
        (f"The {_count(len(comparison.targets), 'target')} in common", f"{', '.join(comparison.targets)}."),
    ]
    return rows if command is None else [*rows, ("Command of this report", command)]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """The recorded settings of a run as rows of names and values; the tracker and the protocol are elsewhere."""
    for name, value in settings.items():
        if not prefix and name in ("tracker", "protocol"):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}: ")
        elif isinstance(value, list):
            yield f"{prefix}{name}", ", ".join(str(item) for item in value)
        else:
            yield f"{prefix}{name}", "not recorded" if value is None else str(value)


def _figures(comparison: TrackerComparison) -> dict[str, Figure]:
    """The plots of the page, by the names of `_TEXTS`."""
    scores = {tracker.name: tracker.scores for tracker in comparison.trackers}
    auc = {name: each.auc for name, each in scores.items()}
    title = f"{comparison.protocol.upper()}, {_count(len(comparison.targets), 'target')}"
    figures = {
        "success": plots.draw_success({n: each.success for n, each in scores.items()}, auc, f"Success, {title}"),
        "precision": plots.draw_precision(
            {name: each.precision_curve for name, each in scores.items()},
            {name: each.precision for name, each in scores.items()},
            f"Precision, {title}",
        ),
    }
    baseline = comparison.baseline
    rows = {
        name: {measure: comparison.difference(baseline, name, measure) for measure in MEASURES}
        for name in scores
        if name != baseline
    }
    if rows:
        figures["differences"] = plots.draw_differences(rows, scores, f"{baseline} less each other tracker")
    if groups := _attribute_groups(comparison):
        values = {
            name: {attribute: score for attribute, (score, _, _) in each.by_attribute().items()}
            for name, each in scores.items()
        }
        figures["attributes"] = plots.draw_attributes(list(groups), groups, values, f"AUC by attribute, {title}")
    speeds = {name: each.fps for name, each in scores.items() if each.fps is not None}
    if speeds:
        figures["speed"] = plots.draw_speed(speeds, auc, scores, f"Speed and AUC, {title}")
    return figures


def _worst(
    comparison: TrackerComparison,
    annotations: Mapping[str, Annotation],
    folder: str | Path | None,
    layout: str,
    origin: Origin,
) -> tuple[dict[str, Picture], PageTable | None, list[str]]:
    """Pictures and table of the longest lost stretches of each tracker, and notes on what is missing."""
    if comparison.protocol != "ope":
        return {}, None, ["Frames are shown for one-pass evaluation (ope) only, where a frame has one overlap."]
    overlaps = {
        # Repetitions of a run are behind the first one's frames.
        tracker.name: {t.name: t.overlap[: len(annotations[t.name])] for t in tracker.scores.targets}
        for tracker in comparison.trackers
    }
    table = PageTable("The longest losses of each tracker.", ["tracker", "targets and frames"])
    for name, by_target in overlaps.items():
        told = "; ".join(str(lost) for lost in pictures.rank_lost_stretches(by_target, WORST))
        table.rows.append([name, f"{told}." if told else "None: in every frame its box touches the truth."])
    if folder is None:
        return {}, table, ["No pictures: the frames were not given (--data FOLDER)."]
    places = list_targets(folder)
    stretches = {
        name: pictures.rank_lost_stretches({t: row for t, row in by_target.items() if t in places}, WORST)
        for name, by_target in overlaps.items()
    }
    wanted = {lost.target for ranked in stretches.values() for lost in ranked}
    videos, notes = _videos({name: places[name] for name in sorted(wanted)}, annotations, layout)
    if absent := [name for name in comparison.targets if name not in places]:
        notes.append(
            f"The pictures show the worst of the {len(comparison.targets) - len(absent)} targets whose frames "
            f"were given; there are none of {_names(absent, 8)}."
        )
    shown: dict[str, Picture] = {}
    boxes = {tracker.name: _boxes(tracker, annotations, videos, origin) for tracker in comparison.trackers}
    for number, name in enumerate(overlaps, start=1):
        rows = [lost for lost in stretches[name] if lost.target in videos]
        if not rows:
            continue
        figure = pictures.draw_lost_stretches(name, rows, videos, annotations, boxes, overlaps[name])
        text = "; ".join(map(str, rows))
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:40].strip(".") or "tracker"
        shown[f"worst {number}"] = Picture(
            f"worst_{number:02d}_{stem}.jpg",
            pictures.to_jpeg(figure),
            f"Frames in which {name} loses its target: {text}.",
            f"{name}. Left: the last frame before the loss in which it was on its target; middle: the first frame "
            "of the loss; right: its middle.",
        )
    return shown, table, notes


def _boxes(
    tracker: ComparedTracker, annotations: Mapping[str, Annotation], targets: Iterable[str], origin: Origin
) -> dict[str, NDArray[np.float64]]:
    """The boxes of the judged frames; result files that scoring accepts as longer begin before them."""
    files = ResultFiles(tracker.folder, "ope", origin, tracker.name)
    by_target = {}
    for name in targets:
        truth = annotations[name]
        boxes = files.boxes(list_runs("ope", truth), len(truth))[0]
        if boxes is not None:
            by_target[name] = boxes[max(len(boxes) - len(truth), 0) :]
    return by_target


def _videos(
    places: Mapping[str, tuple[Path, int | None]], annotations: Mapping[str, Annotation], layout: str
) -> tuple[dict[str, Frames], list[str]]:
    """The frames of some targets, and a note for each target whose frames cannot be shown."""
    videos: dict[str, Frames] = {}
    notes = []
    for name, (path, number) in places.items():
        try:
            frames = read_sequence(path, target=number, layout=layout).frames
        except InputError as error:
            notes.append(f"The frames of {name} are not shown: {error}")
            continue
        if len(frames) == len(annotations[name]):
            videos[name] = frames
        else:
            notes.append(
                f"The frames of {name} are not shown: there are {len(frames)}, but {len(annotations[name])} boxes."
            )
    return videos, notes


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _names(names: Iterable[str], at_most: int = 20) -> str:
    listed = list(names)
    more = f" and {len(listed) - at_most} more" if len(listed) > at_most else ""
    return ", ".join(listed[:at_most]) + more
