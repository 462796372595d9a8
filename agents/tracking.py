"""Tracking in a person's own video, with the boxes drawn into it frame by frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
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
from vae.pictures.mp4 import write_mp4

DEFAULT_FPS = 25.0
COLOUR = (255, 220, 0)
LOST_COLOUR = (255, 80, 60)
WINDOW = "occlusion-search track (q ends)"

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class TrackReport:
    """The result of `track_video`.

    Attributes:
        frames: Number of written frames.
        broken: Where and why the source ended early; `None` if it did not.
    """

    frames: int
    broken: str | None


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
    """Track a target and write the video (H.264) with its boxes, one frame in memory at a time.

    Frames of another size are scaled to that of the first one. A source that ends early is written up to there, as
    are a camera's frames at an interrupt (Ctrl-C), or all when `q` is pressed in the window. At an interrupt of
    another source nothing is written.

    Args:
        stream: The frames.
        tracker: The tracker.
        box: `(x, y, w, h)` in the first frame, 0-based; `None` lets a person draw it.
        out: The MP4 file.
        boxes_file: Text file for the boxes, 0-based `x,y,w,h` a line, as `tracker.open_sequence` reads them.
        fps: Frames a second of the result; those of the source by default, or 25.
        most_frames: Largest number of frames.
        show: Show the frames in a window as they come.
        progress: Show a progress bar on standard error.

    Raises:
        InputError: If the box cannot be used, the first frame cannot be read, the tracker returns no valid box, a
            file cannot be written, or a window is needed where there is no display.
    """
    if (show or box is None) and not has_display():
        what = "--show needs" if show else "Drawing the box of the first frame needs"
        raise InputError(f"{what} a display, and there is none; give --box x,y,w,h and leave --show out.")
    source = _Source(stream, most_frames)
    size, written = (0, 0), 0
    with ExitStack() as stack:
        stack.callback(stream.close)
        # The boxes appear after the video, at whose end a full disk is detected.
        table = None if boxes_file is None else stack.enter_context(replacing_file(boxes_file))
        video = stack.enter_context(replacing_file(out))
        append = stack.enter_context(write_mp4(video, fps or stream.fps or DEFAULT_FPS))
        lines: IO[str] | None = None if table is None else stack.enter_context(table.open("w"))
        if show:
            stack.callback(cv2.destroyAllWindows)
        total = min(filter(None, (stream.declared_frames, most_frames)), default=None)
        frames = tqdm(source, total=total, desc=tracker.name, unit="frame", disable=not progress)
        try:
            for number, frame in enumerate(frames):
                if number == 0:
                    size = (frame.shape[1], frame.shape[0])
                    first = _draw_first(frame) if box is None else box
                    current = check_box(first, *size, "The box of the first frame")
                    tracker.init(frame, current.copy())
                else:
                    result = tracker.update(frame)
                    if fault := output_fault(result):
                        raise InputError(f"The tracker '{tracker.name}' returned {fault}, in frame {number}.")
                    current = np.array(result, dtype=np.float64)
                score = getattr(tracker, "score", None) if number else None
                drawn = draw_box(frame, current, number, score, bool(getattr(tracker, "found", True)))
                append(scaled_to(drawn, size)[0])
                written += 1
                if lines is not None:
                    lines.write(",".join(f"{value:.4f}" for value in current) + "\n")
                if show and _show(drawn):
                    break
        except KeyboardInterrupt:
            if not stream.live or not written:
                raise
    return TrackReport(written, source.broken)


class _Source:
    """The frames of a stream up to its end, or to where it breaks off.

    Attributes:
        broken: Where and why it broke off; `None` if it did not.
    """

    def __init__(self, stream: Stream, most_frames: int | None) -> None:
        self._stream = stream
        self._most = most_frames
        self.broken: str | None = None

    def __iter__(self) -> Iterator[Image]:
        what, declared = self._stream.what, self._stream.declared_frames
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
        if declared is not None and count + 1 < declared:
            self.broken = f"{what} broke off after {count} of its {declared} frames, which were written."


def draw_box(frame: Image, box: ArrayLike, number: int, score: float | None = None, found: bool = True) -> Image:
    """Draw a box, the frame's number and the tracker's score into a copy of a frame.

    Args:
        frame: `uint8[H, W, 3]`.
        box: `(x, y, w, h)`.
        number: The frame's number.
        score: Confidence of the tracker, in its own unit.
        found: Whether the tracker reports the target as found; otherwise the box is red.
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
    """Whether a window can be shown here."""
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


def _show(frame: Image) -> bool:
    """Show a frame; returns whether `q` or Escape was pressed."""
    try:
        cv2.imshow(WINDOW, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) & 0xFF in (ord("q"), 27)
    except cv2.error:
        raise InputError("This OpenCV cannot open a window; leave --show out.") from None
