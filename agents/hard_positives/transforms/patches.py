"""What covers the targets of a batch: pieces of background, what looks like the target, other targets."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from occlusion_env.scene.occluders import PATCH_SIZE, background_box
from tracker.data.images import to_tensor
from tracker.errors import InputError
from tracker.scorers import Scorer

__all__ = ["Background", "Cutouts", "Lookalikes", "PatchSource", "crop_boxes"]

_AROUND = 16


class PatchSource(Protocol):
    """Draws what covers targets."""

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """Draw patches.

        Args:
            images: `[M, 3, H, W]` in [0, 1].
            boxes: `[M, 4]`, the targets, `(x, y, w, h)` in pixels.
            share: Largest area that is covered, as a share of the target.
            count: Patches of each image.
            rng: Where the draws come from.

        Returns:
            `float32[M, count, 3, 64, 64]`.
        """
        ...


class Background:
    """Pieces of the image's own background (section 4.2); its mean colour where the target fills it."""

    def __repr__(self) -> str:
        """What tells it from others."""
        return "Background()"

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """See `PatchSource`."""
        height, width = images.shape[-2:]
        rows = np.repeat(np.arange(len(boxes)), count)
        drawn = [background_box(width, height, boxes[row], share, rng) for row in rows]
        cut = np.array([[0, 0, 1, 1] if box is None else box for box in drawn], dtype=np.float64).reshape(-1, 4)
        patches = crop_boxes(images, rows, cut, PATCH_SIZE)
        full = torch.tensor([box is None for box in drawn], dtype=torch.bool, device=images.device)
        mean = images.mean(dim=(2, 3))[torch.from_numpy(rows).to(images.device)][..., None, None]
        patches = torch.where(full[:, None, None, None], mean.expand_as(patches), patches)
        return patches.unflatten(0, (len(boxes), count)) if len(rows) else patches.reshape(0, count, 3, 64, 64)


class Lookalikes:
    """Of 16 pieces of background the ones that the matcher takes most for the target.

    What hides a target is often its like: the next runner, the other car.

    Args:
        scorer: The matcher, on any device; it is asked as it is at that moment.
    """

    def __init__(self, scorer: Scorer) -> None:
        """See the class."""
        self.scorer = scorer
        self._background = Background()

    def __repr__(self) -> str:
        """What tells it from others."""
        return f"Lookalikes(among={_AROUND})"

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """See `PatchSource`."""
        drawn = self._background(images, boxes, share, max(count, _AROUND), rng)
        side, device, each = self.scorer.input_size, self.scorer.device, drawn.shape[1]
        targets = self.scorer.embed(crop_boxes(images, np.arange(len(boxes)), boxes, side).to(device))
        looked_at = drawn.flatten(0, 1).to(device)
        looks = self.scorer.embed(functional.interpolate(looked_at, (side, side), mode="bilinear"))
        scores = self.scorer.compare(targets.repeat_interleave(each, dim=0), looks).reshape(-1, each)
        best = scores.topk(count, dim=1).indices.to(drawn.device)
        return drawn[torch.arange(len(boxes), device=drawn.device)[:, None], best]


class Cutouts:
    """Other targets, such as those of other videos.

    Args:
        crops: `uint8[N, 64, 64, 3]`.

    Raises:
        InputError: If there is none, or they have another shape.
    """

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        """See the class."""
        if not len(crops) or crops.shape[1:] != (PATCH_SIZE, PATCH_SIZE, 3):
            raise InputError(f"The cutouts are {list(crops.shape)}; give [N, {PATCH_SIZE}, {PATCH_SIZE}, 3].")
        self._crops = crops

    def __repr__(self) -> str:
        """What tells it from others."""
        return f"Cutouts({len(self._crops)})"

    def __call__(
        self, images: Tensor, boxes: NDArray[np.float64], share: float, count: int, rng: np.random.Generator
    ) -> Tensor:
        """See `PatchSource`."""
        chosen = self._crops[rng.integers(len(self._crops), size=len(boxes) * count)]
        return to_tensor(chosen, images.device).unflatten(0, (len(boxes), count))


def crop_boxes(images: Tensor, rows: NDArray[np.int64], boxes: NDArray[np.float64], side: int) -> Tensor:
    """Boxes of images, resized by averaging.

    Args:
        images: `[N, 3, H, W]`.
        rows: `int[M]`, of which image each box is.
        boxes: `[M, 4]`, `(x, y, w, h)` in pixels.
        side: Of the results.

    Returns:
        `[M, 3, side, side]`.
    """
    corners = np.concatenate([rows[:, None], boxes], axis=1)
    corners[:, 3:] += corners[:, 1:3]
    return roi_align(images, torch.from_numpy(corners).float().to(images.device), side, aligned=True)
