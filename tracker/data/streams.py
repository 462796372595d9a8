"""Frames in order, read once: from a video file, a folder of images or a camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from .images import Image
from .readers import find_images
from .sequences import FrameCache, ImageFiles
from .video import VIDEO_SUFFIXES, VideoReader, upright


@dataclass
class Stream:
    """Frames to be read once; none is kept.

    Attributes:
        what: Names the source in sentences.
        frames: `uint8[H, W, 3]`, RGB, each its own memory. An `InputError` says that a frame cannot be read.
        close: Closes the file or the camera.
        fps: Frames a second as the source states them; `None` where it does not.
        declared_frames: Number of frames that the source declares; `None` where it does not.
        live: Whether it is a camera, which never ends by itself.
    """

    what: str
    frames: Iterable[Image]
    close: Callable[[], None] = lambda: None
    fps: float | None = None
    declared_frames: int | None = None
    live: bool = False

    def __iter__(self) -> Iterator[Image]:
        return iter(self.frames)


def open_stream(source: str | Path) -> Stream:
    """Open frames to be read once.

    Args:
        source: A video file, a folder of images (or one with them in `img/` or `color/`), or the index of a
            camera as a number.

    Raises:
        InputError: If the source does not exist or cannot be opened.
    """
    path = Path(source)
    if path.is_dir():
        files = ImageFiles(find_images(path), FrameCache(0))
        return Stream(f"The folder '{path}'", (files[t] for t in range(len(files))), declared_frames=len(files))
    if not path.exists() and str(source).isdecimal():
        capture = cv2.VideoCapture(int(str(source)))
        if not capture.isOpened():
            raise InputError(f"Camera {source} cannot be opened; give another index or a video file.")
        rate = capture.get(cv2.CAP_PROP_FPS)
        fps = rate if math.isfinite(rate) and 0 < rate <= 1000 else None
        return Stream(f"Camera {source}", _camera_frames(capture), capture.release, fps, live=True)
    if not path.is_file():
        raise InputError(f"'{source}' does not exist; give a video file, a folder of images or a camera's index.")
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        # FFmpeg would read a text file as a video of letters.
        raise InputError(
            f"'{path}' is no video file by its name; give one, a folder of images or a camera's index."
        )
    reader = VideoReader(path)
    return Stream(f"The video '{path}'", map(upright, reader), reader.close, reader.fps, reader.declared_frames)


def _camera_frames(capture: cv2.VideoCapture) -> Iterator[Image]:
    while True:
        decoded, frame = capture.read()
        if not decoded:
            return
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
