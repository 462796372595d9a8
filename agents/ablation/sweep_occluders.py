"""Occluders of the sweep that no arm of the ladder trains with.

The arms cover rectangles, with pieces of the frame's own background, with targets of the training videos, or with
black. These kinds have other shapes or contents:

- `cutout`: an irregular blob out of another video's target;
- `side`: another video's frame behind a straight edge that moves in from a random direction as the level grows;
- `texture`: a rectangle of drawn stripes, checks or noise.
"""

from __future__ import annotations

from collections.abc import Sequence as Many

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import occlude_image
from occlusion_env.scene.shapes import OtherVideo, blob_distance, draw_texture
from tracker.data.images import resize

Image = NDArray[np.uint8]

SEEN_KINDS = ("background",)
"""Kinds that arms train with: a rectangle of the frame's own background."""

UNSEEN_KINDS = ("cutout", "side", "texture")
"""Kinds that no arm trains with."""

KINDS = SEEN_KINDS + UNSEEN_KINDS


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
    if kind == "cutout":
        y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
        rank = blob_distance(x, y, rng)
    else:
        rank = _edge(height, width, rng)
    covered = np.zeros(height * width, bool)
    covered[np.argsort(rank.ravel(), kind="stable")[: round(level * height * width)]] = True
    filling = resize(other.target if kind == "cutout" else other.frame, width, height)
    return np.where(covered.reshape(height, width, 1), filling, target)


def _edge(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Position of each pixel along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    return x / width * np.cos(angle) + y / height * np.sin(angle)
