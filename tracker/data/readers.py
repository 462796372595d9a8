"""Opening what a person has: a benchmark's folder, a folder of images, or a video file."""

from __future__ import annotations

import codecs
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .boxes import hull, parse_box
from .layouts import FRAMES_IN_IMG, IMAGE_SUFFIXES, KNOWN_LAYOUTS, refuse_unread, unread_sequence
from .sequences import Frames, ImageFiles, SelectedFrames, Sequence, VideoFile, check_boxes

__all__ = [
    "FORMATS",
    "Table",
    "find_images",
    "list_sequences",
    "list_targets",
    "read_sequence",
    "open_sequences",
    "open_usable",
    "read_table",
    "zero_based",
]

FORMATS = ("auto", "otb", "vot", "got10k", "images", "video")

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"}
    | {".webm", ".wmv"}
)

OTB_FRAMES: dict[str, tuple[int, int | None]] = {
    "BlurCar1": (247, None),
    "BlurCar3": (3, None),
    "BlurCar4": (18, None),
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
    "Tiger1": (6, None),
}
"""First and last frame number that OTB judges, where its folder holds more frames or numbers them otherwise."""

OTB_HIDDEN_START = {"Tiger1": (5, 354)}
"""How many frames at its start OTB leaves out because the target is hidden, though the folder annotates them,
and how many frames the whole folder has."""

OCCLUDED_VISIBILITY = 0.5
"""VOT tags a frame as occluded without saying how much; this stands for "partly"."""

GOT10K_NAME = r"GOT-10k_(Train|Val|Test)_\d+"
"""Folders of GOT-10k; those of its test split hold no label files."""

LEAST_COVER = 1 / 16
"""Visibility of a target that GOT-10k's cover.label puts at 0 of 8 though absence.label does not say absent."""

MISSING = frozenset({"na", "n/a", "none", "null", "nan(ind)", "-nan(ind)", "1.#qnan", "-1.#ind"})
"""How programs write a number that is not there, beside the `nan` that Python reads."""

Boxes = NDArray[np.float64]
Follow = Callable[[Frames, Boxes], Boxes]
Opened = TypeVar("Opened")


