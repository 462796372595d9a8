"""Images: reading, cutting out, resizing, and the one place where they become tensors.

Outside a network an image is `uint8`, RGB, height x width x 3. Inside it is a torch tensor, N x 3 x H x W,
float in [0, 1]. `to_tensor` and `to_images` are the only functions that cross that line.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PILImage

from ..errors import InputError, reading_errors
from .boxes import LARGEST_BOX, LARGEST_WINDOW, check_box

if TYPE_CHECKING:
    import torch


Image = NDArray[np.uint8]

MOST_PIXELS = 80_000_000
"""Pixels of an image or a frame that is decoded: 240 MB, more than two frames of 8K."""

FULL_RANGE_FROM = 2**14
"""16-bit images whose values span less than this, a quarter of the 16 bits, are read as sensor values."""

DEAD_SHARE = 0.001
"""Share of the pixels at either end of the values that may be dead pixels of a sensor."""

_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_END_BYTES = 64
"""Bytes at the end of a file that are searched for the mark: some writers append a few."""


@dataclass(frozen=True)
class Levels:
    """The 16-bit values that become 0 and 255; values beyond them saturate.

    Attributes:
        low: Becomes 0.
        high: Becomes 255.
    """

    low: int = 0
    high: int = 65535

    @classmethod
    def of(cls, images: Iterable[NDArray[np.uint16]]) -> Levels:
        """Choose the levels of one or more 16-bit images.

        Images whose values span a quarter of the 16 bits or more keep their full range. Others hold the values
        of a sensor (10 to 14 bits of a thermal camera, or temperatures with an offset), so their smallest and
        their largest value become 0 and 255. One value in a thousand at either end, such as a sensor's dead
        pixels, does not count.

        >>> Levels.of([np.array([[7400, 8000]], np.uint16), np.array([[7350, 7900]], np.uint16)])
        Levels(low=7350, high=8000)
        >>> Levels.of([np.array([[200, 40000]], np.uint16)])
        Levels(low=0, high=65535)
        """
        given = [image for image in images if image.size]
        low = min((int(np.percentile(each, 100 * DEAD_SHARE, method="lower")) for each in given), default=0)
        high = max(
            (int(np.percentile(each, 100 * (1 - DEAD_SHARE), method="higher")) for each in given), default=0
        )
        return cls(low, high) if 0 < high - low < FULL_RANGE_FROM else cls()

    def apply(self, image: NDArray[np.uint16]) -> Image:
        """Scale 16-bit values to 8 bits; the full range keeps the high byte."""
        if self == Levels():
            return np.asarray(image >> 8, dtype=np.uint8)
        scaled = (image.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        return np.asarray(np.clip(np.rint(scaled), 0, 255), dtype=np.uint8)


def read_image(path: str | Path, levels: Levels | None = None) -> Image:
    """Read an image file as RGB, by the rule of `as_rgb`.

    Args:
        path: A file of any format that Pillow reads.
        levels: For a file of 16 bits a channel; its own by default. The frames of a video need common ones.

    Returns:
        `uint8[H, W, 3]`.

    Raises:
        InputError: If the file is missing, is no image, or is cut short.
    """
    what = f"The image '{path}'"
    with _opened(path) as image:
        deep = _sixteen_bits(path, image)
        if deep is None:
            return as_rgb(image, what).copy()
        return as_rgb(deep, what, levels or Levels.of([deep])).copy()


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image file in pixels.

    The header is read, and the end of a JPEG or PNG file; a file without the mark of its end is decoded.

    Raises:
        InputError: If the file is missing, is no image, or is cut short.
    """
    with _opened(path) as image:
        mark = _END_MARKS.get(image.format or "")
        if mark is not None:
            with open(path, "rb") as file:
                file.seek(-min(_END_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
                if mark not in file.read():
                    image.load()
        return image.size


def read_levels(paths: Iterable[str | Path]) -> Levels | None:
    """Choose the common levels of image files; `None` where one does not hold 16 bits a channel.

    Raises:
        InputError: If a file is missing, is no image, or is cut short.
    """
    pixels = []
    for path in paths:
        with _opened(path) as image:
            deep = _sixteen_bits(path, image)
            if deep is None:
                return None
            pixels.append(deep)
    return Levels.of(pixels) if pixels else None


@contextmanager
def _opened(path: str | Path) -> Iterator[PILImage.Image]:
    """Open an image file; errors name the file."""
    with reading_errors(path, "an image", "replace the file"):
        if not Path(path).exists():
            raise InputError(f"The image '{path}' does not exist.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)  # `check_pixels` refuses it
                image = PILImage.open(path)
        except PILImage.DecompressionBombError:  # Pillow's own bound, above twice `MOST_PIXELS`
            raise InputError(
                f"The image '{path}' has more than the {MOST_PIXELS} pixels that are decoded; scale it down."
            ) from None
        with image:
            check_pixels(*image.size, f"The image '{path}'")
            yield image


def check_pixels(width: int, height: int, what: str) -> None:
    """Refuse an image or a video that claims more than `MOST_PIXELS`, before it is decoded.

    Args:
        width: In pixels, as its header says.
        height: Likewise.
        what: Begins the error's sentence.

    Raises:
        InputError: Naming the size and the bound.
    """
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{what} has {width} x {height} pixels, more than the {MOST_PIXELS} that are decoded; scale it down."
        )


def _sixteen_bits(path: str | Path, image: PILImage.Image) -> NDArray[np.uint16] | None:
    """The pixels of an opened file of 16 bits a channel, grey or RGB; `None` for other files."""
    if image.mode.startswith("I"):
        return _pixels_of_pillow(image, f"The image '{path}'").astype(np.uint16)
    if ";16" not in str(getattr(image, "tile", "")):
        return None
    image.load()  # refuses a truncated file
    colours = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)  # Pillow keeps the high bytes only
    if colours is None or colours.dtype != np.uint16 or colours.ndim != 3:
        return None
    return np.ascontiguousarray(colours[..., 2::-1])


def as_rgb(image: object, what: str = "The image", levels: Levels | None = None) -> Image:
    """Take an image of any usual kind and return it as RGB; the one rule for what is not RGB already.

    - Grey becomes three equal channels.
    - Alpha is dropped: the colours stay as they are stored, because what lies behind is not known.
    - 16 bits become 8 by `levels`, else by their high byte, so that 0 to 65535 becomes 0 to 255 whatever the
      content, and the frames of a video are scaled alike. That takes the contrast of values that span less than
      a quarter of 16 bits, such as a thermal camera's 14 bits: there is a warning then. Files are read with
      levels of their own (`read_image`, `tracker.data.sequences.ImageFiles`). Pillow opens 16-bit colour by its
      high byte.
    - Palettes and other colour spaces are converted by Pillow.

    Args:
        image: A PIL image, or an array `uint8` or `uint16` of `[H, W]` or `[H, W, C]`, where C is 1 (grey),
            2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
        what: Whose image it is, for the error's sentence.
        levels: Which 16-bit values become 0 and 255, see `Levels`; the high byte by default.

    Returns:
        `uint8[H, W, 3]`. An array that is so already is returned itself, not a copy: do not write into it.

    Raises:
        InputError: If it is no image, is empty, or holds floating-point values or whole numbers beyond 16 bits,
            whose range is unknown.

    >>> as_rgb(np.array([[0, 256, 65535]], np.uint16))[0, :, 0].tolist()
    [0, 1, 255]
    >>> as_rgb(PILImage.new("RGBA", (2, 1), (10, 20, 30, 0)))[0, 0].tolist()
    [10, 20, 30]
    """
    array = _pixels_of_pillow(image, what) if isinstance(image, PILImage.Image) else image
    if not isinstance(array, np.ndarray) or array.dtype.kind != "u" or array.dtype.itemsize > 2:
        kind = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        raise InputError(f"{what} is {kind}; give a PIL image or an array of uint8 or uint16.")
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if array.ndim not in (2, 3) or channels not in (1, 2, 3, 4):
        raise InputError(
            f"{what} is an array {list(array.shape)}; give [height, width] or [height, width, 1 to 4 channels]."
        )
    if array.dtype.itemsize == 2:
        if levels is None:
            colours = array if channels in (1, 3) else array[..., : channels - 1]
            if Levels.of([colours]) != Levels():
                warnings.warn(
                    f"{what} holds 16-bit values from {colours.min()} to {colours.max()}, whose high byte has"
                    " little contrast; scale the frames to 8 bits, or give as_rgb their common levels.",
                    stacklevel=2,
                )
        array = (levels or Levels()).apply(array)
    if channels < 3:
        grey = array if array.ndim == 2 else array[..., 0]
        array = np.repeat(grey[..., None], 3, axis=2)
    return check_image(array if channels < 4 else np.ascontiguousarray(array[..., :3]), what)


def _pixels_of_pillow(image: PILImage.Image, what: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The pixels, 8 or 16 bits, of a PIL image."""
    if image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode == "I":
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise InputError(f"{what} holds whole numbers beyond 16 bits; convert it to 8 or 16 bits a channel.")
        return values.astype(np.uint16)
    if image.mode == "F":
        raise InputError(f"{what} holds floating-point values; convert it to 8 or 16 bits a channel.")
    try:
        if "transparency" in image.info or image.mode in ("PA", "La", "RGBa"):
            image = image.convert("LA" if image.mode == "La" else "RGBA")
        return np.asarray(image.convert("RGB"))
    except ValueError:
        raise InputError(f"{what} has the colour mode {image.mode}; convert it to RGB.") from None


def write_png(path: str | Path, image: Image) -> None:
    """Write an RGB image as PNG, which keeps every pixel."""
    PILImage.fromarray(image).save(path, format="PNG")


def check_image(image: object, what: str) -> Image:
    """Return the array if it is an image in this project's convention.

    Raises:
        InputError: If it is not `uint8[H, W, 3]` with at least one pixel.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype}{list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{what} is {kind}; it must be an RGB array uint8[height, width, 3].")
    if 0 in image.shape:
        raise InputError(f"{what} is empty ({image.shape[1]} x {image.shape[0]} pixels).")
    return image


def resize(image: Image, width: int, height: int) -> Image:
    """Resize; by area where it shrinks, so that nothing aliases, else bilinear."""
    shrinks = width < image.shape[1] or height < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def mean_colour(image: Image) -> NDArray[np.float64]:
    """Mean of each channel of an image: the bits of `image.mean(axis=(0, 1))`, a thousand times as fast."""
    height, width = image.shape[:2]
    return np.array(cv2.sumElems(image)[:3]) / (height * width)


def scaled_to(image: Image, size: tuple[int, int]) -> tuple[Image, NDArray[np.float64]]:
    """Scale a frame to the size of a video's first frame.

    Args:
        image: `uint8[H, W, 3]`.
        size: Width and height in pixels.

    Returns:
        The frame, itself if it has the size, and `float64[4]`, the factors that take a box of the scaled frame,
        `(x, y, w, h)`, to the given one.
    """
    width, height = size
    factors = np.array([image.shape[1] / width, image.shape[0] / height] * 2)
    return (image if image.shape[1::-1] == (width, height) else resize(image, width, height)), factors


def crop(image: Image, box: ArrayLike, size: int | None = None) -> Image:
    """Cut a box out of an image; what lies beyond the border repeats the border's pixels.

    The box's edges are rounded to whole pixels (halves up); the crop has at least one pixel.

    Args:
        image: `uint8[H, W, 3]`.
        box: `(x, y, w, h)`; it may reach beyond the image, as long as it overlaps it.
        size: Resize the crop to `size` x `size`, not keeping its aspect ratio, as the paper does (4.1.2,
            4.2.1). `None` keeps the pixels as they are.

    Returns:
        `uint8[h, w, 3]` or `uint8[size, size, 3]`, its own memory.

    Raises:
        InputError: If the box has no area, lies outside the image, or is longer than
            `tracker.data.boxes.LARGEST_BOX` allows (`LARGEST_WINDOW` where it is resized).

    >>> frame = np.zeros((4, 4, 3), np.uint8)
    >>> frame[1, 2] = 255
    >>> crop(frame, (2, 1, 1, 1)).tolist()
    [[[255, 255, 255]]]
    >>> crop(frame, (-2, 0, 4, 4)).shape
    (4, 4, 3)
    """
    height, width = image.shape[:2]
    largest = LARGEST_BOX if size is None else LARGEST_WINDOW
    x, y, w, h = check_box(box, width, height, "The box to cut out", largest)
    left, top = math.floor(x + 0.5), math.floor(y + 0.5)
    right, bottom = max(left + 1, math.floor(x + w + 0.5)), max(top + 1, math.floor(y + h + 0.5))
    columns = np.clip(np.arange(left, right), 0, width - 1)
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    if columns[0] == left and columns[-1] == right - 1 and rows[0] == top and rows[-1] == bottom - 1:
        patch = image[top:bottom, left:right].copy()
    else:
        patch = image[rows[:, None], columns[None, :]]
    return patch if size is None else resize(patch, size, size)


def to_tensor(images: NDArray[np.uint8], device: str | torch.device = "cpu") -> torch.Tensor:
    """Take images into a network.

    Args:
        images: `uint8[N, H, W, 3]`, or one image `uint8[H, W, 3]`.
        device: Where the tensor goes.

    Returns:
        `float32[N, 3, H, W]` in [0, 1].
    """
    import torch

    batch = images[None] if images.ndim == 3 else images
    tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(device)
    return tensor.permute(0, 3, 1, 2).contiguous().float().div_(255.0)


def to_images(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """Take a batch out of a network: `[N, 3, H, W]` in [0, 1] to `uint8[N, H, W, 3]`."""
    scaled = tensor.detach().float().clamp(0.0, 1.0).mul(255.0).round()
    return scaled.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def paste(frame: Image, image: Image, box: Iterable[float]) -> NDArray[np.uint8]:
    """Put a target's crop back where it was cut out, so that its surroundings stay real.

    Args:
        frame: `uint8[H, W, 3]`.
        image: The crop, `uint8[h, w, 3]`, resized to the box.
        box: `(x, y, w, h)`; its edges are rounded as `crop` rounds them, and what lies beyond
            the frame is lost.

    Returns:
        A new frame.
    """
    x, y, w, h = box
    left, top = math.floor(x + 0.5), math.floor(y + 0.5)
    right, bottom = max(left + 1, math.floor(x + w + 0.5)), max(top + 1, math.floor(y + h + 0.5))
    fitted = (
        image if image.shape[:2] == (bottom - top, right - left) else resize(image, right - left, bottom - top)
    )
    pasted = frame.copy()
    rows, columns = slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))
    part = pasted[rows, columns]
    part[:] = fitted[rows.start - top :, columns.start - left :][: part.shape[0], : part.shape[1]]
    return pasted
