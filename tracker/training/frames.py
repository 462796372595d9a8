"""Network inputs of SINT's training: views of frames, or cached feature maps of the fixed layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as colour

from ..data.images import to_tensor
from ..data.sequences import FrameCache, ImageFiles, Sequence
from ..models.backbones import Backbone, Chain, autocast
from ..models.sint import SintConfig, View, view_of
from .hard_positives import TrainingPositive, paste
from .sampling import ImagePair, LabelledFrame


def cache_frames(sequences: Iterable[Sequence], cache_bytes: int) -> list[Sequence]:
    """Return sequences whose frames, where they are image files, share a cache of decoded frames of this size."""
    cache = FrameCache(cache_bytes)
    return [
        replace(sequence, frames=sequence.frames.cached_in(cache))
        if isinstance(sequence.frames, ImageFiles)
        else sequence
        for sequence in sequences
    ]


class Views:
    """Views of frames, decoded on request.

    Args:
        config: How a frame is shown to the network.
        sequences: The videos.
        hard_positives: Images that may be pasted into them.
        cache_bytes: The least recently used views are evicted beyond this many bytes. Where search regions
            shift, decoded frames are cached instead.
        shifts: Whether search regions shift, so that no view comes twice.
    """

    def __init__(
        self,
        config: SintConfig,
        sequences: Iterable[Sequence],
        hard_positives: Iterable[TrainingPositive] = (),
        cache_bytes: int = 2**30,
        shifts: bool = False,
    ) -> None:
        self.config = config
        self._hard = list(hard_positives)
        self.sequences = cache_frames(sequences, cache_bytes if shifts else 0)
        count = 0 if shifts else max(1, cache_bytes // (3 * config.side**2))
        self._view = lru_cache(maxsize=count)(self._make)

    def __call__(self, frame: LabelledFrame) -> View:
        """The view of a frame."""
        return self._view(frame.video, frame.frame, tuple(frame.boxes[0].tolist()), frame.hard, frame.shift)

    def _make(
        self,
        video: int,
        t: int,
        box: tuple[float, ...],
        hard: int | None,
        shift: tuple[float, float],
    ) -> View:
        frame = self.sequences[video].frames[t]
        if hard is not None:
            frame = paste(frame, self._hard[hard].load(), self._hard[hard].box)
        x, y, w, h = box
        reach = self.config.context * max(w, h)
        return view_of(self.config, frame, (x + shift[0] * reach, y + shift[1] * reach, w, h))


class FrozenMaps:
    """Feature maps of views up to the last convolution that is not trained, cached in float16.

    Args:
        backbone: The network.
        frozen: The last convolution before which no layer is trained; the last of all where the network is no
            `Chain`.
        views: The views.
        dtype: Arithmetic of the forward pass.
        cache_bytes: The least recently used maps are evicted beyond this many bytes; they lie on the CPU.
    """

    def __init__(
        self, backbone: Backbone, frozen: str, views: Views, dtype: torch.dtype, cache_bytes: int = 4 * 2**30
    ) -> None:
        self.frozen = frozen
        self._backbone, self._views, self._dtype = backbone, views, dtype
        order = backbone.convolutions
        compared = [name for name in backbone.sint_layers if order.index(name) <= order.index(frozen)]
        self.names = tuple(dict.fromkeys([*compared, frozen])) if len(compared) < 2 else tuple(compared)
        cells = [views.config.side / backbone.cells(name).stride for name in self.names]
        size = sum(2 * backbone.channels(name) * side**2 for name, side in zip(self.names, cells, strict=True))
        self._maps = lru_cache(maxsize=max(1, int(cache_bytes / size)))(self._make)

    @torch.no_grad()
    def _make(self, video: int, t: int, box: tuple[float, ...], hard: int | None) -> dict[str, Tensor]:
        view = self._views(LabelledFrame(video, t, np.array([box]), np.array([True]), hard))
        image = to_tensor(view.image, self._backbone.mean.device)
        with autocast(image.device, self._dtype):
            maps = self._backbone.maps(image.contiguous(memory_format=torch.channels_last), self.names)
        return {name: value.half().cpu() for name, value in maps.items()}

    def __call__(self, frames: Iterable[LabelledFrame]) -> dict[str, Tensor]:
        """The maps of the compared convolutions, `[N, C, h, w]`; the trained layers run on the cached maps."""
        cached = [
            self._maps(frame.video, frame.frame, tuple(frame.boxes[0].tolist()), frame.hard) for frame in frames
        ]
        device = self._backbone.mean.device
        maps = {
            # On a CPU, autocast concatenates no float16.
            name: torch.cat([entry[name].to(device).float() for entry in cached]).contiguous(
                memory_format=torch.channels_last
            )
            for name in self.names
        }
        missing = [name for name in self._backbone.sint_layers if name not in maps]
        if missing:
            assert isinstance(self._backbone, Chain)
            maps |= self._backbone.maps_from(self.frozen, maps[self.frozen], missing)
        return maps


def change_colours(image: Tensor, factors: tuple[float, float, float]) -> Tensor:
    """Multiply brightness, contrast and saturation of an image `[1, 3, H, W]` in [0, 1] by `factors`."""
    bright, contrast, saturation = factors
    if factors == (1.0, 1.0, 1.0):
        return image
    image = colour.adjust_contrast(colour.adjust_brightness(image, bright), contrast)
    return colour.adjust_saturation(image, saturation)


def stack_pairs(
    views: Views, pairs: Iterable[ImagePair], device: torch.device
) -> tuple[Tensor, list[NDArray[np.float64]]]:
    """The images of pairs of frames, `[2 N, 3, side, side]`, and the corners `[K, 4]` of the boxes in each."""
    images, corners = [], []
    for pair in pairs:
        for frame, factors in zip((pair.first, pair.second), pair.colour, strict=True):
            view = views(frame)
            image, boxes = change_colours(to_tensor(view.image, device), factors), view.corners(frame.boxes)
            if pair.flip:
                image, boxes[:, [0, 2]] = image.flip(3), views.config.side - boxes[:, [2, 0]]
            images.append(image)
            corners.append(boxes)
    return torch.cat(images).contiguous(memory_format=torch.channels_last), corners
