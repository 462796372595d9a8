"""How similar a candidate is to the exemplar: the matching function m of eq. 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..models.backbones import (
    Backbone,
    Chain,
    IncrementalMaps,
    Precision,
    Vgg16,
    autocast,
    load_backbone,
    resolve_device,
    resolve_precision,
)
from ..models.backbones.base import in_precision
from ..models.sint import load_sint, sint_descriptor, sint_embedding, trained_weights


@runtime_checkable
class Scorer(Protocol):
    """A batched matching function m(x, y) (eq. 1), split so that an exemplar is embedded once.

    `embed` may be any function of one image, the identity included; `compare` scores pairs of embeddings.
    Higher means more similar.
    """

    @property
    def input_size(self) -> int:
        """Side of the square crops that it takes."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs; crops are moved there before they are embedded, and scores back."""
        ...

    def embed(self, crops: Tensor) -> Tensor:
        """`[N, 3, input_size, input_size]` in [0, 1] to `[N, ...]`."""
        ...

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """Embeddings `[N, ...]` and `[N, ...]` to `float32[N]`."""
        ...

    def __call__(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """Crops `[N, 3, S, S]` and `[N, 3, S, S]` to `float32[N]`."""
        ...


@dataclass(frozen=True)
class KnownImage:
    """An image with its maps and its embedding, cached by an `IncrementalScorer`.

    Attributes:
        image: `[1, 3, S, S]` in [0, 1].
        maps: What the embedding was computed from.
        embedding: `[...]`, its row of `embed`.
    """

    image: Tensor
    maps: Sequence[Tensor]
    embedding: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return sum(each.nbytes for each in (self.image, *self.maps, self.embedding))


@runtime_checkable
class IncrementalScorer(Scorer, Protocol):
    """A scorer that embeds an image faster where only a part of it differs from an earlier image.

    Callers that score occluded images use `know` and `embed_changed` where a scorer has them, else `embed`.
    """

    def know(self, crops: Tensor) -> list[KnownImage]:
        """Embed N images `[N, 3, input_size, input_size]` in [0, 1], and keep their maps for `embed_changed`."""
        ...

    def embed_changed(self, crops: Tensor, known: Sequence[KnownImage]) -> Tensor:
        """`embed` of images `[N, 3, input_size, input_size]` that differ in a part from N earlier ones."""
        ...


class CosineScorer:
    """Base of scorers: a call embeds and compares; the score is the cosine unless `compare` is overridden."""

    def embed(self, crops: Tensor) -> Tensor:
        """`[N, 3, S, S]` in [0, 1] to `[N, ...]`."""
        raise NotImplementedError

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """Cosine of unit vectors `[N, D]` and `[N, D]`: `float32[N]` in [-1, 1]."""
        return (exemplars * candidates).sum(dim=1)

    def __call__(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """Scores of pairs of crops, `float32[N]`."""
        return self.compare(self.embed(exemplars), self.embed(candidates))


class SintScorer(CosineScorer):
    """SINT's matching function: the cosine of RoI-pooled convolutions and fc6.

    Three vectors (two convolutions pooled to 7 x 7, and fc6 where the network has one) are each
    L2-normalised, concatenated, and normalised again; the score is their inner product, in [-1, 1].
    SINT's released deploy net leaves out the last normalisation; its scores are three times these.

    Args:
        backbone: The network; its `sint_layers` are compared.
        precision: Arithmetic of the forward pass; embeddings and scores are float32.
    """

    def __init__(self, backbone: Backbone, precision: Precision = "auto") -> None:
        self.backbone = backbone
        self.input_size = backbone.input_size
        self.device = next(backbone.parameters()).device
        self._dtype = resolve_precision(precision, self.device)

    @torch.inference_mode()
    def embed(self, crops: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Embed images, or regions of them.

        Args:
            crops: `[N, 3, H, W]` in [0, 1].
            boxes: `[R, 5]`: the index of the image, then `x1, y1, x2, y2` in its pixels. `None` takes each
                image whole.

        Returns:
            `float32[N or R, D]`, unit vectors.
        """
        with autocast(self.device, self._dtype):
            return sint_embedding(self.backbone, crops.contiguous(memory_format=torch.channels_last), boxes)


class IncrementalSintScorer(SintScorer):
    """SINT's matching function, with the network run on the changed part of an image alone: `IncrementalMaps`.

    Its embeddings are those of `SintScorer`, up to rounding. Behind the first of `sint_layers`, where an occlusion
    has reached the whole map, all images go through the network in one batch.
    """

    backbone: Chain

    def __init__(self, backbone: Chain, precision: Precision = "auto") -> None:
        super().__init__(backbone, precision)
        self._maps = IncrementalMaps(backbone, backbone.sint_layers[0])

    @torch.inference_mode()
    def know(self, crops: Tensor) -> list[KnownImage]:
        """Embed images `[N, 3, H, W]` in [0, 1], and keep their maps."""
        images = [crop.clone() for crop in crops.split(1)]
        with autocast(self.device, self._dtype):
            maps = [self._maps.compute(image) for image in images]
            embedded = self._describe([each[-1] for each in maps])
        return [KnownImage(*parts) for parts in zip(images, maps, embedded.clone(), strict=True)]

    @torch.inference_mode()
    def embed_changed(self, crops: Tensor, known: Sequence[KnownImage]) -> Tensor:
        """Unit vectors `float32[N, D]` of images `[N, 3, H, W]` that differ in a part from N of the same size."""
        with autocast(self.device, self._dtype):
            pairs = zip(crops.split(1), known, strict=True)
            return self._describe([self._maps.update(crop, old.image, old.maps) for crop, old in pairs])

    def _describe(self, maps: list[Tensor]) -> Tensor:
        """The descriptors of N images, from their maps `[1, C, h, w]` of the first of `sint_layers`."""
        names = self.backbone.sint_layers
        outputs = self.backbone.maps_from(names[0], torch.cat(maps), names)
        return sint_descriptor(self.backbone, [self.backbone.pool(name, outputs[name]) for name in names])


@lru_cache(maxsize=8)
def _cached_backbone(
    name: str, weights: str | None, device: str, dtype: torch.dtype, base_weights: str | None
) -> Backbone:
    if dtype != torch.float32:
        return in_precision(_cached_backbone(name, weights, device, torch.float32, base_weights), dtype)
    if trained := trained_weights(weights, base_weights):
        return load_sint(trained, base_weights, device, name).backbone
    return load_backbone(name, weights, device)


def shared_backbone(
    name: str,
    weights: str | Path | None,
    device: str,
    precision: Precision = "fp32",
    base_weights: str | Path | None = None,
) -> Backbone:
    """Load a network once a process, so that environments share it; the arguments are those of `load_scorer`.

    The convolutions and fully connected layers are kept in `precision`, so that a forward pass in it casts none of
    them.

    Raises:
        InputError: See `load_backbone` and `load_sint`.
    """
    where = resolve_device(device)
    dtype = resolve_precision(precision, where)
    file, base = (None if path is None else str(path) for path in (weights, base_weights))
    return _cached_backbone(name, file, str(where), dtype, base)


def load_scorer(
    features: str = "slim",
    weights: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    base_weights: str | Path | None = None,
) -> SintScorer:
    """The SINT scorer over a network that this process loads once.

    VGG-16 on a CPU gets an `IncrementalSintScorer`. The maps of the slim net are too small for it: a pass of their
    changed part costs as much as a pass of all in a batch.

    Args:
        features: The network's name (`load_backbone`).
        weights: The network's (`load_backbone`), or what `train-tracker` wrote: then the card beside it says which
            layers the network has.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32` or `bf16` (`resolve_precision`).
        base_weights: Initial weights of the training that wrote `weights`; not needed for the slim net.

    Raises:
        InputError: If one of them is unknown, missing or corrupt.
    """
    backbone = shared_backbone(features, weights, device, precision, base_weights)
    if isinstance(backbone, Vgg16) and resolve_device(device).type == "cpu":
        return IncrementalSintScorer(backbone, precision)
    return SintScorer(backbone, precision)
