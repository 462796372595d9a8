"""What a step of SiamFC's training is shown: exemplars, search regions, and where the targets are in them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.images import Image, to_tensor
from ..data.sequences import FrameCache, ImageFiles, Sequence
from ..errors import InputError
from ..models.siamfc import EXEMPLAR, RESPONSE, SEARCH, STRIDE, cut_square, exemplar_side

__all__ = ["SearchPairs", "SiamFCPairs", "SiamFCTraining", "region_around", "response_labels"]

TARGET = 64
"""Side of the crops of exemplars' targets, without surroundings, that a transform is given."""


@dataclass(frozen=True)
class SiamFCTraining:
    """Settings of `train_siamfc`; the recipe is SiamFC's, the rate that of going on from released weights.

    Attributes:
        steps: Steps.
        pairs: Pairs of frames a step; SiamFC's 8.
        learning_rate: At the start; it falls to 0 by a cosine.
        momentum: Of SGD.
        weight_decay: Of SGD.
        frozen: How many of the five convolutions, counted from the first, stay as they are.
        gap: Largest number of frames between the two of a pair; SiamFC's 100.
        radius: Cells of the response up to so many pixels of the search region off the target are positive.
        shift: Largest shift of the search region off its target, in both directions, in pixels of the region.
        scale: Largest relative change of the regions' sides.
        validate_pairs: Pairs of the held-out videos, always the same ones, by which the loss is judged.
        seed: Of everything that is drawn.

    Raises:
        InputError: If a value is out of its range.
    """

    steps: int = 300
    pairs: int = 8
    learning_rate: float = 1e-5
    momentum: float = 0.9
    weight_decay: float = 5e-4
    frozen: int = 0
    gap: int = 100
    radius: float = 16.0
    shift: float = 32.0
    scale: float = 0.05
    validate_pairs: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("steps", "pairs", "gap", "validate_pairs"):
            if getattr(self, name) < 1:
                raise InputError(f"The setting {name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("pairs", "validate_pairs"):
            if getattr(self, name) > 10_000:
                raise InputError(f"The setting {name} is {getattr(self, name)}; it must be at most 10000.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"The learning rate is {self.learning_rate:g}; it must be above 0 and finite.")
        for name in ("weight_decay", "radius", "shift", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"The setting {name} is {getattr(self, name):g}; it must be finite, 0 or more.")
        for name in ("momentum", "scale"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"The setting {name} is {getattr(self, name):g}; it must be in [0, 1).")
        if not 0 <= self.frozen < 5:
            raise InputError(f"The setting frozen is {self.frozen}; it must be 0 to 4, so that something learns.")
        reach = STRIDE * (RESPONSE // 2)
        if self.shift + self.radius > reach:
            raise InputError(
                f"With a shift of {self.shift:g} and a radius of {self.radius:g} a target can leave the response;"
                f" give at most {reach} pixels together."
            )

    def record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SearchPairs:
    """N pairs of a video's frames each.

    Attributes:
        exemplars: `float32[N, 3, 127, 127]` in [0, 1], targets with their surroundings.
        targets: `float32[N, 3, 64, 64]`, the same targets without.
        searched: `float32[N, 3, 255, 255]`.
        boxes: `float32[N, 4]`, `(x, y, w, h)` of the targets in `searched`.
    """

    exemplars: Tensor
    targets: Tensor
    searched: Tensor
    boxes: Tensor


class SiamFCPairs:
    """Draws the pairs of a step; the draw depends on the seed and the step's number alone.

    A video is drawn uniformly, then a frame that shows its target, then another one at most `gap` frames off.

    Args:
        sequences: The videos.
        settings: See `SiamFCTraining`.
        cache_bytes: Decoded frames are kept up to this many bytes.

    Raises:
        InputError: If a video has no two such frames.
    """

    def __init__(self, sequences: Iterable[Sequence], settings: SiamFCTraining, cache_bytes: int = 2**30) -> None:
        """See the class."""
        given = list(sequences)
        if not given:
            raise InputError("There is no video to draw pairs from; give at least one.")
        cache = FrameCache(cache_bytes)
        self.sequences = [
            replace(each, frames=each.frames.cached_in(cache)) if isinstance(each.frames, ImageFiles) else each
            for each in given
        ]
        self.settings = settings
        for each in self.sequences:
            if len(each.present) < 2 or np.diff(each.present).min() > settings.gap:
                raise InputError(
                    f"The video '{each.name}' has no two frames with the target within {settings.gap} frames;"
                    " leave it out, or allow a larger gap."
                )

    def draw(self, step: int, count: int, device: str | torch.device = "cpu") -> SearchPairs:
        """Draw the pairs of a step by its number; they are moved to the device as bytes."""
        rng = np.random.default_rng([self.settings.seed, 11, step])
        found = [self._pair(rng) for _ in range(count)]
        exemplars, targets, searched, boxes = zip(*found, strict=True)
        return SearchPairs(
            to_tensor(np.stack(exemplars), device), to_tensor(np.stack(targets), device),
            to_tensor(np.stack(searched), device), torch.from_numpy(np.stack(boxes)).float().to(device),
        )  # fmt: skip

    def _pair(self, rng: np.random.Generator) -> tuple[Image, Image, Image, NDArray[np.float64]]:
        settings = self.settings
        sequence = self.sequences[rng.integers(len(self.sequences))]
        present = sequence.present
        while True:
            first = int(rng.choice(present))
            near = present[(np.abs(present - first) <= settings.gap) & (present != first)]
            if len(near):
                break
        second = int(rng.choice(near))
        zoom = 1 + rng.uniform(-settings.scale, settings.scale, 2)
        shift = rng.uniform(-settings.shift, settings.shift, 2)
        exemplar, _ = region_around(sequence, first, EXEMPLAR, zoom[0], np.zeros(2))
        searched, box = region_around(sequence, second, SEARCH, zoom[1], shift)
        return exemplar, sequence.crop(first, TARGET), searched, box


def region_around(
    sequence: Sequence, t: int, size: int, zoom: float, shift: NDArray[np.float64]
) -> tuple[Image, NDArray[np.float64]]:
    """The square around a target that SiamFC is shown.

    Args:
        sequence: The video.
        t: The frame.
        size: Side of the square in pixels: `EXEMPLAR` or `SEARCH`, which show 1 and 255 / 127 exemplar sides.
        zoom: Factor of what it shows.
        shift: Where the target stands off the middle, `(x, y)` in its pixels.

    Returns:
        `uint8[size, size, 3]`, and the target's box in it, `(x, y, w, h)`.
    """
    frame, (x, y, w, h) = sequence.frames[t], sequence.boxes[t]
    side = exemplar_side(w, h) * size / EXEMPLAR * zoom
    step = side / size
    centre = np.array([x + w / 2, y + h / 2]) - shift * step
    image = cut_square(frame, centre, side, size, frame.mean(axis=(0, 1)))
    middle = size / 2 + shift
    extent = np.array([w, h]) / step
    return image, np.concatenate([middle - extent / 2, extent])


def response_labels(boxes: Tensor, radius: float) -> Tensor:
    """Which cells of the response show the target.

    Args:
        boxes: `[N, 4]`, `(x, y, w, h)` in the search regions.
        radius: Cells whose place is at most so many pixels off the box's centre are positive.

    Returns:
        `bool[N, 17, 17]`.
    """
    side = RESPONSE
    places = SEARCH / 2 + STRIDE * (torch.arange(side, device=boxes.device) - side // 2)
    x, y = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3] / 2
    off = (places[None, None] - x[:, None, None]) ** 2 + (places[None, :, None] - y[:, None, None]) ** 2
    return off <= radius**2
