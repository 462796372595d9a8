"""GOT-10k: `groundtruth.txt` with rectangles, 1-based, with labels of cover and absence."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .annotation import Source, find_groundtruth, presence, read_annotation, read_labels, zero_based
from .images import find_images

GOT10K_NAME = r"GOT-10k_(Train|Val|Test)_\d+"
"""Folders of GOT-10k; those of its test split hold no label files."""

LEAST_COVER = 1 / 16
"""Visibility of a target that GOT-10k's cover.label puts at 0 of 8 though absence.label does not say absent."""


def read_got10k(folder: Path) -> Source:
    """Read a sequence of GOT-10k; see `read_sequence`."""
    table = read_annotation(find_groundtruth(folder), (4,))
    boxes = zero_based(table.boxes())
    visibility = presence(boxes)
    if (folder / "cover.label").is_file():
        cover = read_labels(folder / "cover.label", len(boxes), 8) / 8
        # Some sequences have no cover labels but zeros: absence.label alone says that a target is absent.
        visibility = visibility * (np.maximum(cover, LEAST_COVER) if cover.any() else 1.0)
    if (folder / "absence.label").is_file():
        visibility = np.where(read_labels(folder / "absence.label", len(boxes), 1) > 0, 0.0, visibility)
    return Source.from_folder(folder, find_images(folder), table, boxes, visibility)
