"""Folders of images and video files, whose boxes the caller gives."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError
from ..boxes import parse_box
from ..sequences import Frames
from .annotation import Boxes, Source, presence, read_annotation

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def find_images(folder: Path) -> list[Path]:
    """The image files of a folder, or of its `color/`, `img/` or `imgs/`, ordered by the numbers in their names.

    Raises:
        InputError: If there are none.
    """
    place = image_folder(folder)
    if place is None:
        raise InputError(f"The folder '{folder}' holds no images; put the frames there.")
    return images_in(place)


def image_folder(folder: Path) -> Path | None:
    """Where the images of a sequence's folder lie: in it, or in its `color/`, `img/` or `imgs/`."""
    places = (folder, folder / "color", folder / "img", folder / "imgs")
    return next((place for place in places if images_in(place)), None)


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder itself, ordered by the numbers in their names."""
    if not folder.is_dir():
        return []
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((file for file in files if not file.name.startswith(".")), key=_by_numbers)


def images_between(folder: Path, first: float, last: float) -> list[Path]:
    """The image files of a folder that are numbered `first` to `last`."""
    return [file for file in images_in(folder) if first <= frame_number(file) <= last]


def frame_number(path: Path) -> int:
    """The last number in a file's name; -1 where it has none."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1


def _by_numbers(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Key that puts `frame10` behind `frame9`."""
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


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

    name = path.resolve().stem if path.is_file() else path.resolve().name
    return Source(name, frames, boxes, presence(boxes), describe, what, f"'{path}'")


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
