"""NfS: a folder for each frame rate, with the frames and a file of corners as VATIC writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .annotation import Layout, Source, Table, TargetLocation, read_annotation, text_files
from .images import images_in
from .vot import OCCLUDED_VISIBILITY

RATES = ("30", "240")
"""Frames a second; `30` is read unless the folder of another rate is given."""


def read_nfs(file: Path, number: int | None = None) -> Source:
    """Read a video of NfS: `track xmin ymin xmax ymax frame lost occluded generated "label"`, 0-based.

    At 30 frames a second the file may have the rows of all 240: each eighth is of a frame. The annotation of ten
    videos has one row fewer than there are frames: the last frame is left out.
    """
    table = read_annotation(file, (9,))
    images = images_in(file.with_suffix(""))
    step = 8 if len(table.rows) > 4 * len(images) else 1
    rows, lines = table.rows[::step], table.lines[::step]
    if abs(len(rows) - len(images)) == 1:
        common = min(len(rows), len(images))
        rows, lines, images = rows[:common], lines[:common], images[:common]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 9)
    boxes = np.concatenate([columns[:, 1:3], columns[:, 3:5] - columns[:, 1:3]], axis=1)
    lost, occluded = columns[:, 6] > 0, columns[:, 7] > 0
    visibility = np.where(
        lost | ~(boxes[:, 2:] > 0).all(axis=1), 0.0, np.where(occluded, OCCLUDED_VISIBILITY, 1.0)
    )
    return Source.from_table(file, images, Table(file, rows, lines), boxes, visibility)


def _find_nfs(path: Path) -> list[TargetLocation]:
    """The annotation of a video's folder, of the folder of one of its frame rates, or the file itself."""
    if path.is_file():
        files = [path] if path.suffix == ".txt" and path.parent.name in RATES else []
    else:
        folders = [path] if path.name in RATES else [path / rate for rate in RATES]
        files = next(filter(None, map(text_files, folders)), [])
    return [TargetLocation(file.stem, file) for file in files if file.with_suffix("").is_dir()]


NFS = Layout("nfs", "NfS (30/NAME.txt, 30/NAME/)", _find_nfs, read_nfs)
