"""The keys of images and regions in a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def image_key(image: NDArray[np.uint8]) -> bytes:
    """Key of an image: 16 bytes of its BLAKE2 hash, the shape included."""
    content = np.ascontiguousarray(image)
    return hashlib.blake2b(content.data, digest_size=16, salt=repr(content.shape).encode()[:16]).digest()


def region_keys(regions: NDArray[np.float64]) -> list[bytes]:
    """Keys of regions `[N, 4]`: their numbers in millionths, so that rounding makes no second region.

    >>> region_keys(np.array([[0.1 + 0.2, 0, 1, 1]])) == region_keys(np.array([[0.3, 0, 1, 1]]))
    True
    """
    rows = np.ascontiguousarray(np.rint(np.asarray(regions) * 1e6).astype(np.int32))
    return [row.tobytes() for row in rows]


def keyed_regions(keys: Iterable[bytes]) -> NDArray[np.float64]:
    """The regions `[N, 4]` of `region_keys`, to a millionth.

    >>> keyed_regions(region_keys(np.array([[0.25, 0, 1, 1]]))).tolist()
    [[0.25, 0.0, 1.0, 1.0]]
    """
    return np.frombuffer(b"".join(keys), dtype=np.int32).reshape(-1, 4) / 1e6
