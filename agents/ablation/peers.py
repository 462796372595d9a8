"""Inexpensive alternatives to generated hard positives: random erasing, motion blur, holes in pooled features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from tracker.data.images import to_images, to_tensor
from tracker.training import Hardening

from ..common.randomness import numpy_generator
from ..manifolds.controls import blur_motion

_ERASE = v2.RandomErasing(p=1.0)


@dataclass
class Erasing:
    """torchvision's random erasing (Zhong et al. 2017) of the target: 2 to 33 % of it become black.

    Attributes:
        p: Probability that an image is changed.
    """

    p: float = 0.5

    def __call__(self, images: Tensor, boxes: Tensor, exemplars: Tensor, generator: torch.Generator) -> Tensor:
        """See `tracker.training.FrameTransform`; torchvision draws from the seed that the generator gives it."""

        def erase(target: Tensor) -> Tensor:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
                erased: Tensor = _ERASE(target)
            return erased

        return _change_targets(images, boxes, self.p, generator, erase)


@dataclass
class MotionBlur:
    """Blurs the target along a random direction; see `agents.manifolds.controls.blur_motion`.

    Attributes:
        p: Probability that an image is changed.
    """

    p: float = 0.5

    def __call__(self, images: Tensor, boxes: Tensor, exemplars: Tensor, generator: torch.Generator) -> Tensor:
        """Change some targets; see `tracker.training.FrameTransform`."""

        def blur(target: Tensor) -> Tensor:
            blurred = blur_motion(to_images(target[None]), 1, numpy_generator(generator))
            return to_tensor(blurred, images.device)[0]

        return _change_targets(images, boxes, self.p, generator, blur)


@dataclass
class RoiHoles(Hardening):
    """A-Fast-RCNN's spatial dropout (Wang et al. 2017, section 4.1): a window of the pooled grid becomes 0.

    Their network predicts the window whose removal lowers the score most. Here it is computed: the cosine with the
    exemplar is a sum over cells. As theirs, the hole is drawn from the most important windows.

    Attributes:
        p: Probability that a frame's boxes have holes.
        side: Side of the window in cells; theirs is a third of the grid.
        among: Number of windows that the hole is drawn from.
    """

    p: float = 0.5
    side: int = 3
    among: int = 5

    def record(self) -> str:
        """The settings."""
        return repr(self)

    def on_features(
        self, pooled: list[Tensor], same: Tensor, exemplars: list[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Set a window to 0 in the boxes that show the target."""
        windows = self.most_similar([part.detach() for part in pooled], exemplars)
        chosen = torch.randint(windows.shape[2], same.shape, generator=generator).to(windows.device)
        holed = torch.rand(len(same), generator=generator).lt(self.p).to(same.device)
        grid, places = pooled[0].shape[-1], pooled[0].shape[-1] - self.side + 1
        index = windows.gather(2, chosen[..., None])
        cells = torch.arange(grid, device=index.device)
        rows, columns = (
            (cells >= start) & (cells < start + self.side) for start in (index // places, index % places)
        )
        hole = rows[..., :, None] & columns[..., None, :] & (same & holed[:, None])[..., None, None]
        return [part.masked_fill(hole[:, :, None], 0.0) for part in pooled]

    def most_similar(self, pooled: list[Tensor], exemplars: list[Tensor]) -> Tensor:
        """The windows `int64[M, K, among]` that hold most of each box's similarity to the exemplar."""
        similarity = torch.stack(
            [
                (_unit(part) * _unit(exemplar)[:, None]).sum(dim=2)
                for part, exemplar in zip(pooled, exemplars, strict=True)
            ]
        ).sum(dim=0)
        windows = functional.avg_pool2d(similarity, self.side, 1).flatten(2)
        return windows.topk(min(self.among, windows.shape[2]), dim=2).indices


def _unit(maps: Tensor) -> Tensor:
    """Maps `[..., C, G, G]` divided by their length over all cells."""
    return functional.normalize(maps.float().flatten(-3), dim=-1).reshape(maps.shape)


def _change_targets(
    images: Tensor, boxes: Tensor, p: float, generator: torch.Generator, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """Change the targets of some images, drawn with probability `p`, by a function of their pixels `[3, h, w]`."""
    height, width = images.shape[-2:]
    found = images.clone()
    for row in torch.nonzero(torch.rand(len(images), generator=generator) < p)[:, 0].tolist():
        x, y, w, h = boxes[row].tolist()
        top, bottom = max(0, math.floor(y)), min(height, math.ceil(y + h))
        left, right = max(0, math.floor(x)), min(width, math.ceil(x + w))
        if top < bottom and left < right:
            found[row, :, top:bottom, left:right] = change(images[row, :, top:bottom, left:right])
    return found
