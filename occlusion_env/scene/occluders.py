"""Occluders: the patches that cover a target, and how they are pasted."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracker.data.boxes import check_box, iou
from tracker.data.images import crop, resize, to_images, to_tensor
from tracker.errors import InputError, check_choice

from .targets import Target, TargetSet

Image = NDArray[np.uint8]

PATCH_SIZE = 64
"""Side in pixels at which patches are held; they are resized to the region when pasted."""

OCCLUDERS = ("background", "mean", "noise", "zero", "cutout", "contrast")
"""Kinds of patches: a piece of the frame's background (the paper's), the frame's mean colour, uniform noise,
black, the target of another video, or the piece of background that differs most from the target."""

_TRIES = 256
_LEAST_SIDE = 4.0

COMPARED_SIDE = 16
"""Side in pixels at which pieces are compared with what they cover."""

CONTRAST_SIDE = 0.35
"""Sides of the pieces among which `contrast` chooses, in sides of those of `background`: a smaller piece is more
uniform and can differ more. Of 1, 0.7, 0.5 and 0.35 the last lowered the score most on training videos."""


@dataclass(frozen=True)
class Occluder:
    """The origin of a patch, as plain data: with the video, `patch` makes the same patch again.

    Attributes:
        kind: One of `OCCLUDERS`; `background` for the piece that `contrast` chooses.
        box: `background`: the piece of the target's frame, `(x, y, w, h)` in pixels.
        seed: `noise`: of the noise.
        target: `cutout`: id of the other video's target.
    """

    kind: str
    box: tuple[float, float, float, float] | None = None
    seed: int | None = None
    target: str | None = None

    def patch(self, target: Target, others: TargetSet | None = None) -> Image:
        """Make the patch of a target, `uint8[64, 64, 3]`; a `cutout` is found in `others` by its id.

        Raises:
            InputError: If the target of a `cutout` is not among the others.
        """
        if self.kind == "background" and self.box is not None:
            return crop(target.frame, self.box, PATCH_SIZE)
        if self.kind == "noise":
            noise = np.random.default_rng(self.seed)
            return noise.integers(0, 256, (PATCH_SIZE, PATCH_SIZE, 3), dtype=np.uint8)
        if self.kind == "zero":
            return np.zeros((PATCH_SIZE, PATCH_SIZE, 3), np.uint8)
        if self.kind == "cutout":
            if others is None or self.target not in (ids := others.ids):
                raise InputError(f"There is no target '{self.target}' to cut an occluder out of; give its video.")
            return resize(others[ids.index(self.target)].crop, PATCH_SIZE, PATCH_SIZE)
        return mean_patch(target.frame)

    def record(self) -> dict[str, Any]:
        """The attributes as JSON types; `from_record` reads them back."""
        return {**asdict(self), "box": None if self.box is None else list(self.box)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Occluder:
        """Read a `record`.

        Raises:
            InputError: If it is no such record.
        """
        try:
            box, seed, target = record["box"], record["seed"], record["target"]
            found = cls(
                str(record["kind"]),
                None if box is None else _four(box),
                None if seed is None else operator.index(seed),
                None if target is None else str(target),
            )
            if seed is not None and seed < 0:
                raise ValueError("seed")
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{record!r} is no occluder; write its kind, box, seed and target.") from None
        check_choice(found.kind, OCCLUDERS, "occluder")
        return found


def choose_occluder(
    name: str, target: Target, share: float, rng: np.random.Generator, others: TargetSet | None = None
) -> Occluder:
    """Choose the occluder of a target.

    Args:
        name: One of `OCCLUDERS`.
        target: The target to cover.
        share: `background` and `contrast`: see `background_boxes`.
        rng: Random generator.
        others: `cutout`: the targets to draw one of another video from.

    Returns:
        The occluder. Where the target fills its frame there is no background, and its kind is `mean`.

    Raises:
        InputError: If the name is unknown, or there is no other video for a `cutout`.
    """
    if name in ("background", "contrast"):
        height, width = target.frame.shape[:2]
        place = check_box(target.box, width, height, "The target's box")
        boxes = background_boxes(
            width, height, place, share * (CONTRAST_SIDE**2 if name == "contrast" else 1), rng
        )
        if not len(boxes):
            return Occluder("mean")
        first = measure_contrast(target.frame, boxes, target.crop).argmax() if name == "contrast" else 0
        return Occluder("background", box=_four(boxes[first]))
    if name == "noise":
        return Occluder("noise", seed=int(rng.integers(2**63)))
    if name == "cutout":
        videos = () if others is None else others.videos
        foreign = [index for index, video in enumerate(videos) if video != target.source.video]
        if others is None or not foreign:
            raise InputError(
                f"The occluder 'cutout' needs targets of another video than '{target.source.video}'; give a folder"
                " of several, or choose another occluder."
            )
        return Occluder("cutout", target=others.ids[foreign[int(rng.integers(len(foreign)))]])
    check_choice(name, OCCLUDERS, "occluder")
    return Occluder(name)


def background_box(
    image_width: int, image_height: int, target: NDArray[np.float64], share: float, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Draw a box of the background, `(x, y, w, h)` in pixels: the first of `background_boxes`, `None` if none."""
    boxes = background_boxes(image_width, image_height, target, share, rng)
    return boxes[0] if len(boxes) else None


