"""pysot's annotation files: JSON with the names of the frames and the boxes of many videos, as `OTB100.json`."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, shorten
from ..sequences import ImageFiles
from .annotation import Layout, Source, TargetLocation, boxes_of, check_finite, presence, zero_based

ZERO_BASED = ("vot", "nfs", "trackingnet", "tnl2k")
"""How the names of the files begin whose boxes count from 0; pysot takes over the numbers of each benchmark."""


def counts_from_one(path: Path) -> bool:
    """Whether the boxes of an annotation file count pixels from 1."""
    return not path.stem.lower().startswith(ZERO_BASED)


def marked_present(marks: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the marks `absent` of a video say that the target is present.

    `absent` is 1 where the target is present in pysot's files, 0 in others: the first frame shows the target.
    """
    return np.asarray(marks == marks[:1])


def read_pysot(path: Path, number: int | None = None) -> Source:
    """Read a video of pysot's JSON, by default the first one; see `read_sequence`."""
    entries = list(_entries(path).items())
    number = 1 if number is None else number
    if not 1 <= number <= len(entries):
        raise InputError(f"'{path}' has no target {number}; it has 1 to {len(entries)}.")
    name, entry = entries[number - 1]
    what = f"'{name}' in '{path}'"

    def describe(t: int) -> str:
        return f"Row {t} of {what}"

    try:
        rows = [[float(value) for value in row] for row in entry["gt_rect"]]
        images = [Path(image) for image in entry["img_names"]]
        marks = np.array(entry.get("absent", [1] * len(rows)), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} does not hold rows of numbers and names of images; correct it.") from None
    if not rows or any(len(row) not in (4, 8) for row in rows) or marks.shape != (len(rows),):
        raise InputError(f"{what} does not have 4 or 8 numbers and one mark of absence a frame; correct it.")
    check_finite(rows, describe)
    boxes = boxes_of(rows)
    if counts_from_one(path):
        boxes = zero_based(boxes)
    roots = (path.parent, path.parent / path.stem)
    root = next((root for root in roots if images and (root / images[0]).is_file()), path.parent)
    frames = ImageFiles(root / image for image in images)
    visibility = np.where(marked_present(marks), presence(boxes), 0.0)
    return Source(name, frames, boxes, visibility, describe, what, what)


def _entries(path: Path) -> dict[str, Any]:
    """The videos of a file by name; none if it is not of pysot's form."""
    try:
        state = path.stat()
        return _parse(path, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError, RecursionError):
        return {}


@lru_cache(maxsize=1)  # LaSOT's file has 3.5 million boxes, and each of its videos is opened by itself.
def _parse(path: Path, modified: int, size: int) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    entries = content if isinstance(content, dict) else {}
    return {
        name: entry
        for name, entry in entries.items()
        if isinstance(entry, dict) and {"img_names", "gt_rect"} <= entry.keys()
    }


def _find_pysot(path: Path) -> list[TargetLocation]:
    if path.suffix.lower() != ".json" or not path.is_file():
        return []
    names = list(_entries(path))
    if bad := [name for name in names if name in ("", ".", "..") or "/" in name or "\0" in name]:
        raise InputError(
            f"{shorten(bad[0])} in '{path}' cannot name a target, whose files have its name; rename it."
        )
    return [TargetLocation(name, path, number) for number, name in enumerate(names, start=1)]


PYSOT = Layout("pysot", "pysot (JSON with img_names and gt_rect)", _find_pysot, read_pysot)
