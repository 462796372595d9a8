"""The command `benchmark score`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..shared import Json, print_table, warn

if TYPE_CHECKING:
    from tracker.evaluation.scoring import TrackerScores


def benchmark_score(
    results: Path,
    annotations: Path,
    attributes: Path | None = None,
    list: Literal["otb2013", "tb50", "tb100", "vot2014"] | None = None,
    protocol: Literal["ope", "tre", "sre"] | None = None,
    invalid: Literal["otb", "strict"] = "otb",
    zero_based: bool = False,
    tracker: str | None = None,
    json: Json = None,
) -> None:
    """Score any tracker's result files.

    Prints success AUC and precision at 20 pixels, each with its 95 % interval, and both by attribute; LaSOT's
    normalised precision; GOT-10k's AO, SR.50 and SR.75. Reads the text files of OTB, got10k, pysot and pytracking
    and the .mat files of the OTB authors' toolkit. A target whose annotation or file is bad is left out and named;
    the exit code is then 1.

    Args:
        results: Folder of a tracker's result files, or what `benchmark run` wrote.
        annotations: JSON file of annotations, or a folder of annotated sequences.
        attributes: JSON file to take the attributes of the sequences from.
        list: Score exactly these targets; by default all that are annotated and have results.
        protocol: One pass, 20 starts in time, or 12 shifted starts; by default the folder's, or else ope.
        invalid: How precision counts a frame with an invalid annotation: as a hit (otb) or a miss (strict; LaSOT).
        zero_based: Pixel coordinates in the files start at 0, not at 1. The files of other toolkits start where
            the benchmark's annotation does: at 1 in OTB, GOT-10k and LaSOT.
        tracker: Name of the tracker, where the folder holds several.

    Examples:
        occlusion-search benchmark score --results results/mil --annotations path/to/otb
        occlusion-search benchmark score --results files --annotations otb100.json --json scores.json
    """
    from tracker.data.lists import LISTS
    from tracker.evaluation.annotations import read_annotations
    from tracker.evaluation.result_files import choose_results
    from tracker.evaluation.scoring import score_results

    from ...common.output import check_json_path
    from ...common.results import write_result

    check_json_path(json, results, annotations, attributes)
    name, chosen, folder = choose_results(results, protocol, tracker)
    scores = score_results(
        folder,
        read_annotations(annotations, attributes),
        protocol=chosen,
        invalid=invalid,
        targets=None if list is None else LISTS[list],
        zero_based=zero_based,
        tracker=name,
    )
    content = _content(scores, list)
    write_result(json, "benchmark score", content)
    _show(scores, content)
    if content["left_out"]:
        sys.exit(1)


def _content(scores: TrackerScores, list_name: str | None) -> dict[str, Any]:
    from tracker.evaluation.intervals import interval

    intervals = {
        measure: interval([getattr(target, measure) for target in scores.targets]).bounds
        for measure in ("auc", "precision")
    }
    return {**scores.to_json(), "intervals": intervals, "list": list_name}


def _show(scores: TrackerScores, content: dict[str, Any]) -> None:
    from tracker.evaluation.intervals import LEAST_TARGETS
    from tracker.evaluation.scoring import format_measure

    count = f"{content['targets']} target{'s' if content['targets'] != 1 else ''}"
    speed = "" if scores.fps is None else f", {scores.fps:.1f} frames a second"
    print(
        f"{scores.tracker}, {scores.protocol.upper()}, invalid annotations: {scores.invalid};"
        f" {count}, {content['frames']} frames{speed}"
    )
    for measure, label in (("auc", "success AUC"), ("precision", "precision at 20 px")):
        bounds = content["intervals"][measure]
        told = (
            f"95 % Student's t over targets {bounds[0]:.4f} to {bounds[1]:.4f}"
            if bounds
            else f"too few targets for an interval; {LEAST_TARGETS} are the fewest"
        )
        print(f"{label:<18} {content[measure]:.4f}  ({told})")
    print(f"{'Pnorm at 0.2':<18} {scores.norm_precision:.4f}  (AUC from 0 to 0.5: {scores.norm_auc:.4f}; LaSOT's)")
    ao, sr50, sr75 = (format_measure(each, 4) for each in (scores.ao, scores.sr50, scores.sr75))
    print(f"{'AO':<18} {ao}  (SR.50: {sr50}, SR.75: {sr75}; GOT-10k's)")
    if content["by_attribute"]:
        rows = [
            (name, str(row["targets"]), f"{row['auc']:.4f}", f"{row['precision']:.4f}")
            for name, row in content["by_attribute"].items()
        ]
        print_table(("attribute", "targets", "AUC", "precision"), rows)
    for warning in scores.warnings:
        warn(warning)
    if scores.missing:
        shown = ", ".join(scores.missing[:10]) + (", ..." if len(scores.missing) > 10 else "")
        print(f"Annotated, but without results, and left out ({len(scores.missing)}): {shown}")