def read_sequence(
    path: str | Path,
    box: str | Path | ArrayLike | None = None,
    format: str = "auto",
    *,
    target: int | None = None,
    max_frames: int | None = None,
    follow: Follow | None = None,
) -> Sequence:
    """Read a video and the boxes of its target; `tracker.open_sequence` also follows a target from one box.

    The formats:

    - `otb`: `img/` and `groundtruth_rect.txt` (or `groundtruth_rect.N.txt`, one for each target), 1-based.
      Where there are more frames than boxes, OTB's own frame ranges are applied to the numbers in the file
      names; `Tiger1` starts behind its five first frames, as the benchmark does. A folder `Jogging-2` that holds
      the files of both targets means the second.
    - `vot`: `groundtruth.txt` with rectangles or four-cornered polygons, 0-based; a polygon becomes its
      min/max hull. The frames lie in the folder or in `color/` (with them in `img/` alone, `auto` takes it for
      LaSOT, which counts from 1). A frame tagged in `occlusion.tag` or
      `occlusion.label` gets the visibility 0.5.
    - `got10k`: as `vot` with rectangles, but 1-based, and with `absence.label` (1: visibility 0) and
      `cover.label` (0 to 8: visibility in eighths, but above 0: absence alone means absent). Folders named as
      GOT-10k names them, `GOT-10k_Test_000001`, need no label file.
    - `images`: a folder of image files (or its `img/` or `color/`), ordered by the numbers in their names.
    - `video`: any video file that FFmpeg decodes.

    `images` and `video` need `box`. Where `box` is given for a folder that also has an annotation, the
    annotation is not read. LaSOT, TNL2K, NfS, TrackingNet, UAV123, pysot's JSON and VOT's masks are recognised and
    refused by name.

    In every format a row whose numbers are NaN (or missing), or whose width or height is 0 or negative, says that
    the target is absent from that frame. There must be as many rows as frames, or one row alone: the first
    frame's box. In an annotation (GOT-10k's test split) one row leaves the others unknown: they count as absent,
    and `box_source` is `first`. In `box` it leaves them to `follow`; frames in which that loses the target get the
    visibility 0.

    Args:
        path: A folder or a video file.
        box: The target, 0-based `x,y,w,h` in pixels: four numbers or the text `"x,y,w,h"` for the first frame
            only, or an array `[T, 4]`, or a text file with one `x,y,w,h` a line (as this project writes them).
        format: One of `FORMATS`; `auto` looks at what is there.
        target: Which of an OTB video's targets, 1 or 2; the first that is annotated by default.
        max_frames: Keep at most this many frames: evenly spaced ones where the boxes are known; the first
            ones where the target must be followed, which needs every frame. `None` keeps all.
        follow: Finds the boxes of all frames, `float64[T, 4]`, from the frames and the box in the first one; a
            row of zeros says that the target was lost.

    Returns:
        The sequence, named after the folder or the file (`Jogging-2` for the second target of `Jogging`).

    Raises:
        InputError: If anything about it cannot be used; the message says what and where.
    """
    path = Path(path)
    if format not in FORMATS:
        raise InputError(f"The format '{format}' is unknown; known are {', '.join(FORMATS)}.")
    if not path.exists():
        raise InputError(f"'{path}' does not exist; give a folder of frames or a video file.")
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames is {max_frames}; it must be at least 1.")
    if format == "auto":
        format = _detect(path, annotated=box is None)
    if format == "video" and path.is_dir():
        raise InputError(f"'{path}' is a folder; give a video file.")
    if format != "video" and not path.is_dir():
        raise InputError(f"'{path}' is a file; the format '{format}' needs a folder.")
    if target is not None and format != "otb":
        raise InputError(
            f"Only an OTB folder has numbered targets; '{path}' is read as '{format}', leave target out."
        )

    if format in _ANNOTATED and box is None:
        found = unread_sequence(path)
        if found and found[1] != FRAMES_IN_IMG:  # that alone the format that was given overrules
            refuse_unread(path)
        source = _ANNOTATED[format](path, target)
    elif box is None:
        raise InputError(f"'{path}' has no annotation; give the target's box in the first frame as x,y,w,h.")
    else:
        frames = VideoFile(path) if format == "video" else ImageFiles(find_images(path))
        source = _given(frames, path, box)

    if len(source.boxes) == 1 and len(source.frames) > 1:
        if box is not None and follow is None:
            raise InputError(
                f"'{path}' has one box for {len(source.frames)} frames; give the boxes of all frames."
            )
        return _from_first_box(source, path, max_frames, None if box is None else follow)
    if len(source.boxes) != len(source.frames):
        raise source.count_error()
    boxes = np.where(_seen(source.boxes)[:, None] > 0, source.boxes, 0.0)
    check_boxes(boxes, source.visibility, source.frames, source.describe)
    whole = Sequence(
        name=source.name,
        frames=source.frames,
        boxes=boxes,
        visibility=source.visibility,
        origin=str(path),
        box_source="annotation",
    )
    return whole if max_frames is None else whole.limit(max_frames)


