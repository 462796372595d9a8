"""Pictures of a search: one for each step, and one of what the search found."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from collections.abc import Sequence as Many

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data.images import resize

Image = NDArray[np.uint8]

_HEIGHT, _WIDTH = 430, 624
"""Pixels of every picture, so that the frames of a video have one size."""
_MARGIN = 12
_CAPTION = 22
_FONT = 0.42
_TALL = 1.5
"""Height over width from which the panels stand left of the curve, as high as the picture."""
_ORANGE, _BLUE, _GREEN = (250, 110, 30), (70, 130, 230), (20, 140, 60)
_INK, _PALE, _PAPER, _FAINT = (30, 30, 30), (150, 150, 150), (250, 250, 250), (225, 225, 225)
_TRAIL = 3
"""Earlier regions that are drawn; more hide the target."""


def draw_regions(image: Image, region: NDArray[np.float64], trail: Many[NDArray[np.float64]] = ()) -> Image:
    """Outline a region in orange, and up to three of the regions before it in thin light lines.

    Every line has a dark edge, so that it shows on dark and on bright targets.

    Args:
        image: `uint8[H, W, 3]`, the target.
        region: The region `(x, y, w, h)` relative to the target.
        trail: Regions that the search visited, oldest first; evenly spaced ones are drawn.

    Returns:
        A new image of the same shape.
    """
    drawn = image.copy()
    others = [each for each in trail if not np.allclose(each, region)]
    for index in sorted({round(i) for i in np.linspace(0, len(others) - 1, _TRAIL)}) if others else ():
        _outline(drawn, others[index], _FAINT, 1)
    drawn = cv2.addWeighted(drawn, 0.5, image, 0.5, 0).astype(np.uint8)
    _outline(drawn, region, _ORANGE, 2)
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
    """Draw the exemplar, the region on the target, the occluded target, and the score after each action.

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
        ("exemplar", exemplar, None, ()),
        (f"step {len(trail) - 1}", view, trail[-1], trail[-4:-1]),
        (f"occluded {scores[-1]:+.3f}", occluded, None, ()),
    ]
    return _draw(panels, scores, clean, phi, max_steps, {}, "score after each action; ring: lowest so far")


def draw_result(
    target: Image,
    occluded: tuple[Image, Image],
    regions: tuple[NDArray[np.float64], NDArray[np.float64]],
    random: float,
    scores: Many[float],
    clean: float,
    phi: float,
    max_steps: int,
    queries: int,
) -> Image:
    """Draw the lowest score of an episode beside that of random regions with as many scorer queries.

    Args:
        target: `uint8[h, w, 3]`, not occluded.
        occluded: `uint8[h, w, 3]` each, under the agent's best region and under the best random one.
        regions: These two regions, relative to the target.
        random: The score under the best random region.
        scores: The score under each region of the episode.
        clean: See `draw_search`.
        phi: See `draw_search`.
        max_steps: See `draw_search`.
        queries: Scorer queries of either search.

    Returns:
        `uint8[430, 624, 3]`.
    """
    best = int(np.argmin(scores))
    panels = [
        (f"target {clean:+.3f}", target, None, ()),
        (f"agent {scores[best]:+.3f}", occluded[0], regions[0], ()),
        (f"random {random:+.3f}", occluded[1], regions[1], ()),
    ]
    caption = f"best at step {best} of {len(scores) - 1}; random: equal queries ({queries})"
    return _draw(panels, scores, clean, phi, max_steps, {"random": random}, caption)


