"""OTB's measures of one run: success and precision."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.boxes import iou
from .annotations import Annotation

Measure = Literal["auc", "precision"]
MEASURES: tuple[Measure, ...] = ("auc", "precision")
"""The two numbers of a run: the mean of the success curve, and the precision at 20 pixels."""

InvalidRule = Literal["otb", "strict"]
"""Precision of a frame with an invalid annotation: a hit (`otb`) or a miss (`strict`)."""

OVERLAP_THRESHOLDS = np.arange(21) / 20
"""0, 0.05, ..., 1, each the nearest number to its decimal."""

ERROR_THRESHOLDS = np.arange(51.0)
"""0, 1, ..., 50 pixels."""

PRECISION_AT = 20
"""The threshold of the precision that is reported, in pixels."""

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


def precision_curve(error: ArrayLike) -> Floats:
    """Share of the frames whose centre error is *at most* each threshold.

    Args:
        error: `[frames]`, in pixels; NaN counts as a failure, -1 as a hit.

    Returns:
        `float64[51]` in [0, 1], rising, at `ERROR_THRESHOLDS`.

    >>> precision_curve([0.0, 20.0, 20.5, np.inf])[[0, 19, 20, 21]].tolist()
    [0.25, 0.25, 0.5, 0.75]
    """
    values = np.asarray(error, dtype=np.float64)
    return (values[:, None] <= ERROR_THRESHOLDS + _SLACK).mean(axis=0)


def overlaps_and_errors(
    results: ArrayLike, annotation: Annotation, invalid: InvalidRule = "otb"
) -> tuple[Floats, Floats]:
    """Compare a tracker's boxes with the annotation, frame by frame.

    The first box is replaced by the annotated one, which the tracker was given. A box with a NaN or an infinity is
    a failure (overlap 0, error infinite), and so is every frame after the last box. A frame whose annotation is
    invalid has the overlap -1, whatever the tracker says; its error is -1 (a hit) with `invalid="otb"`, as in the
    OTB authors' toolkits and in pysot, and infinite (a miss) with `"strict"`, as in pytracking.

    Args:
        results: `[n, 4]`, 0-based, `n` at most `len(annotation)`.
        annotation: The annotation of these frames.
        invalid: Whether invalid annotations are hits or misses in precision.

    Returns:
        Overlap and centre error, `float64[T]` each: intersection over union in [0, 1] or -1; pixels or -1.

    Raises:
        ValueError: If there are more boxes than frames.
    """
    given = np.asarray(results, dtype=np.float64).reshape(-1, 4)
    if len(given) > len(annotation):
        raise ValueError(f"{len(given)} boxes for {len(annotation)} frames")
    boxes = np.full((len(annotation), 4), np.nan)
    boxes[: len(given)] = given
    boxes[0] = annotation.boxes[0]
    told = np.isfinite(boxes).all(axis=1)
    boxes[~told] = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        overlap = np.where(told, np.clip(np.nan_to_num(iou(boxes, annotation.boxes)), 0.0, 1.0), 0.0)
        apart = (boxes[:, :2] + boxes[:, 2:] / 2) - (annotation.boxes[:, :2] + annotation.boxes[:, 2:] / 2)
        error = np.where(told, np.hypot(apart[:, 0], apart[:, 1]), np.inf)
    overlap[~annotation.valid] = -1.0
    error[~annotation.valid] = -1.0 if invalid == "otb" else np.inf
    return overlap, error
