"""Patches that cover the targets of a batch: pieces of background, contrasting or alike, and other targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from occlusion_env.scene.occluders import (
    COMPARED_SIDE,
    CONTRAST_SIDE,
    PATCH_SIZE,
    background_box,
    background_boxes,
)
from tracker.data.images import to_tensor
from tracker.errors import InputError
from tracker.scorers import Scorer


class PatchSource(Protocol):
    """Draws the patches that cover targets."""

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """Draw patches.

        Args:
            images: `[M, 3, H, W]` in [0, 1].
            boxes: `[M, 4]`, the targets, `(x, y, w, h)` in pixels.
            share: Largest area that is covered, as a share of the target.
            count: Patches of each image.
            rng: Random generator.

        Returns:
            `float32[M, count, 3, 64, 64]`.
        """
        ...


@dataclass(frozen=True)
class Background:
    """Pieces of the image's own background (section 4.2); its mean colour where the target fills it."""

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """Cut patches from the images outside the targets; see `PatchSource`."""
        height, width = images.shape[-2:]
        drawn = [
            background_box(width, height, boxes[row], share, rng) for row in np.repeat(range(len(boxes)), count)
        ]
        return _cut(images, drawn, count)


@dataclass(frozen=True)
class Contrasting:
    """Draws small pieces of background and keeps those whose pixels differ most from the target's, on average.

    It chooses as the occluder `contrast` does (`occlusion_env.scene.occluders`), without a matcher.

    Attributes:
        among: Largest number of pieces that the patches of an image are chosen from, 1 to 256.

    Raises:
        InputError: If it is another number.
    """

    among: int = 64

    def __post_init__(self) -> None:
        if not isinstance(self.among, int) or isinstance(self.among, bool) or not 1 <= self.among <= 256:
            raise InputError(f"among is {self.among!r}; it must be a whole number from 1 to 256.")

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """Choose among pieces of the images outside the targets; see `PatchSource`."""
        height, width = images.shape[-2:]
        most, share = max(count, self.among), share * CONTRAST_SIDE**2
        drawn = [background_boxes(width, height, box, share, rng)[:most] for box in boxes]
        rows = np.repeat(np.arange(len(boxes)), [len(pieces) for pieces in drawn])
        pieces = crop_boxes(images, rows, np.concatenate([np.empty((0, 4)), *drawn]), COMPARED_SIDE)
        below = crop_boxes(images, np.arange(len(boxes)), boxes, COMPARED_SIDE)
        contrast = (pieces - below[torch.from_numpy(rows).to(images.device)]).abs().mean(dim=(1, 2, 3)).cpu()
        chosen: list[NDArray[np.float64] | None] = []
        for row, found in enumerate(drawn):
            order = np.argsort(-contrast.numpy()[rows == row], kind="stable")
            chosen += [found[order[number % len(order)]] if len(order) else None for number in range(count)]
        return _cut(images, chosen, count)


@dataclass(frozen=True)
class Lookalikes:
    """Of several pieces of background those with the highest scores.

    The occluder of a target is often similar to it: the next runner, the other car.

    Attributes:
        scorer: The matcher, on any device, with its weights at the time of the call.
        among: Number of pieces that the patches of an image are chosen from.
    """

    scorer: Scorer = field(repr=False)
    among: int = 16

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """Choose among patches of `Background`; see `PatchSource`."""
        drawn = Background()(images, boxes, share, max(count, self.among), rng)
        side, device, each = self.scorer.input_size, self.scorer.device, drawn.shape[1]
        targets = self.scorer.embed(crop_boxes(images, np.arange(len(boxes)), boxes, side).to(device))
        candidates = functional.interpolate(drawn.flatten(0, 1).to(device), (side, side), mode="bilinear")
        scores = self.scorer.compare(targets.repeat_interleave(each, dim=0), self.scorer.embed(candidates))
        best = scores.reshape(-1, each).topk(count, dim=1).indices.to(drawn.device)
        return drawn[torch.arange(len(boxes), device=drawn.device)[:, None], best]


class Cutouts:
    """Other targets, such as those of other videos.

    Args:
        crops: `uint8[N, 64, 64, 3]`.

    Raises:
        InputError: If there is none, or they have another shape.
    """

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        if not len(crops) or crops.shape[1:] != (PATCH_SIZE, PATCH_SIZE, 3):
            raise InputError(f"The cutouts are {list(crops.shape)}; give [N, {PATCH_SIZE}, {PATCH_SIZE}, 3].")
        self._crops = crops

    def __repr__(self) -> str:
        return f"Cutouts({len(self._crops)})"

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """Draw from the crops; see `PatchSource`."""
        chosen = self._crops[rng.integers(len(self._crops), size=len(boxes) * count)]
        return to_tensor(chosen, images.device).unflatten(0, (len(boxes), count))


def _cut(images: Tensor, pieces: Sequence[NDArray[np.float64] | None], count: int) -> Tensor:
    """Crop `count` pieces of each image, in the images' order; the mean colour for `None`."""
    rows = np.repeat(np.arange(len(images)), count)
    boxes = np.array([[0, 0, 1, 1] if box is None else box for box in pieces], dtype=np.float64)
    patches = crop_boxes(images, rows, boxes.reshape(-1, 4), PATCH_SIZE)
    full = torch.tensor([box is None for box in pieces], dtype=torch.bool, device=images.device)
    mean = images.mean(dim=(2, 3))[torch.from_numpy(rows).to(images.device)][..., None, None]
    patches = torch.where(full[:, None, None, None], mean.expand_as(patches), patches)
    return patches.unflatten(0, (len(images), count))


def crop_boxes(images: Tensor, rows: NDArray[np.int64], boxes: NDArray[np.float64], side: int) -> Tensor:
    """Crop boxes of images, resized by averaging.

    Args:
        images: `[N, 3, H, W]`.
        rows: `int[M]`, the image of each box.
        boxes: `[M, 4]`, `(x, y, w, h)` in pixels.
        side: Side of the crops in pixels.

    Returns:
        `[M, 3, side, side]`.
    """
    corners = np.concatenate([rows[:, None], boxes], axis=1)
    corners[:, 3:] += corners[:, 1:3]
    return roi_align(images, torch.from_numpy(corners).float().to(images.device), side, aligned=True)
