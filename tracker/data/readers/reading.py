"""Detection of a layout, and reading one sequence or all those of a folder."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError
from ..sequences import Frames, ImageFiles, SelectedFrames, Sequence, VideoFile, check_boxes
from ..video import VIDEO_SUFFIXES
from .annotation import Boxes, Source, presence
from .given import read_given
from .got10k import GOT10K_NAME, read_got10k
from .images import find_images, image_folder
from .otb import otb_targets, read_otb, rect_files
from .unread import FRAMES_IN_IMG, KNOWN_LAYOUTS, refuse_unread, unread_sequence
from .vot import read_vot

FORMATS = ("auto", "otb", "vot", "got10k", "images", "video")

ANNOTATED_FORMATS: dict[str, Callable[[Path], Source]] = {"otb": read_otb, "vot": read_vot, "got10k": read_got10k}

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

    if format in ANNOTATED_FORMATS and box is None:
        unread = unread_sequence(path)
        if unread and unread[1] != FRAMES_IN_IMG:  # an explicit format overrules this mark alone
            refuse_unread(path)
        source = read_otb(path, target) if format == "otb" else ANNOTATED_FORMATS[format](path)
    elif box is None:
        raise InputError(f"'{path}' has no annotation; give the target's box in the first frame as x,y,w,h.")
    else:
        video = VideoFile(path) if format == "video" else ImageFiles(find_images(path))
        source = read_given(video, path, box)

    frames, boxes, visibility, box_source = source.frames, source.boxes, source.visibility, "annotation"
    if len(boxes) == 1 and len(frames) > 1:
        if box is not None and follow is None:
            raise InputError(f"'{path}' has one box for {len(frames)} frames; give the boxes of all frames.")
        check_boxes(boxes, np.ones(1), frames, source.describe)
        if max_frames is not None and max_frames < len(frames):
            frames = SelectedFrames(frames, range(max_frames))
        if box is None or follow is None:
            boxes = np.concatenate([boxes, np.zeros((len(frames) - 1, 4))])
        else:
            boxes = follow(frames, boxes[0])
        visibility = presence(boxes)
        if len(frames) > 1:
            box_source = "first" if box is None else "tracked"
    else:
        if (rows := len(boxes)) != (count := len(frames)):
            raise InputError(
                f"{source.what} has {rows} box{'es' if rows != 1 else ''} but {source.where} has {count} "
                f"frame{'s' if count != 1 else ''}; give one box a frame, or the first frame's box only."
            )
        boxes = np.where(presence(boxes)[:, None] > 0, boxes, 0.0)
        check_boxes(boxes, visibility, frames, source.describe)
    sequence = Sequence(source.name, frames, boxes, visibility, origin=str(path), box_source=box_source)
    return sequence if max_frames is None else sequence.limit(max_frames)


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
    targets: dict[str, tuple[Path, int | None]] = {}
    for path in paths:
        numbered = _annotation_format(path) == "otb"
        for name, number in otb_targets(path) if numbered else [(path.resolve().name, None)]:
            if name in targets:
                raise InputError(f"'{targets[name][0]}' and '{path}' both hold the target {name}; remove one.")
            targets[name] = (path, number)
    return dict(sorted(targets.items()))


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
    """Call functions that open sequences; leave out those that cannot be used.

    A warning names each sequence that is left out and says why.

    Args:
        openers: Functions by the name of the sequence; one raises an `InputError` if its sequence cannot be used.

    Returns:
        Their results by name, in the same order.

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
    format = _annotation_format(path) if annotated else None
    if format:
        return format
    if image_folder(path) is None:
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
    if (folder / "img").is_dir() and rect_files(folder):
        return "otb"
    if not (folder / "groundtruth.txt").is_file():
        return None
    labels = ("absence.label", "cover.label", "meta_info.ini")
    if any((folder / name).is_file() for name in labels) or re.fullmatch(GOT10K_NAME, folder.resolve().name):
        return "got10k"
    return None if unread_sequence(folder) else "vot"
