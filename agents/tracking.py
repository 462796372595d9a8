"""A tracker on a person's own video: the boxes drawn into it, frame by frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from tracker.data.boxes import check_box
from tracker.data.images import scaled_to
from tracker.data.streams import Stream
from tracker.errors import InputError
from tracker.files import replacing_file
from tracker.trackers.check import output_fault
from tracker.trackers.protocol import Tracker
from vae.mp4 import write_mp4

__all__ = ["TrackReport", "VideoWriter", "draw_box", "has_display", "track_video"]

DEFAULT_FPS = 25.0
COLOUR = (255, 220, 0)
LOST_COLOUR = (255, 80, 60)
WINDOW = "occlusion-search track (q ends)"

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class TrackReport:
    """What was tracked.

    Attributes:
        frames: How many frames were written.
        broken: Where and why the source ended too early; `None` if it did not.
    """

    frames: int
    broken: str | None


class VideoWriter:
    """An MP4 file (H.264) that appears whole or not at all; see `vae.mp4.write_mp4`.

    Args:
        path: The file.
        fps: Frames a second.

    Attributes:
        frames: Number of frames written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self.fps = fps
        self.frames = 0
        self._size = (0, 0)
        self._append: Callable[[Image], None]

    @contextmanager
    def opened(self) -> Iterator[VideoWriter]:
        """Write at least one frame in this block; nothing is left of the file if the block ends in an error."""
        with replacing_file(self.path) as temporary, write_mp4(temporary, self.fps) as self._append:
            yield self

    def write(self, frame: Image) -> None:
        """Write an RGB frame; the first one sets the size, to which those of another size are scaled."""
        if self.frames == 0:
            self._size = (frame.shape[1], frame.shape[0])
        self._append(scaled_to(frame, self._size)[0])
        self.frames += 1


def track_video(
    stream: Stream,
    tracker: Tracker,
    box: ArrayLike | None,
    out: Path,
    *,
    boxes_file: Path | None = None,
    fps: float | None = None,
    most_frames: int | None = None,
    show: bool = False,
    progress: bool = True,
) -> TrackReport:
    """Track a target and write the video with its boxes; no frame is kept in memory.

    A source that breaks off is written as far as it goes. So is a camera's at an interrupt (Ctrl-C), or any when
    `q` is pressed in the window; at an interrupt of another source nothing is written.

    Args:
        stream: The frames.
        tracker: The tracker.
        box: `(x, y, w, h)` in the first frame, 0-based; `None` lets a person draw it.
        out: The MP4 file.
        boxes_file: Text file for the boxes, 0-based `x,y,w,h` a line, as `tracker.open_sequence` reads them.
        fps: Frames a second of the result; as the source states them by default, else 25.
        most_frames: End after this many.
        show: Show the frames in a window as they come.
        progress: Show a progress bar on standard error.

    Raises:
        InputError: If the box cannot be used, the first frame cannot be read, the tracker returns what is no
            box, a file cannot be written, or a window is needed where there is no display.
    """
    if (show or box is None) and not has_display():
        what = "--show needs" if show else "Drawing the box of the first frame needs"
        raise InputError(f"{what} a display, and there is none; give --box x,y,w,h and leave --show out.")
    source = _Source(stream, most_frames)
    with ExitStack() as stack:
        stack.callback(stream.close)
        # The boxes appear after the video, whose end is what a full disk is found at.
        table = None if boxes_file is None else stack.enter_context(replacing_file(boxes_file))
        writer = stack.enter_context(VideoWriter(out, fps or stream.fps or DEFAULT_FPS).opened())
        lines: IO[str] | None = None if table is None else stack.enter_context(table.open("w"))
        if show:
            stack.callback(cv2.destroyAllWindows)
        total = min(filter(None, (stream.promised, most_frames)), default=None)
        try:
            for number, frame in enumerate(
                tqdm(source, total=total, desc=tracker.name, unit="frame", disable=not progress)
            ):
                if number == 0:
                    given = _draw_first(frame) if box is None else box
                    now = check_box(given, frame.shape[1], frame.shape[0], "The box of the first frame")
                    tracker.init(frame, now.copy())
                else:
                    found = tracker.update(frame)
                    if fault := output_fault(found):
                        raise InputError(f"The tracker '{tracker.name}' returned {fault}, in frame {number}.")
                    now = np.array(found, dtype=np.float64)
                drawn = draw_box(
                    frame,
                    now,
                    number,
                    score=getattr(tracker, "score", None) if number else None,
                    found=bool(getattr(tracker, "found", True)),
                )
                writer.write(drawn)
                if lines is not None:
                    lines.write(",".join(f"{value:.4f}" for value in now) + "\n")
                if show and _shown(drawn):
                    break
        except KeyboardInterrupt:
            if not stream.live or writer.frames == 0:
                raise
    return TrackReport(writer.frames, source.broken)


