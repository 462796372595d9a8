"""Scores of a tracker: from its result files and the annotations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.lists import ATTRIBUTES
from ..data.readers.otb import OTB_HIDDEN_START
from ..errors import InputError
from .annotations import Annotation, choose_targets
from .measures import (
    NORM_PRECISION_AT,
    NORM_THRESHOLDS,
    PRECISION_AT,
    InvalidRule,
    average_overlap,
    got10k_overlaps,
    normalised_errors,
    overlaps_and_errors,
    precision_curve,
    success_curve,
)
from .protocols import OtbProtocol, TrackerRun, list_runs
from .result_files import Origin, ResultFiles

COMPLEMENTED = ("OCC", "MB")
"""Attributes whose complement is reported too, to see whether a gain is special to them."""

OTHER_MEASURES = {
    "norm_precision": "Pnorm",
    "norm_auc": "Pnorm AUC",
    "ao": "AO",
    "sr50": "SR.50",
    "sr75": "SR.75",
}
"""LaSOT's and GOT-10k's measures: attributes of `TargetScores` and `TrackerScores`, and their headings."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TargetScores:
    """The scores of a tracker on one target.

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
        offsets: `float64[runs, 2]`, x and y of each run's first box less those of the box that the tracker was
            given; without runs whose first box is not finite.
        norm_curve: `float64[51]`, the normalised precision at `measures.NORM_THRESHOLDS`.
        norm_precision: Normalised precision at 0.2, in [0, 1].
        norm_auc: Mean of the normalised precision curve, in [0, 1].
        ao: GOT-10k's average overlap, in [0, 1]; `None` where no frame counts.
        sr50: Share of the frames of `ao` with an overlap above 0.5, likewise.
        sr75: Share of the frames of `ao` with an overlap above 0.75, likewise.
        got10k_frames: Number of frames that count in `ao`, see `measures.got10k_overlaps`.
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
    offsets: Floats = field(default_factory=lambda: np.empty((0, 2)))
    norm_curve: Floats = field(default_factory=lambda: np.full(len(NORM_THRESHOLDS), np.nan))
    norm_precision: float = math.nan
    norm_auc: float = math.nan
    ao: float | None = None
    sr50: float | None = None
    sr75: float | None = None
    got10k_frames: int = 0


@dataclass(frozen=True, eq=False)
class TrackerScores:
    """The scores of a tracker; every mean is the plain mean over targets, as in OTB.

    Attributes:
        tracker: Its name.
        protocol: `ope`, `tre` or `sre`.
        invalid: See `measures.InvalidRule`.
        targets: The scores of each target.
        missing: Annotated targets without (all) result files, which were left out.
        left_out: Targets whose annotation or result file cannot be used, and why.
        origin: The number that the result files were said to count pixels from.
    """

    tracker: str
    protocol: OtbProtocol
    invalid: InvalidRule
    targets: tuple[TargetScores, ...]
    missing: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = 1

    @property
    def origin_doubt(self) -> str | None:
        """A sentence where the files seem to count pixels from another origin than `origin`, else `None`.

        It compares the first box of each run with the box that the tracker was given.
        """
        offsets = np.concatenate([target.offsets for target in self.targets])
        if not len(offsets):
            return None
        here = np.median(offsets, axis=0)
        there = here + (2 * self.origin - 1)  # the same, read with the other origin
        nearer = np.abs(here) - np.abs(there)
        if not (np.isfinite(here).all() and (nearer > 0.5).all() and (np.abs(there) <= 0.75).all()):
            return None
        return (
            f"The first boxes lie {here[0]:+.1f}, {here[1]:+.1f} pixels from the annotation: the files seem to"
            f" count pixels from {1 - self.origin}, not from {self.origin}; "
            + ("leave --zero-based out." if self.origin == 0 else "give --zero-based.")
        )

    @property
    def warnings(self) -> list[str]:
        """One sentence for each doubt about the scores, and each target that is missing."""
        warnings = [] if self.origin_doubt is None else [self.origin_doubt]
        warnings += [f"{name} is left out: {why}" for name, why in self.left_out.items()]
        short = {file: counts for target in self.targets for file, counts in target.short.items()}
        if short:
            files = ", ".join(f"{file} ({boxes} of {frames})" for file, (boxes, frames) in short.items())
            warnings.append(
                f"Result files with fewer boxes than frames, whose other frames are failures: {files}."
            )
        return warnings

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

    @property
    def norm_curve(self) -> Floats:
        """Normalised precision curve, `float64[51]`, at `measures.NORM_THRESHOLDS`."""
        return np.mean([target.norm_curve for target in self.targets], axis=0)

    @property
    def norm_precision(self) -> float:
        """Normalised precision at 0.2."""
        return float(np.mean([target.norm_precision for target in self.targets]))

    @property
    def norm_auc(self) -> float:
        """Mean of the normalised precision curve, from 0 to 0.5."""
        return float(np.mean([target.norm_auc for target in self.targets]))

    @property
    def ao(self) -> float | None:
        """GOT-10k's average overlap, over the frames of all targets together; `None` where no frame counts."""
        return self._frame_mean("ao")

    @property
    def sr50(self) -> float | None:
        """GOT-10k's success rate at 0.5, over the frames of `ao`."""
        return self._frame_mean("sr50")

    @property
    def sr75(self) -> float | None:
        """GOT-10k's success rate at 0.75, over the frames of `ao`."""
        return self._frame_mean("sr75")

    def _frame_mean(self, measure: Literal["ao", "sr50", "sr75"]) -> float | None:
        counted = [target for target in self.targets if target.got10k_frames]
        frames = sum(target.got10k_frames for target in counted)
        total = sum(getattr(target, measure) * target.got10k_frames for target in counted)
        return total / frames if frames else None

    def by_attribute(self) -> dict[str, tuple[float, float, int]]:
        """Return AUC, precision and number of targets of each attribute, and of the targets without OCC or MB.

        Targets whose attributes are not known are left out, and attributes that no target has.
        """
        known = [target for target in self.targets if target.attributes is not None]
        labels = [{*(target.attributes or ())} for target in known]
        extra = sorted(set().union(*labels) - {*ATTRIBUTES})
        groups = {name: [name in label for label in labels] for name in (*ATTRIBUTES, *extra)}
        groups |= {f"not {name}": [name not in label for label in labels] for name in COMPLEMENTED}
        by_attribute = {}
        for name, members in groups.items():
            chosen = [target for target, member in zip(known, members, strict=True) if member]
            if chosen:
                part = replace(self, targets=tuple(chosen))
                by_attribute[name] = (part.auc, part.precision, len(chosen))
        return by_attribute

    def subset(self, names: Iterable[str]) -> TrackerScores:
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
            **{measure: getattr(self, measure) for measure in OTHER_MEASURES},
            "fps": self.fps,
            "targets": len(self.targets),
            "frames": sum(target.frames for target in self.targets),
            "success": self.success.tolist(),
            "precision_curve": self.precision_curve.tolist(),
            "norm_curve": self.norm_curve.tolist(),
            "by_attribute": {
                name: {"auc": auc, "precision": precision, "targets": count}
                for name, (auc, precision, count) in self.by_attribute().items()
            },
            "per_target": {
                target.name: {
                    "auc": target.auc,
                    "precision": target.precision,
                    **{measure: getattr(target, measure) for measure in OTHER_MEASURES},
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


def format_measure(value: float | None, digits: int) -> str:
    """A measure with some decimals, or `-` where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def score_results(
    folder: str | Path,
    annotations: Mapping[str, Annotation],
    *,
    protocol: OtbProtocol = "ope",
    invalid: InvalidRule = "otb",
    targets: Sequence[str] | None = None,
    zero_based: bool = False,
    tracker: str | None = None,
) -> TrackerScores:
    """Judge a tracker's result files by OTB's protocol.

    OPE judges one run a target. TRE and SRE pool the frames of all runs of a target; the repetitions that the
    got10k toolkit writes are pooled too. Then the mean over targets is taken; AO and SR are means over frames.

    A file with fewer boxes than frames is judged over all frames, and those without a box are failures, as in
    pytracking (the OTB authors' toolkit stops at such a file). A target with more boxes than frames, or whose file
    cannot be read, is left out, because nothing says which frames the boxes are of. `TrackerScores.warnings` names
    both.

    Args:
        folder: The folder of the files; `result_files.ResultFiles` says which layouts are known.
        annotations: The annotations by target, from `read_annotations`.
        protocol: `ope`, `tre` or `sre`.
        invalid: See `measures.InvalidRule`.
        targets: Judge only these; by default every annotated target that has result files.
        zero_based: The files count pixels from 0. Those of toolkits count as the benchmark's annotation does: from
            1 in OTB, GOT-10k and LaSOT.
        tracker: The tracker's name; by default the folder's.

    Raises:
        InputError: If a target that was asked for is not annotated, has no (or not all) result files or has one
            that cannot be used, or no annotated target has one that can.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The folder of results '{folder}' does not exist; give the folder of a tracker's files.")
    left_out: dict[str, str] = {} if targets is not None else dict(getattr(annotations, "left_out", {}))
    if targets is not None:
        annotations = choose_targets(annotations, targets)
    files = ResultFiles(folder, protocol, 0 if zero_based else 1, tracker)
    scores, missing = [], {}
    for name, annotation in annotations.items():
        runs = list_runs(protocol, annotation)
        try:
            results = [boxes for boxes in files.boxes(runs, len(annotation)) if boxes is not None]
            if len(results) == len(runs):
                repetitions = files.repetitions(name)
                runs += runs[:1] * len(repetitions)
                scores.append(_score_target(files, annotation, runs, results + repetitions, invalid))
            else:
                missing[name] = f"{name} ({len(results)} of {len(runs)} runs)" if results else name
        except InputError as error:
            if targets is not None:
                raise
            left_out[name] = str(error)
    if targets is not None and missing:
        raise InputError(f"'{folder}' has no results for {', '.join(missing.values())}; run the tracker on them.")
    if not scores:
        with_files = [why for name, why in left_out.items() if name in annotations]
        raise InputError(next(iter(with_files), _nothing(folder, missing)))
    name = tracker or folder.resolve().name
    return TrackerScores(name, protocol, invalid, tuple(scores), tuple(missing), left_out, files.origin)


def _score_target(
    files: ResultFiles,
    annotation: Annotation,
    runs: Sequence[TrackerRun],
    results: Sequence[Floats],
    invalid: InvalidRule,
) -> TargetScores:
    """Pool the frames of all runs on a target, and score them."""
    overlaps, errors, norm_errors, got10k, frames, seconds, offsets = [], [], [], [], 0, 0.0, []
    short: dict[str, tuple[int, int]] = {}
    for run, boxes in zip(runs, results, strict=True):
        truth = annotation.from_frame(run.start)
        boxes = _judged_boxes(files, truth, run, boxes)
        if len(boxes) < len(truth):
            short[run.label] = len(boxes), len(truth)
        if len(boxes) and np.isfinite(boxes[0]).all():
            offsets.append(boxes[0, :2] - run.box[:2])
        overlap, error = overlaps_and_errors(boxes, truth, invalid)
        overlaps.append(overlap)
        errors.append(error)
        norm_errors.append(normalised_errors(boxes, truth))
        got10k.append(got10k_overlaps(boxes, truth))
        if (times := files.times(annotation.name, run.key)) is not None:
            frames += len(times) - 1
            seconds += float(times[1:].sum())
    overlap = np.concatenate(overlaps)
    success, precision = success_curve(overlap), precision_curve(np.concatenate(errors))
    norm_curve = precision_curve(np.concatenate(norm_errors), NORM_THRESHOLDS)
    counted = np.concatenate(got10k)
    ao, sr50, sr75 = average_overlap(counted)
    return TargetScores(
        name=annotation.name,
        auc=float(success.mean()),
        precision=float(precision[PRECISION_AT]),
        success=success,
        precision_curve=precision,
        frames=len(overlap),
        fps=frames / seconds if seconds > 0 else None,
        attributes=annotation.attributes,
        overlap=overlap,
        offsets=np.reshape(offsets, (-1, 2)),
        short=short,
        norm_curve=norm_curve,
        norm_precision=float(norm_curve[NORM_PRECISION_AT]),
        norm_auc=float(norm_curve.mean()),
        ao=ao,
        sr50=sr50,
        sr75=sr75,
        got10k_frames=len(counted),
    )


def _judged_boxes(files: ResultFiles, truth: Annotation, run: TrackerRun, boxes: Floats) -> Floats:
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
