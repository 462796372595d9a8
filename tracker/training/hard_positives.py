"""Hard positives for training: generated images of targets, read back with the frames that they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.images import Image, check_image, crop, read_image
from ..errors import InputError, reading_errors
from ..files import inside_folder

METADATA = "metadata.jsonl"


@dataclass(frozen=True)
class TrainingPositive:
    """A generated image of a target, and the frame that it stands for in training.

    Attributes:
        image: The target's crop, `uint8[h, w, 3]`, or the file that holds it; or a larger part of the frame.
        video: Name of its video.
        frame: Index of its frame, 0-based.
        box: `(x, y, w, h)` of the target in that frame, 0-based pixels.
        inside: `(x, y, w, h)` of the target in `image` where that is larger than the target; `None` for a crop.
    """

    image: Image | Path
    video: str
    frame: int
    box: tuple[float, float, float, float]
    inside: tuple[float, float, float, float] | None = None

    def load(self) -> Image:
        """Return the target's crop, `uint8[h, w, 3]`."""
        image = read_image(self.image) if isinstance(self.image, Path) else self.image
        return image if self.inside is None else crop(image, self.inside)


def read_hard_positives(folder: str | Path) -> list[TrainingPositive]:
    """Read the folder that the demo and the generation of hard positives write (`imagefolder`).

    Of each line of `metadata.jsonl` the keys `file_name` and `source` (`video`, `frame`, `box`) are read, and
    where the `view` is not `crop` the `box` of the target in the image.

    Raises:
        InputError: If the folder has no such file, a line of it cannot be used, or an image is missing.
    """
    table = Path(folder) / METADATA
    if not table.is_file():
        raise InputError(f"'{folder}' holds no {METADATA}; give the folder hard_positives of a demo.")
    positives = []
    with reading_errors(table, "text in UTF-8", "write it again"):
        lines = table.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            file = inside_folder(folder, record["file_name"])
        except InputError as error:
            raise InputError(f"Line {number} of '{table}': {error}") from None
        except (json.JSONDecodeError, KeyError, RecursionError, TypeError):
            raise InputError(
                f"Line {number} of '{table}' is no record with a file_name; write it again."
            ) from None
        if not file.is_file():
            raise InputError(f"Line {number} of '{table}' names '{file.name}', which does not exist.")
        positives.append(_positive(file, record, f"Line {number} of '{table}'"))
    if not positives:
        raise InputError(f"'{table}' names no image; give another folder.")
    return positives


def take_hard_positives(positives: Iterable[tuple[Image, Mapping[str, Any]]]) -> list[TrainingPositive]:
    """Convert images and their provenance, records with the keys of `metadata.jsonl`.

    Raises:
        InputError: If an image or a record cannot be used.
    """
    return [
        _positive(check_image(image, f"Hard positive {number}"), record, f"Hard positive {number}")
        for number, (image, record) in enumerate(positives)
    ]


def _positive(image: Image | Path, record: Mapping[str, Any], what: str) -> TrainingPositive:
    try:
        source = record["source"]
        box, video, frame = _four(source["box"]), str(source["video"]), int(source["frame"])
        inside = None if record.get("view", "crop") == "crop" else _four(record["box"])
    except (KeyError, OverflowError, TypeError, ValueError):
        raise InputError(f"{what} does not tell its source (video, frame, box); write it again.") from None
    for x, y, w, h in (box,) if inside is None else (box, inside):
        if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0 or frame < 0:
            raise InputError(f"{what} has the box {x:g},{y:g},{w:g},{h:g} in frame {frame}, which cannot be.")
    return TrainingPositive(image, video, frame, box, inside)


def _four(box: Iterable[Any]) -> tuple[float, float, float, float]:
    x, y, w, h = (float(value) for value in box)
    return (x, y, w, h)


def digest(positives: Iterable[TrainingPositive]) -> str:
    """SHA-256 of the images and their provenance, for the run's record."""
    total = hashlib.sha256()
    for positive in positives:
        total.update(f"{positive.video} {positive.frame} {positive.box}".encode())
        image = positive.image
        total.update(image.read_bytes() if isinstance(image, Path) else image.tobytes())
    return f"sha256:{total.hexdigest()}"
