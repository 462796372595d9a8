"""Hardenings: changes of frames or features that make a training step harder than its videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import roi_align

if TYPE_CHECKING:
    from ..models.sint import Sint


FrameTransform = Callable[[Tensor, Tensor, Tensor, torch.Generator], Tensor]
"""Takes images `[M, 3, H, W]` in [0, 1], boxes of their targets `[M, 4]` as `(x, y, w, h)` in pixels, exemplars
`[M, 3, S, S]` and a generator on the CPU for all its draws, and returns images of the same shape.
`agents.hard_positives.transforms.HardPositiveBatch` is one."""


class Hardening:
    """Changes the second frame of each pair of a training step; this base class changes nothing.

    All draws come from the generator that is passed in, which follows from the seed and the step's number, and
    nothing is stored from step to step, so that an interrupted training resumes with the same draws.
    """

    def record(self) -> str:
        """Fingerprint of the hardening, for the run's record."""
        return type(self).__name__

    def at(self, progress: float) -> Hardening:
        """Hardening at a given training progress in [0, 1); a curriculum overrides it."""
        return self

    def on_frames(self, images: Tensor, boxes: Tensor, exemplars: Tensor, generator: torch.Generator) -> Tensor:
        """Change the frames.

        Args:
            images: `[M, 3, S, S]` in [0, 1], the views of the second frames.
            boxes: `[M, 4]`, their targets, `(x, y, w, h)` in the views' pixels.
            exemplars: `[M, 3, s, s]`, the targets of the first frames, cut to the network's input.
            generator: Generator of all draws.

        Returns:
            Images of the same shape; `images` itself if nothing changes.
        """
        return images

    def on_features(
        self, pooled: list[Tensor], same: Tensor, exemplars: list[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Change the pooled features of the boxes of the second frames.

        Args:
            pooled: For each compared convolution `[M, K, C, G, G]`, the target's box first.
            same: `bool[M, K]`, whether a box shows the target.
            exemplars: For each compared convolution `[M, C, G, G]`, of the targets of the first frames.
            generator: Generator of all draws.

        Returns:
            Tensors of the shapes of `pooled`.
        """
        return pooled


class FrameHardening(Hardening):
    """Hardening of the frames by any transform of images and boxes.

    Args:
        transform: Changes the images; its `repr` is the fingerprint for the run's record.
    """

    def __init__(self, transform: FrameTransform) -> None:
        self.transform = transform

    def record(self) -> str:
        """Return the transform's `repr`."""
        return repr(self.transform)

    def on_frames(self, images: Tensor, boxes: Tensor, exemplars: Tensor, generator: torch.Generator) -> Tensor:
        """Apply the transform."""
        return self.transform(images, boxes, exemplars, generator)


MakeHardening = Callable[["Sint"], Hardening]
"""Makes a hardening for the network that is trained, whose scores it may use."""


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of a step's hardening, on the CPU."""
    # PyTorch's generator on the CPU takes 32 bits of a seed.
    return torch.Generator().manual_seed(int(np.random.default_rng([seed, 5, step]).integers(2**32)))


def harden_frames(
    hardening: Hardening, images: Tensor, rois: Tensor, side: int, generator: torch.Generator
) -> Tensor:
    """Change the second image of each pair.

    Args:
        hardening: Changes the second images.
        images: `[2 P, 3, S, S]` in [0, 1], the pairs one after the other.
        rois: `[2 P K, 5]`: the index of the image, then `x1, y1, x2, y2` in its pixels; K boxes an image, the
            target's first.
        side: Side of the exemplars in pixels.
        generator: Generator of all draws.

    Returns:
        New images of the same shape, in the channels-last memory format.
    """
    targets = rois.unflatten(0, (len(images), -1))[:, 0]
    exemplars = roi_align(images, targets[0::2], side, aligned=True)
    boxes = torch.cat([targets[1::2, 1:3], targets[1::2, 3:] - targets[1::2, 1:3]], dim=1)
    hard = hardening.on_frames(images[1::2], boxes, exemplars, generator)
    return torch.stack([images[0::2], hard], 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)
