"""The measures of one run: OTB's success and precision, LaSOT's normalised precision, GOT-10k's AO and SR."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.boxes import iou
from .annotations import Annotation

Measure = Literal["auc", "precision"]
MEASURES: tuple[Measure, ...] = ("auc", "precision")
"""The two numbers that compare trackers: the mean of the success curve, and the precision at 20 pixels."""

InvalidRule = Literal["otb", "strict"]
"""Precision of a frame with an invalid annotation: a hit (`otb`) or a miss (`strict`)."""

OVERLAP_THRESHOLDS = np.arange(21) / 20
"""0, 0.05, ..., 1, each the nearest number to its decimal."""

ERROR_THRESHOLDS = np.arange(51.0)
"""0, 1, ..., 50 pixels."""

PRECISION_AT = 20
"""The threshold of the precision that is reported, in pixels."""

NORM_THRESHOLDS = np.arange(51) / 100
"""0, 0.01, ..., 0.5, in sides of the target."""

NORM_PRECISION_AT = 20
"""Index in `NORM_THRESHOLDS` of the normalised precision that is reported, that at 0.2."""

_SLACK = 1e-9
"""Overlaps and errors this near to a threshold are on it: boxes are read from decimals and shifted by 1."""

Floats = NDArray[np.float64]


def success_curve(overlap: ArrayLike) -> Floats:
    """Share of the frames whose overlap is *above* each threshold; the mean of the curve is the AUC.

    A perfect tracker reaches 20/21, since no overlap is above 1.

    Args:
        overlap: `[frames]`, intersection over union; NaN counts as a failure.

    Returns:
        `float64[21]` in [0, 1], falling, at `OVERLAP_THRESHOLDS`.

    >>> success_curve([1.0, 0.5, 0.0, -1.0])[[0, 9, 10, 20]].tolist()
    [0.5, 0.5, 0.25, 0.0]
    """
    values = np.asarray(overlap, dtype=np.float64)
    return (values[:, None] > OVERLAP_THRESHOLDS + _SLACK).mean(axis=0)


def precision_curve(error: ArrayLike, thresholds: ArrayLike = ERROR_THRESHOLDS) -> Floats:
    """Share of the frames whose error is *at most* each threshold.

    Args:
        error: `[frames]`, centre errors in pixels, or normalised ones; NaN counts as a failure, -1 as a hit.
        thresholds: `[n]`, rising: `ERROR_THRESHOLDS` or `NORM_THRESHOLDS`.

    Returns:
        `float64[n]` in [0, 1], rising.

    >>> precision_curve([0.0, 20.0, 20.5, np.inf])[[0, 19, 20, 21]].tolist()
    [0.25, 0.25, 0.5, 0.75]
    """
    values = np.asarray(error, dtype=np.float64)
    return (values[:, None] <= np.asarray(thresholds) + _SLACK).mean(axis=0)


def average_overlap(overlap: ArrayLike) -> tuple[float, float, float] | tuple[None, None, None]:
    """GOT-10k's AO, SR.50 and SR.75: the mean overlap, and the shares of the frames *above* 0.5 and 0.75.

    Args:
        overlap: `[frames]`, see `got10k_overlaps`.

    Returns:
        Three numbers in [0, 1]; `None` where there is no frame.

    >>> average_overlap([1.0, 0.75, 0.5, 0.25])
    (0.625, 0.5, 0.25)
    """
    values = np.asarray(overlap, dtype=np.float64)
    if values.size == 0:
        return None, None, None
    above = values[:, None] > np.array([0.5, 0.75]) + _SLACK
    sr50, sr75 = above.mean(axis=0)
    return float(values.mean()), float(sr50), float(sr75)


def overlaps_and_errors(
    results: ArrayLike, annotation: Annotation, invalid: InvalidRule = "otb"
) -> tuple[Floats, Floats]:
    """Compare a tracker's boxes with the annotation, frame by frame, by OTB's rules.

    The first box is replaced by the annotated one, which the tracker was given. A box with a NaN or an infinity is
    a failure (overlap 0, error infinite), and so is every frame after the last box. A frame whose annotation is
    invalid, or in which the target is absent, has the overlap -1, whatever the tracker says; its error is -1 (a
    hit) with `invalid="otb"`, as in the OTB authors' toolkits and in pysot, and infinite (a miss) with `"strict"`,
    as in pytracking and in LaSOT's toolkit.

    Args:
        results: `[n, 4]`, 0-based, `n` at most `len(annotation)`.
        annotation: The annotation of these frames.
        invalid: Whether invalid annotations are hits or misses in precision.

    Returns:
        Overlap and centre error, `float64[T]` each: intersection over union in [0, 1] or -1; pixels or -1.

    Raises:
        ValueError: If there are more boxes than frames.
    """
    boxes, answered = _complete(results, annotation)
    with np.errstate(over="ignore", invalid="ignore"):
        overlap = np.where(answered, _overlap(boxes, annotation.boxes), 0.0)
        apart = _centre_offsets(boxes, annotation.boxes)
        error = np.where(answered, np.hypot(apart[:, 0], apart[:, 1]), np.inf)
    judged = annotation.valid & annotation.present
    overlap[~judged] = -1.0
    error[~judged] = -1.0 if invalid == "otb" else np.inf
    return overlap, error


def normalised_errors(results: ArrayLike, annotation: Annotation) -> Floats:
    """Centre errors divided by the target's width and height, as in LaSOT's normalised precision.

    The error is `hypot(dx / w, dy / h)` with the annotated `w` and `h`. Frames in which the target is absent stay
    in the count as misses. See `overlaps_and_errors` for the first box and for missing ones.

    Args:
        results: `[n, 4]`, 0-based, `n` at most `len(annotation)`.
        annotation: The annotation of these frames.

    Returns:
        `float64[T]`, infinite where the box is missing or the target is absent.

    Raises:
        ValueError: If there are more boxes than frames.
    """
    boxes, answered = _complete(results, annotation)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        apart = _centre_offsets(boxes, annotation.boxes) / annotation.boxes[:, 2:]
        error = np.hypot(apart[:, 0], apart[:, 1])
    return np.where(answered & annotation.present, error, np.inf)


def got10k_overlaps(results: ArrayLike, annotation: Annotation) -> Floats:
    """Overlaps of the frames that count in GOT-10k's AO and SR.

    These are all frames but the first and those in which the target is absent or wholly covered. Both boxes are
    cut to the image first if its size is known, by the got10k toolkit's rule: in 1-based coordinates, the corner
    is moved into `[0, side]` of the image, and then the side of the box is cut at the border.

    Args:
        results: `[n, 4]`, 0-based, `n` at most `len(annotation)`.
        annotation: The annotation of these frames.

    Returns:
        `float64[k]` in [0, 1], `k` below `len(annotation)`; 0 where the box is missing.

    Raises:
        ValueError: If there are more boxes than frames.
    """
    boxes, answered = _complete(results, annotation)
    truth = annotation.boxes
    if annotation.size is not None:
        boxes, truth = _cut(boxes, annotation.size), _cut(truth, annotation.size)
    with np.errstate(over="ignore", invalid="ignore"):
        overlap = np.where(answered, _overlap(boxes, truth), 0.0)
    return overlap[1:][annotation.uncovered[1:]]


def _complete(results: ArrayLike, annotation: Annotation) -> tuple[Floats, NDArray[np.bool_]]:
    """The boxes of all frames, the first one annotated, and which of them are finite; the others are zeros."""
    given = np.asarray(results, dtype=np.float64).reshape(-1, 4)
    if len(given) > len(annotation):
        raise ValueError(f"{len(given)} boxes for {len(annotation)} frames")
    boxes = np.full((len(annotation), 4), np.nan)
    boxes[: len(given)] = given
    boxes[0] = annotation.boxes[0]
    answered = np.isfinite(boxes).all(axis=1)
    boxes[~answered] = 0.0
    return boxes, answered


def _overlap(boxes: Floats, truth: Floats) -> Floats:
    return np.clip(np.nan_to_num(iou(boxes, truth)), 0.0, 1.0)


def _centre_offsets(boxes: Floats, truth: Floats) -> Floats:
    return (boxes[:, :2] + boxes[:, 2:] / 2) - (truth[:, :2] + truth[:, 2:] / 2)


def _cut(boxes: Floats, size: tuple[int, int]) -> Floats:
    corner = np.clip(boxes[:, :2] + 1.0, 0.0, size)
    return np.concatenate([corner, np.clip(boxes[:, 2:], 0.0, size - corner)], axis=1)
