"""GIF files that repeat."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PILImage
from PIL import ImageSequence

_UNIT = 10
"""Milliseconds in which a GIF counts."""
_TRAILER = b";"
_LEAST = 20
"""Browsers show a picture with a shorter time for 100 ms."""


def write_gif(
    path: str | os.PathLike[str], pictures: Sequence[PILImage.Image], milliseconds: Sequence[float]
) -> None:
    """Write a GIF that repeats; the written file is opened again and its pictures are decoded.

    Args:
        path: The file to write, of any name; take it from `files.replacing_file`, so that the file appears whole.
        pictures: At least one, all of one size.
        milliseconds: How long each is shown, rounded to 10 ms and at least 20 ms: browsers slow shorter ones down.

    Raises:
        OSError: If the disk refuses, or the file does not hold what was written.
    """
    shown = [max(_LEAST, round(each / _UNIT) * _UNIT) for each in milliseconds]
    first, *rest = pictures
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=shown, loop=0)
    # Equal neighbours become one picture with the time of both.
    if (found := _total_time(path)) != sum(shown):
        raise OSError(errno.EIO, f"The written GIF lasts {found} of {sum(shown)} ms", os.fspath(path))


def _total_time(path: str | os.PathLike[str]) -> int:
    total = 0
    try:
        with PILImage.open(path) as gif:
            for frame in ImageSequence.Iterator(gif):
                frame.load()
                total += int(frame.info.get("duration", 0))
    except Exception:  # Pillow has many for a truncated file
        return 0
    return total if Path(path).read_bytes().endswith(_TRAILER) else 0
