"""A picture of a search, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence as Many

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data.images import resize

__all__ = ["draw_search", "draw_trail"]

Image = NDArray[np.uint8]

_PANEL = 192
_MARGIN = 12
_CAPTION = 22
_OLD, _NEW = np.array([70, 130, 230]), np.array([250, 90, 40])
_INK, _PALE, _GREEN, _PAPER = (30, 30, 30), (150, 150, 150), (20, 140, 60), 250


def draw_trail(image: Image, trail: Many[NDArray[np.float64]], width: int = 2) -> Image:
    """Draw regions over a target, the first blue, the last orange, what lies between thin and in between.

    Args:
        image: `uint8[H, W, 3]`, the target.
        trail: Regions `(x, y, w, h)` relative to the target, oldest first.
        width: Of the first and the last region's lines, in pixels.

    Returns:
        A new image of the same shape.
    """
    drawn = image.copy()
    height, breadth = image.shape[:2]
    for age, region in enumerate(trail):
        share = age / max(1, len(trail) - 1)
        colour = tuple(int(value) for value in (1 - share) * _OLD + share * _NEW)
        x, y, w, h = region * [breadth, height, breadth, height]
        start, end = (round(x), round(y)), (round(x + w) - 1, round(y + h) - 1)
        outer = age in (0, len(trail) - 1)
        cv2.rectangle(drawn, start, end, colour, width if outer else 1, cv2.LINE_AA)
    return drawn


def draw_search(
    view: Image,
    exemplar: Image,
    occluded: Image,
    trail: Many[NDArray[np.float64]],
    scores: Many[float],
    clean: float,
    phi: float,
    max_steps: int,
) -> Image:
    """Exemplar, where the search has been, occluded target, and the score after each action.

    Args:
        view: `uint8[h, w, 3]`, what is searched: the target.
        exemplar: `uint8[h, w, 3]`.
        occluded: `uint8[h, w, 3]`, the target as it is occluded now.
        trail: Every region so far, relative to the view.
        scores: The score under each of them.
        clean: The unoccluded target's score.
        phi: The trigger's threshold; not drawn where it is -inf.
        max_steps: Right end of the score's axis.

    Returns:
        `uint8[430, 624, 3]`.
    """
    panels = [
        ("exemplar", _enlarge(exemplar)),
        ("search", draw_trail(_enlarge(view), trail)),
        (f"occluded: {scores[-1]:+.3f}", _enlarge(occluded)),
    ]
    step = _PANEL + _MARGIN
    canvas = np.full((2 * step + _CAPTION, 3 * step + _MARGIN, 3), _PAPER, dtype=np.uint8)
    for column, (caption, picture) in enumerate(panels):
        left = _MARGIN + column * step
        _write(canvas, caption, (left, _CAPTION - 5))
        top = _CAPTION + (_PANEL - picture.shape[0]) // 2
        left += (_PANEL - picture.shape[1]) // 2
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    _draw_curve(canvas[_CAPTION + step :], scores, clean, phi, max_steps)
    return canvas


def _enlarge(image: Image) -> Image:
    """Scale to a panel's longer side, the aspect ratio kept."""
    height, width = image.shape[:2]
    scale = _PANEL / max(height, width)
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))


def _write(canvas: Image, text: str, place: tuple[int, int], colour: Many[int] = _INK) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


def _draw_curve(canvas: Image, scores: Many[float], clean: float, phi: float, max_steps: int) -> None:
    """The score over the actions, with the clean score and phi as lines."""
    height, width = canvas.shape[:2]
    left, right, top, bottom = 60, width - 110, 14, height - 30
    lines: list[tuple[float, str, tuple[int, ...]]] = [(clean, "clean", _GREEN)]
    if math.isfinite(phi):
        lines.append((phi, "phi", tuple(int(v) for v in _OLD)))
    values = [*scores, *(value for value, _, _ in lines)]
    low, high = min(values), max(values)
    pad = max(0.02, 0.1 * (high - low))
    low, high = low - pad, high + pad

    def place(step: float, value: float) -> tuple[int, int]:
        across = left + (right - left) * step / max(max_steps, len(scores) - 1)
        return round(across), round(bottom - (bottom - top) * (value - low) / (high - low))

    cv2.rectangle(canvas, (left, top), (right, bottom), _PALE, 1)
    for value in (low + pad, high - pad):
        _write(canvas, f"{value:+.2f}", (6, place(0, value)[1] + 4))
    _write(canvas, "score after each action", (left, height - 10))
    for value, name, colour in lines:
        start, end = place(0, value), place(max_steps, value)
        cv2.line(canvas, start, end, colour, 1, cv2.LINE_AA)
        _write(canvas, name, (right + 6, end[1] + 4), colour)
    points = np.array([place(step, value) for step, value in enumerate(scores)], dtype=np.int32)
    ink = tuple(int(value) for value in _NEW)
    cv2.polylines(canvas, [points], False, ink, 2, cv2.LINE_AA)
    for point in points:
        cv2.circle(canvas, tuple(int(v) for v in point), 3, ink, -1, cv2.LINE_AA)
