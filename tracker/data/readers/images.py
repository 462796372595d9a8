"""Folders of images."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import InputError
from .unread import IMAGE_SUFFIXES


def find_images(folder: Path) -> list[Path]:
    """The image files of a folder, or of its `color/` or `img/`, ordered by the numbers in their names.

    Raises:
        InputError: If there are none.
    """
    place = image_folder(folder)
    if place is None:
        raise InputError(f"The folder '{folder}' holds no images; put the frames there.")
    return images_in(place)


def image_folder(folder: Path) -> Path | None:
    """Where the images of a sequence's folder lie: in it, in its `color/` or in its `img/`."""
    places = (folder, folder / "color", folder / "img")
    return next((place for place in places if images_in(place)), None)


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder itself, ordered by the numbers in their names."""
    if not folder.is_dir():
        return []
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((file for file in files if not file.name.startswith(".")), key=_by_numbers)


def _by_numbers(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Key that puts `frame10` behind `frame9`."""
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def frame_number(path: Path) -> int:
    """The last number in a file's name; -1 where it has none."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1
