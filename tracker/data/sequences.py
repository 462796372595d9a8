"""Videos: frames by index, and sequences, which have the box of a target in each frame."""

from __future__ import annotations

import bisect
import itertools
import operator
import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cache import ByteCache
from ..errors import InputError
from . import images
from .boxes import check_box
from .video import VideoReader, encoding_command, upright, upright_size

if TYPE_CHECKING:
    import av


Image = NDArray[np.uint8]

BOX_SOURCES = ("annotation", "tracked", "exact", "first")


@runtime_checkable
class Frames(Protocol):
    """The frames of a video, decoded on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image:
        """Return a frame as `uint8[H, W, 3]`, RGB, its own memory; a negative index counts from the end.

        Raises:
            IndexError: If there is no such frame.
            InputError: If the frame cannot be decoded.
        """
        ...

    def name(self, index: int, /) -> str:
        """Return the file name of a frame, or its number, 0-based, where frames have no files."""
        return str(_position(index, len(self)))

    def size(self, index: int, /) -> tuple[int, int]:
        """Return the width and the height of a frame in pixels; the frames of a video may differ."""
        ...


class FrameCache(ByteCache):
    """Decoded frames of any number of videos; a video's frames go with the video.

    A copy in another process starts empty.
    """

    _videos = itertools.count()

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle the limit alone; `FRAME_CACHE` is pickled by its name."""
        return "FRAME_CACHE" if self is FRAME_CACHE else (FrameCache, (self.limit,))

    def register(self, video: object) -> int:
        """Return a number for a video's frames, which are dropped when the video is."""
        number = next(self._videos)
        weakref.finalize(video, self._drop, number).atexit = False
        return number

    def fetch(self, video: int, t: int, decode: Callable[[int], Image]) -> Image:
        """Return a copy of frame `t` of a video, which `decode` gives where it is not cached."""
        frame = self.get((video, t))
        if frame is None:
            frame = decode(t)
            self.put((video, t), frame, frame.nbytes)
        return frame.copy()

    def _drop(self, video: int) -> None:
        with self._lock:
            for key in [(number, t) for number, t in list(self._entries) if number == video]:
                self.remove(key)


FRAME_CACHE = FrameCache(512 * 2**20)
"""The decoded frames of all videos of the process; set its `limit` for more or less than 512 MiB."""


