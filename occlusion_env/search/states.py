"""Features of a target under a region: the state of the MDP, computed in batches and cached."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from tracker.cache import ByteCache
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor, autocast
from tracker.models.backbones.features import unit_rms

from .memory import region_keys

CHUNK = 64
"""Regions in one forward pass at most."""

Regions = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """The part of an image that the state of a region shows.

    Images carry a margin that repeats their border, as wide as the window of any region can reach beyond them.

    Attributes:
        context: Side of the window, as a multiple of the region's side.
        side: Of the images without the margin, in pixels.
    """

    context: float
    side: int

    @property
    def margin(self) -> int:
        """In pixels."""
        return math.ceil((self.context - 1) / 2 * self.side)

    def with_margin(self, images: Tensor) -> Tensor:
        """Add the margin to images `[N, 3, side, side]`."""
        return functional.pad(images, (self.margin,) * 4, mode="replicate") if self.margin else images

    def without_margin(self, images: Tensor) -> Tensor:
        """Cut the margin off."""
        low, high = self.margin, self.margin + self.side
        return images[..., low:high, low:high]

    def corners(self, regions: Regions) -> NDArray[np.float32]:
        """The windows of regions `[N, 4]` as `x1, y1, x2, y2` in pixels of the image without its margin."""
        place, size = regions[:, :2], regions[:, 2:]
        low = place - (self.context - 1) / 2 * size
        return (np.concatenate([low, low + self.context * size], axis=1) * self.side).astype(np.float32)

    def cut(self, images: Tensor, rows: NDArray[np.int64], regions: Regions, size: int) -> Tensor:
        """Cut the windows of regions `[M, 4]` out of images with the margin: `[M, 3, size, size]`.

        `rows`, `int[M]`, are the images `[N, 3, h, w]` of the regions.
        """
        boxes = np.concatenate([np.asarray(rows)[:, None], self.corners(regions) + self.margin], axis=1)
        return roi_align(images, torch.from_numpy(boxes.astype(np.float32)).to(images), size, aligned=True)


class StateReader(Protocol):
    """Computes the features of regions; a custom one is a class, named as `module:class`.

    Attributes:
        length: Numbers a region.
        costly: Whether `prepare` takes a forward pass, so that its results are cached.
    """

    length: int
    costly: bool

    def __init__(self, features: FeatureExtractor, window: Window) -> None: ...

    def prepare(self, images: Tensor) -> Tensor:
        """Turn images `[N, 3, h, w]`, with the margin, into sources `[N, ...]` that `read` takes."""
        ...

    def read(self, sources: Tensor, rows: NDArray[np.int64], regions: Regions) -> Tensor:
        """Features `float32[M, length]` of regions `[M, 4]`; `rows`, `int[M]`, are the sources of the regions."""
        ...


class CropState:
    """The paper's state: a region is resized to the network's input and goes through all of it."""

    costly = False

    def __init__(self, features: FeatureExtractor, window: Window) -> None:
        self.features = features
        self.window = window
        self.length = features.length

    def prepare(self, images: Tensor) -> Tensor:
        """The images themselves."""
        return images

    def read(self, sources: Tensor, rows: NDArray[np.int64], regions: Regions) -> Tensor:
        """One forward pass of all regions."""
        return self.features(self.window.cut(sources, rows, regions, self.features.input_size))


class RoiState:
    """One feature map a target, from which regions are RoI-aligned, as in Fast R-CNN and SINT.

    The receptive field of a cell reaches beyond the region, and a small region has few cells; the layers after the
    pooling are the same. A convolution as the state's layer is pooled to the grid.

    Raises:
        InputError: If the features are no layer of a backbone.
    """

    costly = True

    def __init__(self, features: FeatureExtractor, window: Window) -> None:
        if not isinstance(features, FeatureExtractor):
            raise InputError(
                "state='roi' reads the feature maps of a network; take features by the network's name."
            )
        self.features = features
        self.window = window
        self.backbone = features.backbone
        convolution = features.layer in self.backbone.convolutions
        self.map = features.layer if convolution else self.backbone.convolutions[-1]
        self._stride = self.backbone.cells(self.map).stride
        self._cells = math.ceil(window.margin / self._stride)
        blank = torch.zeros(1, 3, window.side, window.side, device=features.device)
        whole = np.array([[0.0, 0.0, 1.0, 1.0]])
        self.length = int(
            self.read(self.prepare(window.with_margin(blank)), np.zeros(1, np.int64), whole).shape[1]
        )

    @torch.inference_mode()
    def prepare(self, images: Tensor) -> Tensor:
        """The feature maps, with a margin of cells."""
        inner = self.window.without_margin(images).contiguous(memory_format=torch.channels_last)
        with autocast(self.features.device, self.features.dtype):
            maps = self.backbone.maps(inner, [self.map])[self.map]
        return functional.pad(maps, (self._cells,) * 4, mode="replicate") if self._cells else maps

    @torch.inference_mode()
    def read(self, sources: Tensor, rows: NDArray[np.int64], regions: Regions) -> Tensor:
        """Pool the regions and run the layers after the pooling."""
        corners = self.window.corners(regions) + self._cells * self._stride
        boxes = np.concatenate([np.asarray(rows)[:, None], corners], axis=1).astype(np.float32)
        layer = self.features.layer
        with autocast(self.features.device, self.features.dtype):
            pooled = self.backbone.pool(self.map, sources, torch.from_numpy(boxes).to(self.features.device))
            if layer in self.backbone.fully_connected:
                return unit_rms(self.backbone.fc_outputs(pooled, [layer])[layer])
        return unit_rms(pooled.flatten(1))


STATES: dict[str, Callable[[FeatureExtractor, Window], StateReader]] = {"crop": CropState, "roi": RoiState}


class States:
    """Features of regions of images, each computed once while the cache holds it.

    Args:
        reader: Computes them.
        cache: Stores them; a key stands for the pixels of an image, so an entry never gets out of date.
    """

    def __init__(self, reader: StateReader, cache: ByteCache) -> None:
        self.reader = reader
        self.cache = cache

    def prepare(self, images: Tensor, keys: Many[bytes]) -> Tensor:
        """`StateReader.prepare` of M images with keys (`image_key`), from the cache where it is costly."""
        if not self.reader.costly:
            return self.reader.prepare(images)
        sources, missing = self.cache.look_up([("source", key) for key in keys])
        if missing:
            parts = images[list(missing.values())].split(CHUNK)
            prepared = torch.cat([self.reader.prepare(part) for part in parts])
            for key, source in zip(missing, prepared, strict=True):
                sources[key] = source.clone()
                self.cache.put(key, sources[key], source.nbytes)
        return torch.stack([sources["source", key] for key in keys])

    def features(
        self,
        keys: Many[bytes],
        regions: Regions,
        sources: Callable[[NDArray[np.int64]], tuple[Tensor, NDArray[np.int64]]],
    ) -> NDArray[np.float32]:
        """Features `float32[M, length]` of regions `[M, 4]` of images with M keys.

        Those that are not cached are computed in one batch. `sources` takes indices into the M, and returns
        prepared images, and for each index the row of its image.
        """
        places = [("feature", key, region) for key, region in zip(keys, region_keys(regions), strict=True)]
        rows, missing = self.cache.look_up(places)
        if missing:
            indices = np.fromiter(missing.values(), dtype=np.int64, count=len(missing))
            computed = self._compute(*sources(indices), regions[indices])
            for place, row in zip(missing, computed, strict=True):
                rows[place] = row.copy()
                self.cache.put(place, rows[place], row.nbytes)
        result = np.empty((len(places), self.reader.length), np.float32)
        for index, place in enumerate(places):
            result[index] = rows[place]
        return result

    def _compute(self, sources: Tensor, rows: NDArray[np.int64], regions: Regions) -> NDArray[np.float32]:
        parts = [slice(low, low + CHUNK) for low in range(0, len(rows), CHUNK)]
        computed = torch.cat(
            [self.reader.read(sources, rows[part], regions[part]).float().cpu() for part in parts]
        )
        if computed.shape != (len(rows), self.reader.length):
            raise InputError(
                f"The features of {len(rows)} regions have the shape {list(computed.shape)}; they must have"
                f" [{len(rows)}, {self.reader.length}]."
            )
        if not computed.isfinite().all():
            raise InputError("A feature of the state is not finite; check the network's weights.")
        return computed.numpy()