def list_sequences(folder: str | Path) -> list[Path]:
    """Return the annotated sequences among a folder's subfolders, sorted by name.

    Args:
        folder: A benchmark's folder; a subfolder counts if it has an annotation, also one in a layout that is
            recognised but not read: `read_sequence` refuses it by name.

    Raises:
        InputError: If the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The folder '{folder}' does not exist.")
    return sorted(child for child in folder.iterdir() if child.is_dir() and _is_annotated(child))


def list_targets(folder: str | Path) -> dict[str, tuple[Path, int | None]]:
    """Return every annotated target below a benchmark's folder, sorted by name.

    Args:
        folder: A benchmark's folder, or that of one annotated sequence.

    Returns:
        The name of the target, as `read_sequence` gives it (`Jogging-1` and `Jogging-2` for the folder
        `Jogging`), and what `read_sequence` needs to open it: the folder and the number of the target.
        Annotations without a single box are left out, as `Human4`'s first.

    Raises:
        InputError: If the folder does not exist, holds no annotated sequence, or two of its folders hold the same
            target.
    """
    folder = Path(folder)
    paths = [folder] if folder.is_dir() and _is_annotated(folder) else list_sequences(folder)
    if not paths:
        raise _nothing_annotated(folder)
    found: dict[str, tuple[Path, int | None]] = {}
    for path in paths:
        if _annotation_format(path) != "otb":
            choices: list[tuple[str, int | None]] = [(path.resolve().name, None)]
        else:
            files = _rect_files(path)
            wanted = _default_target(path, files)
            split = _named_target(path) in files and len(files) > 1
            numbers = [wanted] if split else [n for n, file in files.items() if not _is_empty(file)] or [wanted]
            choices = [(_target_name(path, files, n), n) for n in numbers]
        for name, number in choices:
            if name in found:
                raise InputError(f"'{found[name][0]}' and '{path}' both hold the target {name}; remove one.")
            found[name] = (path, number)
    return dict(sorted(found.items()))


def open_sequences(folder: str | Path, check: Callable[[Sequence], None] | None = None) -> dict[str, Sequence]:
    """Open the annotated sequences of a benchmark's folder; those that cannot be used are left out by name.

    Args:
        folder: A folder of annotated sequences (`list_sequences`); of an OTB video with two targets the first is
            taken.
        check: Raises an `InputError` if a sequence cannot be used.

    Returns:
        The sequences by the names of their folders, sorted.

    Raises:
        InputError: If there is no annotated sequence, or none can be used.
    """
    paths = list_sequences(folder)
    if not paths:
        raise _nothing_annotated(Path(folder))

    def opened(path: Path) -> Sequence:
        sequence = read_sequence(path)
        if check is not None:
            check(sequence)
        return sequence

    return open_usable({path.name: partial(opened, path) for path in paths})


def open_usable(openers: Mapping[str, Callable[[], Opened]]) -> dict[str, Opened]:
    """Open sequences, or what is made of them; leave out those that cannot be used.

    A warning names each sequence that is left out and says why.

    Args:
        openers: What opens a sequence, by its name; it raises an `InputError` if it cannot.

    Returns:
        What was opened, by name, in the given order.

    Raises:
        InputError: If there is none, or none can be opened: the reason of the first.
    """
    opened: dict[str, Opened] = {}
    reasons: dict[str, str] = {}
    for name, opener in openers.items():
        try:
            opened[name] = opener()
        except InputError as error:
            reasons[name] = str(error)
    if not opened:
        raise InputError(next(iter(reasons.values()), "There is no sequence to open; give a folder of some."))
    for name, reason in reasons.items():
        warnings.warn(f"The sequence '{name}' is left out: {reason}", stacklevel=2)
    return opened


@dataclass(frozen=True)
class _Source:
    """What a reader found, before the counts and the boxes are checked."""

    name: str
    frames: Frames
    boxes: Boxes
    visibility: NDArray[np.float64]
    describe: Callable[[int], str]
    what: str
    where: str

    def count_error(self) -> InputError:
        rows, frames = len(self.boxes), len(self.frames)
        return InputError(
            f"{self.what} has {rows} box{'es' if rows != 1 else ''} but {self.where} has {frames} "
            f"frame{'s' if frames != 1 else ''}; give one box a frame, or the first frame's box only."
        )


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

    def without_first(self, count: int) -> Table:
        """Return the table without its first rows."""
        return Table(self.path, self.rows[count:], self.lines[count:])


def _nothing_annotated(folder: Path) -> InputError:
    """The error for a folder without annotated sequences, or that of the unread layout which it has."""
    try:
        refuse_unread(folder)
    except InputError as error:
        return error
    return InputError(
        f"'{folder}' holds no annotated target: neither it nor a folder in it is laid out as {KNOWN_LAYOUTS};"
        " give a folder of such sequences, or one of them."
    )


def _is_annotated(folder: Path) -> bool:
    return _annotation_format(folder) is not None or unread_sequence(folder) is not None


def _detect(path: Path, annotated: bool) -> str:
    inner = list_sequences(path) if path.is_dir() else []
    if annotated and not any(_annotation_format(folder) for folder in (path, *inner)):
        refuse_unread(path)
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return "video"
        raise InputError(f"'{path}' is neither a folder nor a video file; if it is a video, say format=video.")
    found = _annotation_format(path) if annotated else None
    if found:
        return found
    if _image_folder(path) is None:
        remedy = (
            f"give one of its {len(inner)} sequences, such as '{inner[0]}'"
            if inner
            else f"give a folder of frames with a box, or a sequence laid out as {KNOWN_LAYOUTS}"
        )
        raise InputError(f"The folder '{path}' holds no images; {remedy}.")
    if annotated:
        raise InputError(
            f"The folder '{path}' has no annotation file in a known layout: {KNOWN_LAYOUTS}; add it, or give the"
            " target's box in the first frame as x,y,w,h."
        )
    return "images"


def _annotation_format(folder: Path) -> str | None:
    """The format of a sequence's folder; `None` if it has no annotation or one that is not read."""
    if (folder / "img").is_dir() and _rect_files(folder):
        return "otb"
    if not (folder / "groundtruth.txt").is_file():
        return None
    labels = ("absence.label", "cover.label", "meta_info.ini")
    if any((folder / name).is_file() for name in labels) or re.fullmatch(GOT10K_NAME, folder.resolve().name):
        return "got10k"
    return None if unread_sequence(folder) else "vot"


