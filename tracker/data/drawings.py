"""Pictures drawn with OpenCV, for synthetic videos without photographs of others."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

_FONT = cv2.FONT_HERSHEY_DUPLEX
_NIGHT, _GLASS, _CHROME, _LAMP = (32, 36, 44), (96, 132, 158), (196, 200, 206), (255, 240, 190)


def _bus() -> Image:
    """A bus from the front."""
    image = _canvas(360, 400, (200, 38, 44))
    _box(image, (0, 0), (360, 64), _NIGHT)
    cv2.putText(image, "42 HARBOUR", (40, 46), _FONT, 1.3, (255, 176, 40), 2, cv2.LINE_AA)
    _box(image, (22, 78), (338, 222), _GLASS)
    cv2.fillPoly(image, [np.array([(40, 210), (130, 84), (190, 84), (100, 210)])], (136, 170, 190), cv2.LINE_AA)
    _box(image, (176, 78), (184, 222), _NIGHT)
    for start in (100, 262):
        cv2.line(image, (start, 222), (start - 60, 120), _NIGHT, 5, cv2.LINE_AA)
    cv2.circle(image, (84, 176), 24, (224, 178, 146), -1, cv2.LINE_AA)
    cv2.ellipse(image, (84, 164), (26, 15), 0, 180, 360, (28, 44, 92), -1, cv2.LINE_AA)
    _box(image, (0, 236), (360, 254), (244, 224, 196))
    for left in range(104, 256, 16):
        _box(image, (left, 268), (left + 8, 316), (92, 14, 20))
    for x in (56, 304):
        cv2.circle(image, (x, 296), 36, _CHROME, -1, cv2.LINE_AA)
        cv2.circle(image, (x, 296), 27, _LAMP, -1, cv2.LINE_AA)
        cv2.circle(image, (x - 8, 288), 9, (255, 255, 250), -1, cv2.LINE_AA)
    _box(image, (0, 342), (360, 400), (52, 54, 60))
    _box(image, (112, 350), (248, 388), (250, 214, 50))
    cv2.putText(image, "OCC 42", (122, 379), _FONT, 1.0, _NIGHT, 2, cv2.LINE_AA)
    return _grain(image, 1)


def _owl() -> Image:
    """An owl's face."""
    image = _canvas(380, 380, (134, 96, 62))
    rng = np.random.default_rng(2)
    for x, y in rng.integers(0, 380, (900, 2)).tolist():
        shade = _shade(rng, (134, 96, 62), 0.55, 1.35)
        cv2.ellipse(image, (x, y), (4, 11), 0, 0, 360, shade, -1, cv2.LINE_AA)
    for side in (-1, 1):
        x = 190 + 78 * side
        for angle in range(0, 360, 12):
            turn = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            start, end = (np.array([x, 158]) + turn * reach for reach in (50, 92))
            cv2.line(image, _whole(start), _whole(end), (232, 208, 168), 5, cv2.LINE_AA)
        cv2.circle(image, (x, 158), 58, (250, 236, 208), -1, cv2.LINE_AA)
        cv2.circle(image, (x, 158), 44, (244, 166, 26), -1, cv2.LINE_AA)
        cv2.circle(image, (x, 158), 23, (18, 16, 20), -1, cv2.LINE_AA)
        cv2.circle(image, (x - 9, 148), 9, (255, 255, 255), -1, cv2.LINE_AA)
        brow = [(190 + 14 * side, 116), (190 + 160 * side, 34), (190 + 150 * side, 78), (190 + 20 * side, 140)]
        cv2.fillPoly(image, [np.array(brow)], (70, 46, 28), cv2.LINE_AA)
    cv2.fillPoly(image, [np.array([(190, 158), (158, 210), (190, 268), (222, 210)])], (226, 150, 44), cv2.LINE_AA)
    cv2.line(image, (190, 164), (190, 262), (150, 90, 20), 3, cv2.LINE_AA)
    for row in range(3):
        for column in range(-3 + row, 4 - row):
            place = (190 + 40 * column, 292 + 30 * row)
            cv2.ellipse(image, place, (17, 13), 0, 0, 180, (236, 214, 176), 5, cv2.LINE_AA)
    return _grain(image, 2)


