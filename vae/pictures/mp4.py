"""MP4 files that browsers and players show: H.264, 4:2:0, the index at the front."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

_OPTIONS = {"crf": "20", "preset": "veryfast"}


@contextmanager
def write_mp4(path: str | os.PathLike[str], fps: float) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Yield a function that appends a frame; the file is complete and checked when the block ends.

    H.264 in 4:2:0 needs even sides, so the last row or column of a frame with an odd side is repeated. The written
    file is opened again, its frames are counted and the first one is decoded.

    Args:
        path: The file to write, of any name; take it from `files.replacing_file`, so that the file appears whole.
        fps: Frames a second, above 0.

    Yields:
        A function of `uint8[H, W, 3]`, RGB, all of one size.

    Raises:
        OSError: If the disk refuses, or the file does not hold the frames that were written.
    """
    file, count = os.fspath(path), 0
    with av.open(file, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(65535), options=_OPTIONS)
        stream.pix_fmt = "yuv420p"

        def append(frame: NDArray[np.uint8]) -> None:
            nonlocal count
            height, width = frame.shape[:2]
            if count == 0:
                stream.width, stream.height = width + width % 2, height + height % 2
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            count += 1

        yield append
        if count:
            container.mux(stream.encode())
    if (found := _count_frames(file)) != count:
        raise OSError(errno.EIO, f"The written MP4 holds {found} of {count} frames", file)


def _count_frames(file: str) -> int:
    try:
        with av.open(file) as container:
            next(container.decode(video=0))
            container.seek(0)
            return sum(packet.size > 0 and not packet.is_corrupt for packet in container.demux(video=0))
    except (av.FFmpegError, StopIteration, IndexError):
        return 0
