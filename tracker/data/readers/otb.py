"""OTB and Temple-Color 128: `img/` and annotations beside it, 1-based; an OTB folder may hold several targets."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from .annotation import (
    Layout,
    Source,
    Table,
    TargetLocation,
    presence,
    read_annotation,
    read_table,
    text_files,
    zero_based,
)
from .images import images_between, images_in

OTB_FRAMES: dict[str, tuple[int, int | None]] = {
    "BlurCar1": (247, None),
    "BlurCar3": (3, None),
    "BlurCar4": (18, None),
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
    "Tiger1": (6, None),
}
"""First and last frame number that OTB judges, where its folder holds more frames or numbers them otherwise."""

OTB_HIDDEN_START = {"Tiger1": (5, 354)}
"""How many frames at its start OTB leaves out because the target is hidden, though the folder annotates them,
and how many frames the whole folder has."""


def read_otb(folder: Path, target: int | None = None) -> Source:
    """Read a target of an OTB folder, by default the one that the folder's name ends with; see `read_sequence`."""
    files = rect_files(folder)
    number = _default_target(folder, files) if target is None else target
    if number not in files:
        raise InputError(f"'{folder}' has no target {target}; it has {', '.join(map(str, files))}.")
    table = read_annotation(files[number], (4,))
    paths = images_in(folder / "img")
    name = folder.resolve().name
    hidden, whole = OTB_HIDDEN_START.get(name, (0, None))
    if len(table.rows) == whole == len(paths):
        table, paths = Table(table.path, table.rows[hidden:], table.lines[hidden:]), paths[hidden:]
    boxes = zero_based(table.boxes())
    if len(paths) > len(boxes) and name in OTB_FRAMES:
        first, last = OTB_FRAMES[name]
        paths = images_between(folder / "img", first, last or math.inf)
    source = Source.from_table(folder, paths, table, boxes, presence(boxes))
    return replace(source, name=_target_name(folder, files, number))


def read_tc128(folder: Path, number: int | None = None) -> Source:
    """Read a sequence of Temple-Color 128; its `NAME_frames.txt` numbers the first and the last frame."""
    table = read_annotation(_tc128_files(folder)[0], (4,))
    boxes = zero_based(table.boxes())
    images = images_in(folder / "img")
    if ranges := [file for file in text_files(folder) if file.name.endswith("_frames.txt")]:
        images = images_between(folder / "img", *read_table(ranges[0], (2,)).rows[0])
    return Source.from_table(folder, images, table, boxes, presence(boxes))


def _find_otb(folder: Path) -> list[TargetLocation]:
    """The targets that an OTB folder is read for: those with a box, or the first."""
    files = rect_files(folder)
    if not files or not (folder / "img").is_dir():
        return []
    default = _default_target(folder, files)
    split = _named_target(folder) in files and len(files) > 1
    numbers = [default] if split else [n for n, file in files.items() if not _is_empty(file)] or [default]
    return [TargetLocation(_target_name(folder, files, number), folder, number) for number in numbers]


def _find_tc128(folder: Path) -> list[TargetLocation]:
    found = (folder / "img").is_dir() and _tc128_files(folder)
    return [TargetLocation(folder.resolve().name, folder)] if found else []


def _tc128_files(folder: Path) -> list[Path]:
    return [file for file in text_files(folder) if file.name.endswith("_gt.txt")]


def rect_files(folder: Path) -> dict[int, Path]:
    """The annotation of each target of an OTB folder, by the number of the target."""
    files = {}
    for file in folder.glob("groundtruth_rect*.txt"):
        match = re.fullmatch(r"groundtruth_rect(?:\.(\d+))?\.txt", file.name)
        if match:
            files[int(match[1] or 1)] = file
    return dict(sorted(files.items()))


def _default_target(folder: Path, files: dict[int, Path]) -> int:
    """The target that the folder's name ends with (`Jogging-2`), or else the first that is annotated."""
    named = _named_target(folder)
    if named in files and len(files) > 1:
        return named
    return next((number for number, file in files.items() if not _is_empty(file)), min(files))


def _named_target(folder: Path) -> int:
    """The number at the end of names such as `Skating2-1`; 0 where there is none."""
    match = re.fullmatch(r".+-(\d)", folder.resolve().name)
    return int(match[1]) if match else 0


def _target_name(folder: Path, files: dict[int, Path], number: int) -> str:
    name = folder.resolve().name
    if files[number].name == "groundtruth_rect.txt" or name.endswith(f"-{number}"):
        return name
    return f"{name}-{number}"


def _is_empty(file: Path) -> bool:
    try:
        return not file.read_bytes().strip()
    except OSError:  # reading the annotation raises an error that names the file
        return False


OTB = Layout("otb", "OTB (groundtruth_rect.txt, img/)", _find_otb, read_otb)
TC128 = Layout("tc128", "TC128 (NAME_gt.txt, img/)", _find_tc128, read_tc128)
