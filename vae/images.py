"""The line between pictures (`uint8` arrays) and what a network sees (vectors of intensities in [0, 1])."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import VAEError

Images = NDArray[np.uint8]
"""`uint8[N, height, width, channels]`: 3 channels are RGB, 1 is grey."""


def check_images(images: Any, shape: tuple[int, int, int]) -> Images:
    """Return `images` if they are `uint8[N, *shape]` with N of at least 1.

    Raises:
        VAEError: If they are not.
    """
    wanted = f"uint8[N, {', '.join(map(str, shape))}]"
    if not isinstance(images, np.ndarray):
        raise VAEError(f"Images must be a NumPy array {wanted}, got {type(images).__name__}.")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape or not len(images):
        got = f"{images.dtype}[{', '.join(map(str, images.shape))}]"
        raise VAEError(f"Images must be {wanted} with N of at least 1, got {got}.")
    return images


def to_vectors(images: Images, device: torch.device) -> torch.Tensor:
    """Flatten images (section 4.1.2): `uint8[N, H, W, C]` to `float32[N, H*W*C]` in [0, 1]."""
    flat = torch.from_numpy(images.reshape(len(images), math.prod(images.shape[1:])).copy()).to(device)
    return flat.to(torch.float32).div_(255)


def to_images(vectors: torch.Tensor, shape: tuple[int, int, int]) -> Images:
    """Undo `to_vectors`: `float32[N, H*W*C]` in [0, 1] to `uint8[N, *shape]`, rounded."""
    levels = vectors.mul(255).round_().clamp_(0, 255).to(torch.uint8)
    return levels.cpu().numpy().reshape(-1, *shape)


def images_digest(images: Images) -> str:
    """SHA-256 of the shape and the pixels, in hexadecimal: two sets of images share it only if they are equal."""
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()
