"""What all readers share: rows of numbers in text files, the description of a layout, what a reader returns."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..boxes import hull
from ..sequences import Frames, ImageFiles

Boxes = NDArray[np.float64]

_QUOTED_WORD = re.compile(r'"[^"]*[A-Za-z][^"]*"')

MISSING = frozenset({"na", "n/a", "none", "null", "nan(ind)", "-nan(ind)", "1.#qnan", "-1.#ind"})
"""How programs write a number that is not there, beside the `nan` that Python reads."""


@dataclass(frozen=True)
class Source:
    """A video and its boxes as a reader returns them; the counts and the boxes are not checked yet.

    Attributes:
        name: Of the target.
        frames: The video.
        boxes: `float64[T or 1, 4]`, 0-based.
        visibility: `float64[T or 1]`.
        describe: Names box `t` in an error's sentence.
        what: Names the boxes in an error's sentence.
        where: Names the frames in an error's sentence.
    """

    name: str
    frames: Frames
    boxes: Boxes
    visibility: NDArray[np.float64]
    describe: Callable[[int], str]
    what: str
    where: str

    @classmethod
    def from_table(
        cls, place: Path, images: Sequence[Path], table: Table, boxes: Boxes, visibility: NDArray[np.float64]
    ) -> Source:
        """Image files and the boxes of a table; the target is named after the folder or the file `place`."""
        name = place.stem if place.is_file() else place.resolve().name
        where = f"'{images[0].parent}'" if images else f"'{place}'"
        return cls(name, ImageFiles(images), boxes, visibility, table.describe, f"'{table.path}'", where)


class TargetLocation(NamedTuple):
    """Where the annotation of a target lies.

    Attributes:
        name: As `Source` names it.
        path: The folder or the file that `Layout.read` takes.
        number: Which target of several in one folder or file, from 1; `None` where there is only one.
    """

    name: str
    path: Path
    number: int | None = None


@dataclass(frozen=True)
class Layout:
    """A published layout of annotated videos.

    Attributes:
        name: The value of `layout=`.
        title: Name of the benchmark, and the files that the layout is recognised by.
        find: The targets that a path holds in this layout, not those in folders below it.
        read: The video and the boxes of a target.
        recognise: Whether a path in which `find` finds targets is in this layout rather than in another one whose
            annotation files have the same names.
    """

    name: str
    title: str
    find: Callable[[Path], list[TargetLocation]]
    read: Callable[[Path, int | None], Source]
    recognise: Callable[[Path], bool] = lambda path: True


@dataclass(frozen=True)
class Table:
    """The numbers of a text file.

    Attributes:
        path: The file.
        rows: The numbers of each line that is not empty.
        lines: The number of the line that each row came from, from 1.
    """

    path: Path
    rows: list[list[float]]
    lines: list[int]

    def boxes(self) -> Boxes:
        """Return the rows as `float64[T, 4]`; a row of eight is a polygon and becomes its hull."""
        return boxes_of(self.rows)

    def describe(self, t: int) -> str:
        """Say where row `t` stands."""
        return f"Line {self.lines[t]} of '{self.path}'"


def boxes_of(rows: Iterable[Sequence[float]]) -> Boxes:
    """Return rows of four numbers, or of polygons, which become their hulls, as `float64[T, 4]`."""
    return np.array([row if len(row) == 4 else hull(row) for row in rows], dtype=np.float64).reshape(-1, 4)


def read_table(path: Path, widths: tuple[int, ...]) -> Table:
    """Read rows of numbers separated by commas, semicolons, tabs or spaces.

    Empty lines and words in quotes are skipped. A row that begins with `m` is a mask as VOT writes it and becomes
    its box.

    Args:
        path: A text file in UTF-8, or in UTF-16 with its byte order mark.
        widths: How many numbers a row may have.

    Returns:
        The rows; they may hold NaN and infinities.

    Raises:
        InputError: Naming the file and the line, or if there is no row at all.
    """
    rows, lines = [], []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        parts = [part for part in re.split(r"[,;\s]+", _QUOTED_WORD.sub("", line)) if part]
        if not parts and (columns := 1 + len(re.findall("[,;]", line))) in widths:
            parts = ["nan"] * columns  # Empty columns, as a table writes a missing box.
        if not parts:
            continue
        where = f"Line {number} of '{path}'"
        mask = parts[0].startswith("m")
        if mask:
            parts = [part for part in (parts[0][1:], *parts[1:]) if part]
        try:
            row = [math.nan if part.casefold() in MISSING else float(part) for part in parts]
        except ValueError:
            raise InputError(f"{where} holds something that is not a number: '{line.strip()[:60]}'.") from None
        if mask:
            row = mask_box(row, where)
        if len(row) not in widths:
            wanted = " or ".join(map(str, widths))
            numbers = f"{len(row)} number{'s' if len(row) != 1 else ''}"
            raise InputError(f"{where} has {numbers}; it must have {wanted}.")
        rows.append(row)
        lines.append(number)
    if not rows:
        raise InputError(f"The file of boxes '{path}' is empty; write one box a line.")
    return Table(path, rows, lines)


def read_annotation(path: Path, widths: tuple[int, ...]) -> Table:
    """Read an annotation: a row is finite, or NaN throughout where the target is absent."""
    table = read_table(path, widths)
    check_finite(table.rows, table.describe)
    return table


def check_finite(rows: Iterable[Sequence[float]], describe: Callable[[int], str]) -> None:
    """Raise an `InputError` at a row that is neither finite nor NaN throughout."""
    for t, row in enumerate(rows):
        if not np.isfinite(row).all() and not np.isnan(row).all():
            text = ",".join(f"{value:g}" for value in row)
            raise InputError(f"{describe(t)} holds a number that is not finite: '{text}'; correct it.")


def read_labels(path: Path, count: int, highest: int) -> NDArray[np.float64]:
    """Read one whole number a frame, from 0 to `highest`."""
    parts = _read_text(path).replace(",", " ").split()
    if len(parts) != count:
        raise InputError(f"'{path}' has {len(parts)} labels but there are {count} boxes; give one a frame.")
    allowed = [str(value) for value in range(highest + 1)]
    for number, part in enumerate(parts, start=1):
        if part not in allowed:
            raise InputError(
                f"Label {number} of '{path}' is '{part[:20]}'; it must be a whole number, 0 to {highest}."
            )
    return np.array(parts, dtype=np.float64)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"The file '{path}' cannot be read ({error.strerror}); check it.") from None


def mask_box(numbers: Sequence[float], where: str) -> list[float]:
    """Return the box of a mask as VOT encodes it.

    Args:
        numbers: `x, y, w, h` of a region, then the lengths of the runs in it, row by row: off, on, off, and so on;
            pixels missing at the end are off.
        where: Names the row in an error's sentence.

    Returns:
        `x, y, w, h` of the smallest box around the pixels that are on; zeros if there is none.

    Raises:
        InputError: If the numbers are no mask.

    >>> mask_box([10, 20, 4, 3, 5, 2, 2, 1], "The row")
    [11.0, 21.0, 2.0, 2.0]
    """
    whole = all(0 <= value < 2**31 and value == int(value) for value in numbers[2:])
    if len(numbers) < 4 or not whole or sum(numbers[4:]) > numbers[2] * numbers[3]:
        raise InputError(
            f"{where} is not a mask as VOT writes it; it must be m, then x,y,w,h, then runs within w x h."
        )
    x, y, width, _ = numbers[:4]
    ends = np.cumsum(numbers[4:])
    on = [(a, b - 1) for a, b in zip(ends[0::2], ends[1::2], strict=False) if a < b]
    if not on:
        return [0.0] * 4
    top, bottom = on[0][0] // width, on[-1][1] // width
    inner = [(a % width, b % width) if a // width == b // width else (0, width - 1) for a, b in on]
    left, right = min(a for a, _ in inner), max(b for _, b in inner)
    return [float(x + left), float(y + top), float(right - left + 1), float(bottom - top + 1)]


def find_groundtruth(folder: Path) -> list[TargetLocation]:
    """The target of a folder with a `groundtruth.txt`, as VOT, GOT-10k, LaSOT and TNL2K have it."""
    return [TargetLocation(folder.resolve().name, folder)] if (folder / "groundtruth.txt").is_file() else []


def folder_above(path: Path, *names: str) -> Path | None:
    """The nearest of a path and the three folders above it that holds folders of all these names."""
    places = (path, *path.absolute().parents[:3])
    return next((place for place in places if all((place / name).is_dir() for name in names)), None)


def text_files(folder: Path) -> list[Path]:
    """The text files of a folder, sorted, without hidden ones."""
    return sorted(file for file in folder.glob("*.txt") if not file.name.startswith("."))


def presence(boxes: Boxes) -> NDArray[np.float64]:
    """Visibility by the rule of all formats: a box is absent if it is NaN, or a side of it is 0 or negative."""
    return np.asarray((boxes[:, 2:] > 0).all(axis=1), dtype=np.float64)


def zero_based(boxes: Boxes) -> Boxes:
    """Convert annotated boxes from 1-based; rows that say that the target is absent become zeros.

    >>> zero_based(np.array([[1.0, 1, 5, 5], [0, 0, 0, 0], [1, 1, -1, -1], [np.nan] * 4])).tolist()
    [[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    return np.where(presence(boxes)[:, None] > 0, boxes - [1.0, 1.0, 0.0, 0.0], 0.0)
