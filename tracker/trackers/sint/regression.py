"""Box regression: from a candidate's features to a better box, learned on the first frame (SINT, R-CNN)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...data.boxes import inside, iou, shifted

SCALES = (0.7, 0.8, 0.9, 1.0, 1 / 0.9, 1 / 0.8, 1 / 0.7)
"""Sizes of the boxes to learn from, relative to the target (SINT)."""
LEAST_IOU = 0.6
"""Least IoU of a box to learn from with the target (SINT)."""


def regression_boxes(
    box: ArrayLike, frame: tuple[int, int], count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Boxes of the first frame to learn from: shifted and scaled, with an IoU over 0.6 with the target.

    SINT takes all of a dense set (20 angles, 1 pixel steps, 7 scales; some thousands). Features of so many
    neighbours are nearly dependent, so `count` of them are drawn.

    Args:
        box: The target, `(x, y, w, h)`.
        frame: Width and height of the frame.
        count: At most so many.
        rng: Draws them.

    Returns:
        `float64[N, 4]` with N from 1 to `count`; the target itself first.
    """
    _, _, w, h = target = np.asarray(box, dtype=np.float64)
    boxes = shifted(target, np.linspace(0.025, 0.5, 20) * np.sqrt(w * h), 20, SCALES)
    good = boxes[inside(boxes, *frame) & (iou(boxes, target) > LEAST_IOU)]
    chosen = good[rng.permutation(len(good))[: count - 1]]
    return np.concatenate([target[None], chosen])


class BoxRegression:
    """Four ridge regressors without intercept: `dx / w, dy / h, log w'/w, log h'/h`.

    Args:
        features: `[N, D]`, one row a box.
        boxes: `[N, 4]`.
        target: `(x, y, w, h)`, the box that all of them should become.
        alpha: Weight of the penalty; SINT's is 1.
    """

    def __init__(self, features: Tensor, boxes: ArrayLike, target: ArrayLike, alpha: float = 1.0) -> None:
        boxes, goal = np.asarray(boxes, dtype=np.float64), np.asarray(target, dtype=np.float64)
        shift = (goal[:2] + goal[2:] / 2 - boxes[:, :2] - boxes[:, 2:] / 2) / boxes[:, 2:]
        targets = torch.from_numpy(np.concatenate([shift, np.log(goal[2:] / boxes[:, 2:])], axis=1))
        rows = features.double()
        gram = rows @ rows.T
        gram.diagonal().add_(alpha)
        self._weights = (rows.T @ torch.linalg.solve(gram, targets.to(rows))).float()

    def refine(self, features: Tensor, boxes: ArrayLike) -> NDArray[np.float64]:
        """Better boxes `float64[N, 4]` in place of boxes `[N, 4]` with features `[N, D]`."""
        boxes = np.asarray(boxes, dtype=np.float64)
        step = (features.float() @ self._weights).cpu().double().numpy()
        centre = boxes[:, :2] + boxes[:, 2:] / 2 + step[:, :2] * boxes[:, 2:]
        size = boxes[:, 2:] * np.exp(np.clip(step[:, 2:], -1.0, 1.0))
        return np.concatenate([centre - size / 2, size], axis=1)
