"""Objectives that the hardest occlusion minimises: the target's score, or its margin over distractors."""

from __future__ import annotations

from dataclasses import dataclass, field
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

_CHUNK = 256
"""Occluded crops in one forward pass of the scorer, which bounds the memory."""


class Objective(Protocol):
    """Rates occlusions; the lowest value is the hardest occlusion."""

    def __call__(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        exemplars: Tensor | None,
        patches: Tensor,
        regions: NDArray[np.float64],
    ) -> Tensor:
        """Rate K occlusions of each image; occlusion k has the patch k mod P.

        Args:
            images: `[M, 3, H, W]` in [0, 1].
            boxes: `[M, 4]`, the targets, `(x, y, w, h)` in pixels.
            exemplars: `[M, 3, h, w]`; the unoccluded targets if `None`.
            patches: `[M, P, 3, 64, 64]`.
            regions: `[M, K, 4]`, the covered regions, relative to the target.

        Returns:
            `float32[M, K]`, on any device.
        """
        ...


@dataclass
class OccludedScore:
    """The score of the occluded target, cropped from its image.

    Attributes:
        scorer: The matcher, on any device, with its weights at the time of the call.
    """

    scorer: Scorer = field(repr=False)

    def __call__(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        exemplars: Tensor | None,
        patches: Tensor,
        regions: NDArray[np.float64],
    ) -> Tensor:
        """The scores of K occlusions of each image; see `Objective`."""
        scorer, (count, each) = self.scorer, regions.shape[:2]
        device = scorer.device
        crops = crop_boxes(images, np.arange(count), boxes, scorer.input_size).to(device)
        embedded = _embed(scorer, crops if exemplars is None else exemplars)
        patches = patches.to(device)
        image = torch.arange(count, device=device).repeat_interleave(each)
        patch = (torch.arange(each, device=device) % patches.shape[1]).repeat(count)
        region = torch.from_numpy(regions.reshape(-1, 4)).float().to(device)
        scores = [
            scorer.compare(embedded[i], scorer.embed(occlude(crops[i], patches[i, p], r)))
            for i, p, r in zip(image.split(_CHUNK), patch.split(_CHUNK), region.split(_CHUNK), strict=True)
        ]
        return torch.cat(scores).reshape(count, each)


@dataclass
class OccludedMargin:
    """The occluded target's score less that of the best distractor.

    A distractor is a box around the target that holds less than half of it. All boxes are pooled from one feature
    map an occlusion, as a tracker scores its candidates.

    Attributes:
        scorer: SINT, on any device, with its weights at the time of the call.
    """

    scorer: SintScorer = field(repr=False)

    def __call__(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        exemplars: Tensor | None,
        patches: Tensor,
        regions: NDArray[np.float64],
    ) -> Tensor:
        """The margins of K occlusions of each image; see `Objective`."""
        height, width = images.shape[-2:]
        side, device = self.scorer.input_size, self.scorer.device
        images, patches = images.to(device), patches.to(device)
        if exemplars is None:
            exemplars = crop_boxes(images, np.arange(len(boxes)), boxes, side)
        embedded = _embed(self.scorer, exemplars)
        patch = torch.arange(regions.shape[1], device=device) % patches.shape[1]
        margins = []
        for row, box in enumerate(boxes):
            covered = regions[row] * [box[2], box[3], box[2], box[3]] + [box[0], box[1], 0, 0]
            relative = torch.from_numpy(covered / [width, height, width, height]).float().to(device)
            views = occlude(images[row].expand(len(relative), -1, -1, -1), patches[row, patch], relative)
            around = radius_boxes(box, radii=5, angles=8)
            candidates = np.concatenate([box[None], around[iou(around, box) < NEGATIVE_IOU]])
            corners = np.concatenate([candidates[:, :2], candidates[:, :2] + candidates[:, 2:]], axis=1)
            pooled = self.scorer.embed(views, to_rois([corners] * len(views), device))
            scores = (pooled @ embedded[row]).reshape(len(views), -1)
            margins.append(scores[:, 0] - scores[:, 1:].amax(dim=1))
        return torch.stack(margins) if margins else images.new_zeros(regions.shape[:2])


def _embed(scorer: Scorer, crops: Tensor) -> Tensor:
    """Embeddings of crops `[M, 3, h, w]`, resized to the scorer's input."""
    side, crops = scorer.input_size, crops.to(scorer.device)
    if crops.shape[-2:] != (side, side):
        crops = functional.interpolate(crops, (side, side), mode="bilinear", antialias=True)
    return scorer.embed(crops)
