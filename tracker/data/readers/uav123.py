"""UAV123, UAV20L and UAV123_10fps: `anno/PART/NAME.txt`, 1-based, and `data_seq/PART/NAME/`."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import InputError
from .annotation import (
    Layout,
    Source,
    TargetLocation,
    folder_above,
    presence,
    read_annotation,
    text_files,
    zero_based,
)
from .images import images_between, images_in

PARTS = ("UAV123", "", "UAV123_10fps", "UAV20L")
"""Folders in `anno/` and `data_seq/`, the default first; without a name the files lie in these themselves."""

LATE_STARTS: dict[str, dict[int, int]] = {
    "bird1_2": {253: 775, 85: 259},
    "bird1_3": {1477: 1573, 493: 525},
    "uav1_3": {2377: 2473, 793: 825},
}
"""First frame of a segment by the last frame of the segment before it, at 30 and at 10 frames a second, where
`configSeqs.m` of UAV123 leaves frames out between them; all other segments begin with that last frame."""


def read_uav123(file: Path, number: int | None = None) -> Source:
    """Read a video, or a segment of one (`car1_2`): its frames follow from the lengths of the segments before."""
    table = read_annotation(file, (4,))
    boxes = zero_based(table.boxes())
    folder = _frames(file)
    if folder.name == file.stem:
        images = images_in(folder)
    else:
        first = _first_frame(file)
        images = images_between(folder, first, first + len(boxes) - 1)
    return Source.from_table(file, images, table, boxes, presence(boxes))


def _first_frame(file: Path) -> int:
    video, segment = _segment(file.stem)
    if segment <= 1:
        return 1
    before = file.with_name(f"{video}_{segment - 1}.txt")
    if not before.is_file():
        raise InputError(
            f"'{file}' is a segment of {video} that follows on '{before.name}', which is missing; add it."
        )
    last = _first_frame(before) + len(read_annotation(before, (4,)).rows) - 1
    starts = LATE_STARTS.get(file.stem, {})
    if starts and last not in starts:
        raise InputError(
            f"The segments before '{file}' end with frame {last}, and UAV123 has {', '.join(map(str, starts))}; "
            "restore them."
        )
    return starts.get(last, last)


def _segment(name: str) -> tuple[str, int]:
    """The video and the number of a segment; 0 where the name has no number."""
    match = re.fullmatch(r"(.+)_(\d+)", name)
    return (match[1], int(match[2])) if match else (name, 0)


def _frames(file: Path) -> Path:
    """The folder of the frames of an annotation file: of its own name, or of the video that it is a segment of."""
    root = folder_above(file, "anno", "data_seq")
    assert root is not None
    places = [root / "data_seq" / part for part in (file.parent.name, *PARTS)]
    folders = [place / name for name in (file.stem, _segment(file.stem)[0]) for place in places]
    return next((folder for folder in folders if folder.is_dir()), places[0] / file.stem)


def _find_uav123(path: Path) -> list[TargetLocation]:
    """The annotations of the part that is given, or the one of the file or the folder of frames that is given."""
    root = folder_above(path, "anno", "data_seq")
    below = () if root is None else path.absolute().relative_to(root.absolute()).parts
    if root is None or (below and below[0] not in ("anno", "data_seq")):
        return []
    if path.is_file():
        files = [path] if below[0] == "anno" and path.suffix == ".txt" else []
    else:
        parts = [root / "anno" / name for name in (path.name, path.absolute().parent.name, *PARTS)]
        files = next(filter(None, map(text_files, parts)), [])
        if images_in(path):
            files = [file for file in files if _frames(file).absolute() == path.absolute()]
    return [TargetLocation(file.stem, file) for file in files]


UAV123 = Layout("uav123", "UAV123 (anno/, data_seq/)", _find_uav123, read_uav123)
