"""Videos: frames that can be asked for one by one, and a sequence that knows where its target is in each."""

from __future__ import annotations

import operator
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import images
from .boxes import check_box
from .errors import InputError

__all__ = [
    "ArrayFrames",
    "Frames",
    "ImageFiles",
    "SelectedFrames",
    "Sequence",
    "VideoFile",
    "check_boxes",
    "evenly_spaced",
]

Image = NDArray[np.uint8]

CACHE_BYTES = 256 * 2**20
BOX_SOURCES = ("annotation", "tracked", "exact")


@runtime_checkable
class Frames(Protocol):
    """The frames of a video, decoded when they are asked for."""

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def __getitem__(self, index: int, /) -> Image:
        """Return a frame as `uint8[H, W, 3]`, RGB, its own memory; a negative index counts from the end.

        Raises:
            IndexError: If there is no such frame.
            InputError: If the frame cannot be decoded.
        """
        ...

    def name(self, index: int, /) -> str:
        """Return the file name of a frame, or its number where frames have no files."""
        ...


class ImageFiles:
    """Frames that are image files, one a frame.

    Args:
        paths: The files in the order of time.
        cache_bytes: Decoded frames are kept up to this many bytes; the least recently used go first.
    """

    def __init__(self, paths: Iterable[str | Path], cache_bytes: int = CACHE_BYTES) -> None:
        """See the class."""
        self.paths = tuple(Path(path) for path in paths)
        self._cache = _Cache(cache_bytes)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Image:
        """Return a frame; see `Frames`."""
        t = _position(index, len(self))
        frame = self._cache.get(t)
        if frame is None:
            frame = images.read_image(self.paths[t])
            self._cache.put(t, frame)
        return frame.copy()

    def name(self, index: int, /) -> str:
        """Return the file name of a frame."""
        return self.paths[_position(index, len(self))].name


