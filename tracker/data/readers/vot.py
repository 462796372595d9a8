"""VOT: `groundtruth.txt` with rectangles or polygons, 0-based, and tags of occluded frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .annotation import Source, find_groundtruth, presence, read_annotation, read_labels
from .images import find_images

OCCLUDED_VISIBILITY = 0.5
"""VOT tags a frame as occluded without saying how much; this stands for "partly"."""


def read_vot(folder: Path) -> Source:
    """Read a sequence of VOT; see `read_sequence`."""
    table = read_annotation(find_groundtruth(folder), (4, 8))
    boxes = table.boxes()
    visibility = presence(boxes)
    for name in ("occlusion.tag", "occlusion.label"):
        if (folder / name).is_file():
            tagged = read_labels(folder / name, len(boxes), 1) > 0
            visibility = np.minimum(visibility, np.where(tagged, OCCLUDED_VISIBILITY, 1.0))
            break
    return Source.from_folder(folder, find_images(folder), table, boxes, visibility)
