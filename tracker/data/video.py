"""Decoding video files with FFmpeg, through PyAV.

OpenCV's build of FFmpeg does not convert interlaced frames and says nothing: they come out black, or as whatever
was in memory.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .images import MOST_PIXELS, check_pixels

if TYPE_CHECKING:
    import av


VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"}
    | {".webm", ".wmv"}
)

SHORT_SECONDS = 1.0
SHORT_SHARE = 0.1
"""A video is truncated if it lacks at least so many seconds, or this share, of what it declares."""


class VideoReader:
    """The frames of a video file in the order of time.

    Args:
        path: The file.

    Attributes:
        fps: Mean frames a second as the file states them; `None` where it does not.
        declared_frames: Number of frames that the file declares; `None` where it does not.

    Raises:
        InputError: If the file is missing, holds no video that FFmpeg decodes, or its frames have too many pixels.
    """

    def __init__(self, path: str | Path) -> None:
        import av

        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"The video '{self.path}' does not exist.")
        try:
            self._container = av.open(str(self.path))
            self._stream = next(each for each in self._container.streams.video if each.codec_context is not None)
            # A forked process has no threads, and would wait for them when it closes what it inherited.
            self._stream.codec_context.thread_type = "NONE"
            self._stream.codec_context.thread_count = 1
            # Frames may be larger than the file's header says; the decoder refuses them.
            self._stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        except (av.error.FFmpegError, IndexError, StopIteration):
            raise InputError(
                f"The video '{self.path}' cannot be decoded; replace it, or convert it with "
                f"{encoding_command(self.path)}"
            ) from None
        try:
            check_pixels(
                self._stream.codec_context.width, self._stream.codec_context.height, f"The video '{path}'"
            )
        except InputError:
            self._container.close()
            raise
        rate = self._stream.average_rate
        self.fps = float(rate) if rate and 0 < rate <= 1000 else None
        self.declared_frames = self._stream.frames or None
        self._end, self._damaged = 0.0, False
        self._frames = self._decode()

    def __iter__(self) -> Iterator[av.VideoFrame]:
        return self

    def __next__(self) -> av.VideoFrame:
        """Decode the next frame; what FFmpeg cannot decode is passed over."""
        return next(self._frames)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def seek(self, time: int) -> av.VideoFrame | None:
        """Go to the last key frame at or before a time stamp and decode it; `None` if that fails."""
        import av

        try:
            self._container.seek(time, stream=self._stream)
        except av.error.FFmpegError:
            return None
        self._frames = self._decode()
        return next(self._frames, None)

    def check_end(self, count: int) -> None:
        """Check, after the last frame, that it is the end of the video.

        Args:
            count: How many frames were decoded.

        Raises:
            InputError: If there was no frame, or the file declares more frames and is damaged or ends early. A
                video that was trimmed without encoding it anew declares more frames too, but is neither.
        """
        if not count:
            raise InputError(
                f"The video '{self.path}' holds no frame that can be decoded; replace it, or convert it with "
                f"{encoding_command(self.path)}"
            )
        declared = self._declared_seconds()
        missing = declared - self._end
        damaged = self._damaged or missing >= min(SHORT_SECONDS, SHORT_SHARE * declared) > 0
        if not damaged or (self.declared_frames is not None and count >= self.declared_frames):
            return
        if self.declared_frames is not None:
            decoded = f"{count} of the {self.declared_frames} frames"
        elif missing > 0:
            decoded = f"{self._end:.2f} of the {declared:.2f} seconds"
        else:
            return
        raise InputError(
            f"Only {decoded} of the video '{self.path}' can be decoded; replace it, or keep them with"
            f" {encoding_command(self.path)}"
        )

    def _declared_seconds(self) -> float:
        """How long the video should be by its header; 0 where that does not say."""
        duration = self._stream.metadata.get("DURATION", "")  # Matroska: of this track; others may be longer
        if match := re.fullmatch(r"(\d+):(\d+):([\d.]+)", duration):
            start = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
            return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) - start
        declared = (self._container.duration or 0) / 1_000_000 if self.declared_frames else 0.0
        if self.declared_frames and self.fps and "mov" not in self._container.format.name:
            # Only MP4 and MOV are trimmed by their index; FFmpeg guesses an AVI's duration by the file's size.
            declared = max(declared, self.declared_frames / self.fps)
        return declared

    def _decode(self) -> Iterator[av.VideoFrame]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                decoded = deque(packet.decode())
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self._damaged = True
                continue
            while decoded:
                # A frame that stayed here would hold the threads that converted it, see above.
                yield self._noted(decoded.popleft())

    def _noted(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Update the state that `check_end` reads."""
        self._damaged = self._damaged or frame.is_corrupt
        if frame.time is not None:
            start = (self._container.start_time or 0) / 1_000_000
            lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
            self._end = max(self._end, frame.time - start + (lasts or (1 / self.fps if self.fps else 0.0)))
        return frame


def upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return a frame as `uint8[H, W, 3]`, RGB, turned as its file says."""
    turned = np.rot90(frame.to_ndarray(format="rgb24"), _quarters(frame))
    return np.ascontiguousarray(turned, dtype=np.uint8)


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Return the width and the height that a frame has once it is turned upright."""
    return (frame.height, frame.width) if _quarters(frame) % 2 else (frame.width, frame.height)


def encoding_command(path: str | Path) -> str:
    """Return the command that encodes a video anew.

    >>> encoding_command("cat.avi")
    'ffmpeg -i cat.avi -c:v libx264 -pix_fmt yuv420p cat-h264.mp4'
    """
    path = Path(path)
    copy = path.with_name(f"{path.stem}-h264.mp4")
    return f"ffmpeg -i {shlex.quote(str(path))} -c:v libx264 -pix_fmt yuv420p {shlex.quote(str(copy))}"


def _quarters(frame: av.VideoFrame) -> int:
    """Quarter turns against the clock."""
    return round(frame.rotation / 90) % 4