def _street() -> Image:
    """Houses, trees and a road."""
    image = _canvas(900, 680, (176, 206, 232))
    rng = np.random.default_rng(3)
    left = 0
    while left < 900:
        width, top = int(rng.integers(110, 190)), int(rng.integers(60, 230))
        wall = tuple(int(value) for value in rng.integers(110, 220, 3))
        _box(image, (left, top), (left + width, 470), wall)
        roof = [(left - 8, top), (left + width // 2, top - 52), (left + width + 8, top)]
        cv2.fillPoly(image, [np.array(roof)], (122, 58, 46), cv2.LINE_AA)
        for y in range(top + 20, 430, 58):
            for x in range(left + 14, left + width - 30, 44):
                pane = _LAMP if rng.random() < 0.25 else (70, 92, 116)
                _box(image, (x, y), (x + 28, y + 38), (240, 240, 236))
                _box(image, (x + 3, y + 3), (x + 25, y + 35), pane)
                _box(image, (x + 13, y), (x + 15, y + 38), (240, 240, 236))
        left += width
    _box(image, (0, 470), (900, 520), (168, 164, 156))
    for x in range(0, 900, 34):
        cv2.line(image, (x, 470), (x - 20, 520), (138, 134, 128), 2, cv2.LINE_AA)
    _box(image, (0, 520), (900, 680), (88, 90, 96))
    for x in range(10, 900, 130):
        _box(image, (x, 592), (x + 74, 604), (240, 236, 220))
    for x in range(70, 900, 210):
        _tree(image, (x, 340), rng)
    return _grain(image, 3)


def _meadow() -> Image:
    """Hills, flowers and clouds."""
    image = _canvas(900, 680, (150, 198, 236))
    rng = np.random.default_rng(4)
    for x, y in rng.integers((40, 30), (860, 190), (9, 2)).tolist():
        for offset in (-34, 0, 36):
            cv2.ellipse(image, (x + offset, y), (42, 24), 0, 0, 360, (246, 248, 250), -1, cv2.LINE_AA)
    for top, shade in ((230, (120, 158, 92)), (310, (98, 146, 70)), (400, (84, 130, 54))):
        across = np.arange(0, 901, 20)
        edge = top + 34 * np.sin(across / rng.uniform(70, 160) + rng.uniform(0, 6))
        hill = np.concatenate([np.stack([across, edge], axis=1), [(900, 680), (0, 680)]])
        cv2.fillPoly(image, [hill.astype(np.int32)], shade, cv2.LINE_AA)
    for x, y in rng.integers((0, 430), (900, 680), (1800, 2)).tolist():
        blade = _shade(rng, (84, 134, 52), 0.6, 1.4)
        cv2.line(image, (x, y), (x + int(rng.integers(-6, 7)), y - 18), blade, 2, cv2.LINE_AA)
    petals = ((236, 70, 84), (250, 214, 60), (238, 238, 246), (164, 92, 206))
    for x, y in rng.integers((0, 440), (900, 680), (150, 2)).tolist():
        cv2.circle(image, (x, y), 8, petals[int(rng.integers(len(petals)))], -1, cv2.LINE_AA)
        cv2.circle(image, (x, y), 3, (120, 84, 20), -1, cv2.LINE_AA)
    for x in range(60, 900, 190):
        _tree(image, (x, 280), rng)
    return _grain(image, 4)


def _wall() -> Image:
    """Bricks."""
    image = _canvas(420, 420, (196, 186, 172))
    rng = np.random.default_rng(5)
    for row, top in enumerate(range(0, 420, 30)):
        for left in range(-30 * (row % 2), 420, 60):
            brick = _shade(rng, (164, 82, 60), 0.7, 1.2)
            _box(image, (left + 2, top + 2), (left + 58, top + 28), brick)
    return _grain(image, 5)


def _foliage() -> Image:
    """Leaves."""
    image = _canvas(420, 420, (44, 82, 36))
    rng = np.random.default_rng(6)
    for x, y in rng.integers(0, 420, (26, 2)).tolist():
        _leaves(image, (x, y), rng)
    return _grain(image, 6)


DRAWINGS: dict[str, Callable[[], Image]] = {
    "bus": _bus, "owl": _owl, "street": _street, "meadow": _meadow, "wall": _wall, "foliage": _foliage,
}  # fmt: skip
"""Functions that draw them, `uint8[H, W, 3]`, the same bytes each time, by name."""


def _canvas(width: int, height: int, colour: Colour) -> Image:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def _box(image: Image, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, ...]) -> None:
    cv2.rectangle(image, start, (end[0] - 1, end[1] - 1), colour, -1)


def _tree(image: Image, crown: tuple[int, int], rng: np.random.Generator) -> None:
    x, y = crown
    _box(image, (x - 9, y + 20), (x + 9, y + 145), (94, 68, 45))
    _leaves(image, crown, rng)


def _leaves(image: Image, middle: tuple[int, int], rng: np.random.Generator) -> None:
    for x, y in rng.normal(middle, 30, (90, 2)).tolist():
        leaf = _shade(rng, (74, 138, 52), 0.6, 1.5)
        cv2.ellipse(image, (int(x), int(y)), (13, 7), float(rng.uniform(0, 180)), 0, 360, leaf, -1, cv2.LINE_AA)


def _shade(rng: np.random.Generator, colour: Colour, low: float, high: float) -> tuple[int, ...]:
    """A colour that is darker or brighter by chance."""
    return tuple(int(value) for value in np.array(colour) * rng.uniform(low, high))


def _whole(point: NDArray[np.float64]) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _grain(image: Image, seed: int) -> Image:
    """Uneven light and fine grain, so that no surface is flat."""
    rng = np.random.default_rng([seed, 7])
    height, width = image.shape[:2]
    light = cv2.resize(
        rng.uniform(0.86, 1.12, (5, 5)).astype(np.float32), (width, height), None, 0, 0, cv2.INTER_CUBIC
    )
    grain = rng.normal(0, 5, image.shape)
    return np.clip(np.rint(image * light[..., None] + grain), 0, 255).astype(np.uint8)
