"""Feature maps of an image that differs in a part from one whose maps are known.

An occlusion changes the maps only where a cell sees it: a little more than the occlusion itself in the first
layers, where most of the work of a network such as VGG-16 is, and all of the map in the last. So each stage of the
network is run on the window that its changed cells see, and the rest is copied (incremental inference of occluded
images: Nakandala, Kumar and Papakonstantinou, SIGMOD 2019). The maps are those of the whole pass, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .nets import Chain, Layer, first_coarse

__all__ = ["IncrementalMaps", "KnownMaps", "Span", "Stage"]


@dataclass(frozen=True)
class Span:
    """Cells of a line, from `low` to `high`, which is not part of it; empty where `high` is not above `low`."""

    low: int
    high: int

    def __len__(self) -> int:
        """How many there are."""
        return max(0, self.high - self.low)


@dataclass(frozen=True)
class Reach:
    """What follows from a change along one axis.

    Attributes:
        seen: The cells of a stage's output that see the change.
        window: The cells of its input that these see.
        paddings: For each layer, by how many cells its window reaches beyond the map, before it and behind it.
    """

    seen: Span
    window: Span
    paddings: list[tuple[int, int]]


@dataclass(frozen=True)
class Stage:
    """Layers that are run together on one window.

    Attributes:
        layers: One or more.
    """

    layers: tuple[Layer, ...]

    def reach(self, changed: Span, size: int) -> Reach:
        """What follows from a change along one axis.

        Args:
            changed: Cells of the input.
            size: Of the input.

        >>> found = Stage((Layer("a", 3, 1, 1), Layer("b", 3, 1, 1), Layer(None, 2, 2, 0))).reach(Span(3, 9), 224)
        >>> found.seen, found.window, found.paddings
        (Span(low=0, high=6), Span(low=0, high=14), [(1, 0), (1, 0), (0, 0)])
        """
        sizes, low, high = [size], changed.low, changed.high
        for layer in self.layers:
            sizes.append((sizes[-1] + 2 * layer.padding - layer.kernel) // layer.stride + 1)
            low = max(0, -((layer.kernel - 1 - layer.padding - low) // layer.stride))
            high = min(sizes[-1], (high - 1 + layer.padding) // layer.stride + 1)
        seen, paddings = Span(low, high), []
        for layer, extent in zip(reversed(self.layers), reversed(sizes[:-1]), strict=True):
            first = low * layer.stride - layer.padding
            last = (high - 1) * layer.stride - layer.padding + layer.kernel
            low, high = max(0, first), min(extent, last)
            paddings.append((low - first, last - high))
        return Reach(seen, Span(low, high), paddings[::-1])


@dataclass(frozen=True)
class KnownMaps:
    """What is kept of an image.

    Attributes:
        image: `[1, 3, H, W]` in [0, 1].
        maps: The output of each stage, `[1, C, h, w]`.
    """

    image: Tensor
    maps: list[Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return sum(each.nbytes for each in (self.image, *self.maps))


class IncrementalMaps:
    """A convolution's map, of images as they are and of images of which a part has changed.

    On fine maps the convolutions up to a pooling are one stage: what they see beyond a change is little, and the
    maps between them would take the most memory. On coarse ones each convolution is a stage of its own.

    Args:
        chain: The network.
        name: The convolution.
    """

    def __init__(self, chain: Chain, name: str) -> None:
        """Cut the network into stages."""
        self.chain = chain
        layers = chain.layers()
        last, coarse = [layer.name for layer in layers].index(name), first_coarse(layers)
        self.stages: list[Stage] = []
        part: list[Layer] = []
        for index, layer in enumerate(layers[: last + 1]):
            part.append(layer)
            before_pooling = index < last and layers[index + 1].name is None
            if index == last or layer.name is None or (index >= coarse and not before_pooling):
                self.stages.append(Stage(tuple(part)))
                part = []

    def know(self, image: Tensor) -> KnownMaps:
        """Run the network up to the convolution; the last of the maps is the convolution's.

        Args:
            image: `[1, 3, H, W]` in [0, 1].
        """
        x, maps = self.chain.normalised(image).contiguous(memory_format=torch.channels_last), []
        for stage in self.stages:
            for layer in stage.layers:
                x = self.chain.apply_layer(layer, x)
            maps.append(x)
        return KnownMaps(image.clone(), maps)

    def changed(self, image: Tensor, known: KnownMaps) -> Tensor:
        """The convolution's map `[1, C, h, w]` of an image that may differ from a known one.

        Args:
            image: `[1, 3, H, W]` in [0, 1].
            known: Of an image of the same size.
        """
        differs = (image != known.image)[0].any(dim=0)
        rows, columns = _span(differs.any(dim=1)), _span(differs.any(dim=0))
        # The output of the stage in front, as it was, and the part of it that is new.
        old, new = known.image, image[:, :, rows.low : rows.high, columns.low : columns.high]
        for stage, kept in zip(self.stages, known.maps, strict=True):
            down, across = (
                stage.reach(span, size) for span, size in zip((rows, columns), old.shape[2:], strict=True)
            )
            if not (rows and columns and down.seen and across.seen):
                return known.maps[-1]
            x = _replaced(old, rows, columns, new, down.window, across.window)
            if old is known.image:
                x = self.chain.normalised(x)
            for layer, vertical, horizontal in zip(stage.layers, down.paddings, across.paddings, strict=True):
                x = self.chain.apply_layer(layer, x, (*horizontal, *vertical))
            old, new, rows, columns = kept, x, down.seen, across.seen
        return _replaced(old, rows, columns, new, *(Span(0, size) for size in old.shape[2:]))


def _span(marked: Tensor) -> Span:
    """From the first to the last of the marks `bool[n]`."""
    places = marked.nonzero()[:, 0]
    return Span(int(places[0]), int(places[-1]) + 1) if len(places) else Span(0, 0)


def _replaced(old: Tensor, rows: Span, columns: Span, new: Tensor, tall: Span, wide: Span) -> Tensor:
    """The window `tall`, `wide` of a map `[1, C, h, w]` whose cells `rows`, `columns` are new."""
    window = old[:, :, tall.low : tall.high, wide.low : wide.high].clone(memory_format=torch.channels_last)
    (top, bottom), (left, right) = (
        (max(span.low, view.low), min(span.high, view.high)) for span, view in ((rows, tall), (columns, wide))
    )
    window[:, :, top - tall.low : bottom - tall.low, left - wide.low : right - wide.low] = new[
        :, :, top - rows.low : bottom - rows.low, left - columns.low : right - columns.low
    ]
    return window