class ImageFiles(Frames):
    """Frames that are image files, one a frame.

    Files of 16-bit grey are scaled to 8 bits alike: the levels of up to 8 evenly spaced frames decide for all of
    them, see `tracker.data.images.Levels`.

    Args:
        paths: The files in the order of time.
        cache: Keeps decoded frames; the process's by default.
    """

    LEVEL_FRAMES = 8

    def __init__(self, paths: Iterable[str | Path], cache: FrameCache = FRAME_CACHE) -> None:
        self.paths = tuple(Path(path) for path in paths)
        self._cache = cache
        self._video = cache.register(self)
        self._sizes: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Image:
        t = _position(index, len(self))
        return self._cache.fetch(self._video, t, lambda t: images.read_image(self.paths[t], self._levels))

    def name(self, index: int, /) -> str:
        """Return the file name of a frame."""
        return self.paths[_position(index, len(self))].name

    def size(self, index: int, /) -> tuple[int, int]:
        """Return the width and the height of a frame, from its file's header."""
        t = _position(index, len(self))
        if t not in self._sizes:
            self._sizes[t] = images.image_size(self.paths[t])
        return self._sizes[t]

    def cached_in(self, cache: FrameCache) -> ImageFiles:
        """Return the same frames with another cache."""
        copy = ImageFiles(self.paths, cache)
        copy._sizes = self._sizes
        return copy

    @cached_property
    def _levels(self) -> images.Levels | None:
        return images.read_levels(self.paths[t] for t in evenly_spaced(len(self), self.LEVEL_FRAMES))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the number in the cache out of a pickle."""
        return {name: value for name, value in self.__dict__.items() if name != "_video"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._video = self._cache.register(self)


class VideoFile(Frames):
    """Frames of a video file, decoded by FFmpeg through PyAV.

    The file is read through once at the start, because the number of frames that a video declares is not
    always the number that it holds. A jump is checked against the time stamps seen then, so that frame `t`
    is the `t`-th frame of the file also where the container's seeking is inexact. Frames are turned upright as
    the file says; the two fields of an interlaced frame stay interleaved.

    Args:
        path: The file.
        cache: Keeps decoded frames; the process's by default.

    Raises:
        InputError: If the file is missing, no frame of it can be decoded, or it breaks off before its end.
    """

    NEAR = 32
    """A jump ahead of at most this many frames decodes what lies between; a longer one seeks."""

    def __init__(self, path: str | Path, cache: FrameCache = FRAME_CACHE) -> None:
        self.path = Path(path)
        self._cache = cache
        self._video = cache.register(self)
        self._forget()
        self._times: list[int | None] = []
        self._sizes: list[tuple[int, int]] = []
        with closing(VideoReader(self.path)) as reader:
            for frame in reader:
                self._times.append(frame.pts)
                self._sizes.append(upright_size(frame))
            reader.check_end(len(self))

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, index: int, /) -> Image:
        return self._cache.fetch(self._video, _position(index, len(self)), self._decode)

    def size(self, index: int, /) -> tuple[int, int]:
        """Return the width and the height of a frame."""
        return self._sizes[_position(index, len(self))]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file out of a pickle; the copy opens its own when it needs it."""
        return {"path": self.path, "_cache": self._cache, "_times": self._times, "_sizes": self._sizes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._video = self._cache.register(self)
        self._forget()

    def _forget(self) -> None:
        self._reader: VideoReader | None = None
        self._inherited: VideoReader | None = None
        self._next = 0
        self._process = 0

    def _decode(self, t: int) -> Image:
        if self._process != os.getpid():
            # A fork shares the file's read position with its parent, and must not close the parent's decoder.
            self._inherited, self._reader = self._reader, None
        if self._reader is None or not 0 <= t - self._next <= self.NEAR:
            frame = self._jump(t)
        else:
            frame = None
        assert self._reader is not None
        while frame is None or self._next <= t:
            frame = next(self._reader, None)
            if frame is None:
                self._forget()
                raise InputError(
                    f"Frame {t} of the video '{self.path}' cannot be decoded; replace it, or convert it with "
                    f"{encoding_command(self.path)}"
                )
            self._next += 1
        return upright(frame)

    def _jump(self, t: int) -> av.VideoFrame | None:
        """Go to a frame at or before `t`.

        Returns:
            The frame `self._next - 1`, if one was decoded; `None` at the start of the file.
        """
        times = [time for time in self._times if time is not None]
        exact = len(times) == len(self) and all(early < late for early, late in itertools.pairwise(times))
        if exact and t > self.NEAR:
            self._reader, self._process = self._reader or VideoReader(self.path), os.getpid()
            frame = self._reader.seek(times[t])
            if frame is not None and frame.pts is not None:
                at = bisect.bisect_left(times, frame.pts)
                if at <= t and times[at] == frame.pts and not frame.is_corrupt:
                    self._next = at + 1
                    return frame
        if self._reader is not None and self._process == os.getpid():
            self._reader.close()
        self._reader, self._process, self._next = VideoReader(self.path), os.getpid(), 0
        return None


class ArrayFrames(Frames):
    """Frames in memory.

    Args:
        frames: `uint8[T, H, W, 3]`, RGB, or one array `uint8[H, W, 3]` a frame.

    Raises:
        InputError: If a frame is no such array.
    """

    def __init__(self, frames: Iterable[Image]) -> None:
        self._frames = tuple(images.check_image(frame, f"Frame {t}") for t, frame in enumerate(frames))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> Image:
        return self._frames[_position(index, len(self))].copy()

    def size(self, index: int, /) -> tuple[int, int]:
        """Return the width and the height of a frame."""
        height, width = self._frames[_position(index, len(self))].shape[:2]
        return width, height


class SelectedFrames(Frames):
    """Some of the frames of a video, in the order given.

    Args:
        frames: The video; frames are decoded on access.
        indices: Which; negative ones count from the end.

    Attributes:
        frames: The video.
        indices: Of its frames, all counted from 0.

    Raises:
        IndexError: If there is no such frame.
    """

    def __init__(self, frames: Frames, indices: Iterable[int]) -> None:
        self.frames = frames
        self.indices = tuple(_position(index, len(frames)) for index in indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Image:
        return self.frames[self.indices[_position(index, len(self))]]

    def name(self, index: int, /) -> str:
        """Return the name that the frame has in the video."""
        return self.frames.name(self.indices[_position(index, len(self))])

    def size(self, index: int, /) -> tuple[int, int]:
        """Return the width and the height of a frame."""
        return self.frames.size(self.indices[_position(index, len(self))])


@dataclass(frozen=True, eq=False)
class Sequence:
    """A video and the box of its target in each frame.

    The constructor checks everything without decoding a frame: each box against the size in its frame's header.

    Attributes:
        name: Its name in reports.
        frames: The frames.
        boxes: `float64[T, 4]`, `(x, y, w, h)`, 0-based pixels; read-only. Where the target is absent the
            box means nothing, though it is finite.
        visibility: `float64[T]` in [0, 1]; read-only. 1 is wholly visible, and stands wherever the annotation
            does not say; 0 is absent.
        origin: Where it comes from: a path, or `synthetic:SEED`.
        box_source: `annotation` (given by a person), `tracked` (by OpenCV's MIL from the first box), `exact`
            (rendered) or `first` (only frame 0's box is known; the other frames count as absent).

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
        check_boxes(boxes, visibility, self.frames, lambda t: f"The box of frame {t} of '{self.name}'")
        if visibility[0] == 0:
            raise InputError(f"{what} starts without its target; start it at a frame that shows the target.")
        boxes.flags.writeable = visibility.flags.writeable = False
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "visibility", visibility)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the fields, read-only as they were."""
        for array in (state["boxes"], state["visibility"]):
            array.flags.writeable = False
        self.__dict__.update(state)

    def __len__(self) -> int:
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
    frames: Frames,
    describe: Callable[[int], str],
) -> None:
    """Check that the target can be cut out of every frame that shows it.

    Args:
        boxes: `float64[T, 4]`; must be finite, and where the visibility is above 0 they must have an area and
            overlap the frame.
        visibility: `float64[T]`.
        frames: The video, for the size of each frame.
        describe: What to call the box of frame `t` in the error's sentence.

    Raises:
        InputError: At the first box that cannot be used.
    """
    for t, (box, visible) in enumerate(zip(boxes, visibility, strict=True)):
        if visible > 0:
            check_box(box, *frames.size(t), describe(t))
        elif not np.isfinite(box).all():
            raise InputError(
                f"{describe(t)} holds a number that is not finite; write zeros where the target is absent."
            )


def _position(index: int, count: int) -> int:
    position = operator.index(index)
    if not -count <= position < count:
        raise IndexError(f"frame {position} of a video of {count} frames")
    return position % count
