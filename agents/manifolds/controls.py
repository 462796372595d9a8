"""Baselines for a manifold's samples: simpler ways of making more crops of a target from its crops."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError

Images = NDArray[np.uint8]
Vectors = NDArray[np.float64]

BLUR_LENGTHS = (3.0, 15.0)
"""Least and greatest length of a motion blur in pixels of a 64 x 64 crop."""

_NEGLIGIBLE = 1e-6
"""Singular values up to this are rounding errors."""


@dataclass(frozen=True)
class PrincipalComponents:
    """The linear counterpart of the VAE: a Gaussian along the directions of the greatest variance.

    Attributes:
        shape: Height, width and channels of an image.
        mean: The mean image, `float64[D]`, intensities in [0, 1].
        directions: Orthonormal, `float64[J, D]`, J at most the rank of the images.
        deviations: Standard deviation of the images along each, `float64[J]`.
    """

    shape: tuple[int, int, int]
    mean: Vectors
    directions: Vectors
    deviations: Vectors

    @classmethod
    def fit(cls, images: Images, latent: int) -> PrincipalComponents:
        """Find the directions by a singular value decomposition.

        Args:
            images: `uint8[N, H, W, 3]`.
            latent: Largest number of directions.
        """
        vectors = _vectors(images)
        mean = vectors.mean(axis=0)
        _, values, directions = np.linalg.svd(vectors - mean, full_matrices=False)
        kept = min(latent, int((values > _NEGLIGIBLE).sum()))
        return cls(images.shape[1:], mean, directions[:kept], values[:kept] / np.sqrt(len(images)))

    def reconstruct(self, images: Images) -> Images:
        """Project images onto the plane of the directions, `uint8[N, H, W, 3]`."""
        codes = (_vectors(images) - self.mean) @ self.directions.T
        return _images(self.mean + codes @ self.directions, self.shape)

    def sample(self, n: int, rng: np.random.Generator) -> Images:
        """Draw images from the Gaussian, `uint8[n, H, W, 3]`."""
        codes = rng.standard_normal((n, len(self.deviations))) * self.deviations
        return _images(self.mean + codes @ self.directions, self.shape)


def interpolate_crops(images: Images, n: int, rng: np.random.Generator) -> Images:
    """Blend a crop with the next in time, pixel by pixel, at a random share: `uint8[n, H, W, 3]`.

    Args:
        images: `uint8[N, H, W, 3]` in the order of time; a single one is returned itself.
        n: Number of blends.
        rng: Draws the pair and the share.
    """
    first = rng.integers(max(1, len(images) - 1), size=n)
    second = np.minimum(first + 1, len(images) - 1)
    share = rng.random((n, 1))
    vectors = _vectors(images)
    return _images(vectors[first] * (1 - share) + vectors[second] * share, images.shape[1:])


def nearest_on_path(images: Images, path: Images) -> Images:
    """For each image the nearest blend of two crops next to each other in time: the best interpolation.

    Args:
        images: `uint8[M, H, W, 3]`.
        path: `uint8[N, H, W, 3]`, the crops in the order of time.

    Returns:
        `uint8[M, H, W, 3]`.
    """
    vectors, corners = _vectors(images), _vectors(path)
    starts, steps = corners[: max(1, len(corners) - 1)], np.diff(corners, axis=0)
    if not len(steps):
        steps = np.zeros_like(starts)
    lengths = np.square(steps).sum(axis=1)
    found = []
    for vector in vectors:
        along = ((vector - starts) * steps).sum(axis=1)
        share = np.clip(np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0), 0, 1)
        blends = starts + share[:, None] * steps
        found.append(blends[np.square(blends - vector).sum(axis=1).argmin()])
    return _images(np.stack(found), images.shape[1:])


def blur_motion(images: Images, n: int, rng: np.random.Generator) -> Images:
    """Blur random crops along random directions, as a camera or a target that moves does.

    Args:
        images: `uint8[N, H, W, 3]`.
        n: Number of blurred crops.
        rng: Draws the crop, the direction, and the length (uniform in `BLUR_LENGTHS` for 64 pixels).

    Returns:
        `uint8[n, H, W, 3]`.
    """
    scale = images.shape[1] / 64
    chosen = rng.integers(len(images), size=n)
    lengths, angles = rng.uniform(*BLUR_LENGTHS, size=n) * scale, rng.uniform(0, np.pi, size=n)
    blurred = [
        cv2.filter2D(images[i], -1, _line(length, angle), borderType=cv2.BORDER_REPLICATE)
        for i, length, angle in zip(chosen, lengths, angles, strict=True)
    ]
    return np.stack(blurred) if blurred else images[:0]


def pairwise_distances(images: Images, others: Images) -> Vectors:
    """Root mean square difference of each pair, in intensities of [0, 1]: `float64[N, M]`.

    Args:
        images: `uint8[N, H, W, 3]`.
        others: `uint8[M, H, W, 3]`.

    Raises:
        InputError: If the two differ in size.
    """
    if images.shape[1:] != others.shape[1:]:
        raise InputError(f"Images of {list(images.shape[1:])} have no distance to {list(others.shape[1:])}.")
    a, b = _vectors(images), _vectors(others)
    # Whole numbers of 8 bits: their products are exact in float64, and equal images are at distance 0.
    a, b = np.rint(a * 255), np.rint(b * 255)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0) / a.shape[1]) / 255


def _line(length: float, angle: float) -> NDArray[np.float32]:
    """A kernel that averages along a line through its middle."""
    side = 2 * int(np.ceil(length / 2)) + 1
    middle = (side - 1) / 2
    kernel = np.zeros((side, side), np.float32)
    for t in np.linspace(-length / 2, length / 2, 8 * side):
        x, y = middle + t * np.cos(angle), middle + t * np.sin(angle)
        i, j = int(np.floor(x)), int(np.floor(y))
        for row, column, share in (
            (j, i, (1 - y + j) * (1 - x + i)),
            (j, i + 1, (1 - y + j) * (x - i)),
            (j + 1, i, (y - j) * (1 - x + i)),
            (j + 1, i + 1, (y - j) * (x - i)),
        ):
            if 0 <= row < side and 0 <= column < side:
                kernel[row, column] += share
    return kernel / kernel.sum()


def _vectors(images: Images) -> Vectors:
    return images.reshape(len(images), -1).astype(np.float64) / 255


def _images(vectors: Vectors, shape: tuple[int, ...]) -> Images:
    return np.clip(np.rint(vectors * 255), 0, 255).astype(np.uint8).reshape(-1, *shape)
