"""Targets from images and boxes without a video."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlusion_env.scene.targets import TargetSet
from tracker.data.images import check_image
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError

Image = NDArray[np.uint8]


def image_targets(
    images: Iterable[Image],
    boxes: ArrayLike,
    exemplars: Iterable[Image] | None = None,
    names: Iterable[str] | None = None,
) -> TargetSet:
    """Make a set of targets, each with its own image.

    Args:
        images: N images `uint8[H, W, 3]`, of any sizes.
        boxes: `[N, 4]`, `(x, y, w, h)` in pixels, 0-based.
        exemplars: N images of the targets, which the matcher compares with; the targets themselves if `None`.
        names: N different names; `image-000000` and so on if `None`. An id is `NAME/000000`, the zeros the frame:
            0, or 1 where the exemplar comes first.

    Raises:
        InputError: If the numbers differ, or an image or a box cannot be used.
    """
    images = [check_image(image, f"Image {number}") for number, image in enumerate(images)]
    count = len(images)
    try:
        boxes = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("The boxes hold something that is not a number; give an array [N, 4].") from None
    crops: list[Image | None] = [None] * count if exemplars is None else list(exemplars)
    names = [f"image-{number:06d}" for number in range(count)] if names is None else list(names)
    if not count or boxes.shape != (count, 4) or not len(crops) == len(names) == count:
        raise InputError(
            f"{count} images, boxes {list(boxes.shape)}, {len(crops)} exemplars and {len(names)} names do not"
            " go together; give as many of each, and boxes [N, 4]."
        )
    return TargetSet.join(
        _one_target(name, image, box, exemplar)
        for name, image, box, exemplar in zip(names, images, boxes, crops, strict=True)
    )


def _one_target(name: str, image: Image, box: NDArray[np.float64], exemplar: Image | None) -> TargetSet:
    frames, boxes = [image], [box]
    if exemplar is not None:
        # A sequence's frames are of one size, by its first one; the exemplar stands in the corner of a frame that
        # is no smaller than the image.
        height, width = check_image(exemplar, f"The exemplar of '{name}'").shape[:2]
        first = np.zeros((max(height, image.shape[0]), max(width, image.shape[1]), 3), dtype=np.uint8)
        first[:height, :width] = exemplar
        frames, boxes = [first, image], [np.array([0.0, 0.0, width, height]), box]
    count = len(frames)
    sequence = Sequence(name, ArrayFrames(frames), np.array(boxes), np.ones(count), f"image:{name}", "annotation")
    return TargetSet.from_sequence(sequence, [count - 1])
