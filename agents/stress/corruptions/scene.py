"""The frames of a moment, and the same frames corrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from occlusion_env.scene.occluders import mean_patch
from occlusion_env.scene.shapes import OtherVideo, draw_texture
from tracker.data.images import crop
from tracker.data.sequences import Sequence
from tracker.errors import InputError

from .moments import Moment, Region
from .occluders import Cover, Image, draw_shape, paste_part, side_region
from .settings import LARGEST_DEFORMATION, LEAD, SPAN, Condition
from .warps import blur_target, deform_target, draw_field

LOOKALIKE_DISTANCE = 1.2
"""Distance of the look-alike from the target, in its widths: one width, and the margins of the occluder."""

_WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
_BLANK = np.zeros((1, 1, 3), np.uint8)


class Scene:
    """The frames of a moment, decoded once.

    Args:
        sequence: The moment's.
        moment: The moment.
        other: The video of `moment.cutout`; `cutout` alone needs it.

    Attributes:
        frames: The frames without corruption, `SPAN` arrays `uint8[H, W, 3]`; do not change them.

    Raises:
        InputError: If a frame cannot be decoded.
    """

    def __init__(self, sequence: Sequence, moment: Moment, other: OtherVideo | None = None) -> None:
        self.moment, self.other = moment, other
        self.frames: list[Image] = [sequence.frames[moment.start + row] for row in range(SPAN)]
        self._truth = moment.truth

    def corrupted(self, condition: Condition, region: Region | None = None) -> Iterator[Image]:
        """Yield the frames of a condition, `condition.length` new arrays.

        Args:
            condition: The condition.
            region: The region that is covered, relative to the box; by default the moment's. `placement="own"`
                needs it.

        Raises:
            InputError: If a cut-out has no other video, or the region is missing.
        """
        corrupt = self._corruption(condition, region)
        for row in range(condition.length):
            frame = self.frames[row].copy()
            if LEAD <= row < LEAD + condition.frames:
                corrupt(row, frame)
            yield frame

    def first_corrupted(self, condition: Condition, region: Region | None = None) -> Image:
        """Frame t0 of a condition, a new array; see `corrupted`."""
        frame = self.frames[LEAD].copy()
        self._corruption(condition, region)(LEAD, frame)
        return frame

    def _corruption(self, condition: Condition, region: Region | None) -> Callable[[int, Image], None]:
        """A function that corrupts the frame of a row in place."""
        boxes, moment = self._truth, self.moment
        if condition.strength == 0:
            return lambda row, frame: None
        if condition.kind == "blur":
            return lambda row, frame: blur_target(frame, boxes[row], condition.strength, moment.blur_angle)
        if condition.kind == "deformation":
            field = draw_field(moment.generator("deformation"), LARGEST_DEFORMATION)
            return lambda row, frame: deform_target(frame, boxes[row], condition.strength, field)
        cover = make_cover(moment, condition, region, self._content(condition))

        def paste(row: int, frame: Image) -> None:
            if condition.lookalike:
                # The target's image first, from the frame without the occluder.
                image, place = crop(self.frames[row], boxes[row]), lookalike_box(moment, row)
                paste_part(frame, image, place, place)
            cover.paste(frame, boxes[row])

        return paste

    def _content(self, condition: Condition) -> Image:
        """The image that covers."""
        moment, first = self.moment, self.frames[LEAD]
        if condition.content == "texture":
            return draw_texture(moment.generator("texture"))
        if condition.content == "cutout":
            if self.other is None or self.other.name != moment.cutout:
                raise InputError(
                    f"The occluder of '{moment.sequence}' is cut out of another video, and there is none; give"
                    " more sequences, or leave out the condition cutout."
                )
            return self.other.target
        return mean_patch(first) if moment.background is None else crop(first, moment.background)


def corrupted_frames(
    sequence: Sequence,
    moment: Moment,
    condition: Condition,
    other: OtherVideo | None = None,
    region: Region | None = None,
) -> Iterator[Image]:
    """Yield the frames of a moment under a condition, `uint8[H, W, 3]`, `condition.length` of them.

    Args:
        sequence: The moment's.
        moment: The moment.
        condition: One of `CONDITIONS`.
        other: The video of `moment.cutout`.
        region: See `Scene.corrupted`.
    """
    return Scene(sequence, moment, other).corrupted(condition, region)


def lookalike_box(moment: Moment, row: int) -> NDArray[np.float64]:
    """The box of the look-alike in a row of the moment's frames, `(x, y, w, h)` in pixels."""
    box = moment.truth[row]
    distance = LOOKALIKE_DISTANCE * box[2]
    box[0] += distance if moment.lookalike == "right" else -distance
    return box


def covered_parts(
    moment: Moment, condition: Condition, region: Region | None = None, side: int = 32
) -> NDArray[np.bool_]:
    """Which parts of the target are covered in each frame of a run.

    Args:
        moment: The moment.
        condition: The condition.
        region: See `Scene.corrupted`.
        side: Cells along each side of the box.

    Returns:
        `bool[condition.length, side, side]`, rows from the top.
    """
    parts = np.zeros((condition.length, side, side), bool)
    if condition.kind == "cover" and condition.strength > 0:
        cover = make_cover(moment, condition, region)
        for row in range(LEAD, LEAD + condition.frames):
            parts[row] = cover.covers(moment.boxes[row], side)
    return parts


def make_cover(moment: Moment, condition: Condition, region: Region | None = None, image: Image = _BLANK) -> Cover:
    """The cover of a condition; without an image it says which parts it covers.

    Raises:
        InputError: If the region of a placement is missing.
    """
    if condition.content == "cutout":
        cover = Cover(image, _WHOLE, draw_shape(condition.strength, moment.generator("shape")))
    else:
        cover = Cover(image, placed(moment, condition) if region is None else region)
    if not condition.standing:
        return cover
    return cover.standing_at(moment.boxes[LEAD + condition.frames // 2])


def placed(moment: Moment, condition: Condition) -> Region:
    """The region that a condition covers, relative to the box.

    Raises:
        InputError: If it is not known without a tracker or SINT's scores.
    """
    regions = {"side": side_region(moment.side, condition.strength), "random": moment.random}
    region = regions.get(condition.placement, moment.hardest if condition.placement == "hardest" else None)
    if region is None:
        raise InputError(f"The region of '{condition.name}' is not known; find it first (`hardest_region`).")
    return region
