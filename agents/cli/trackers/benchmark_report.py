"""The command `benchmark report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from ...common.results import command_line
from ..shared import Json, Open, open_page, warn

_RESULT = "benchmark report"


def benchmark_report(
    results: Path,
    annotations: Path,
    out: Path,
    attributes: Path | None = None,
    data: Path | None = None,
    baseline: str | None = None,
    list: Literal["otb2013", "tb50", "tb100", "vot2014"] | None = None,
    protocol: Literal["ope", "tre", "sre"] | None = None,
    invalid: Literal["otb", "strict"] = "otb",
    zero_based: bool = False,
    open: Open = False,
    json: Json = None,
) -> None:
    """Compare trackers on one HTML page with its plots.

    Judges the targets that all of them have results for. Writes report.html, which needs no other file, and its
    pictures beside it.

    Args:
        results: What `benchmark run` wrote (TRACKER/PROTOCOL/TARGET.txt), or one tracker's folder of result files.
        annotations: JSON file of annotations, or a folder of annotated sequences.
        out: Folder for the report; an earlier report in it is replaced.
        attributes: JSON file to take the attributes of the sequences from.
        data: Videos, to show the frames on which the trackers fail; by default --annotations, if that is a folder.
        baseline: The tracker that the others are compared with; by default the one with the highest AUC.
        list: Score only these targets.
        protocol: One pass, twenty starts in time, or twelve shifted starts; by default ope.
        invalid: Precision of frames whose annotation is invalid: a hit, as in OTB's toolkit and pysot (otb), or
            a miss, as in pytracking and LaSOT (strict).
        zero_based: Pixel coordinates in the files start at 0, not at 1; see `benchmark score`.

    Examples:
        occlusion-search benchmark report --results results --annotations path/to/otb --out report
        occlusion-search benchmark report --results results --annotations otb100.json --baseline csrt --out report
    """
    from tracker.data.lists import LISTS
    from tracker.evaluation.annotations import read_annotations
    from tracker.evaluation.comparison import compare_trackers
    from tracker.evaluation.report.writing import PAGE, write_report

    from ...common.locks import lock_folder
    from ...common.output import check_folder, replacing_folder
    from ...common.results import write_result

    check_folder(out, results, annotations, attributes, data, result=_RESULT, json=json)
    truth = read_annotations(annotations, attributes)
    comparison = compare_trackers(
        results,
        truth,
        protocol=protocol,
        invalid=invalid,
        list_name=list,
        targets=None if list is None else LISTS[list],
        baseline=baseline,
        zero_based=zero_based,
    )
    frames = annotations if data is None and annotations.is_dir() else data
    with lock_folder(out), replacing_folder(out, _RESULT) as folder:
        write_report(folder, comparison, truth, frames=frames, zero_based=zero_based, command=command_line())
    write_result(json, "benchmark report", comparison.to_json())
    for entry in comparison.trackers:
        fps = "" if entry.scores.fps is None else f", {entry.scores.fps:.1f} frames a second"
        print(f"{entry.name}: AUC {entry.scores.auc:.4f}, precision {entry.scores.precision:.4f}{fps}")
        if entry.missing:
            print(f"  without a whole result for {', '.join(entry.missing)}")
    for warning in comparison.warnings:
        warn(warning)
    for name, why in comparison.left_out.items():
        print(f"{name} is left out: {why}")
    count = len(comparison.targets)
    print(f"{count} target{'' if count == 1 else 's'} in common; the report is {out / PAGE}")
    if open:
        open_page(out / PAGE)
    if comparison.left_out:
        sys.exit(1)
