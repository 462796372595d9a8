"""Animations of a walk through a manifold."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PILImage

from ..errors import VAEError
from ..files import replacing_file
from ..images import Images
from ..model import VAE
from ..sampling import Codes, check_codes
from .gif import write_gif
from .mp4 import write_mp4

_DOT, _HERE, _INK = (150, 150, 150), (230, 110, 20), (40, 40, 40)
_STRIP = 22
_ANIMATIONS = (".gif", ".mp4")
_PALETTE_IMAGES = 8


def traversal_pictures(model: VAE, path: ArrayLike, codes: ArrayLike | None = None, size: int = 192) -> Images:
    """Decode a walk through the latent space; where it has 2 dimensions, with a map of where the walk is.

    Args:
        model: The model.
        path: The walk, `[n, latent]`, such as `traverse` returns.
        codes: Codes of the real images, `[N, latent]`, dots on the map; those of the path where left out.
        size: Longer side of the decoded image, which is put in the middle of a square, and side of the map in
            pixels, at least 64.

    Returns:
        `uint8[n, size + 22, size, 3]`, a caption above the decoded image; with the map `uint8[n, size + 22,
        2 * size, 3]`: a dot an image, the place of the walk in orange and what it has walked behind it; the axes
        are those of `manifold_image`.

    Raises:
        VAEError: If the codes have another dimension than the model's, there are none, or `size` is below 64.
    """
    walk = check_codes(path, model.config.latent)
    dots = walk if codes is None else check_codes(codes, model.config.latent)
    if not len(walk) or size < 64:
        raise VAEError(f"A walk has at least 1 code, and its picture 64 pixels, got {len(walk)} and {size}.")
    decoded = _captioned(np.stack([_on_square(image, size) for image in model.generate(walk)]), "decoded")
    if model.config.latent != 2:
        return decoded
    return np.concatenate([decoded, _captioned(_maps(walk, dots, size), "latent space: a dot a frame")], axis=2)


def write_animation(path: str | os.PathLike[str], images: Images, fps: float = 12.0) -> None:
    """Write images as a GIF that repeats, or as an MP4 (H.264), whole or not at all.

    Args:
        path: Ends in `.gif` or `.mp4`.
        images: `uint8[n, H, W, 3]`, n of at least 1; for an MP4 the last row or column is repeated where H or W
            is odd.
        fps: Images a second, above 0; of a GIF at most 50.

    Raises:
        VAEError: If there are no images, or the name ends otherwise.
        OSError: If the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() not in _ANIMATIONS:
        raise VAEError(f"An animation is written as {' or '.join(_ANIMATIONS)}, not as {path.name}.")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape or fps <= 0:
        shape = f"{images.dtype}{list(images.shape)}"
        raise VAEError(f"An animation is made of uint8[n, H, W, 3] at a rate above 0, got {shape} at {fps}.")
    with replacing_file(path) as temporary:
        if path.suffix.lower() == ".gif":
            write_gif(temporary, _with_one_palette(images), [1000 / fps] * len(images))
        else:
            with write_mp4(temporary, fps) as append:
                for image in images:
                    append(image)


def _on_square(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Enlarge an image to fit into a white square, in RGB."""
    height, width, channels = image.shape
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(np.repeat(image, 3 // channels, axis=2), shape, interpolation=cv2.INTER_CUBIC)
    top, left = (size - picture.shape[0]) // 2, (size - picture.shape[1]) // 2
    square = np.full((size, size, 3), 255, np.uint8)
    square[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return square


def _captioned(images: Images, text: str) -> Images:
    """Put a strip with a caption above images."""
    strip = np.full((_STRIP, images.shape[2], 3), 255, np.uint8)
    cv2.putText(strip, text, (6, _STRIP - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.36, _INK, 1, cv2.LINE_AA)
    return np.concatenate([np.repeat(strip[None], len(images), axis=0), images], axis=1)


def _maps(walk: Codes, dots: Codes, size: int) -> Images:
    """The map of each step, `uint8[n, size, size, 3]`."""
    every = np.concatenate([walk, dots])
    low = every.min(axis=0)
    # One scale for both axes, so that lengths on the map are lengths in the latent space.
    span = max(float((every.max(axis=0) - low).max()), 1e-6)
    margin = size // 12
    offset = (span - (every.max(axis=0) - low)) / 2

    def place(code: NDArray[np.float32]) -> tuple[int, int]:
        x, y = margin + (code - low + offset) / span * (size - 1 - 2 * margin)
        return round(float(x)), round(float(y))

    radius = max(2, size // 80)
    canvas = np.full((size, size, 3), 255, np.uint8)
    for code in dots:
        cv2.circle(canvas, place(code), radius, _DOT, -1, cv2.LINE_AA)
    pictures = []
    for before, here in zip(walk[[0, *range(len(walk) - 1)]], walk, strict=True):
        cv2.line(canvas, place(before), place(here), _HERE, 1, cv2.LINE_AA)
        picture = canvas.copy()
        cv2.circle(picture, place(here), 2 * radius, _HERE, -1, cv2.LINE_AA)
        pictures.append(picture)
    return np.stack(pictures)


def _with_one_palette(images: Images) -> list[PILImage.Image]:
    """Reduce images to 256 colours, without dithering, whose noise a GIF cannot compress."""
    some = images[np.linspace(0, len(images) - 1, min(len(images), _PALETTE_IMAGES)).round().astype(int)]
    palette = PILImage.fromarray(np.concatenate(list(some))).quantize(dither=PILImage.Dither.NONE)
    plain = PILImage.Dither.NONE
    return [PILImage.fromarray(image).quantize(palette=palette, dither=plain) for image in images]
