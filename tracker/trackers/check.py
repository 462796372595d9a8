"""`check_tracker`: tests of a tracker for its author."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from ..data.boxes import visible_fraction
from ..data.synthetic import synthetic_sequence
from ..errors import InputError
from .protocol import Tracker

FRAMES = 5
WIDTH, HEIGHT = 161, 121
"""Odd, so that whatever halves them rounds."""

Boxes = NDArray[np.float64]


def output_fault(box: object) -> str | None:
    """Return the fault of a box that a tracker returned; `None` if it can be used.

    Anything that numpy turns into four finite numbers with a positive width and height can be.

    >>> output_fault((1, 2, 3, 4))
    >>> output_fault([1, 2, float("nan"), 4])
    'the box (1, 2, nan, 4), which holds a number that is not finite'
    """
    if box is None:
        return "None instead of four numbers x, y, w, h"
    try:
        if np.iscomplexobj(np.asarray(box)):
            return "complex numbers"
        array = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        what = f"a {type(box).__name__}"
        if "requires grad" in str(error):
            return f"{what} that keeps gradients (put update under torch.no_grad)"
        # Tensors say why numpy cannot read them: another device, bfloat16.
        why = f" ({_name(error)})" if hasattr(box, "detach") else ""
        return f"{what} that is not four numbers{why}"
    if array.shape != (4,):
        return f"an array of shape {list(array.shape)} instead of four numbers x, y, w, h"
    text = ", ".join(f"{value:g}" for value in array)
    if not np.isfinite(array).all():
        return f"the box ({text}), which holds a number that is not finite"
    if array[2] <= 0 or array[3] <= 0:
        return f"the box ({text}), which has no area"
    return None


def check_tracker(tracker: Tracker | Callable[[], Tracker]) -> list[str]:
    """Test a tracker on small synthetic videos and name its faults.

    Tested are the interface, the values that `update` returns, images and boxes that the tracker changes or keeps,
    state of an earlier video, PIL images, boxes at the border, beyond it, of one pixel and as large as the frame,
    and a constant shift by one pixel, the sign of 1-based boxes. Accuracy is not tested. About 60 frames are
    tracked.

    `init` may refuse a box of one pixel or of the whole frame with a `tracker.InputError`; any other error is
    a finding. A tracker whose attribute `is_deterministic` is false need not repeat its boxes.

    Args:
        tracker: A tracker, its class, or a function that returns one.

    Returns:
        One sentence a finding; empty if nothing was found.
    """
    try:
        makes_trackers = isinstance(tracker, type) or not hasattr(tracker, "update")
        instance: Any = tracker() if callable(tracker) and makes_trackers else tracker
    except InputError:
        raise
    except Exception as error:
        return [f"Making the tracker raised {_name(error)}."]
    findings = list(_interface(instance))
    if findings:
        return findings
    trial = _Trial(instance)
    for check in (_results, _state, _memory, _pillow, _odd_boxes, _one_based):
        try:
            findings += check(trial)
        except _Stopped as stop:
            findings.append(str(stop))
            if check is _state:
                break
        if not trial.boxes:
            break
    return list(dict.fromkeys(findings))


class _Stopped(Exception):
    """The tracker raised; the text is the finding."""


class _Trial:
    """A tracker, and videos to try it on."""

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker
        self.deterministic = bool(getattr(tracker, "is_deterministic", True))
        video = synthetic_sequence(seed=0, frames=FRAMES, width=WIDTH, height=HEIGHT)
        other = synthetic_sequence(seed=1, frames=FRAMES, width=WIDTH, height=HEIGHT)
        self.frames = [video.frames[t] for t in range(FRAMES)]
        self.box: Boxes = np.rint(video.exemplar_box)
        self.other_frames = [other.frames[t] for t in range(FRAMES)]
        self.other_box: Boxes = np.rint(other.exemplar_box)
        self.boxes: list[Boxes] = []
        """What the tracker returned for the first video."""

    def call(self, method: str, where: str, *arguments: Any) -> Any:
        try:
            return getattr(self.tracker, method)(*arguments)
        except Exception as error:
            raise _Stopped(f"{method} raised {_name(error)} {where}.") from error

    def run(self, frames: Sequence[Any], box: Boxes, where: str) -> list[Boxes]:
        self.call("init", where, frames[0].copy(), box.copy())
        boxes = []
        for frame in frames[1:]:
            returned = self.call("update", where, frame.copy())
            fault = output_fault(returned)
            if fault:
                raise _Stopped(f"update returned {fault} {where}.")
            boxes.append(np.array(returned, dtype=np.float64))
        return boxes


def _interface(tracker: Any) -> Iterator[str]:
    name = getattr(tracker, "name", None)
    if not isinstance(name, str) or not name:
        yield "The tracker has no name; set the attribute name to a text."
    elif any(letter in name for letter in "/\\:") or name.strip(". ") != name:
        yield f"The name '{name}' cannot name a folder, which results need; leave out slashes, colons, outer dots."
    for method, arguments in (("init", "image, box"), ("update", "image")):
        if not callable(getattr(tracker, method, None)):
            yield f"The tracker has no method {method}({arguments}); add it."


def _results(trial: _Trial) -> Iterator[str]:
    """The values that `update` returns, and its arguments afterwards."""
    where = "on a small RGB video (numpy arrays)"
    image, box = trial.frames[0].copy(), trial.box.copy()
    trial.call("init", where, image, box)
    if (image != trial.frames[0]).any():
        yield "init changes the image that it is given; work on a copy."
    if (box != trial.box).any():
        yield "init changes the box that it is given; work on a copy."
    returned: list[tuple[Any, Boxes]] = []
    for frame in trial.frames[1:]:
        image = frame.copy()
        result = trial.call("update", where, image)
        if (image != frame).any():
            yield "update changes the image that it is given; work on a copy."
        fault = output_fault(result)
        if fault:
            yield f"update returned {fault}; return float64[4] (x, y, w, h)."
            return
        if not isinstance(result, np.ndarray):
            yield f"update returns a {type(result).__name__}; return a numpy array float64[4]."
        elif result.dtype != np.float64:
            yield f"update returns an array of {result.dtype}; return float64[4]."
        returned.append((result, np.array(result, dtype=np.float64)))
    trial.boxes = [value for _, value in returned]
    if any((np.asarray(result, dtype=np.float64) != value).any() for result, value in returned):
        yield "A box that update returned changed later; return an array of its own each time."
    if any(float(visible_fraction(value, WIDTH, HEIGHT)) == 0 for value in trial.boxes):
        yield "update returned a box outside the frame, though the target never leaves it; check x, y, w, h."


def _state(trial: _Trial) -> Iterator[str]:
    """State of an earlier video."""
    where = "on a second video; init must start anew"
    trial.run(trial.other_frames, trial.other_box, where)
    again = trial.run(trial.frames, trial.box, where)
    if trial.deterministic and not _equal(again, trial.boxes):
        yield (
            "The same video gives other boxes the second time; let init forget earlier videos and seed what is "
            "drawn, or set is_deterministic to False."
        )
        return
    first = trial.run(trial.frames[:2], trial.box, where)
    if trial.deterministic and not _equal(first, trial.boxes[:1]):
        yield "The first update depends on what came before init; let init forget earlier videos."


def _memory(trial: _Trial) -> Iterator[str]:
    """References to its arguments: the caller may write the next frame into the same memory."""
    if not trial.deterministic:
        return
    where = "on a video whose frames share their memory"
    image, box = trial.frames[0].copy(), trial.box.copy()
    trial.call("init", where, image, box)
    box[:] = -1
    boxes = []
    for frame in trial.frames[1:]:
        np.copyto(image, frame)
        boxes.append(np.array(trial.call("update", where, image), dtype=np.float64))
    if not _equal(boxes, trial.boxes):
        yield "Boxes differ when the caller reuses the memory of frame and box; copy what you keep of them."


def _pillow(trial: _Trial) -> Iterator[str]:
    frames = [PILImage.fromarray(frame) for frame in trial.frames]
    boxes = trial.run(frames, trial.box, "on PIL images, which the got10k toolkit passes")
    if trial.deterministic and not _equal(boxes, trial.boxes):
        yield "PIL images give other boxes than the same frames as arrays; convert both to RGB."


def _odd_boxes(trial: _Trial) -> Iterator[str]:
    """Boxes at the border and of unusual sizes."""
    w, h = trial.box[2:]
    at_the_border = {
        "at the left and upper border": (0, 0, w, h),
        "at the right and lower border": (WIDTH - w, HEIGHT - h, w, h),
        "partly beyond the left and upper border": (-w / 3, -h / 3, w, h),
        "partly beyond the right and lower border": (WIDTH - w / 2, HEIGHT - h / 2, w, h),
        "with fractions of a pixel": (trial.box[0] + 0.37, trial.box[1] + 0.61, w + 0.2, h - 0.3),
    }
    unusual = {
        "of one pixel": (trial.box[0], trial.box[1], 1, 1),
        "as large as the frame": (0, 0, WIDTH, HEIGHT),
    }
    for what, values in (at_the_border | unusual).items():
        try:
            trial.run(trial.frames[:3], np.array(values, dtype=np.float64), f"on a target {what}")
        except _Stopped as stop:
            refused = isinstance(stop.__cause__, InputError) and str(stop).startswith("init")
            if what not in unusual or not refused:
                yield str(stop)


def _one_based(trial: _Trial) -> Iterator[str]:
    """A video that stands still: a tracker that is off by exactly one pixel in x and y mixes conventions."""
    shifts = []
    for frame, box in ((trial.frames[0], trial.box), (trial.other_frames[0], trial.other_box)):
        boxes = trial.run([frame] * 3, box, "on a video that stands still")
        shifts += [value[:2] + value[2:] / 2 - box[:2] - box[2:] / 2 for value in boxes]
    for sign in (1, -1):
        if np.abs(np.array(shifts) - sign).max() < 0.25:
            yield (
                f"On a video that stands still every box is moved by {sign:+d} pixel in x and y; boxes are "
                "0-based on the way in and out."
            )


def _equal(first: list[Boxes], second: list[Boxes]) -> bool:
    return len(first) == len(second) and bool(np.allclose(first, second, rtol=0, atol=1e-6))


def _name(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__} ({text[:160]})" if text else type(error).__name__