def _read_otb(folder: Path, target: int | None) -> _Source:
    files = _rect_files(folder)
    if not files:
        raise InputError(f"The folder '{folder}' has no groundtruth_rect.txt; add it, or give the box.")
    if target is None:
        number = _default_target(folder, files)
    elif target in files:
        number = target
    else:
        raise InputError(f"'{folder}' has no target {target}; it has {', '.join(map(str, files))}.")
    table = _read_annotation(files[number], (4,))
    paths = _images_in(folder / "img")
    if not paths:
        raise InputError(f"The folder '{folder / 'img'}' holds no images; put the frames there.")
    name = folder.resolve().name
    hidden, whole = OTB_HIDDEN_START.get(name, (0, None))
    if len(table.rows) == whole == len(paths):
        table, paths = table.without_first(hidden), paths[hidden:]
    boxes = zero_based(table.boxes())
    if len(paths) > len(boxes) and name in OTB_FRAMES:
        first, last = OTB_FRAMES[name]
        paths = [file for file in paths if first <= _number(file) and (last is None or _number(file) <= last)]
    return _Source(
        name=_target_name(folder, files, number),
        frames=ImageFiles(paths),
        boxes=boxes,
        visibility=_seen(boxes),
        describe=table.describe,
        what=f"'{table.path}'",
        where=f"'{folder / 'img'}'",
    )


def _read_vot(folder: Path, target: int | None) -> _Source:
    table = _read_annotation(_groundtruth(folder), (4, 8))
    boxes = table.boxes()
    visibility = _seen(boxes)
    for name in ("occlusion.tag", "occlusion.label"):
        if (folder / name).is_file():
            tagged = _read_labels(folder / name, len(boxes), 1) > 0
            visibility = np.minimum(visibility, np.where(tagged, OCCLUDED_VISIBILITY, 1.0))
            break
    return _in_folder(folder, table, boxes, visibility)


def _read_got10k(folder: Path, target: int | None) -> _Source:
    table = _read_annotation(_groundtruth(folder), (4,))
    boxes = zero_based(table.boxes())
    visibility = _seen(boxes)
    if (folder / "cover.label").is_file():
        cover = _read_labels(folder / "cover.label", len(boxes), 8) / 8
        # Some sequences have no cover labels but zeros: absence.label alone says that a target is absent.
        visibility = visibility * (np.maximum(cover, LEAST_COVER) if cover.any() else 1.0)
    if (folder / "absence.label").is_file():
        visibility = np.where(_read_labels(folder / "absence.label", len(boxes), 1) > 0, 0.0, visibility)
    return _in_folder(folder, table, boxes, visibility)


_ANNOTATED: dict[str, Callable[[Path, int | None], _Source]] = {
    "otb": _read_otb,
    "vot": _read_vot,
    "got10k": _read_got10k,
}


def _in_folder(folder: Path, table: Table, boxes: Boxes, visibility: NDArray[np.float64]) -> _Source:
    return _Source(
        name=folder.resolve().name,
        frames=ImageFiles(find_images(folder)),
        boxes=boxes,
        visibility=visibility,
        describe=table.describe,
        what=f"'{table.path}'",
        where=f"'{folder}'",
    )


def _given(frames: Frames, path: Path, box: str | Path | ArrayLike) -> _Source:
    """Boxes that the caller gave, for one frame or for all."""
    what = "The box of the first frame"
    describe: Callable[[int], str]
    # `os.path.isfile` is false for a text that no path can be.
    if isinstance(box, Path) or (isinstance(box, str) and os.path.isfile(box)):
        if not Path(box).is_file():
            raise InputError(f"The file of boxes '{box}' does not exist.")
        table = _read_annotation(Path(box), (4,))
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

    return _Source(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        frames=frames,
        boxes=boxes,
        visibility=_seen(boxes),
        describe=describe,
        what=what,
        where=f"'{path}'",
    )


