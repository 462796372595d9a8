"""The measures of a run: its boxes against the true ones, and against the same moment without corruption."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data.boxes import area, iou

from .corruptions.moments import Moment, Region
from .corruptions.scene import covered_parts, lookalike_box
from .corruptions.settings import LEAD, Condition

HELD = 0.5
"""A tracker has the target where its IoU is above this."""

DISTRACTED = 0.3
"""Least IoU with the look-alike of a box that is on it."""

FARTHEST = 5.0
"""Largest drift, in target sizes; that of a failed run."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunScores:
    """The measures of one condition of a moment; each `_change` is less the reference's at the same frames.

    Attributes:
        condition: Name of the condition.
        overlap: IoU with the true box in each frame of the run, `float64[length]`.
        endurance: Mean IoU over the corrupted frames.
        uncovered: Mean IoU of the reference over the same frames.
        frozen: Mean IoU over the same frames of the box of the last frame before the moment: what the tracker
            would have if it stopped there.
        kept: 1 less the mean loss of IoU over the same frames.
        recovered: 1 where the IoU is above `HELD` in the last frame, else 0.
        recovered_change: The same less the reference's.
        drift: Distance of the centres in the last corrupted frame in target sizes, at most `FARTHEST`.
        drift_change: The same less the reference's.
        distracted: 1 where the box of the last corrupted frame is on the look-alike, else 0, less the reference's;
            `None` for a condition without a look-alike.
        region: The region that was covered, where it depends on the tracker.
        failure: One sentence, if the tracker failed.
    """

    condition: str
    overlap: Floats
    endurance: float
    uncovered: float
    frozen: float
    kept: float
    recovered: float
    recovered_change: float
    drift: float
    drift_change: float
    distracted: float | None
    region: Region | None = None
    failure: str | None = None


@np.errstate(over="ignore")  # a tracker's box may be so large that its area is infinite
def score_run(
    moment: Moment,
    condition: Condition,
    boxes: Floats,
    reference: Floats,
    region: Region | None = None,
    failure: str | None = None,
) -> RunScores:
    """Measure a run.

    Args:
        moment: The moment.
        condition: The condition.
        boxes: The tracker's, `float64[condition.length, 4]`; zeros from a failure on.
        reference: Its boxes without corruption, `float64[SPAN, 4]`.
        region: The region that was covered, where it depends on the tracker.
        failure: One sentence, if the tracker failed.
    """
    truth = moment.truth[: condition.length]
    overlap, clean = iou(boxes, truth), iou(reference[: condition.length], truth)
    corrupted = slice(LEAD, LEAD + condition.frames)
    last, end = LEAD + condition.frames - 1, condition.length - 1
    recovered, drift = float(overlap[end] > HELD), _drift(boxes[last], truth[last])
    distracted = None
    if condition.lookalike:
        distracted = float(is_on_lookalike(moment, last, boxes[last])) - float(
            is_on_lookalike(moment, last, reference[last])
        )
    return RunScores(
        condition=condition.name,
        overlap=overlap,
        endurance=float(overlap[corrupted].mean()),
        uncovered=float(clean[corrupted].mean()),
        frozen=float(iou(reference[LEAD - 1], truth[corrupted]).mean()),
        kept=float(1 - (clean - overlap)[corrupted].mean()),
        recovered=recovered,
        recovered_change=recovered - float(clean[end] > HELD),
        drift=drift,
        drift_change=drift - _drift(reference[last], truth[last]),
        distracted=distracted,
        region=region,
        failure=failure,
    )


def is_on_lookalike(moment: Moment, row: int, box: Floats) -> bool:
    """Whether a box overlaps the look-alike more than the target, and by more than `DISTRACTED`."""
    like, true = float(iou(box, lookalike_box(moment, row))), float(iou(box, moment.truth[row]))
    return like > max(true, DISTRACTED)


def _drift(box: Floats, truth: Floats) -> float:
    if area(box) <= 0:
        return FARTHEST
    distance = np.hypot(*(box[:2] + box[2:] / 2 - truth[:2] - truth[2:] / 2))
    return min(float(distance / np.sqrt(area(truth))), FARTHEST)


def losses_by_part(
    moment: Moment, condition: Condition, run: RunScores, reference: Floats
) -> tuple[Floats, Floats]:
    """The loss of IoU where each part of the target was covered.

    Args:
        moment: The moment.
        condition: The condition; a cover.
        run: Its measures.
        reference: IoU of each frame of the run without corruption.

    Returns:
        For each part of the target, `float64[32, 32]`: the sum of the losses over the frames that cover it, and
        the number of these frames.
    """
    parts = covered_parts(moment, condition, run.region)
    loss = reference[: condition.length] - run.overlap
    return np.tensordot(loss, parts, 1), parts.sum(axis=0).astype(np.float64)
