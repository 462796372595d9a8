"""LaSOT, and TNL2K, which is laid out alike: `groundtruth.txt` beside the folder of frames, with a description."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .annotation import (
    Layout,
    Source,
    TargetLocation,
    find_groundtruth,
    presence,
    read_annotation,
    read_labels,
    zero_based,
)
from .images import images_in
from .vot import TAGS

HIDDEN = ("full_occlusion.txt", "out_of_view.txt")


def read_lasot(folder: Path, number: int | None = None) -> Source:
    """Read a sequence of LaSOT, 1-based; a target that is fully occluded or out of view is absent."""
    table = read_annotation(folder / "groundtruth.txt", (4,))
    boxes = zero_based(table.boxes())
    visibility = presence(boxes)
    for file in (folder / name for name in HIDDEN):
        if file.is_file():
            visibility = np.where(read_labels(file, len(boxes), 1) > 0, 0.0, visibility)
    return Source.from_table(folder, images_in(folder / "img"), table, boxes, visibility)


def read_tnl2k(folder: Path, number: int | None = None) -> Source:
    """Read a sequence of TNL2K; its authors do not say where they count from, the boxes are taken as 0-based."""
    table = read_annotation(folder / "groundtruth.txt", (4,))
    boxes = table.boxes()
    return Source.from_table(folder, images_in(folder / "imgs"), table, boxes, presence(boxes))


def _recognise(folder: Path) -> bool:
    """Whether the frames lie in `img/`, as LaSOT has them, and no tags of VOT stand beside it."""
    if any((folder / name).is_file() for name in (*HIDDEN, "nlp.txt")):
        return True
    return not (images_in(folder) or any((folder / name).exists() for name in (*TAGS, "color")))


def _find_lasot(folder: Path) -> list[TargetLocation]:
    return find_groundtruth(folder) if (folder / "img").is_dir() else []


def _find_tnl2k(folder: Path) -> list[TargetLocation]:
    return find_groundtruth(folder) if (folder / "imgs").is_dir() else []


LASOT = Layout("lasot", "LaSOT (groundtruth.txt, img/)", _find_lasot, read_lasot, _recognise)
TNL2K = Layout("tnl2k", "TNL2K (groundtruth.txt, imgs/)", _find_tnl2k, read_tnl2k)
