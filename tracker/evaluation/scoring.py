"""From result files and annotations to a tracker's scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.lists import ATTRIBUTES
from ..data.readers.otb import OTB_HIDDEN_START
from ..errors import InputError
from .annotations import Annotation
from .measures import PRECISION_AT, Invalid, overlaps_and_errors, precision_curve, success_curve
from .protocols import Protocol, Run, runs
from .result_files import Origin, ResultFiles

__all__ = ["Scores", "TargetScore", "score_results"]

COMPLEMENTED = ("OCC", "MB")
"""Attributes whose complement is reported too, to see whether a gain is special to them."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TargetScore:
    """How well one target was tracked.

    Attributes:
        name: The target.
        auc: Mean of the success curve, in [0, 1].
        precision: Share of the frames whose centre error is at most 20 pixels, in [0, 1].
        success: `float64[21]`, see `measures.success_curve`.
        precision_curve: `float64[51]`, see `measures.precision_curve`.
        frames: Judged frames, those of all runs together.
        fps: Frames a second behind each run's first frame; `None` where no times were kept.
        attributes: The benchmark's labels; `None` where they are not known.
        overlap: `float64[frames]`, intersection over union or -1 where the annotation is invalid; the frames of
            several runs one run after the other.
        short: Result files with fewer boxes than judged frames: the number of boxes and of frames, by the file's
            target or `target/run`. Frames without a box are failures.
    """

    name: str
    auc: float
    precision: float
    success: Floats
    precision_curve: Floats
    frames: int
    fps: float | None
    attributes: tuple[str, ...] | None
    overlap: Floats
    short: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a tracker; every mean is the plain mean over targets, as in OTB.

    Attributes:
        tracker: Its name.
        protocol: `ope`, `tre` or `sre`.
        invalid: What frames with an invalid annotation count as in precision, see `measures.Invalid`.
        targets: One score a target.
        missing: Annotated targets without (all) result files, which were left out.
        left_out: Targets whose annotation or result file cannot be used, and why.
        origin_doubt: That the files seem to count pixels from another origin than was said; `None` if they do not.
    """

    tracker: str
    protocol: Protocol
    invalid: Invalid
    targets: tuple[TargetScore, ...]
    missing: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    origin_doubt: str | None = None

    @property
    def warnings(self) -> list[str]:
        """One sentence for each thing that puts the scores in doubt or is missing in them."""
        found = [] if self.origin_doubt is None else [self.origin_doubt]
        found += [f"{name} is left out: {why}" for name, why in self.left_out.items()]
        short = {file: counts for target in self.targets for file, counts in target.short.items()}
        if short:
            files = ", ".join(f"{file} ({boxes} of {frames})" for file, (boxes, frames) in short.items())
            found.append(f"Result files with fewer boxes than frames, whose other frames are failures: {files}.")
        return found

    @property
    def auc(self) -> float:
        """Area under the success curve: the mean of its 21 values."""
        return float(np.mean([target.auc for target in self.targets]))

    @property
    def precision(self) -> float:
        """Precision at 20 pixels."""
        return float(np.mean([target.precision for target in self.targets]))

    @property
    def fps(self) -> float | None:
        """Mean of the targets' frames a second; `None` where no times were kept."""
        known = [target.fps for target in self.targets if target.fps is not None]
        return float(np.mean(known)) if known else None

    @property
    def success(self) -> Floats:
        """Success curve, `float64[21]`."""
        return np.mean([target.success for target in self.targets], axis=0)

    @property
    def precision_curve(self) -> Floats:
        """Precision curve, `float64[51]`."""
        return np.mean([target.precision_curve for target in self.targets], axis=0)

    def by_attribute(self) -> dict[str, tuple[float, float, int]]:
        """Return AUC, precision and number of targets of each attribute, and of the targets without OCC or MB.

        Targets whose attributes are not known are left out, and attributes that no target has.
        """
        known = [target for target in self.targets if target.attributes is not None]
        labels = [{*(target.attributes or ())} for target in known]
        extra = sorted(set().union(*labels) - {*ATTRIBUTES})
        groups = {name: [name in label for label in labels] for name in (*ATTRIBUTES, *extra)}
        groups |= {f"not {name}": [name not in label for label in labels] for name in COMPLEMENTED}
        found = {}
        for name, members in groups.items():
            chosen = [target for target, member in zip(known, members, strict=True) if member]
            if chosen:
                part = replace(self, targets=tuple(chosen))
                found[name] = (part.auc, part.precision, len(chosen))
        return found

    def subset(self, names: Iterable[str]) -> Scores:
        """Return the scores of some targets, in the order of `self.targets`.

        Raises:
            InputError: Naming the targets that were not judged, or if there is no name.
        """
        wanted = dict.fromkeys(names)
        judged = {target.name for target in self.targets}
        if absent := [name for name in wanted if name not in judged]:
            raise InputError(f"{self.tracker} was not judged on {', '.join(absent)}; leave them out.")
        if not wanted:
            raise InputError("No target was asked for; name at least one.")
        return replace(self, targets=tuple(target for target in self.targets if target.name in wanted))

    def to_json(self) -> dict[str, Any]:
        """Return the scores as plain data: `targets` is a number, `per_target` has them by name."""
        return {
            "tracker": self.tracker,
            "protocol": self.protocol,
            "invalid": self.invalid,
            "auc": self.auc,
            "precision": self.precision,
            "fps": self.fps,
            "targets": len(self.targets),
            "frames": sum(target.frames for target in self.targets),
            "success": self.success.tolist(),
            "precision_curve": self.precision_curve.tolist(),
            "by_attribute": {
                name: {"auc": auc, "precision": precision, "targets": count}
                for name, (auc, precision, count) in self.by_attribute().items()
            },
            "per_target": {
                target.name: {
                    "auc": target.auc,
                    "precision": target.precision,
                    "frames": target.frames,
                    "fps": target.fps,
                }
                for target in self.targets
            },
            "missing": list(self.missing),
            "left_out": dict(self.left_out),
            "short_files": {
                file: {"boxes": boxes, "frames": frames}
                for target in self.targets
                for file, (boxes, frames) in target.short.items()
            },
            "origin_doubt": self.origin_doubt,
        }


