"""What an agent is shown of a target under a region: features, computed in batches and remembered."""

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

from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor, autocast
from tracker.models.backbones.features import unit_rms

from .memory import ByteCache, region_keys

__all__ = ["STATES", "CropState", "RoiState", "StateReader", "States", "Window"]

CHUNK = 64
"""Regions in one forward pass at most."""

Regions = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """What part of an image the state of a region shows.

    Images carry a margin that repeats their border, as wide as the window of any region can reach beyond them.

    Attributes:
        context: By how much the window is longer and wider than the region.
        side: Of the images without the margin, in pixels.
    """

    context: float
    side: int

    @property
    def margin(self) -> int:
        """In pixels."""
        return math.ceil((self.context - 1) / 2 * self.side)

    def with_margin(self, images: Tensor) -> Tensor:
        """`[N, 3, side, side]` to the same with the margin around it."""
        return functional.pad(images, (self.margin,) * 4, mode="replicate") if self.margin else images

    def without_margin(self, images: Tensor) -> Tensor:
        """The way back."""
        low, high = self.margin, self.margin + self.side
        return images[..., low:high, low:high]

    def corners(self, regions: Regions) -> NDArray[np.float32]:
        """The windows of regions `[N, 4]` as `x1, y1, x2, y2` in pixels of the image without its margin."""
        place, size = regions[:, :2], regions[:, 2:]
        low = place - (self.context - 1) / 2 * size
        return (np.concatenate([low, low + self.context * size], axis=1) * self.side).astype(np.float32)

    def cut(self, images: Tensor, rows: NDArray[np.int64], regions: Regions, size: int) -> Tensor:
        """Cut out and resize windows, all in one call.

        Args:
            images: `[N, 3, h, w]`, with the margin.
            rows: `int[M]`, whose regions.
            regions: `[M, 4]`.
            size: Side of the result.

        Returns:
            `[M, 3, size, size]`.
        """
        boxes = np.concatenate([np.asarray(rows)[:, None], self.corners(regions) + self.margin], axis=1)
        return roi_align(images, torch.from_numpy(boxes.astype(np.float32)).to(images), size, aligned=True)


class StateReader(Protocol):
    """How features of regions come about; another one is a class, named in `STATES` or as `module:class`.

    Attributes:
        length: Numbers a region.
        costly: Whether `prepare` costs a forward pass, so that its results are worth their memory.
    """

    length: int
    costly: bool

    def __init__(self, features: FeatureExtractor, window: Window) -> None:
        """Take the network and the window."""
        ...

    def prepare(self, images: Tensor) -> Tensor:
        """What is kept of images `[N, 3, h, w]` that carry the margin: `[N, ...]`."""
        ...

    def read(self, sources: Tensor, rows: NDArray[np.int64], regions: Regions) -> Tensor:
        """Features `float32[M, length]` of the regions `[M, 4]` of the sources `rows`, `int[M]`."""
        ...


class CropState:
    """The paper's: a region is resized to the network's input and goes through all of it."""

    costly = False

    def __init__(self, features: FeatureExtractor, window: Window) -> None:
        """See `StateReader`."""
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
    """Fast R-CNN's way, and SINT's own: one feature map a target, and a region is RoI-aligned from it.

    What a cell of the map sees reaches beyond the region, and a small region has few cells; the network behind
    the pooling is the same. A convolution as the state's layer is read pooled to the grid.

    Raises:
        InputError: If the features are no layer of a backbone.
    """

    costly = True

    def __init__(self, features: FeatureExtractor, window: Window) -> None:
        """See `StateReader`."""
        if not isinstance(features, FeatureExtractor):
            raise InputError(
                "state='roi' reads the feature maps of a network; take features by the network's name."
            )
        self.features = features
        self.window = window
        self.backbone = features.backbone
        convolution = features.layer in self.backbone.convolutions
        self.map = features.layer if convolution else self.backbone.convolutions[-1]
        self._cells = math.ceil(window.margin / self.backbone.cells(self.map).stride)
        blank = torch.zeros(1, 3, window.side, window.side, device=features.device)
        whole = np.array([[0.0, 0.0, 1.0, 1.0]])
        self.length = int(
            self.read(self.prepare(window.with_margin(blank)), np.zeros(1, np.int64), whole).shape[1]
        )

    @torch.inference_mode()
    def prepare(self, images: Tensor) -> Tensor:
        """The feature maps, with a margin of their own."""
        inner = self.window.without_margin(images).contiguous(memory_format=torch.channels_last)
        with autocast(self.features.device, self.features.dtype):
            maps = self.backbone.maps(inner, [self.map])[self.map]
        return functional.pad(maps, (self._cells,) * 4, mode="replicate") if self._cells else maps

    @torch.inference_mode()
    def read(self, sources: Tensor, rows: NDArray[np.int64], regions: Regions) -> Tensor:
        """Pool the regions and run what stands on the pooled grid."""
        shift = self._cells * self.backbone.cells(self.map).stride
        boxes = np.concatenate([np.asarray(rows)[:, None], self.window.corners(regions) + shift], axis=1)
        layer = self.features.layer
        with autocast(self.features.device, self.features.dtype):
            place = torch.from_numpy(boxes.astype(np.float32)).to(self.features.device)
            pooled = self.backbone.pool(self.map, sources, place)
            if layer in self.backbone.fully_connected:
                return unit_rms(self.backbone.fc_outputs(pooled, [layer])[layer])
        return unit_rms(pooled.flatten(1))


