"""OpenCV's trackers behind the interface: MIL, Nano, and those of `CONTRIB` where the contrib build is installed.

What they share:

- Images may be whatever `as_rgb` takes; OpenCV gets BGR.
- OpenCV starts from whole pixels: the given box's edges are rounded (halves up) and cut to the frame, and a side
  under the tracker's `least_side` is widened to it around its middle. Boxes come back as OpenCV gives them.
- An update that fails (OpenCV says so or raises, or the box has left the frame) repeats the last box and sets
  `found` to False.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.boxes import check_box, visible_fraction
from ..data.images import as_rgb, scaled_to
from ..errors import InputError

NANO_FILES = ("nanotrack_backbone_sim.onnx", "nanotrack_head_sim.onnx")


def starting_box(box: ArrayLike, width: int, height: int, least_side: int = 1) -> NDArray[np.int64]:
    """Return the whole pixels that OpenCV starts from.

    Args:
        box: `(x, y, w, h)`; it overlaps the frame.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        least_side: Shorter sides are widened to this, as far as the frame is that long.

    Returns:
        `int64[4]`: `(x, y, w, h)` inside the frame.

    >>> starting_box([2.5, -4, 3, 10], 20, 20).tolist()
    [3, 0, 3, 6]
    >>> starting_box([19, 10, 1, 1], 20, 20, least_side=5).tolist()
    [15, 8, 5, 5]
    """
    exact, frame = np.asarray(box, dtype=np.float64), np.array([width, height])
    low = np.clip(np.floor(exact[:2] + 0.5), 0, frame - 1)
    high = np.clip(np.floor(exact[:2] + exact[2:] + 0.5), low + 1, frame)
    side = np.minimum(np.maximum(high - low, least_side), frame)
    start = np.clip(np.floor((low + high - side) / 2), 0, frame - side)
    return np.concatenate([start, side]).astype(np.int64)


class OpenCVTracker:
    """Base of OpenCV's trackers; see the module.

    Attributes:
        name: Name in result folders and tables.
        least_side: Shorter sides make OpenCV fail, or never end.
        found: Whether the last `init` or `update` found the target; the box is the last known one where not.
    """

    name: str
    least_side: int = 1

    def __init__(self) -> None:
        self.found = False
        self._tracker: Any = None
        self._given = self._last = np.zeros(4)
        self._start = np.zeros(4, dtype=np.int64)
        self._size = (0, 0)

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        """Take the target; see `Tracker`.

        Raises:
            InputError: If the box has no area, lies outside the frame, or OpenCV cannot start from it.
        """
        frame = _bgr(image)
        height, width = frame.shape[:2]
        self._given = check_box(box, width, height, "The box of the first frame").copy()
        self._start = starting_box(self._given, width, height, self.least_side)
        self._size, self._last = (width, height), self._given
        try:
            self._tracker = self._create()
            self._tracker.init(frame, tuple(int(value) for value in self._start))
        except cv2.error:
            text = ",".join(f"{value:g}" for value in self._given)
            raise InputError(
                f"OpenCV's {self.name.upper()} cannot follow the box {text} in a frame of {width} x {height} "
                "pixels; give a smaller one."
            ) from None
        self.found = True

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find the target in the next frame; see `Tracker`.

        A frame of another size than the first is scaled to that.
        """
        frame, scale = scaled_to(_bgr(image), self._size)
        try:
            found, moved = self._tracker.update(frame)
        except cv2.error:
            found, moved = False, (0, 0, 0, 0)
        box = self._box(np.asarray(moved, dtype=np.float64))
        self.found = bool(found) and bool(np.isfinite(box).all()) and float(visible_fraction(box, *self._size)) > 0
        if self.found:
            self._last = box
        return self._last * scale

    def _create(self) -> Any:
        """Return OpenCV's object, new for each video."""
        raise NotImplementedError

    def _box(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn the rectangle that OpenCV found into the box to return."""
        return moved


class MILTracker(OpenCVTracker):
    """Multiple instance learning (Babenko et al. 2009); in every OpenCV.

    It moves the box and keeps its size, so the given box is moved by as much as the whole-pixel one, and keeps
    its fractions of a pixel. It draws from OpenCV's random numbers and from the C library's `rand`; `init` seeds
    both, for the whole process, so that the same frames give the same boxes as long as nothing else draws
    in between.
    """

    name = "mil"
    least_side = 5
    """MIL draws its features until they fit the box, and in a box of 4 x 4 pixels it never ends."""

    def _create(self) -> Any:
        _seed()
        return cv2.TrackerMIL.create()

    def _box(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([self._given[:2] + moved[:2] - self._start[:2], self._given[2:]])


class ContribTracker(OpenCVTracker):
    """A tracker that only the contrib build of OpenCV holds, in `cv2` or in `cv2.legacy`.

    `init` seeds the random numbers as `MILTracker.init` does; TLD draws from them.

    Args:
        name: A key of `CONTRIB`.

    Raises:
        InputError: If this OpenCV is built without the contrib modules.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        in_opencv, self.least_side = CONTRIB[name]
        function = f"Tracker{in_opencv}_create"
        makers = [getattr(place, function, None) for place in (cv2, getattr(cv2, "legacy", None))]
        if not any(makers):
            raise InputError(
                f"This OpenCV has no {in_opencv}, which only the package opencv-contrib-python holds;"
                " uninstall opencv-python and install opencv-contrib-python in its place."
            )
        self._make: Any = next(filter(None, makers))

    def _create(self) -> Any:
        _seed()
        return self._make()


CONTRIB = {
    "boosting": ("Boosting", 5),
    "csrt": ("CSRT", 3),
    "kcf": ("KCF", 2),
    "medianflow": ("MedianFlow", 1),
    "mosse": ("MOSSE", 2),
    "tld": ("TLD", 20),
}
"""The names of `ContribTracker`: OpenCV's name and the least side.

- `boosting`: online boosting (Grabner et al. 2006). As MIL does, it draws features until they fit the box.
- `csrt`: discriminative correlation filter with channel and spatial reliability (Lukezic et al. 2017).
- `kcf`: kernelised correlation filter (Henriques et al. 2015), OpenCV's version with colour names.
- `medianflow`: optical flow of a grid of points, forwards and backwards (Kalal et al. 2010).
- `mosse`: correlation filter (Bolme et al. 2010). Its boxes keep one size: the first one, enlarged for the Fourier
  transform.
- `tld`: tracking, learning, detection (Kalal et al. 2012). For a smaller side it detects in an enlarged frame, and
  returns boxes in the pixels of that.
"""


class CSRTTracker(ContribTracker):
    """OpenCV's CSRT."""

    def __init__(self) -> None:
        super().__init__("csrt")


class KCFTracker(ContribTracker):
    """OpenCV's KCF."""

    def __init__(self) -> None:
        super().__init__("kcf")


class NanoTracker(OpenCVTracker):
    """NanoTrack: a small Siamese network with a box head, run by OpenCV from two ONNX files.

    Its boxes have sides of at least 10 pixels.

    Args:
        weights: Folder with `nanotrack_backbone_sim.onnx` and `nanotrack_head_sim.onnx`.

    Raises:
        InputError: If a file is missing or is no network.
    """

    name = "nano"

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        self._files = [Path(weights) / name for name in NANO_FILES]
        missing = [file.name for file in self._files if not file.is_file()]
        if missing:
            raise InputError(f"The folder '{weights}' has no {' and no '.join(missing)}; give nano's folder.")
        try:
            self._create()
        except cv2.error:
            raise InputError(
                f"OpenCV cannot read the networks in '{weights}'; fetch the ONNX files again."
            ) from None

    @property
    def score(self) -> float:
        """How sure the network is of its last box, in [0, 1]; 0 before the first `update`."""
        return 0.0 if self._tracker is None else float(self._tracker.getTrackingScore())

    def _create(self) -> Any:
        parameters = cv2.TrackerNano.Params()
        parameters.backbone, parameters.neckhead = map(str, self._files)
        with _quiet():
            return cv2.TrackerNano.create(parameters)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV 5 from warning, for each video, that its network engine knows one target only."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def _seed() -> None:
    """Seed OpenCV's random numbers and the C library's `rand`, for the whole process."""
    cv2.setRNGSeed(0)
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    library.srand(1)


def _bgr(image: object) -> NDArray[np.uint8]:
    return np.ascontiguousarray(as_rgb(image, "The frame")[..., ::-1])
