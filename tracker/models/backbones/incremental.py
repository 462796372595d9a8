"""Feature maps of an image of which a part has changed, computed only where the change is seen.

An occlusion changes a map only where the cells see it: a little more than the occlusion itself in the first
layers, where most of the work of a network such as VGG-16 is, and all of the map in the last. So each stage of the
network is run on the window that its changed cells see, and the rest is copied (incremental inference of occluded
images: Nakandala, Kumar and Papakonstantinou, SIGMOD 2019). The maps are those of the whole pass, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .nets import Chain, Layer, first_coarse


def trace(stage: Sequence[Layer], changed: range, size: int) -> tuple[range, range, list[tuple[int, int]]]:
    """Follow a change through a stage along one axis.

    Args:
        stage: Layers that are run together.
        changed: Cells of the input.
        size: Cells of the input in all.

    Returns:
        The cells of the output that see the change; the cells of the input that these see; and for each layer how
        far that window reaches beyond the map, (before it, behind it).

    >>> trace((Layer("a", 3, 1, 1), Layer("b", 3, 1, 1), Layer(None, 2, 2, 0)), range(3, 9), 224)
    (range(0, 6), range(0, 14), [(1, 0), (1, 0), (0, 0)])
    """
    if not changed:
        return changed, changed, []
    sizes, low, high = [size], changed.start, changed.stop
    for layer in stage:
        sizes.append((sizes[-1] + 2 * layer.padding - layer.kernel) // layer.stride + 1)
        low = max(0, -((layer.kernel - 1 - layer.padding - low) // layer.stride))
        high = min(sizes[-1], (high - 1 + layer.padding) // layer.stride + 1)
    output, paddings = range(low, high), []
    for layer, extent in zip(reversed(stage), reversed(sizes[:-1]), strict=True):
        first = low * layer.stride - layer.padding
        last = (high - 1) * layer.stride - layer.padding + layer.kernel
        low, high = max(0, first), min(extent, last)
        paddings.append((low - first, last - high))
    return output, range(low, high), paddings[::-1]


class IncrementalMaps:
    """A convolution's map, of whole images and of images of which a part has changed.

    On fine maps the convolutions up to a pooling are one stage: what they see beyond a change is little, and the
    maps between them would take the most memory. On coarse ones each convolution is a stage of its own.
    """

    def __init__(self, chain: Chain, name: str) -> None:
        self.chain = chain
        layers = chain.layers()
        last, coarse = [layer.name for layer in layers].index(name), first_coarse(layers)
        self.stages: list[list[Layer]] = [[]]
        for index, layer in enumerate(layers[:last]):
            self.stages[-1].append(layer)
            if layer.name is None or (index >= coarse and layers[index + 1].name is not None):
                self.stages.append([])
        self.stages[-1].append(layers[last])

    def compute(self, image: Tensor) -> list[Tensor]:
        """The outputs of the stages, `[1, C, h, w]`, for an image `[1, 3, H, W]`; the last is the wanted map."""
        x, maps = self.chain.normalised(image).contiguous(memory_format=torch.channels_last), []
        for stage in self.stages:
            for layer in stage:
                x = self.chain.apply_layer(layer, x)
            maps.append(x)
        return maps

    def update(self, image: Tensor, before: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """The wanted map of an image that differs in a part from `before`, of which `compute` gave `maps`."""
        differs = (image != before)[0].any(dim=0)
        rows, columns = _extent(differs.any(dim=1)), _extent(differs.any(dim=0))
        # The input of a stage as it was, and the part of it that has changed.
        old, new = before, image[:, :, _slice(rows), _slice(columns)]
        for stage, output in zip(self.stages, maps, strict=True):
            seen_rows, tall, vertical = trace(stage, rows, old.shape[2])
            seen_columns, wide, horizontal = trace(stage, columns, old.shape[3])
            if not (seen_rows and seen_columns):
                return maps[-1]
            x = _merge(old, new, rows, columns, tall, wide)
            if old is before:
                x = self.chain.normalised(x)
            for layer, (above, below), (left, right) in zip(stage, vertical, horizontal, strict=True):
                x = self.chain.apply_layer(layer, x, (left, right, above, below))
            old, new, rows, columns = output, x, seen_rows, seen_columns
        return _merge(old, new, rows, columns, *(range(size) for size in old.shape[2:]))


def _extent(marks: Tensor) -> range:
    """From the first to the last of the marks `bool[n]`."""
    places = marks.nonzero()[:, 0]
    return range(int(places[0]), int(places[-1]) + 1) if len(places) else range(0)


def _slice(cells: range, start: int = 0) -> slice:
    return slice(cells.start - start, cells.stop - start)


def _merge(old: Tensor, new: Tensor, rows: range, columns: range, tall: range, wide: range) -> Tensor:
    """The window `tall`, `wide` of a map `[1, C, h, w]` whose cells at `rows`, `columns` are `new`."""
    window = old[:, :, _slice(tall), _slice(wide)].clone(memory_format=torch.channels_last)
    down, across = (
        range(max(cells.start, view.start), min(cells.stop, view.stop))
        for cells, view in ((rows, tall), (columns, wide))
    )
    part = new[:, :, _slice(down, rows.start), _slice(across, columns.start)]
    window[:, :, _slice(down, tall.start), _slice(across, wide.start)] = part
    return window
