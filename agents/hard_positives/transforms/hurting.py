"""How much an occlusion hurts a matcher: by the target's score, or by its margin over the best distractor."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from occlusion_env.scene.occluders import occlude
from tracker.data.boxes import iou
from tracker.models.sint import to_rois
from tracker.scorers import Scorer, SintScorer
from tracker.training.sampling import NEGATIVE_IOU, radius_boxes

from .patches import crop_boxes

__all__ = ["Hurt", "MarginLeft", "ScoreLeft"]

_CHUNK = 256


class Hurt(Protocol):
    """Says what an occlusion leaves of a target; the less, the more it hurts."""

    def __call__(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        exemplars: Tensor | None,
        patches: Tensor,
        regions: NDArray[np.float64],
    ) -> Tensor:
        """Judge K occlusions of each image; the P patches take turns: occlusion k has the patch k mod P.

        Args:
            images: `[M, 3, H, W]` in [0, 1].
            boxes: `[M, 4]`, the targets, `(x, y, w, h)` in pixels.
            exemplars: `[M, 3, h, w]`; the targets as they are if `None`.
            patches: `[M, P, 3, 64, 64]`.
            regions: `[M, K, 4]`, what each covers, relative to the target.

        Returns:
            `float32[M, K]`, on any device.
        """
        ...


class ScoreLeft:
    """The score of the occluded target, cut out of its image.

    Args:
        scorer: The matcher, on any device; it is asked as it is at that moment.
    """

    def __init__(self, scorer: Scorer) -> None:
        """See the class."""
        self.scorer = scorer

    def __repr__(self) -> str:
        """What tells it from others."""
        return "ScoreLeft()"

    def __call__(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        exemplars: Tensor | None,
        patches: Tensor,
        regions: NDArray[np.float64],
    ) -> Tensor:
        """See `Hurt`."""
        scorer, (count, each) = self.scorer, regions.shape[:2]
        crops = crop_boxes(images, np.arange(count), boxes, scorer.input_size).to(scorer.device)
        known = crops if exemplars is None else exemplars.to(scorer.device)
        embedded, patches = scorer.embed(_sized(known, scorer.input_size)), patches.to(scorer.device)
        where = torch.from_numpy(regions.reshape(-1, 4)).float().to(scorer.device)
        owner = torch.arange(count, device=scorer.device).repeat_interleave(each)
        turn = (torch.arange(each, device=scorer.device) % patches.shape[1]).repeat(count)
        parts = zip(owner.split(_CHUNK), turn.split(_CHUNK), where.split(_CHUNK), strict=True)
        scores = [
            scorer.compare(embedded[own], scorer.embed(occlude(crops[own], patches[own, which], part)))
            for own, which, part in parts
        ]
        return torch.cat(scores).reshape(count, each)


class MarginLeft:
    """The occluded target's score less that of the best distractor.

    A distractor is a box around the target that holds less than half of it.

    Everything is read off one feature map an occlusion, as the tracker reads its candidates, so that what hides a
    target and reminds of it, next to it, counts.

    Args:
        scorer: SINT, on any device; it is asked as it is at that moment.
    """

    def __init__(self, scorer: SintScorer) -> None:
        """See the class."""
        self.scorer = scorer

    def __repr__(self) -> str:
        """What tells it from others."""
        return "MarginLeft()"

    def __call__(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        exemplars: Tensor | None,
        patches: Tensor,
        regions: NDArray[np.float64],
    ) -> Tensor:
        """See `Hurt`."""
        height, width = images.shape[-2:]
        side, device = self.scorer.input_size, self.scorer.device
        images, patches = images.to(device), patches.to(device)
        known = (
            crop_boxes(images, np.arange(len(boxes)), boxes, side) if exemplars is None else exemplars.to(device)
        )
        embedded = self.scorer.embed(_sized(known, side))
        turn = torch.arange(regions.shape[1], device=device) % patches.shape[1]
        found = []
        for row, box in enumerate(boxes):
            covered = regions[row] * [box[2], box[3], box[2], box[3]] + [box[0], box[1], 0, 0]
            relative = torch.from_numpy(covered / [width, height, width, height]).float().to(device)
            views = occlude(images[row].expand(len(relative), -1, -1, -1), patches[row, turn], relative)
            around = radius_boxes(box, radii=5, angles=8)
            looked_at = np.concatenate([box[None], around[iou(around, box) < NEGATIVE_IOU]])
            corners = np.concatenate([looked_at[:, :2], looked_at[:, :2] + looked_at[:, 2:]], axis=1)
            described = self.scorer.embed(views, to_rois([corners] * len(views), device))
            scores = (described @ embedded[row]).reshape(len(views), -1)
            found.append(scores[:, 0] - scores[:, 1:].amax(dim=1))
        return torch.stack(found) if found else images.new_zeros(regions.shape[:2])


def _sized(crops: Tensor, side: int) -> Tensor:
    if crops.shape[-2:] == (side, side):
        return crops
    return functional.interpolate(crops, (side, side), mode="bilinear", antialias=True)
