"""What covers the target, and how it is pasted."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracker.boxes import check_box, iou
from tracker.images import crop, to_images, to_tensor

__all__ = ["PATCH_SIZE", "background_box", "background_patch", "occlude", "occlude_image"]

PATCH_SIZE = 64
"""Side in pixels at which patches are held; they are resized to the region when pasted."""

_TRIES = 256
_LEAST_SIDE = 4.0


def background_box(
    image_width: int, image_height: int, target: NDArray[np.float64], share: float, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Draw a box of the background: inside the image, IoU 0 with the target.

    Uniform among the places where the wanted size fits; where none does, the size is halved.

    Args:
        image_width: In pixels.
        image_height: In pixels.
        target: `(x, y, w, h)` in pixels.
        share: Wanted area as a share of the target's; the aspect is the target's.
        rng: Where the draws come from.

    Returns:
        `(x, y, w, h)`, or `None` where the target leaves no background.
    """
    side = np.maximum(target[2:] * math.sqrt(share), _LEAST_SIDE)
    side = np.floor(np.minimum(side, [image_width, image_height]))
    while (side >= _LEAST_SIDE).all():
        places = rng.integers(0, [image_width - side[0] + 1, image_height - side[1] + 1], size=(_TRIES, 2))
        boxes = np.concatenate([places, np.broadcast_to(side, (_TRIES, 2))], axis=1).astype(np.float64)
        free = boxes[iou(boxes, target) == 0]
        if len(free):
            return free[0]
        side = np.floor(side / 2)
    return None


def background_patch(
    frame: NDArray[np.uint8], target: NDArray[np.float64], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
    """Cut a patch out of the background of the target's own frame (section 4.2).

    Args:
        frame: `uint8[H, W, 3]`.
        target: The target's box in it.
        share: See `background_box`.
        rng: Where the draws come from.

    Returns:
        `uint8[64, 64, 3]` and its box. Where the target fills the frame there is no background: the patch is
        then the frame's mean colour and the box `None`.
    """
    height, width = frame.shape[:2]
    box = background_box(width, height, check_box(target, width, height, "The target's box"), share, rng)
    if box is None:
        mean = frame.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
        return np.broadcast_to(mean, (PATCH_SIZE, PATCH_SIZE, 3)).copy(), None
    return crop(frame, box, PATCH_SIZE), box


def occlude(images: Tensor, patches: Tensor, regions: Tensor) -> Tensor:
    """Paste a patch over a region of each image; a pixel is covered where its centre lies in the region.

    Args:
        images: `[N, 3, H, W]`.
        patches: `[N, 3, h, w]`; resized to the region, bilinear.
        regions: `[N, 4]`, `(x, y, w, h)` relative to the image, in [0, 1].

    Returns:
        `[N, 3, H, W]`.
    """
    height, width = images.shape[-2:]
    x, y, w, h = regions.to(images).unbind(1)
    across = (torch.arange(width, device=images.device) + 0.5) / width
    down = (torch.arange(height, device=images.device) + 0.5) / height
    u = (across[None, :] - x[:, None]) / w[:, None]
    v = (down[None, :] - y[:, None]) / h[:, None]
    grid = torch.stack(torch.broadcast_tensors(u[:, None, :], v[:, :, None]), dim=3) * 2 - 1
    pasted = functional.grid_sample(patches.to(images), grid, padding_mode="border", align_corners=False)
    covered = ((u >= 0) & (u < 1))[:, None, None, :] & ((v >= 0) & (v < 1))[:, None, :, None]
    return torch.where(covered, pasted, images)


def occlude_image(
    image: NDArray[np.uint8], patch: NDArray[np.uint8], region: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """`occlude` for one image outside a network: `uint8[H, W, 3]` at its own size."""
    where = torch.from_numpy(np.asarray(region, dtype=np.float32)[None])
    return to_images(occlude(to_tensor(image), to_tensor(patch), where))[0]
