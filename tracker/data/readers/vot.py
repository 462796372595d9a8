"""VOT: `groundtruth.txt` with rectangles, polygons or masks, 0-based, and tags of occluded frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .annotation import Layout, Source, find_groundtruth, presence, read_annotation, read_labels
from .images import find_images

OCCLUDED_VISIBILITY = 0.5
"""Visibility of a target that a benchmark marks as occluded without saying how much."""

TAGS = ("occlusion.tag", "occlusion.label")


def read_vot(folder: Path, number: int | None = None) -> Source:
    """Read a sequence of VOT; see `read_sequence`."""
    table = read_annotation(folder / "groundtruth.txt", (4, 8))
    boxes = table.boxes()
    visibility = presence(boxes)
    if tags := [folder / name for name in TAGS if (folder / name).is_file()]:
        tagged = read_labels(tags[0], len(boxes), 1) > 0
        visibility = np.minimum(visibility, np.where(tagged, OCCLUDED_VISIBILITY, 1.0))
    return Source.from_table(folder, find_images(folder), table, boxes, visibility)


VOT = Layout("vot", "VOT (groundtruth.txt, frames beside it or color/)", find_groundtruth, read_vot)
