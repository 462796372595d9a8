"""Frames one after the other, as they come: from a video file, a folder of images or a camera."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .readers import find_images
from .sequences import FrameCache, ImageFiles
from .video import VIDEO_SUFFIXES, VideoReader, upright

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


class _Camera(Stream):
    """A camera, through OpenCV."""

    def __init__(self, capture: cv2.VideoCapture, what: str) -> None:
        self._capture = capture
        rate = capture.get(cv2.CAP_PROP_FPS)
        super().__init__(what, fps=rate if math.isfinite(rate) and 0 < rate <= 1000 else None, live=True)

    def __iter__(self) -> Iterator[Image]:
        while True:
            decoded, frame = self._capture.read()
            if not decoded:
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def close(self) -> None:
        self._capture.release()


class _Video(Stream):
    """A video file."""

    def __init__(self, path: Path) -> None:
        self._reader = VideoReader(path)
        super().__init__(f"The video '{path}'", fps=self._reader.fps, promised=self._reader.promised)

    def __iter__(self) -> Iterator[Image]:
        return (upright(frame) for frame in self._reader)

    def close(self) -> None:
        self._reader.close()


class _Images(Stream):
    """Image files, in the order of the numbers in their names."""

    def __init__(self, folder: Path) -> None:
        self._frames = ImageFiles(find_images(folder), FrameCache(0))
        super().__init__(f"The folder '{folder}'", promised=len(self._frames))

    def __iter__(self) -> Iterator[Image]:
        return (self._frames[t] for t in range(len(self._frames)))


def open_stream(source: str | Path) -> Stream:
    """Open frames to be read once.

    Args:
        source: A video file, a folder of images (or one with them in `img/` or `color/`), or the index of a
            camera as a number.

    Raises:
        InputError: If there is no such thing, or it cannot be opened.
    """
    path = Path(source)
    if path.is_dir():
        return _Images(path)
    if not path.exists() and str(source).isdecimal():
        capture = cv2.VideoCapture(int(str(source)))
        if not capture.isOpened():
            raise InputError(f"Camera {source} cannot be opened; give another index or a video file.")
        return _Camera(capture, f"Camera {source}")
    if not path.is_file():
        raise InputError(f"'{source}' does not exist; give a video file, a folder of images or a camera's index.")
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        # FFmpeg would read a text file as a video of letters.
        raise InputError(
            f"'{path}' is no video file by its name; give one, a folder of images or a camera's index."
        )
    return _Video(path)
