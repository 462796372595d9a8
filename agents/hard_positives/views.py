"""Views of a hard positive: the target's crop, a search region around it, or the whole frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlusion_env.scene.occluders import mean_patch
from occlusion_env.scene.targets import Target
from tracker.data.images import MOST_PIXELS, paste
from tracker.errors import InputError
from tracker.models.siamfc import exemplar_side

Image = NDArray[np.uint8]
ViewName = Literal["crop", "region", "frame"]

LARGEST_CONTEXT = 16.0
"""In exemplar sides; pysot's crop511 is 511 / 127 = 4.02 of them."""


@dataclass(frozen=True)
class View:
    """The part of the frame that the image of a hard positive shows, at the frame's scale.

    Attributes:
        name: `crop`, the target alone; `region`, a square around it; or `frame`.
        context: Side of the square in sides of SiamFC's exemplar (`tracker.models.siamfc.exemplar_side`, twice the
            side of a square target), from 1 to 16: 2 is SiamFC's search region, 511 / 127 pysot's crop511. The
            target always fits in; what lies outside the frame has its mean colour.

    Raises:
        InputError: If the name is unknown or the context out of range.
    """

    name: ViewName = "crop"
    context: float = 2.0

    def __post_init__(self) -> None:
        if self.name not in get_args(ViewName):
            raise InputError(f"'{self.name}' is no view; choose {', '.join(get_args(ViewName))}.")
        if not 1 <= self.context <= LARGEST_CONTEXT:
            raise InputError(f"The context is {self.context:g}; it must lie between 1 and {LARGEST_CONTEXT:g}.")

    def box(self, target: Target) -> NDArray[np.float64]:
        """The target's box in the image, `float64[4]`: `(x, y, w, h)` in pixels, 0-based.

        As annotated: with fractions of a pixel, and where the target leaves the frame, beyond it.
        """
        left, top, _ = self._window(target)
        return target.box - [left, top, 0, 0]

    def show(self, target: Target, occluded: Image) -> Image:
        """Put the occluded target into its frame and cut the view out.

        Args:
            target: The target.
            occluded: Its crop, occluded, `uint8[h, w, 3]`.

        Returns:
            `uint8[H, W, 3]`.

        Raises:
            InputError: If the region would have more pixels than are decoded.
        """
        if self.name == "crop":
            return occluded
        frame = paste(target.frame, occluded, target.box)
        if self.name == "frame":
            return frame
        left, top, side = self._window(target)
        if side**2 > MOST_PIXELS:
            raise InputError(
                f"The region around '{target.id}' would have {side} x {side} pixels; lower the context."
            )
        image = mean_patch(target.frame, side)
        height, width = frame.shape[:2]
        rows, columns = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
        image[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = frame[
            rows, columns
        ]
        return image

    def record(self, target: Target) -> dict[str, Any]:
        """The view and the target's box in it, as plain data."""
        context = self.context if self.name == "region" else None
        return {"view": self.name, "context": context, "box": self.box(target).tolist()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> View:
        """Read the view of a `record`; one without a view is a crop.

        Raises:
            InputError: If it is no view.
        """
        context = record.get("context")
        try:
            context = cls.context if context is None else float(context)
        except (OverflowError, TypeError, ValueError):
            raise InputError(f"The record has the context {context!r}; give a line of metadata.jsonl.") from None
        return cls(record.get("view", "crop"), context)

    def _window(self, target: Target) -> tuple[int, int, int]:
        """Left and top of the image in the frame, and the side of a region."""
        if self.name == "frame":
            return 0, 0, 0
        x, y, w, h = target.box.tolist()
        if self.name == "crop":
            return math.floor(x + 0.5), math.floor(y + 0.5), 0
        side = math.ceil(max(self.context * exemplar_side(w, h), w + 1, h + 1))
        return math.floor(x + (w - side) / 2 + 0.5), math.floor(y + (h - side) / 2 + 0.5), side


CROP = View()


def covered_pixels(box: ArrayLike, region: ArrayLike) -> NDArray[np.float64]:
    """Where the occluder lies in an image.

    Args:
        box: The target in the image, `(x, y, w, h)` in pixels.
        region: The covered region, relative to the target's crop.

    Returns:
        `float64[4]`: `(x, y, w, h)` in pixels.

    >>> covered_pixels([9.6, 20, 10, 8], [0.5, 0, 0.5, 1]).tolist()
    [15.0, 20.0, 5.0, 8.0]
    """
    x, y, w, h = np.asarray(box, dtype=np.float64)
    low = np.floor(np.array([x, y]) + 0.5)
    size = np.maximum(np.floor(np.array([x + w, y + h]) + 0.5) - low, 1)
    region = np.asarray(region, dtype=np.float64)
    return np.concatenate([low + region[:2] * size, region[2:] * size])