STATES: dict[str, Callable[[FeatureExtractor, Window], StateReader]] = {"crop": CropState, "roi": RoiState}


class States:
    """Features of regions of images; each is computed once as long as the memory holds it.

    Args:
        reader: How they come about.
        cache: Where they are kept; the image does not change, so neither do they.
    """

    def __init__(self, reader: StateReader, cache: ByteCache) -> None:
        """See the class."""
        self.reader = reader
        self.cache = cache

    def prepare(self, images: Tensor, keys: Many[bytes]) -> Tensor:
        """`StateReader.prepare`, from the cache where it is costly.

        Args:
            images: `[M, 3, h, w]` with the margin.
            keys: Of the images, see `memory.image_key`.
        """
        if not self.reader.costly:
            return self.reader.prepare(images)
        found = [self.cache.get(("source", key)) for key in keys]
        missing = [index for index, source in enumerate(found) if source is None]
        if missing:
            prepared = torch.cat([self.reader.prepare(part) for part in images[missing].split(CHUNK)])
            for index, source in zip(missing, prepared, strict=True):
                found[index] = source.clone()
                self.cache.put(("source", keys[index]), found[index], source.nbytes)
        return torch.stack(found)  # type: ignore[arg-type]

    def features(
        self,
        keys: Many[bytes],
        regions: Regions,
        sources: Callable[[NDArray[np.int64]], tuple[Tensor, NDArray[np.int64]]],
    ) -> NDArray[np.float32]:
        """Features of regions; what is not remembered is computed in one batch.

        Args:
            keys: M keys of images.
            regions: `[M, 4]`.
            sources: Takes indices into the M and gives prepared images, and for each index the row of its image.

        Returns:
            `float32[M, length]`.
        """
        result = np.empty((len(keys), self.reader.length), dtype=np.float32)
        places = [("feature", key, region) for key, region in zip(keys, region_keys(regions), strict=True)]
        first: dict[tuple[str, bytes, bytes], int] = {}
        repeated = []
        for index, place in enumerate(places):
            if place in first:
                repeated.append(index)
            elif (found := self.cache.get(place)) is not None:
                result[index] = found
            else:
                first[place] = index
        if first:
            missing = np.fromiter(first.values(), dtype=np.int64, count=len(first))
            images, rows = sources(missing)
            for low in range(0, len(missing), CHUNK):
                part = slice(low, low + CHUNK)
                computed = self.reader.read(images, rows[part], regions[missing[part]]).float().cpu().numpy()
                self._check(computed, len(missing[part]))
                result[missing[part]] = computed
            for place, index in first.items():
                row = result[index].copy()
                self.cache.put(place, row, row.nbytes)
        for index in repeated:
            result[index] = result[first[places[index]]]
        return result

    def _check(self, computed: NDArray[np.float32], count: int) -> None:
        if computed.shape != (count, self.reader.length):
            raise InputError(
                f"The features of {count} regions have the shape {list(computed.shape)}; they must have"
                f" [{count}, {self.reader.length}]."
            )
        if not np.isfinite(computed).all():
            raise InputError("A feature of the state is not finite; check the network's weights.")
