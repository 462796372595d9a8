"""A search with a known optimum: `OcclusionSearchOracle-v0`.

A target carries a planted part, a checkered square in colours that occur nowhere else, and the score is the
visible share of it. So the least score follows from the limits of the regions alone (`optimum`), and the result
of an agent or a search method can be compared with it. There is no network, so that a step costs little.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tracker.data.sequences import ArrayFrames, Sequence
from tracker.scorers.sint import CosineScorer

from ..mdp.actions import RegionLimits

TARGET_SIDE = 40
"""Pixels: of the target in its frame, and of the scorer's input, so that no pixel is ever resampled."""

PART_SIDE = 12
"""Pixels: of the planted part. It always overlaps the centred half of the target, where a search starts."""

_FRAME_SIDE = 96
_CHECK = 3
_COLOURS = ((235, 40, 235), (255, 200, 40))
_DARK, _BRIGHT = 20, 130
_TOLERANCE = 0.06


def oracle_sequence(seed: int = 0, frames: int = 129) -> Sequence:
    """A video of noise in which a target of noise jumps about, and the planted part about it.

    A frame has `96 x 96` pixels, the target `40 x 40` of them, the part `12 x 12`. The same seed gives
    the same bytes.
    """
    rng = np.random.default_rng([seed, 4])
    images = rng.integers(_DARK, _BRIGHT, (frames, _FRAME_SIDE, _FRAME_SIDE, 3), dtype=np.uint8)
    place = rng.integers(0, _FRAME_SIDE - TARGET_SIDE + 1, (frames, 2))
    part = place + rng.integers(0, TARGET_SIDE - PART_SIDE + 1, (frames, 2))
    rows, columns = np.indices((PART_SIDE, PART_SIDE)) // _CHECK
    square = np.array(_COLOURS, np.uint8)[(rows + columns) % 2]
    for image, (x, y), (u, v) in zip(images, place, part, strict=True):
        target = image[y : y + TARGET_SIDE, x : x + TARGET_SIDE]
        target[..., 1] += 60  # greener than the background
        image[v : v + PART_SIDE, u : u + PART_SIDE] = square
    boxes = np.concatenate([place, np.full_like(place, TARGET_SIDE)], axis=1).astype(np.float64)
    return Sequence(f"oracle-{seed}", ArrayFrames(images), boxes, np.ones(frames), f"oracle:{seed}", "exact")


def optimum(limits: RegionLimits) -> float:
    """The least score that a region within the limits can reach, wherever the part lies.

    A region covers `a` columns of pixels if it is longer than `a - 1` of them, and so for rows; the area says
    which pairs of `a` and `b` go together.

    >>> optimum(RegionLimits())
    0.0
    >>> optimum(RegionLimits(max_area=0.04))  # 10 x 8 of 12 x 12 pixels
    0.4444444444444444
    """
    least = np.maximum(np.arange(PART_SIDE) / TARGET_SIDE, limits.min_side)
    width = np.maximum(least[:, None], least[None, :] / limits.max_aspect)
    covered = np.arange(1, PART_SIDE + 1)[:, None] * np.arange(1, PART_SIDE + 1)[None, :]
    square = min(int(math.sqrt(limits.max_area) * TARGET_SIDE + 1e-9), PART_SIDE)
    return 1.0 - int(covered[width * width.T < limits.max_area].max(initial=square**2)) / PART_SIDE**2


class OracleScorer(CosineScorer):
    """The visible share of the planted part, in [0, 1]."""

    input_size = TARGET_SIDE
    device = torch.device("cpu")

    def embed(self, crops: Tensor) -> Tensor:
        """Number of pixels in one of the part's colours: `[N, 3, 40, 40]` to `float32[N, 1]`."""
        colours = torch.tensor(_COLOURS).view(2, 1, 3, 1, 1) / 255
        near = (crops - colours).abs().amax(dim=2) < _TOLERANCE
        return near.any(dim=0).sum(dim=(1, 2)).float()[:, None]

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """The candidates' counts relative to those of the exemplars, at most 1: `float32[N]`."""
        return (candidates / exemplars.clamp(min=1))[:, 0].clamp(max=1)


class OracleFeatures:
    """The state: mean colours of a grid over the region, with the interface of a `FeatureExtractor`."""

    input_size = 16
    layer = "colours"
    grid = 4
    length = 3 * grid**2
    device = torch.device("cpu")

    def __call__(self, crops: Tensor) -> Tensor:
        """`[N, 3, 16, 16]` in [0, 1] to `float32[N, 48]` in [-1, 1]."""
        return functional.adaptive_avg_pool2d(crops, self.grid).flatten(1) * 2 - 1