def _from_first_box(source: _Source, path: Path, max_frames: int | None, follow: Follow | None) -> Sequence:
    """The sequence of which only the first box is known."""
    check_boxes(source.boxes, np.ones(1), source.frames, source.describe)
    frames = source.frames
    if max_frames is not None and max_frames < len(frames):
        frames = SelectedFrames(frames, range(max_frames))
    if follow is not None:
        boxes = follow(frames, source.boxes[0])
    else:
        boxes = np.zeros((len(frames), 4))
        boxes[0] = source.boxes[0]
    return Sequence(
        name=source.name,
        frames=frames,
        boxes=boxes,
        visibility=_seen(boxes),
        origin=str(path),
        box_source="annotation" if len(frames) == 1 else "first" if follow is None else "tracked",
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


def _seen(boxes: Boxes) -> NDArray[np.float64]:
    """Visibility by the rule of all formats: a box is absent if it is NaN, or a side of it is 0 or negative."""
    return np.asarray((boxes[:, 2:] > 0).all(axis=1), dtype=np.float64)


def zero_based(boxes: Boxes) -> Boxes:
    """Convert annotated boxes from 1-based; rows that say that the target is absent become zeros.

    >>> zero_based(np.array([[1.0, 1, 5, 5], [0, 0, 0, 0], [1, 1, -1, -1], [np.nan] * 4])).tolist()
    [[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    return np.where(_seen(boxes)[:, None] > 0, boxes - [1.0, 1.0, 0.0, 0.0], 0.0)


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


def _read_annotation(path: Path, widths: tuple[int, ...]) -> Table:
    """Read an annotation: a row is finite, or NaN throughout where the target is absent."""
    table = read_table(path, widths)
    for t, row in enumerate(table.rows):
        if not np.isfinite(row).all() and not np.isnan(row).all():
            text = ",".join(f"{value:g}" for value in row)
            raise InputError(f"{table.describe(t)} holds a number that is not finite: '{text}'; correct it.")
    return table


def _read_labels(path: Path, count: int, highest: int) -> NDArray[np.float64]:
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


def _groundtruth(folder: Path) -> Path:
    path = folder / "groundtruth.txt"
    if not path.is_file():
        raise InputError(f"The folder '{folder}' has no groundtruth.txt; add it, or give the box.")
    return path


def _rect_files(folder: Path) -> dict[int, Path]:
    """The annotation of each target of an OTB folder, by the number of the target."""
    found = {}
    for file in folder.glob("groundtruth_rect*.txt"):
        match = re.fullmatch(r"groundtruth_rect(?:\.(\d+))?\.txt", file.name)
        if match:
            found[int(match[1] or 1)] = file
    return dict(sorted(found.items()))


def _default_target(folder: Path, files: dict[int, Path]) -> int:
    """The target that the folder's name asks for (`Jogging-2`), or else the first that is annotated."""
    named = _named_target(folder)
    if named in files and len(files) > 1:
        return named
    return next((number for number, file in files.items() if not _is_empty(file)), min(files))


def _named_target(folder: Path) -> int:
    """The number at the end of names such as `Skating2-1`; 0 where there is none."""
    match = re.fullmatch(r".+-(\d)", folder.resolve().name)
    return int(match[1]) if match else 0


def _target_name(folder: Path, files: dict[int, Path], number: int) -> str:
    name = folder.resolve().name
    if files[number].name == "groundtruth_rect.txt" or name.endswith(f"-{number}"):
        return name
    return f"{name}-{number}"


def _is_empty(file: Path) -> bool:
    return not file.read_bytes().strip()


def find_images(folder: Path) -> list[Path]:
    """The image files of a folder, or of its `color/` or `img/`, ordered by the numbers in their names.

    Raises:
        InputError: If there are none.
    """
    place = _image_folder(folder)
    if place is None:
        raise InputError(f"The folder '{folder}' holds no images; put the frames there.")
    return _images_in(place)


def _image_folder(folder: Path) -> Path | None:
    places = (folder, folder / "color", folder / "img")
    return next((place for place in places if _images_in(place)), None)


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((file for file in files if not file.name.startswith(".")), key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Key that puts `frame10` behind `frame9`."""
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _number(path: Path) -> int:
    """The last number in a file's name; -1 where it has none."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1