def score_results(
    folder: str | Path,
    annotations: Mapping[str, Annotation],
    *,
    protocol: Protocol = "ope",
    invalid: Invalid = "otb",
    targets: Sequence[str] | None = None,
    zero_based: bool = False,
    tracker: str | None = None,
) -> Scores:
    """Judge a tracker's result files by OTB's protocol.

    OPE judges one run a target. TRE and SRE pool the frames of all runs of a target. Then the mean over targets is
    taken.

    A file with fewer boxes than frames is judged over all frames, and those without a box are failures, as in
    pytracking (the OTB authors' toolkit stops at such a file). A target with more boxes than frames, or whose file
    cannot be read, is left out, because nothing says which frames the boxes are of. `Scores.warnings` names both.

    Args:
        folder: The folder of the files; `result_files.ResultFiles` says which layouts are known.
        annotations: The truth by target, from `read_annotations`.
        protocol: `ope`, `tre` or `sre`.
        invalid: What frames with an invalid annotation count as in precision; see
            `measures.overlaps_and_errors`.
        targets: Judge these and no others; by default every annotated target that has result files.
        zero_based: The files count pixels from 0. Those of OTB, GOT-10k and pysot count from 1.
        tracker: The tracker's name; by default the folder's.

    Raises:
        InputError: If a target that was asked for is not annotated, has no (or not all) result files or has one
            that cannot be used, or no annotated target has one that can.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The folder of results '{folder}' does not exist; give the folder of a tracker's files.")
    left_out: dict[str, str] = dict(getattr(annotations, "left_out", {}))
    if targets is not None:
        if unusable := [left_out[name] for name in targets if name in left_out]:
            raise InputError(unusable[0])
        if unknown := [name for name in targets if name not in annotations]:
            raise InputError(
                f"There is no annotation of {', '.join(unknown)}; give a file or folder that has them."
            )
        left_out = {}
    origin: Origin = 0 if zero_based else 1
    files = ResultFiles(folder, protocol, origin, tracker)
    scores, missing, offsets = [], {}, []
    for name in dict.fromkeys(annotations if targets is None else targets):
        made = runs(protocol, annotations[name])
        try:
            boxes = files.boxes(made, len(annotations[name]))
            there = sum(box is not None for box in boxes)
            if there == len(made):
                score, apart = _score(files, annotations[name], made, boxes, invalid)
                scores.append(score)
                offsets += apart
            else:
                missing[name] = f"{name} ({there} of {len(made)} runs)" if there else name
        except InputError as error:
            if targets is not None:
                raise
            left_out[name] = str(error)
    if targets is not None and missing:
        raise InputError(f"'{folder}' has no results for {', '.join(missing.values())}; run the tracker on them.")
    if not scores:
        with_files = [why for name, why in left_out.items() if name in annotations]
        raise InputError(next(iter(with_files), _nothing(folder, missing)))
    return Scores(
        tracker or folder.resolve().name,
        protocol,
        invalid,
        tuple(scores),
        tuple(missing),
        left_out,
        _doubt_origin(offsets, origin),
    )


def _doubt_origin(offsets: Sequence[Floats], origin: Origin) -> str | None:
    """Say that the files seem to have another origin than `origin`.

    Args:
        offsets: First box of each run less the box that the tracker was given, x and y, read with `origin`.
        origin: What the files are said to count pixels from.
    """
    if not offsets:
        return None
    here = np.median(offsets, axis=0)
    there = here + (2 * origin - 1)  # the same, read with the other origin
    nearer = np.abs(here) - np.abs(there)
    if not (np.isfinite(here).all() and (nearer > 0.5).all() and (np.abs(there) <= 0.75).all()):
        return None
    return (
        f"The first boxes lie {here[0]:+.1f}, {here[1]:+.1f} pixels from the annotation: the files seem to count"
        f" pixels from {1 - origin}, not from {origin}; "
        + ("leave --zero-based out." if origin == 0 else "give --zero-based.")
    )


def _score(
    files: ResultFiles,
    annotation: Annotation,
    made: Sequence[Run],
    results: Sequence[Floats | None],
    invalid: Invalid,
) -> tuple[TargetScore, list[Floats]]:
    """The score of a target, and how far the first box of each run lies from the one that was given."""
    overlaps, errors, frames, seconds = [], [], 0, 0.0
    short: dict[str, tuple[int, int]] = {}
    offsets = []
    for run, boxes in zip(made, results, strict=True):
        assert boxes is not None
        truth = replace(annotation, boxes=annotation.boxes[run.start :], valid=annotation.valid[run.start :])
        boxes = _trimmed(files, truth, run, boxes)
        if len(boxes) < len(truth):
            short[annotation.name if run.key is None else f"{annotation.name}/{run.key}"] = (
                len(boxes),
                len(truth),
            )
        if len(boxes) and np.isfinite(boxes[0]).all():
            offsets.append(boxes[0, :2] - run.box[:2])
        overlap, error = overlaps_and_errors(boxes, truth, invalid)
        overlaps.append(overlap)
        errors.append(error)
        if (times := files.times(annotation.name, run.key)) is not None:
            frames += len(times) - 1
            seconds += float(times[1:].sum())
    pooled, apart = np.concatenate(overlaps), np.concatenate(errors)
    success, precise = success_curve(pooled), precision_curve(apart)
    score = TargetScore(
        name=annotation.name,
        auc=float(success.mean()),
        precision=float(precise[PRECISION_AT]),
        success=success,
        precision_curve=precise,
        frames=len(pooled),
        fps=frames / seconds if seconds > 0 else None,
        attributes=annotation.attributes,
        overlap=pooled,
        short=short,
    )
    return score, offsets


def _trimmed(files: ResultFiles, truth: Annotation, run: Run, boxes: Floats) -> Floats:
    """The boxes of the judged frames; a tracker may have run over the frames that OTB leaves out, too."""
    hidden, _ = OTB_HIDDEN_START.get(truth.name, (0, 0))
    if hidden and run.start == 0 and len(boxes) == len(truth) + hidden:
        return boxes[hidden:]
    if len(boxes) > len(truth):
        raise InputError(
            f"{files.where(run.target, run.key)} has {len(boxes)} boxes, but {run.target} has {len(truth)} frames "
            "to judge; give the results of these frames."
        )
    return boxes


def _nothing(folder: Path, missing: Mapping[str, str]) -> str:
    partly = [text for name, text in missing.items() if text != name]
    if partly:
        return f"'{folder}' has no whole result for any target, only {', '.join(partly)}; run the tracker on."
    inner = sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    remedy = f"give one of its folders ({', '.join(inner[:8])})" if inner else "check the names of the files"
    return f"'{folder}' has no result file for any annotated target; {remedy}."
