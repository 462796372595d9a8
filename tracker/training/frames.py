"""Network inputs of SINT's training: views of frames, or cached feature maps of the fixed layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as colour

from ..data.images import paste, to_tensor
from ..data.sequences import FrameCache, ImageFiles, Sequence
from ..models.backbones import Backbone, Chain, autocast
from ..models.sint import SintConfig, View, view_of
from .hard_positives import TrainingPositive
from .sampling import ImagePair, LabelledFrame, PairSampler


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
        self._cache_bytes, self._shifts = cache_bytes, shifts
        self.sequences = cache_frames(sequences, cache_bytes if shifts else 0)
        count = 0 if shifts else max(1, cache_bytes // (3 * config.side**2))
        self._view = lru_cache(maxsize=count)(self._make)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments; a copy in another process starts with an empty cache."""
        return Views, (self.config, self.sequences, self._hard, self._cache_bytes, self._shifts)

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


class PairViews(NamedTuple):
    """N pairs of frames as the network sees them, before their colours change and they are mirrored.

    Attributes:
        pairs: The pairs.
        images: `uint8[2 N, side, side, 3]`, on the CPU, the pairs one after the other.
        corners: For each image `float64[K, 4]`, its boxes after the augmentation.
    """

    pairs: list[ImagePair]
    images: Tensor
    corners: list[NDArray[np.float64]]

    @classmethod
    def cut(cls, views: Views, pairs: list[ImagePair]) -> PairViews:
        """Cut the views of the frames of pairs."""
        images, corners = [], []
        for pair in pairs:
            for frame in (pair.first, pair.second):
                view = views(frame)
                boxes = view.corners(frame.boxes)
                if pair.flip:
                    boxes[:, [0, 2]] = views.config.side - boxes[:, [2, 0]]
                images.append(torch.from_numpy(view.image))
                corners.append(boxes)
        return cls(pairs, torch.stack(images), corners)

    def load(self, device: torch.device) -> Tensor:
        """The augmented images on a device, `[2 N, 3, side, side]`."""
        images = []
        for pair, both in zip(self.pairs, self.images.numpy().reshape(-1, 2, *self.images.shape[1:]), strict=True):
            for image, factors in zip(both, pair.colour, strict=True):
                changed = change_colours(to_tensor(image, device), factors)
                images.append(changed.flip(3) if pair.flip else changed)
        return torch.cat(images).contiguous(memory_format=torch.channels_last)


class ViewSampler:
    """Draws the pairs of a step and cuts their views; it can be sent to loader workers.

    Args:
        sampler: Draws the pairs.
        views: Views of the sampler's videos.
    """

    def __init__(self, sampler: PairSampler, views: Views) -> None:
        self._sampler, self._views = sampler, views

    def __call__(self, step: int) -> PairViews:
        """The pairs of a step, by its number."""
        return PairViews.cut(self._views, self._sampler.draw(step))
