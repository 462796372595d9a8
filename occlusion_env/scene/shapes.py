"""Occluders with other shapes and contents than rectangles of background: blobs, other videos, drawn textures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data.images import crop
from tracker.data.sequences import Sequence

from .occluders import PATCH_SIZE

Image = NDArray[np.uint8]

_WAVES = 4
"""Harmonics of a blob's outline."""

_WAVINESS = 0.35
"""Largest amplitude of a harmonic, as a share of the blob's radius."""


@dataclass(frozen=True)
class OtherVideo:
    """Material for occluders from a video's first frame.

    Attributes:
        name: The sequence.
        frame: `uint8[H, W, 3]`.
        target: The target's crop, `uint8[h, w, 3]`.
    """

    name: str
    frame: Image
    target: Image

    def is_of(self, sequence: Sequence) -> bool:
        """Whether it is of the same video, of another target in it too (OTB's `Jogging-1` and `Jogging-2`)."""
        return self.name == sequence.name or np.array_equal(self.frame, sequence.frames[0])


def other_videos(sequences: Iterable[Sequence]) -> list[OtherVideo]:
    """Read the first frame of each sequence."""
    return [OtherVideo(s.name, s.frames[0], crop(s.frames[0], s.exemplar_box)) for s in sequences]


def draw_texture(rng: np.random.Generator, size: int = PATCH_SIZE) -> Image:
    """Draw stripes, checks or noise in two random colours: `uint8[size, size, 3]`."""
    first = rng.integers(0, 256, 3)
    colours = np.stack([first, (first + rng.integers(96, 161, 3)) % 256]).astype(np.uint8)
    kind = int(rng.integers(3))
    if kind == 2:
        return colours[rng.integers(0, 2, (size, size))]
    period, angle = rng.uniform(size / 12, size / 4), rng.uniform(0, np.pi)
    y, x = np.mgrid[:size, :size]
    along, across = (np.floor((x * np.cos(a) + y * np.sin(a)) / period) for a in (angle, angle + np.pi / 2))
    return colours[(along + across * kind).astype(int) % 2]


def blob_distance(x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Distance of points from a random centre, over the radius of an irregular outline in their direction.

    Args:
        x: Relative to the target's box, whose sides lie at 0 and 1.
        y: The same; the two broadcast.
        rng: Random generator.
    """
    centre = rng.uniform(0.25, 0.75, 2)
    angle, distance = np.arctan2(y - centre[1], x - centre[0]), np.hypot(x - centre[0], y - centre[1])
    waves = np.arange(1, _WAVES + 1)
    size, phase = rng.uniform(0, _WAVINESS, _WAVES) / waves, rng.uniform(0, 2 * np.pi, _WAVES)
    outline = 1 + (size * np.cos(angle[..., None] * waves + phase)).sum(axis=2)
    return distance / outline