def background_boxes(
    image_width: int, image_height: int, target: NDArray[np.float64], share: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw boxes of the background: inside the image, IoU 0 with the target.

    Their wanted area is a share of the target's, their aspect the target's. The places are uniform among those
    where that size fits; if there is none, the size is halved.

    Returns:
        `float64[N, 4]` in pixels, N at most 256; 0 where the target leaves no background.
    """
    side = np.maximum(target[2:] * math.sqrt(share), _LEAST_SIDE)
    side = np.floor(np.minimum(side, [image_width, image_height]))
    while (side >= _LEAST_SIDE).all():
        places = rng.integers(0, [image_width - side[0] + 1, image_height - side[1] + 1], size=(_TRIES, 2))
        boxes = np.concatenate([places, np.broadcast_to(side, (_TRIES, 2))], axis=1).astype(np.float64)
        free = boxes[iou(boxes, target) == 0]
        if len(free):
            return free
        side = np.floor(side / 2)
    return np.empty((0, 4))


def measure_contrast(frame: Image, boxes: NDArray[np.float64], covered: Image) -> NDArray[np.float64]:
    """Mean absolute difference between the pixels of boxes and of the image that each of them would cover.

    Args:
        frame: `uint8[H, W, 3]`.
        boxes: `[N, 4]` in pixels of the frame.
        covered: `uint8[h, w, 3]`.

    Returns:
        `float64[N]`, 0 to 255, over 16 x 16 pixels and three colours.
    """
    pieces = np.stack([crop(frame, box, COMPARED_SIDE) for box in boxes]).astype(np.int16)
    below = resize(covered, COMPARED_SIDE, COMPARED_SIDE).astype(np.int16)
    return np.abs(pieces - below).mean(axis=(1, 2, 3))


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
    grid = torch.stack(torch.broadcast_tensors(u[:, None, :] * 2 - 1, v[:, :, None] * 2 - 1), dim=3)
    pasted = functional.grid_sample(patches.to(images), grid, padding_mode="border", align_corners=False)
    covered = ((u >= 0) & (u < 1))[:, None, None, :] & ((v >= 0) & (v < 1))[:, None, :, None]
    return torch.where(covered, pasted, images)


def occlude_image(image: Image, patch: Image, region: NDArray[np.float64]) -> Image:
    """`occlude` for one image outside a network: `uint8[H, W, 3]` at its own size."""
    where = torch.from_numpy(np.asarray(region, dtype=np.float32)[None])
    return to_images(occlude(to_tensor(image), to_tensor(patch), where))[0]


def mean_patch(frame: Image, side: int = PATCH_SIZE) -> Image:
    """A patch `uint8[side, side, 3]` of the frame's mean colour."""
    mean = frame.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    return np.broadcast_to(mean, (side, side, 3)).copy()


def _four(box: Any) -> tuple[float, float, float, float]:
    x, y, w, h = (float(value) for value in box)
    return (x, y, w, h)
