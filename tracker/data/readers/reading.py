"""The table of layouts, detection, and reading one sequence or all those of a folder."""

from __future__ import annotations

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
from .annotation import Boxes, Layout, Source, TargetLocation, presence
from .got10k import GOT10K
from .images import find_images, image_folder, read_given
from .lasot import LASOT, TNL2K
from .nfs import NFS
from .otb import OTB, TC128
from .pysot import PYSOT
from .trackingnet import TRACKINGNET
from .uav123 import UAV123
from .vot import VOT

ANNOTATED: dict[str, Layout] = {
    layout.name: layout for layout in (OTB, TC128, GOT10K, TNL2K, LASOT, NFS, UAV123, TRACKINGNET, VOT, PYSOT)
}
"""The layouts of annotated videos, in the order in which a path is tried for them."""

LAYOUTS = ("auto", *ANNOTATED, "images", "video")
"""The values of `layout=`."""

KNOWN_LAYOUTS = ", ".join(layout.title for layout in ANNOTATED.values())

LEVELS = 3
"""Folders below a benchmark's folder in which sequences are looked for, as in `train/GOT-10k_Train_split_01/`."""

Follow = Callable[[Frames, Boxes], Boxes]
Opened = TypeVar("Opened")


def read_sequence(
    path: str | Path,
    box: str | Path | ArrayLike | None = None,
    layout: str = "auto",
    *,
    target: int | None = None,
    max_frames: int | None = None,
    follow: Follow | None = None,
) -> Sequence:
    """Read a video and the boxes of its target; `tracker.open_sequence` also follows a target from one box.

    The layouts:

    - `otb`: `img/` and `groundtruth_rect.txt` (or `groundtruth_rect.N.txt`, one for each target), 1-based.
      Where there are more frames than boxes, OTB's own frame ranges are applied to the numbers in the file
      names; `Tiger1` starts behind its five first frames, as the benchmark does. A folder `Jogging-2` that holds
      the files of both targets means the second. DTB70 is laid out alike.
    - `tc128` (Temple-Color 128): `img/` and `NAME_gt.txt`, 1-based; `NAME_frames.txt`: first and last frame.
    - `vot`: `groundtruth.txt` with rectangles, four-cornered polygons or masks, also mixed, 0-based; a polygon
      or mask becomes its min/max hull. The frames lie in the folder or in `color/` (with them in `img/` alone,
      `auto` takes it for LaSOT). A frame tagged in `occlusion.tag` or `occlusion.label` gets the visibility 0.5.
    - `got10k`: `groundtruth.txt` with rectangles, 1-based, and `absence.label` (1: visibility 0) and
      `cover.label` (0 to 8: visibility in eighths, but above 0: absence alone means absent). Folders named as
      GOT-10k names them, `GOT-10k_Test_000001`, need no label file.
    - `lasot`: `groundtruth.txt` and `img/`, 1-based; 1 in `full_occlusion.txt` or `out_of_view.txt`: visibility 0.
    - `tnl2k`: `groundtruth.txt` and `imgs/`, taken as 0-based.
    - `nfs`: `NAME/30/NAME.txt` and `NAME/30/NAME/`, 0-based; `NAME` means 30 frames a second, `NAME/240` the
      others. Rows marked as lost have the visibility 0, as occluded 0.5.
    - `uav123`: `anno/UAV123/NAME.txt` and `data_seq/UAV123/NAME/`, 1-based; so are UAV20L and UAV123_10fps.
      Segments such as `car1_2` share the frames of `car1`. `path` is the annotation file or the folder of frames.
    - `trackingnet`: `anno/NAME.txt` and `frames/NAME/` of a chunk, 0-based; `path` as for `uav123`.
    - `pysot`: a JSON file of many videos, such as `OTB100.json`, with the frames beside it. 0-based if it is named
      VOT, NFS, TrackingNet or TNL2K, else 1-based.
    - `images`: a folder of images (or its `img/`, `imgs/` or `color/`), ordered by the numbers in their names.
    - `video`: any video file that FFmpeg decodes.

    `images` and `video` need `box`. Where `box` is given for a folder that also has an annotation, the
    annotation is not read.

    In every layout a row whose numbers are NaN (or missing), or whose width or height is 0 or negative, says that
    the target is absent from that frame; its box becomes zeros, also where a label file says so. There must be as
    many rows as frames, or one row alone: the first frame's box. In an annotation (the test splits of GOT-10k and
    TrackingNet) one row leaves the others unknown: they count as absent, and `box_source` is `first`. In `box` it
    leaves them to `follow`; frames in which that loses the target get the visibility 0.

    Args:
        path: A folder, an annotation file of a layout that has one for each video, or a video file.
        box: The target, 0-based `x,y,w,h` in pixels: four numbers or the text `"x,y,w,h"` for the first frame
            only, or an array `[T, 4]`, or a text file with one `x,y,w,h` a line (as this project writes them).
        layout: One of `LAYOUTS`; `auto` looks at what is there.
        target: Which of an OTB video's targets, 1 or 2, the first that is annotated by default; or which video of
            pysot's JSON.
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
    _check_layout(layout, LAYOUTS)
    if not path.exists():
        raise InputError(f"'{path}' does not exist; give a folder of frames or a video file.")
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames is {max_frames}; it must be at least 1.")
    found = None if layout in ("images", "video") or box is not None else _find_here(path, layout)
    if target is not None and (found is None or found[1][0].number is None):
        raise InputError(
            f"Only OTB's folders and pysot's JSON have numbered targets; leave target out for '{path}'."
        )
    if found is not None:
        source = _read_found(path, *found, target)
    elif box is None:
        raise _not_annotated(path, layout)
    else:
        source = read_given(open_frames(path, layout), path, box)

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
        boxes = np.where(visibility[:, None] > 0, boxes, 0.0)
        check_boxes(boxes, visibility, frames, source.describe)
    sequence = Sequence(source.name, frames, boxes, visibility, origin=str(path), box_source=box_source)
    return sequence if max_frames is None else sequence.limit(max_frames)


def list_sequences(folder: str | Path) -> list[Path]:
    """Return the paths of `list_targets`, each once; the former name, for one version."""
    warnings.warn("tracker.list_sequences is tracker.list_targets now.", DeprecationWarning, stacklevel=2)
    return sorted({path for path, _ in list_targets(folder).values()})


def list_targets(folder: str | Path, layout: str = "auto") -> dict[str, tuple[Path, int | None]]:
    """Return every annotated target in or below a benchmark's folder, sorted by name.

    Args:
        folder: A benchmark's folder, one of its parts (`train`, `TRAIN_0`, `anno/UAV20L`), one annotated sequence,
            or an annotation file. Sequences are looked for up to `LEVELS` folders below.
        layout: One of `LAYOUTS` but `images` and `video`; `auto` finds it for each sequence.

    Returns:
        The name of the target, as `read_sequence` gives it (`Jogging-1` and `Jogging-2` for the folder
        `Jogging`), and what `read_sequence` needs to open it: the path and the number of the target.
        Annotations without a single box are left out, as `Human4`'s first.

    Raises:
        InputError: If the folder does not exist, holds no annotated sequence, or two of its folders hold the same
            target.
    """
    folder = Path(folder)
    _check_layout(layout, ("auto", *ANNOTATED))
    if not folder.exists():
        raise InputError(f"The folder '{folder}' does not exist.")
    found = _find_below(folder, layout, LEVELS)
    if not found and folder.is_dir() and layout in ("auto", PYSOT.name):
        found = [target for file in sorted(folder.glob("*.json")) for target in PYSOT.find(file)]
    if not found:
        known = KNOWN_LAYOUTS if layout == "auto" else ANNOTATED[layout].title
        raise InputError(
            f"'{folder}' holds no annotated target: neither it nor a folder up to {LEVELS} levels below it is laid"
            f" out as {known}; give a folder of such sequences, or one of them."
        )
    targets: dict[str, tuple[Path, int | None]] = {}
    for name, path, number in found:
        if name in targets:
            raise InputError(f"'{targets[name][0]}' and '{path}' both hold the target {name}; remove one.")
        targets[name] = (path, number)
    return dict(sorted(targets.items()))


def open_sequences(
    folder: str | Path, check: Callable[[Sequence], None] | None = None, layout: str = "auto"
) -> dict[str, Sequence]:
    """Open the annotated sequences of a benchmark's folder; those that cannot be used are left out by name.

    Args:
        folder: See `list_targets`.
        check: Raises an `InputError` if a sequence cannot be used.
        layout: See `list_targets`.

    Returns:
        The sequences by name, sorted; one for each target.

    Raises:
        InputError: If there is no annotated sequence, or none can be used.
    """

    def opened(path: Path, number: int | None) -> Sequence:
        sequence = read_sequence(path, layout=layout, target=number)
        if check is not None:
            check(sequence)
        return sequence

    return open_usable({name: partial(opened, *place) for name, place in list_targets(folder, layout).items()})


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


def _check_layout(layout: str, known: tuple[str, ...]) -> None:
    if layout not in known:
        raise InputError(f"The layout '{layout}' is unknown; known are {', '.join(known)}.")


def _find_here(path: Path, layout: str) -> tuple[Layout, list[TargetLocation]] | None:
    """The layout of a path and the targets that it holds."""
    for each in ANNOTATED.values() if layout == "auto" else [ANNOTATED[layout]]:
        if (targets := each.find(path)) and (layout != "auto" or each.recognise(path)):
            return each, targets
    return None


def _find_below(path: Path, layout: str, levels: int) -> list[TargetLocation]:
    """The targets of a path, or of the folders in it."""
    if found := _find_here(path, layout):
        return found[1]
    if levels == 0 or not path.is_dir():
        return []
    try:
        children = sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:  # a folder of other people beside the sequences
        return []
    folders = (child for child in children if not child.name.startswith((".", "__MACOSX")))
    return [target for folder in folders for target in _find_below(folder, layout, levels - 1)]


def _read_found(path: Path, layout: Layout, targets: list[TargetLocation], number: int | None) -> Source:
    if number is None and len(targets) > 1 and layout is not OTB:
        first = targets[0]
        which = f"'{first.path}'" if first.number is None else f"target={first.number}, which is {first.name}"
        raise InputError(
            f"'{path}' holds {len(targets)} sequences of {layout.title}; give one of them, such as {which}."
        )
    source = layout.read(targets[0].path, targets[0].number if number is None else number)
    if not len(source.frames):
        raise InputError(
            f"{source.what} has boxes, but {source.where} holds no images of theirs; put the frames there."
        )
    return source


def open_frames(path: Path, layout: str) -> Frames:
    """The frames of a folder or of a video file."""
    if path.is_dir() and layout != "video":
        return ImageFiles(find_images(path))
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give a video file.")
    if layout == "video" or (layout == "auto" and path.suffix.lower() in VIDEO_SUFFIXES):
        return VideoFile(path)
    if layout == "auto":
        raise InputError(f"'{path}' is neither a folder nor a video file; if it is a video, say layout=video.")
    raise InputError(f"'{path}' is a file; the layout '{layout}' needs a folder.")


def _not_annotated(path: Path, layout: str) -> InputError:
    """The error for a path that is no annotated sequence, where no box is given."""
    if layout in ANNOTATED:
        return InputError(
            f"'{path}' is not laid out as {ANNOTATED[layout].title}; give such a sequence, or layout=auto."
        )
    if path.is_file() or layout in ("images", "video"):
        open_frames(path, layout)
        return InputError(f"'{path}' has no annotation; give the target's box in the first frame as x,y,w,h.")
    inner = _find_below(path, layout, LEVELS)
    if image_folder(path) is None or inner:
        remedy = (
            f"give one of its {len(inner)} sequences, such as '{inner[0].path}'"
            if inner
            else f"give a folder of frames with a box, or a sequence laid out as {KNOWN_LAYOUTS}"
        )
        return InputError(f"The folder '{path}' holds no images; {remedy}.")
    return InputError(
        f"The folder '{path}' has no annotation file in a known layout: {KNOWN_LAYOUTS}; add it, or give the"
        " target's box in the first frame as x,y,w,h."
    )