class VideoFile:
    """Frames of a video file, through OpenCV.

    The file is read through once at the start, because the number of frames that a video declares is not
    always the number that it holds. A jump is checked against the time stamps seen then, so that frame `t`
    is the `t`-th frame of the file also where the container's seeking is inexact.

    Args:
        path: The file.
        cache_bytes: Decoded frames are kept up to this many bytes; the least recently used go first.

    Raises:
        InputError: If the file is missing or no frame of it can be decoded.
    """

    NEAR = 32
    """A jump ahead of at most this many frames decodes what lies between; a longer one seeks."""

    def __init__(self, path: str | Path, cache_bytes: int = CACHE_BYTES) -> None:
        """See the class."""
        self.path = Path(path)
        self._cache = _Cache(cache_bytes)
        self._forget()
        self._times = self._read_times()

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._times)

    def __getitem__(self, index: int, /) -> Image:
        """Return a frame; see `Frames`."""
        t = _position(index, len(self))
        frame = self._cache.get(t)
        if frame is None:
            frame = self._decode(t)
            self._cache.put(t, frame)
        return frame.copy()

    def name(self, index: int, /) -> str:
        """Return the number of a frame, 0-based."""
        return str(_position(index, len(self)))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file out of a pickle; the copy opens its own when it needs it."""
        return {"path": self.path, "_cache": self._cache, "_times": self._times}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from `__getstate__`."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._capture: cv2.VideoCapture | None = None
        self._inherited: cv2.VideoCapture | None = None
        self._next = 0
        self._process = 0

    def _open(self) -> cv2.VideoCapture:
        if not self.path.is_file():
            raise InputError(f"The video '{self.path}' does not exist.")
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise InputError(f"The video '{self.path}' cannot be decoded; convert it, for example to H.264 MP4.")
        return capture

    def _read_times(self) -> NDArray[np.float64]:
        capture = self._open()
        times = []
        while capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        capture.release()
        if not times:
            raise InputError(
                f"The video '{self.path}' holds no frame that can be decoded; convert it or replace it."
            )
        return np.asarray(times)

    def _decode(self, t: int) -> Image:
        if self._process != os.getpid():
            # A fork shares the file's read position with its parent, and must not close the parent's decoder.
            self._inherited, self._capture = self._capture, None
        if self._capture is None or not 0 <= t - self._next <= self.NEAR:
            self._jump(t)
        assert self._capture is not None
        while self._next <= t:
            if not self._capture.grab():
                raise self._broken(t)
            self._next += 1
        decoded, frame = self._capture.retrieve()
        if not decoded:
            raise self._broken(t)
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def _jump(self, t: int) -> None:
        """Open the file so that the next frame to grab is at or before `t`, and known."""
        start = t - 1
        exact_times = len(self) > 1 and bool((np.diff(self._times) > 0).all())
        if exact_times and start > self.NEAR:
            self._capture, self._process = self._capture or self._open(), os.getpid()
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, start)
            if self._capture.grab():
                found = self._capture.get(cv2.CAP_PROP_POS_MSEC)
                at = int(np.searchsorted(self._times, found - 1e-3))
                if at <= start and abs(self._times[at] - found) < 1e-3:
                    self._next = at + 1
                    return
        self._capture, self._process, self._next = self._open(), os.getpid(), 0

    def _broken(self, t: int) -> InputError:
        self._forget()
        return InputError(
            f"Frame {t} of the video '{self.path}' cannot be decoded; convert the video or replace it."
        )


class ArrayFrames:
    """Frames in memory.

    Args:
        frames: `uint8[T, H, W, 3]`, RGB, or one array `uint8[H, W, 3]` a frame.

    Raises:
        InputError: If a frame is no such array.
    """

    def __init__(self, frames: Iterable[Image]) -> None:
        """See the class."""
        self._frames = tuple(images.check_image(frame, f"Frame {t}") for t, frame in enumerate(frames))

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int, /) -> Image:
        """Return a frame; see `Frames`."""
        return self._frames[_position(index, len(self))].copy()

    def name(self, index: int, /) -> str:
        """Return the number of a frame, 0-based."""
        return str(_position(index, len(self)))


class SelectedFrames:
    """Some of the frames of a video, in the order given.

    Args:
        frames: Where they are taken from; nothing is decoded before it is asked for.
        indices: Which; negative ones count from the end.

    Raises:
        IndexError: If there is no such frame.
    """

    def __init__(self, frames: Frames, indices: Iterable[int]) -> None:
        """See the class."""
        self._frames = frames
        self._indices = tuple(_position(index, len(frames)) for index in indices)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._indices)

    def __getitem__(self, index: int, /) -> Image:
        """Return a frame; see `Frames`."""
        return self._frames[self._indices[_position(index, len(self))]]

    def name(self, index: int, /) -> str:
        """Return the name that the frame has in the video."""
        return self._frames.name(self._indices[_position(index, len(self))])


@dataclass(frozen=True, eq=False)
class Sequence:
    """A video and the box of its target in each frame.

    Everything is checked when it is made; only frame 0 is decoded for that, to learn the frame size.

    Attributes:
        name: What reports call it.
        frames: The frames.
        boxes: `float64[T, 4]`, `(x, y, w, h)`, 0-based pixels; read-only. Where the target is absent the
            box means nothing, though it is finite.
        visibility: `float64[T]` in [0, 1]; read-only. 1 is wholly visible, and stands wherever the annotation
            does not say; 0 is absent.
        origin: Where it comes from: a path, or `synthetic:SEED`.
        box_source: `annotation` (given by a person), `tracked` (by OpenCV's MIL from the first box) or
            `exact` (rendered).

    Raises:
        InputError: If the counts differ, a number is not finite, the visibility leaves [0, 1], the target is
            absent in frame 0, or a box of a present target has no area or lies outside the frame.
    """

    name: str
    frames: Frames
    boxes: NDArray[np.float64]
    visibility: NDArray[np.float64]
    origin: str
    box_source: str

    def __post_init__(self) -> None:
        """Check everything; see the class."""
        count, what = len(self.frames), f"The sequence '{self.name}'"
        if self.box_source not in BOX_SOURCES:
            raise InputError(f"{what} has the box source '{self.box_source}'; known are {', '.join(BOX_SOURCES)}.")
        if count == 0:
            raise InputError(f"{what} has no frames.")
        boxes = np.array(self.boxes, dtype=np.float64)
        visibility = np.array(self.visibility, dtype=np.float64)
        if boxes.shape != (count, 4):
            raise InputError(
                f"{what} has {count} frames but boxes of shape {list(boxes.shape)}; give one box a frame."
            )
        if visibility.shape != (count,):
            raise InputError(
                f"{what} has {count} frames but visibilities of shape {list(visibility.shape)}; give one a frame."
            )
        outside = np.flatnonzero(~((visibility >= 0) & (visibility <= 1)))
        if outside.size:
            t = int(outside[0])
            raise InputError(f"{what} has the visibility {visibility[t]:g} in frame {t}; it must be in [0, 1].")
        check_boxes(boxes, visibility, self.frames[0], lambda t: f"The box of frame {t} of '{self.name}'")
        if visibility[0] == 0:
            raise InputError(f"{what} starts without its target; start it at a frame that shows the target.")
        boxes.flags.writeable = visibility.flags.writeable = False
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "visibility", visibility)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields."""
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the fields, read-only as they were."""
        for array in (state["boxes"], state["visibility"]):
            array.flags.writeable = False
        self.__dict__.update(state)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    @property
    def exemplar_box(self) -> NDArray[np.float64]:
        """The box of the target in frame 0, `float64[4]`."""
        return self.boxes[0]

    @property
    def present(self) -> NDArray[np.int64]:
        """Indices of the frames that show the target, `int64[<= T]`, ascending; frame 0 is among them."""
        return np.flatnonzero(self.visibility > 0).astype(np.int64)

    def crop(self, t: int, size: int | None = None) -> Image:
        """Cut the target out of frame `t`.

        Args:
            t: The frame; a negative one counts from the end.
            size: Resize to `size` x `size` pixels; `None` keeps the pixels.

        Returns:
            `uint8[h, w, 3]`, or `uint8[size, size, 3]`.

        Raises:
            IndexError: If there is no such frame.
            InputError: If the target is absent in it.
        """
        t = _position(t, len(self))
        if self.visibility[t] == 0:
            raise InputError(f"The target of '{self.name}' is absent in frame {t}; take a frame of `present`.")
        return images.crop(self.frames[t], self.boxes[t], size)

    def exemplar(self, size: int | None = None) -> Image:
        """Cut the target out of frame 0; see `crop`."""
        return self.crop(0, size)

    def subset(self, indices: ArrayLike, name: str | None = None) -> Sequence:
        """Return the sequence of some of the frames, in the order given; nothing is copied or decoded twice.

        Args:
            indices: `int[N]`; the first must show the target. Negative ones count from the end.
            name: Its name; the same as this one's by default.

        Raises:
            IndexError: If there is no such frame.
            InputError: If no index is given or the target is absent in the first.
        """
        chosen = [_position(int(index), len(self)) for index in np.atleast_1d(np.asarray(indices))]
        return Sequence(
            name=self.name if name is None else name,
            frames=SelectedFrames(self.frames, chosen),
            boxes=self.boxes[chosen],
            visibility=self.visibility[chosen],
            origin=self.origin,
            box_source=self.box_source,
        )

    def limit(self, max_frames: int) -> Sequence:
        """Return the sequence of at most `max_frames` evenly spaced frames; frame 0 is always among them.

        Raises:
            InputError: If `max_frames` is below 1.
        """
        indices = evenly_spaced(len(self), max_frames)
        return self if len(indices) == len(self) else self.subset(indices)


def evenly_spaced(count: int, at_most: int) -> NDArray[np.int64]:
    """Return at most `at_most` of the indices 0 to `count - 1`, evenly spaced, always with index 0.

    Raises:
        InputError: If `at_most` is below 1.

    >>> evenly_spaced(9, 3).tolist()
    [0, 4, 8]
    """
    if at_most < 1:
        raise InputError(f"The number of frames to keep is {at_most}; it must be at least 1.")
    return np.linspace(0, count - 1, min(count, at_most)).round().astype(np.int64)


def check_boxes(
    boxes: NDArray[np.float64],
    visibility: NDArray[np.float64],
    frame: Image,
    describe: Callable[[int], str],
) -> None:
    """Check that the target can be cut out of every frame that shows it.

    Args:
        boxes: `float64[T, 4]`; must be finite, and where the visibility is above 0 they must have an area and
            overlap the frame.
        visibility: `float64[T]`.
        frame: Any frame of the video, for its size.
        describe: What to call the box of frame `t` in the error's sentence.

    Raises:
        InputError: At the first box that cannot be used.
    """
    height, width = frame.shape[:2]
    for t, (box, seen) in enumerate(zip(boxes, visibility, strict=True)):
        if seen > 0:
            check_box(box, width, height, describe(t))
        elif not np.isfinite(box).all():
            raise InputError(
                f"{describe(t)} holds a number that is not finite; write zeros where the target is absent."
            )


class _Cache:
    """Decoded frames up to a number of bytes; a pickle of it is empty."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._frames: OrderedDict[int, Image] = OrderedDict()
        self._bytes = 0

    def get(self, t: int) -> Image | None:
        frame = self._frames.get(t)
        if frame is not None:
            self._frames.move_to_end(t)
        return frame

    def put(self, t: int, frame: Image) -> None:
        if frame.nbytes > self.limit or t in self._frames:
            return
        self._frames[t] = frame
        self._bytes += frame.nbytes
        while self._bytes > self.limit:
            self._bytes -= self._frames.popitem(last=False)[1].nbytes

    def __reduce__(self) -> tuple[type[_Cache], tuple[int]]:
        return _Cache, (self.limit,)


def _position(index: int, count: int) -> int:
    position = operator.index(index)
    if not -count <= position < count:
        raise IndexError(f"frame {position} of a video of {count} frames")
    return position % count
