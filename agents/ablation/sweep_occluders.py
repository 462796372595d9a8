"""Occluders of the sweep that no arm of the ladder trains with.

The arms cover rectangles, with pieces of the frame's own background, with targets of the training videos, or with
black. These kinds have other shapes or contents:

- `cutout`: an irregular blob out of another video's target;
- `side`: another video's frame behind a straight edge that moves in from a random direction as the level grows;
- `texture`: a rectangle of drawn stripes, checks or noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import PATCH_SIZE, occlude_image
from tracker.data.images import crop, resize
from tracker.data.sequences import Sequence

Image = NDArray[np.uint8]

SEEN_KINDS = ("background",)
"""Kinds that arms train with: a rectangle of the frame's own background."""

UNSEEN_KINDS = ("cutout", "side", "texture")
"""Kinds that no arm trains with."""

KINDS = SEEN_KINDS + UNSEEN_KINDS

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


def cover(kind: str, target: Image, level: float, others: Many[OtherVideo], rng: np.random.Generator) -> Image:
    """Cover a share of a target with an occluder of an unseen kind.

    With the same generator state, a larger level covers all that a smaller one covers (`cutout`, `side`).

    Args:
        kind: One of `UNSEEN_KINDS`.
        target: The target's crop, `uint8[h, w, 3]`.
        level: Covered share of the pixels, in (0, 1): exact to half a pixel for `cutout` and `side`, to the
            rounding of the rectangle's edges for `texture`.
        others: Other videos, at least one.
        rng: Random generator.

    Returns:
        `uint8[h, w, 3]`.
    """
    height, width = target.shape[:2]
    if kind == "texture":
        region = RegionLimits(max_area=level).random(np.array([level]), rng)[0]
        return occlude_image(target, draw_texture(rng), region)
    other = others[int(rng.integers(len(others)))]
    rank = _blob(height, width, rng) if kind == "cutout" else _edge(height, width, rng)
    covered = np.zeros(height * width, bool)
    covered[np.argsort(rank.ravel(), kind="stable")[: round(level * height * width)]] = True
    filling = resize(other.target if kind == "cutout" else other.frame, width, height)
    return np.where(covered.reshape(height, width, 1), filling, target)


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


def _blob(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Distance of each pixel from a random centre, over the radius of an irregular outline in its direction."""
    centre = rng.uniform(0.25, 0.75, 2)
    y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
    angle, distance = np.arctan2(y - centre[1], x - centre[0]), np.hypot(x - centre[0], y - centre[1])
    waves = np.arange(1, _WAVES + 1)
    size, phase = rng.uniform(0, _WAVINESS, _WAVES) / waves, rng.uniform(0, 2 * np.pi, _WAVES)
    outline = 1 + (size * np.cos(angle[..., None] * waves + phase)).sum(axis=2)
    return distance / outline


def _edge(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Position of each pixel along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    return x / width * np.cos(angle) + y / height * np.sin(angle)