class _Source:
    """The frames of a stream up to where it ends or breaks off.

    Attributes:
        broken: Where and why it broke off; `None` if it did not.
    """

    def __init__(self, stream: Stream, most_frames: int | None) -> None:
        self._stream = stream
        self._most = most_frames
        self.broken: str | None = None

    def __iter__(self) -> Iterator[Image]:
        what, promised = self._stream.what, self._stream.promised
        frames, count = iter(self._stream), 0
        while self._most is None or count < self._most:
            try:
                frame = next(frames, None)
            except InputError as error:
                if count == 0:
                    raise
                self.broken = f"{what} broke off after {count} frames, which were written: {error}"
                return
            if frame is None:
                break
            count += 1
            yield frame
        else:
            return
        if count == 0:
            raise InputError(f"{what} holds no frame that can be decoded; convert or replace it.")
        # Some containers count one frame more than can be decoded.
        if promised is not None and count + 1 < promised:
            self.broken = f"{what} broke off after {count} of its {promised} frames, which were written."


def draw_box(frame: Image, box: ArrayLike, number: int, score: float | None = None, found: bool = True) -> Image:
    """Draw a box, the frame's number and the tracker's score into a copy of a frame.

    Args:
        frame: `uint8[H, W, 3]`.
        box: `(x, y, w, h)`.
        number: The frame's number.
        score: How sure the tracker is, in its own unit.
        found: Whether the tracker claims to see the target; the box is red where it does not.
    """
    drawn = frame.copy()
    height, width = frame.shape[:2]
    thick = max(2, round(min(height, width) / 200))
    x, y, w, h = np.clip(np.asarray(box, dtype=np.float64), -30000, 30000)
    # The line lies on the outermost pixels of the box.
    low, high = (round(x), round(y)), (max(round(x), round(x + w) - 1), max(round(y), round(y + h) - 1))
    colour = COLOUR if found else LOST_COLOUR
    cv2.rectangle(drawn, low, high, (0, 0, 0), thick + 2)
    cv2.rectangle(drawn, low, high, colour, thick)
    label = f"{number}" + ("" if score is None else f"  {score:.3g}") + ("" if found else "  lost")
    size = max(0.4, min(height, width) / 500)
    place = (round(8 * size), round(28 * size))
    cv2.putText(drawn, label, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), thick + 2, cv2.LINE_AA)
    cv2.putText(drawn, label, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)
    return drawn


def has_display() -> bool:
    """Tell whether a window can be shown here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _draw_first(frame: Image) -> tuple[float, ...]:
    try:
        chosen = cv2.selectROI(WINDOW, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), showCrosshair=False)
        cv2.destroyWindow(WINDOW)
    except cv2.error:
        raise InputError("This OpenCV cannot open a window; give --box x,y,w,h.") from None
    if not all(chosen[2:]):
        raise InputError("No box was drawn; draw one and press Enter, or give --box x,y,w,h.")
    return tuple(float(value) for value in chosen)


def _shown(frame: Image) -> bool:
    """Show a frame; whether the person wants to end."""
    try:
        cv2.imshow(WINDOW, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) & 0xFF in (ord("q"), 27)
    except cv2.error:
        raise InputError("This OpenCV cannot open a window; leave --show out.") from None
