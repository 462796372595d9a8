"""From result files and annotations to a tracker's scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..readers import OTB_HIDDEN_START
from .annotations import Annotation
from .lists import ATTRIBUTES
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


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a tracker; every mean is the plain mean over targets, as in OTB.

    Attributes:
        tracker: Its name.
        protocol: `ope`, `tre` or `sre`.
        invalid: What frames with an invalid annotation count as in precision, see `measures.Invalid`.
        targets: One score a target.
        missing: Annotated targets without (all) result files, which were left out.
    """

    tracker: str
    protocol: Protocol
    invalid: Invalid
    targets: tuple[TargetScore, ...]
    missing: tuple[str, ...] = ()

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

    Args:
        folder: The folder of the files; `result_files.ResultFiles` says which layouts are known.
        annotations: The truth by target, from `read_annotations`.
        protocol: `ope`, `tre` or `sre`.
        invalid: What frames with an invalid annotation count as in precision; see
            `measures.overlaps_and_errors`.
        targets: Judge these and no others; by default every annotated target that has result files.
        zero_based: The files count pixels from 0, as pysot's.
        tracker: The tracker's name; by default the folder's.

    Raises:
        InputError: If a file cannot be used, a target that was asked for is not annotated or has no (or not all)
            result files, or no annotated target has any.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The folder of results '{folder}' does not exist; give the folder of a tracker's files.")
    if targets is not None and (unknown := [name for name in targets if name not in annotations]):
        raise InputError(f"There is no annotation of {', '.join(unknown)}; give a file or folder that has them.")
    origin: Origin = 0 if zero_based else 1
    files = ResultFiles(folder, protocol, origin, tracker)
    scores, missing = [], {}
    for name in dict.fromkeys(annotations if targets is None else targets):
        made = runs(protocol, annotations[name])
        boxes = files.boxes(made, len(annotations[name]))
        there = sum(box is not None for box in boxes)
        if there == len(made):
            scores.append(_score(files, annotations[name], made, boxes, invalid))
        else:
            missing[name] = f"{name} ({there} of {len(made)} runs)" if there else name
    if targets is not None and missing:
        raise InputError(f"'{folder}' has no results for {', '.join(missing.values())}; run the tracker on them.")
    if not scores:
        raise InputError(_nothing(folder, missing))
    return Scores(tracker or folder.resolve().name, protocol, invalid, tuple(scores), tuple(missing))


def _score(
    files: ResultFiles,
    annotation: Annotation,
    made: Sequence[Run],
    results: Sequence[Floats | None],
    invalid: Invalid,
) -> TargetScore:
    overlaps, errors, frames, seconds = [], [], 0, 0.0
    for run, boxes in zip(made, results, strict=True):
        assert boxes is not None
        truth = replace(annotation, boxes=annotation.boxes[run.start :], valid=annotation.valid[run.start :])
        boxes = _trimmed(files, truth, run, boxes)
        overlap, error = overlaps_and_errors(boxes, truth, invalid)
        overlaps.append(overlap)
        errors.append(error)
        if (times := files.times(annotation.name, run.key)) is not None:
            frames += len(times) - 1
            seconds += float(times[1:].sum())
    pooled, apart = np.concatenate(overlaps), np.concatenate(errors)
    success, precise = success_curve(pooled), precision_curve(apart)
    return TargetScore(
        name=annotation.name,
        auc=float(success.mean()),
        precision=float(precise[PRECISION_AT]),
        success=success,
        precision_curve=precise,
        frames=len(pooled),
        fps=frames / seconds if seconds > 0 else None,
        attributes=annotation.attributes,
        overlap=pooled,
    )


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
