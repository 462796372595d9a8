"""Layouts of benchmarks that are recognised but not read yet."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ...errors import InputError

KNOWN_LAYOUTS = (
    "OTB (img/ and groundtruth_rect.txt), VOT (groundtruth.txt, the frames beside it or in color/), GOT-10k (as"
    " VOT, with absence.label, cover.label or meta_info.ini)"
)
"""The layouts of annotated sequences that are read, for the sentences of errors."""

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

FRAMES_IN_IMG = "groundtruth.txt and img/"
"""What LaSOT without its occlusion files is recognised by; a VOT sequence may look the same."""


def unread_sequence(folder: Path) -> tuple[str, str] | None:
    """Recognise a sequence's folder in a layout that is not read.

    Returns:
        The name of the layout, and the file that it was recognised by; `None` for other folders.
    """
    for name in ("full_occlusion.txt", "out_of_view.txt", "nlp.txt"):
        if (folder / name).is_file():
            return "LaSOT", name
    if (folder / "groundtruth.txt").is_file() and (folder / "img").is_dir() and not _is_read(folder):
        return "LaSOT", FRAMES_IN_IMG
    if (folder / "imgs").is_dir() and any((folder / n).is_file() for n in ("groundtruth.txt", "language.txt")):
        return "TNL2K", "imgs/"
    for rate in ("30", "240"):
        if (folder / rate).is_dir() and any((folder / rate).glob("*.txt")):
            return "NfS", f"{rate}/"
    if (folder / "groundtruth.txt").is_file() and _holds_masks(folder / "groundtruth.txt"):
        return "VOT with masks", "groundtruth.txt, with rows that begin with m"
    return None


def refuse_unread(path: Path) -> None:
    """Refuse a file or a folder in a layout that is recognised but not read.

    Args:
        path: A JSON file, a sequence's folder, a benchmark's, or one inside a benchmark's.

    Raises:
        InputError: Naming the layout, what it was recognised by, and the remedy.
    """
    recognisers = (unread_sequence, _uav123, _trackingnet, _pysot, _sequences_below)
    if recognised := next(filter(None, (recognise(path) for recognise in recognisers)), None):
        layout, mark = recognised
        raise InputError(
            f"'{path}' looks like {layout} ({mark}), which is not read yet; read are {KNOWN_LAYOUTS}. For another"
            " layout give a folder of frames and a file of its boxes, one x,y,w,h a line, 0-based (--box FILE)."
        )


def _sequences_below(path: Path) -> tuple[str, str] | None:
    """Sequences in the folder, or in the folders of classes or parts in it."""
    for first in _folders(path):
        if found := unread_sequence(first):
            return found[0], f"{first.name}/{found[1]}"
        for second in _folders(first):
            if found := unread_sequence(second):
                return found[0], f"{first.name}/{second.name}/{found[1]}"
    return None


def _uav123(path: Path) -> tuple[str, str] | None:
    for folder in (path, *path.resolve().parents[:3]):
        if (folder / "anno").is_dir() and (folder / "data_seq").is_dir():
            return "UAV123", "anno/ and data_seq/"
        for part in ("anno", "data_seq"):  # one without the other
            if any((folder / part / name).is_dir() for name in ("UAV123", "UAV20L", "UAV123_10fps")):
                return "UAV123", f"{part}/"
    return None


def _trackingnet(path: Path) -> tuple[str, str] | None:
    for folder in (path, *path.resolve().parents[:2], *_folders(path)):
        if (folder / "anno").is_dir() and (folder / "frames").is_dir():
            return "TrackingNet", "frames/ and anno/"
    return None


def _pysot(path: Path) -> tuple[str, str] | None:
    files = [path] if path.is_file() else sorted(path.glob("*.json")) if path.is_dir() else []
    for file in files:
        if file.suffix.lower() != ".json":
            continue
        try:
            content = json.loads(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            continue
        entries = list(content.values()) if isinstance(content, dict) else []
        if entries and isinstance(entries[0], dict) and {"img_names", "gt_rect"} <= entries[0].keys():
            return "pysot's JSON", f"{file.name}, with img_names and gt_rect"
    return None


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:
        return []


def _holds_masks(file: Path) -> bool:
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        return any(re.match(r"\s*m\s*\d", line) for line in lines)


def _is_read(folder: Path) -> bool:
    """Whether a folder with `groundtruth.txt` has a label file of VOT or GOT-10k, or frames outside of `img/`."""
    names = ("absence.label", "cover.label", "meta_info.ini", "occlusion.tag", "occlusion.label", "color")
    beside = (child.suffix.lower() in IMAGE_SUFFIXES for child in folder.iterdir())
    return any((folder / name).exists() for name in names) or any(beside)
