"""OTB's protocols: one pass, twenty starts in time, or twelve shifted starts in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.lists import may_start
from .annotations import Annotation

OtbProtocol = Literal["ope", "tre", "sre"]
"""One-pass evaluation, temporal and spatial robustness evaluation (Wu, Lim and Yang, CVPR 2013, section 4)."""

OTB_PROTOCOLS: tuple[OtbProtocol, ...] = ("ope", "tre", "sre")

TRE_RUNS = 20
TRE_LEAST_FRAMES = 20
"""A run of TRE has at least this many frames."""

_SHIFTS = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
_CORNERS = {
    "topLeft": (-1, -1),
    "topRight": (1, -1),
    "bottomLeft": (-1, 1),
    "bottomRight": (1, 1),
}
_SCALES = {"scale_8": 0.8, "scale_9": 0.9, "scale_11": 1.1, "scale_12": 1.2}
_SHARE = 0.1

SRE_SHIFTS = (*_SHIFTS, *_CORNERS, *_SCALES)
"""The twelve starts of SRE in the order of the OTB authors' toolkit."""

Boxes = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrackerRun:
    """One run of a tracker on a target.

    Attributes:
        target: Name of the target.
        key: `None` for OPE, `"00"` to `"19"` for TRE, the shift's name for SRE.
        start: The first frame, from 0; the run goes on to the last frame.
        box: `float64[4]`, 0-based, the box in the first frame that the tracker is given.
    """

    target: str
    key: str | None
    start: int
    box: Boxes

    @property
    def label(self) -> str:
        """The target, and with a key `target/key`."""
        return self.target if self.key is None else f"{self.target}/{self.key}"


def list_runs(
    protocol: OtbProtocol, annotation: Annotation, size: tuple[int, int] | None = None
) -> list[TrackerRun]:
    """List the runs that a protocol makes on a target.

    There is one for OPE, up to twenty for TRE, twelve for SRE, whose boxes are kept inside of a `size`, width and
    height in pixels.
    """
    name, first = annotation.name, annotation.boxes[0]
    if protocol == "ope":
        return [TrackerRun(name, None, 0, first.copy())]
    if protocol == "tre":
        starts = tre_starts(annotation)
        return [TrackerRun(name, f"{k:02d}", int(t), annotation.boxes[t].copy()) for k, t in enumerate(starts)]
    return [TrackerRun(name, key, 0, box) for key, box in sre_boxes(first, size).items()]


def tre_starts(annotation: Annotation) -> NDArray[np.int64]:
    """Choose the frames in which the runs of TRE start.

    Of the frames with a valid annotation that the OTB authors do not exclude (`lists.INIT_OMIT`), and from
    which at least 20 frames remain, N in all: those at the positions floor(1 + k N / 19), k = 0 to 18, counted
    from 1, and the last one.

    Returns:
        `int64[n]`, rising frame numbers from 0. `n` is 20, or less where there are fewer than 20 such frames,
        since no run is made twice; `[0]` where there is none.

    >>> whole = Annotation("long", np.ones((400, 4)), np.ones(400, bool))
    >>> tre_starts(whole).tolist()[:3], tre_starts(whole).tolist()[-2:]
    ([0, 20, 40], [360, 380])
    """
    frames = len(annotation)
    allowed = np.flatnonzero(annotation.valid & may_start(annotation.name, frames))
    allowed = allowed[allowed <= frames - TRE_LEAST_FRAMES]
    count = len(allowed)
    if count == 0:
        return np.zeros(1, dtype=np.int64)
    steps = TRE_RUNS - 1
    positions = np.append(np.arange(steps) * count // steps, count - 1)
    return allowed[np.unique(positions)].astype(np.int64)


def sre_boxes(box: ArrayLike, size: tuple[int, int] | None = None) -> dict[str, Boxes]:
    """Shift and scale the first box in OTB's twelve ways.

    The rules are those of the OTB authors' toolkit, which rounds to whole pixels of the 1-based image: a move by
    `round(0.1 w + 0.5)` or `round(0.1 h + 0.5)` pixels; one corner pulled outwards by 10 % of the sides, with the
    opposite corner fixed; the sides times 0.8, 0.9, 1.1 or 1.2 around the centre. A box that begins left of
    the image or above it is moved inside; one that ends outside is cut. (In the Python version of that
    toolkit `down` widens the box; here it moves it down, as in the paper.)

    Args:
        box: `[4]`, 0-based.
        size: Width and height of the image; without it no box is cut at the right and at the bottom.

    Returns:
        `float64[4]` boxes, 0-based, by name, in the order of `SRE_SHIFTS`.

    >>> {name: new.tolist() for name, new in sre_boxes([99, 49, 20, 40]).items() if name in ("down", "topLeft")}
    {'down': [99.0, 54.0, 20.0, 40.0], 'topLeft': [97.0, 45.0, 22.0, 44.0]}
    """
    x, y, w, h = np.asarray(box, dtype=np.float64) + [1.0, 1.0, 0.0, 0.0]
    boxes = {}
    for name, (right, down) in _SHIFTS.items():
        boxes[name] = (x + right * _round(_SHARE * w + 0.5), y + down * _round(_SHARE * h + 0.5), w, h)
    for name, (right, down) in _CORNERS.items():
        left, last_x = _pull(x, w, right)
        top, last_y = _pull(y, h, down)
        boxes[name] = (left, top, last_x - left + 1, last_y - top + 1)
    for name, ratio in _SCALES.items():
        wide, high = ratio * w, ratio * h
        boxes[name] = (
            _round(x + w / 2 - wide / 2),
            _round(y + h / 2 - high / 2),
            max(_round(wide), 1.0),
            max(_round(high), 1.0),
        )
    return {name: _inside(np.array(new), size) for name, new in boxes.items()}


def _pull(low: float, side: float, towards: int) -> tuple[float, float]:
    """First and last pixel of a side, of which the end on that side is pulled outwards."""
    last = low + side - 1
    return (_round(low - _SHARE * side), last) if towards < 0 else (low, _round(last + _SHARE * side))


def _inside(box: Boxes, size: tuple[int, int] | None) -> Boxes:
    """Keep a 1-based box in the image, and make it 0-based."""
    box[:2] = np.clip(box[:2], 1.0, np.inf if size is None else size)
    if size is not None:
        box[2:] = np.minimum(box[2:], np.asarray(size) - box[:2] + 1)
    return box - [1.0, 1.0, 0.0, 0.0]


def _round(value: float) -> float:
    """Round to the nearest whole number, halves up, as MATLAB does for positive numbers."""
    return float(np.floor(value + 0.5))
