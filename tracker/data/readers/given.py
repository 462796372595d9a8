"""Boxes that the caller gives for a video or a folder of images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError
from ..boxes import parse_box
from ..sequences import Frames
from .annotation import Boxes, Source, presence, read_annotation


def read_given(frames: Frames, path: Path, box: str | Path | ArrayLike) -> Source:
    """Boxes that the caller gave, for one frame or for all."""
    what = "The box of the first frame"
    describe: Callable[[int], str]
    # `os.path.isfile` is false for a text that no path can be.
    if isinstance(box, Path) or (isinstance(box, str) and os.path.isfile(box)):
        if not Path(box).is_file():
            raise InputError(f"The file of boxes '{box}' does not exist.")
        table = read_annotation(Path(box), (4,))
        boxes, describe, what = table.boxes(), table.describe, f"'{box}'"
    elif isinstance(box, str):
        if "," not in box:
            raise InputError(f"'{box}' is neither a box x,y,w,h nor a file of boxes that exists.")
        boxes = parse_box(box)[None]

        def describe(t: int) -> str:
            return f"The box '{box}'"
    else:
        boxes, what = _as_boxes(box), "The array of boxes"

        def describe(t: int) -> str:
            return "The box of the first frame" if len(boxes) == 1 else f"Row {t} of the boxes"

    return Source(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        frames=frames,
        boxes=boxes,
        visibility=presence(boxes),
        describe=describe,
        what=what,
        where=f"'{path}'",
    )


def _as_boxes(box: ArrayLike) -> Boxes:
    try:
        boxes = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("The box holds something that is not a number; give x,y,w,h in pixels.") from None
    if boxes.shape == (4,):
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0:
        raise InputError(f"The boxes are an array {list(boxes.shape)}; give x,y,w,h, or an array [frames, 4].")
    broken = np.flatnonzero(~np.isfinite(boxes).all(axis=1) & ~np.isnan(boxes).all(axis=1))
    if broken.size and len(boxes) > 1:
        raise InputError(f"Row {broken[0]} of the boxes holds a number that is not finite; correct it.")
    return boxes