def _draw(
    panels: Many[tuple[str, Image, NDArray[np.float64] | None, Many[NDArray[np.float64]]]],
    scores: Many[float],
    clean: float,
    phi: float,
    max_steps: int,
    others: Mapping[str, float],
    caption: str,
) -> Image:
    """Draw panels (caption, image, region, trail) above the score's curve, or left of it where they are tall."""
    canvas = np.full((_HEIGHT, _WIDTH, 3), _PAPER, dtype=np.uint8)
    tall = all(image.shape[0] >= _TALL * image.shape[1] for _, image, _, _ in panels)
    breadth, height = (126, _HEIGHT - _CAPTION - _MARGIN) if tall else (192, 192)
    for column, (text, image, region, trail) in enumerate(panels):
        picture = _enlarge(image, breadth, height)
        if region is not None:
            picture = draw_regions(picture, region, trail)
        left = _MARGIN + column * (breadth + _MARGIN)
        _write(canvas, text, (left, _CAPTION - 6))
        top = _CAPTION if tall else _CAPTION + (height - picture.shape[0]) // 2
        left += (breadth - picture.shape[1]) // 2
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    rest = canvas[:, 3 * (breadth + _MARGIN) :] if tall else canvas[_CAPTION + height :]
    lines = {"clean": (clean, _GREEN), **{name: (value, _INK) for name, value in others.items()}}
    if math.isfinite(phi):
        lines["phi"] = (phi, _BLUE)
    # The range of the score's axis is known at the start of an episode; scores beyond it extend it.
    span = max(0.1, abs(clean - phi)) if math.isfinite(phi) else 0.2
    axis = min(clean - 1.6 * span, *scores), max(clean + 0.15 * span, *scores)
    _draw_curve(rest, scores, lines, axis, max_steps, caption)
    return canvas


def _enlarge(image: Image, breadth: int, height: int) -> Image:
    """Scale to fit a panel, the aspect ratio kept."""
    scale = min(breadth / image.shape[1], height / image.shape[0])
    return resize(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))


def _outline(image: Image, region: NDArray[np.float64], colour: tuple[int, ...], width: int) -> None:
    """A rectangle with a dark edge, within the image."""
    height, breadth = image.shape[:2]
    x, y, w, h = region * [breadth, height, breadth, height]
    start = (max(width, round(x)), max(width, round(y)))
    end = (min(breadth - 1 - width, round(x + w) - 1), min(height - 1 - width, round(y + h) - 1))
    cv2.rectangle(image, start, end, _INK, width + 2)
    cv2.rectangle(image, start, end, colour, width)


def _write(canvas: Image, text: str, place: tuple[int, int], colour: tuple[int, ...] = _INK) -> None:
    """Text with an edge of the paper's colour, legible over lines."""
    for ink, width in ((_PAPER, 4), (colour, 1)):
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, _FONT, ink, width, cv2.LINE_AA)


def _draw_curve(
    canvas: Image,
    scores: Many[float],
    lines: Mapping[str, tuple[float, tuple[int, ...]]],
    axis: tuple[float, float],
    max_steps: int,
    caption: str,
) -> None:
    """The score over the actions, a ring at the lowest, and scores to compare it with as horizontal lines."""
    height, width = canvas.shape[:2]
    rows = textwrap.wrap(caption, max(8, (width - 60) // 7))  # a character is 7 pixels wide
    left, right, top, bottom = 50, width - _MARGIN, _CAPTION, height - 12 - 16 * len(rows)
    low, high = axis

    def place(step: float, value: float) -> tuple[int, int]:
        across = left + 8 + (right - left - 16) * step / max(max_steps, len(scores) - 1)
        return round(across), round(bottom - (bottom - top) * (value - low) / (high - low))

    cv2.rectangle(canvas, (left, top), (right, bottom), _PALE, 1)
    for value in (low, high):
        _write(canvas, f"{value:+.2f}", (6, place(0, value)[1] + 4))
    for number, row in enumerate(rows):
        _write(canvas, row, (left - 20, bottom + 18 + 16 * number))
    label = bottom + 20
    for name, (value, colour) in sorted(lines.items(), key=lambda line: line[1][0]):
        y = place(0, value)[1]
        cv2.line(canvas, (left, y), (right, y), colour, 1, cv2.LINE_AA)
        label = min(y - 4, label - 15)
        _write(
            canvas,
            name,
            (right - 6 - cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, _FONT, 1)[0][0], label),
            colour,
        )
    points = np.array([place(step, value) for step, value in enumerate(scores)], dtype=np.int32)
    cv2.polylines(canvas, [points], False, _ORANGE, 2, cv2.LINE_AA)
    for point in points:
        cv2.circle(canvas, tuple(int(v) for v in point), 3, _ORANGE, -1, cv2.LINE_AA)
    best = points[int(np.argmin(scores))]
    cv2.circle(canvas, tuple(int(v) for v in best), 7, _INK, 2, cv2.LINE_AA)
