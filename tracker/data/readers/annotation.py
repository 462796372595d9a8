"""What all readers share: rows of numbers in text files, and what a reader finds in a folder."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..boxes import hull
from ..sequences import Frames, ImageFiles

Boxes = NDArray[np.float64]

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
    def from_folder(
        cls, folder: Path, images: Sequence[Path], table: Table, boxes: Boxes, visibility: NDArray[np.float64]
    ) -> Source:
        """The image files of a folder and the boxes of a table."""
        name, what, where = folder.resolve().name, f"'{table.path}'", f"'{folder}'"
        return cls(name, ImageFiles(images), boxes, visibility, table.describe, what, where)


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
        return np.array([row if len(row) == 4 else hull(row) for row in self.rows], dtype=np.float64).reshape(
            -1, 4
        )

    def describe(self, t: int) -> str:
        """Say where row `t` stands."""
        return f"Line {self.lines[t]} of '{self.path}'"


def read_table(path: Path, widths: tuple[int, ...]) -> Table:
    """Read rows of numbers separated by commas, semicolons, tabs or spaces; empty lines are skipped.

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
        parts = [part for part in re.split(r"[,;\s]+", line) if part]
        if not parts and (columns := 1 + len(re.findall("[,;]", line))) in widths:
            parts = ["nan"] * columns  # Empty columns, as a table writes a missing box.
        if not parts:
            continue
        where = f"Line {number} of '{path}'"
        try:
            row = [math.nan if part.casefold() in MISSING else float(part) for part in parts]
        except ValueError:
            raise InputError(f"{where} holds something that is not a number: '{line.strip()[:60]}'.") from None
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
    for t, row in enumerate(table.rows):
        if not np.isfinite(row).all() and not np.isnan(row).all():
            text = ",".join(f"{value:g}" for value in row)
            raise InputError(f"{table.describe(t)} holds a number that is not finite: '{text}'; correct it.")
    return table


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


def find_groundtruth(folder: Path) -> Path:
    """Return the `groundtruth.txt` of a folder.

    Raises:
        InputError: If there is none.
    """
    path = folder / "groundtruth.txt"
    if not path.is_file():
        raise InputError(f"The folder '{folder}' has no groundtruth.txt; add it, or give the box.")
    return path


def presence(boxes: Boxes) -> NDArray[np.float64]:
    """Visibility by the rule of all formats: a box is absent if it is NaN, or a side of it is 0 or negative."""
    return np.asarray((boxes[:, 2:] > 0).all(axis=1), dtype=np.float64)


def zero_based(boxes: Boxes) -> Boxes:
    """Convert annotated boxes from 1-based; rows that say that the target is absent become zeros.

    >>> zero_based(np.array([[1.0, 1, 5, 5], [0, 0, 0, 0], [1, 1, -1, -1], [np.nan] * 4])).tolist()
    [[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    return np.where(presence(boxes)[:, None] > 0, boxes - [1.0, 1.0, 0.0, 0.0], 0.0)
