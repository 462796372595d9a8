"""Frames one after the other, as they come: from a video file, a folder of images or a camera."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .images import read_image
from .readers import VIDEO_SUFFIXES, find_images

__all__ = ["Stream", "open_stream"]

Image = NDArray[np.uint8]


class Stream:
    """Frames to be read once; none is kept.

    Attributes:
        what: What it is, for sentences.
        fps: Frames a second as the source states them; `None` where it does not.
        promised: How many frames the source says that it has; `None` where it does not.
        live: Whether it is a camera, which never ends by itself.
    """

    def __init__(
        self, what: str, fps: float | None = None, promised: int | None = None, live: bool = False
    ) -> None:
        """See the class."""
        self.what = what
        self.fps = fps
        self.promised = promised
        self.live = live

    def __iter__(self) -> Iterator[Image]:
        """Yield frames `uint8[H, W, 3]`, RGB, each its own memory.

        Raises:
            InputError: If a frame cannot be read where others follow, or must follow.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the file or the camera."""


class _Capture(Stream):
    """A video file or a camera, through OpenCV."""

    def __init__(self, capture: cv2.VideoCapture, what: str, live: bool) -> None:
        self._capture = capture
        count = 0 if live else capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = capture.get(cv2.CAP_PROP_FPS)
        super().__init__(
            what,
            fps=rate if math.isfinite(rate) and 0 < rate <= 1000 else None,
            promised=int(count) if math.isfinite(count) and 0 < count < 2**31 else None,
            live=live,
        )

    def __iter__(self) -> Iterator[Image]:
        while True:
            decoded, frame = self._capture.read()
            if not decoded:
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def close(self) -> None:
        self._capture.release()


class _Images(Stream):
    """Image files, in the order of the numbers in their names."""

    def __init__(self, folder: Path) -> None:
        self._paths = find_images(folder)
        super().__init__(f"The folder '{folder}'", promised=len(self._paths))

    def __iter__(self) -> Iterator[Image]:
        return (read_image(path) for path in self._paths)


def open_stream(source: str | Path) -> Stream:
    """Open frames to be read once.

    Args:
        source: A video file, a folder of images (or one with them in `img/` or `color/`), or the index of a
            camera as a number.

    Raises:
        InputError: If there is no such thing, or OpenCV cannot open it.
    """
    path = Path(source)
    if path.is_dir():
        return _Images(path)
    if not path.exists() and str(source).isdecimal():
        capture = cv2.VideoCapture(int(str(source)))
        if not capture.isOpened():
            raise InputError(f"Camera {source} cannot be opened; give another index or a video file.")
        return _Capture(capture, f"Camera {source}", live=True)
    if not path.is_file():
        raise InputError(f"'{source}' does not exist; give a video file, a folder of images or a camera's index.")
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        # OpenCV would read a text file as a video of letters.
        raise InputError(
            f"'{path}' is no video file by its name; give one, a folder of images or a camera's index."
        )
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise InputError(f"The video '{path}' cannot be decoded; convert it, for example to H.264 MP4.")
    return _Capture(capture, f"The video '{path}'", live=False)
