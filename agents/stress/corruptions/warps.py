"""Motion blur and deformation of a target; only the pixels around its box change."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .moments import MARGIN
from .occluders import SPREAD, in_box, pixel_edges

Image = NDArray[np.uint8]
Field = NDArray[np.float64]

_MODES = 2
"""Half waves along each side of the box, at most, of a deformation."""


def blur_target(frame: Image, box: ArrayLike, length: float, angle: float) -> None:
    """Blur a target along a line; changes the frame.

    The blur is full inside the box and fades out over its margin, so that the box has no edge.

    Args:
        frame: `uint8[H, W, 3]`.
        box: `(x, y, w, h)` in pixels.
        length: Of the line, in target sizes.
        angle: Of the line, in radians.
    """
    kernel = line_kernel(length * target_size(box), angle)
    left, top, right, bottom = pixel_edges(in_box(SPREAD, box))
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, frame.shape[1]), min(bottom, frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    reach = len(kernel) // 2
    low, high = (max(x0 - reach, 0), max(y0 - reach, 0)), (x1 + reach, y1 + reach)
    source = frame[low[1] : high[1], low[0] : high[0]]
    blurred = cv2.filter2D(source, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    blurred = np.ascontiguousarray(blurred[y0 - low[1] :, x0 - low[0] :][: y1 - y0, : x1 - x0])
    x, y, w, h = np.asarray(box, dtype=np.float64)
    across = _fade((np.arange(x0, x1) + 0.5 - x) / w)
    down = _fade((np.arange(y0, y1) + 0.5 - y) / h)
    weight = np.minimum(across[None, :], down[:, None]).astype(np.float32)
    clear = np.ascontiguousarray(frame[y0:y1, x0:x1])
    frame[y0:y1, x0:x1] = cv2.blendLinear(blurred, clear, weight, 1 - weight)


def line_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """The kernel of a motion along a line: `float32[n, n]` of sum 1, n odd.

    Args:
        length: In pixels.
        angle: In radians.
    """
    reach = max(1, math.ceil(length / 2))
    kernel = np.zeros((2 * reach + 3, 2 * reach + 3), np.float32)
    along = np.linspace(-length / 2, length / 2, 8 * reach + 1)
    x, y = along * math.cos(angle) + reach + 1, along * math.sin(angle) + reach + 1
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.abs(1 - right - (x - column)) * np.abs(1 - down - (y - row))
        np.add.at(kernel, (row + down, column + right), weight)
    return kernel / kernel.sum()


def draw_field(rng: np.random.Generator, largest: float) -> Field:
    """Draw the coefficients of a smooth displacement that is 0 at the border of the box and nowhere folds.

    Args:
        rng: Random generator.
        largest: Largest displacement at which it must not fold, in sides of the box.

    Returns:
        `float64[2, n, n]`, the weights of sines along x and y for the displacements in x and y; the longest
        displacement of the field is 1.
    """
    side = 33
    while True:
        coefficients = rng.normal(size=(2, _MODES, _MODES))
        displacement = displacements(coefficients, side, side)
        coefficients = coefficients / np.hypot(*displacement).max()
        (xy, xx), (yy, yx) = (
            np.gradient(each, 1 / (side - 1)) for each in displacements(coefficients, side, side)
        )
        if ((1 + largest * xx) * (1 + largest * yy) - largest**2 * xy * yx).min() > 0:
            return coefficients


def displacements(coefficients: Field, width: int, height: int) -> Field:
    """The displacements of a field over a box of so many pixels, `float64[2, height, width]`."""
    modes = np.arange(1, _MODES + 1)
    across, down = (
        np.sin(np.pi * modes[:, None] * np.linspace(0, 1, count)[None, :]) for count in (width, height)
    )
    return down.T @ coefficients @ across


def deform_target(frame: Image, box: ArrayLike, amplitude: float, field: Field) -> None:
    """Warp a target; changes the frame inside the box alone.

    Args:
        frame: `uint8[H, W, 3]`.
        box: `(x, y, w, h)` in pixels.
        amplitude: Largest displacement, in widths of the box along x and in heights along y.
        field: The coefficients of `draw_field`.
    """
    left, top, right, bottom = pixel_edges(box)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, frame.shape[1]), min(bottom, frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    reach = amplitude * np.asarray(box, dtype=np.float64)[2:]
    moved = reach[:, None, None] * displacements(field, right - left, bottom - top)
    moved = moved[:, y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    pad = math.ceil(reach.max()) + 1
    low = max(x0 - pad, 0), max(y0 - pad, 0)
    source = np.ascontiguousarray(frame[low[1] : y1 + pad, low[0] : x1 + pad])
    x = moved[0] + np.arange(x0 - low[0], x1 - low[0], dtype=np.float32)[None, :]
    y = moved[1] + np.arange(y0 - low[1], y1 - low[1], dtype=np.float32)[:, None]
    frame[y0:y1, x0:x1] = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def target_size(box: ArrayLike) -> float:
    """The size of a target: the square root of the area of its box, in pixels."""
    _, _, w, h = np.asarray(box, dtype=np.float64)
    return math.sqrt(w * h)


def _fade(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 inside the box, and falling to 0 over the margin; positions are relative to the box."""
    outside = np.maximum(np.maximum(-position, position - 1), 0)
    return np.clip(1 - outside / MARGIN, 0, 1)
