"""GOT-10k: `groundtruth.txt` with rectangles, 1-based, with labels of cover and absence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from .annotation import Layout, Source, find_groundtruth, presence, read_annotation, read_labels, zero_based
from .images import find_images

LABELS = ("absence.label", "cover.label", "meta_info.ini")

LEAST_COVER = 1 / 16
"""Visibility of a target that GOT-10k's cover.label puts at 0 of 8 though absence.label does not say absent."""


def read_got10k(folder: Path, number: int | None = None) -> Source:
    """Read a sequence of GOT-10k; see `read_sequence`."""
    table = read_annotation(folder / "groundtruth.txt", (4,))
    boxes = zero_based(table.boxes())
    visibility = presence(boxes)
    if (folder / "cover.label").is_file():
        cover = read_labels(folder / "cover.label", len(boxes), 8) / 8
        # Some sequences have no cover labels but zeros: absence.label alone says that a target is absent.
        visibility = visibility * (np.maximum(cover, LEAST_COVER) if cover.any() else 1.0)
    if (folder / "absence.label").is_file():
        visibility = np.where(read_labels(folder / "absence.label", len(boxes), 1) > 0, 0.0, visibility)
    return Source.from_table(folder, find_images(folder), table, boxes, visibility)


def _recognise(folder: Path) -> bool:
    """Whether a folder has a label file of GOT-10k, or its name: sequences of the test split have no labels."""
    named = re.fullmatch(r"GOT-10k_(Train|Val|Test)_\d+", folder.resolve().name)
    return bool(named) or any((folder / name).is_file() for name in LABELS)


GOT10K = Layout("got10k", "GOT-10k (groundtruth.txt, absence.label)", find_groundtruth, read_got10k, _recognise)
