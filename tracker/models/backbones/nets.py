"""Networks whose convolutions follow one another: the slim net that the package ships, VGG-16, AlexNet.

All are read at the same places: named convolutions (after their ReLU), `pool5` (the last convolution, max
pooled to a small grid and flattened) and the fully connected layers (their linear output, before any ReLU, as
SINT takes fc6).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import alexnet, vgg16

from ...errors import InputError
from .base import Backbone, Cells
from .pooling import GRID

COARSE = 4
"""Pixels from one cell of a coarse map to the next, at least."""

PART_PIXELS = 224 * 224
"""Pixels of images per thread in one pass over the high-resolution layers (CPU): their maps fit the cache."""


@dataclass(frozen=True)
class Layer:
    """A convolution or a max pooling: the window of its input that a cell of its output is computed from.

    Attributes:
        name: Of the convolution; `None` for a max pooling.
        kernel: Side of the window.
        stride: From one window to the next.
        padding: How far the first window reaches beyond the border.
    """

    name: str | None
    kernel: int
    stride: int
    padding: int


class Chain(Backbone):
    """Convolutions one after the other, some behind a max pooling, each followed by a ReLU.

    Attributes:
        poolings: The window of the max pooling, with a step of 2, in front of a convolution.
    """

    poolings: dict[str, int]

    def convolution(self, name: str) -> nn.Conv2d:
        """The convolution of that name."""
        layer = self.get_submodule(self.path(name))
        assert isinstance(layer, nn.Conv2d)
        return layer

    def layers(self) -> list[Layer]:
        """The convolutions and the poolings in front of them, in the order of a forward pass."""
        layers = []
        for name in self.convolutions:
            if name in self.poolings:
                layers.append(Layer(None, self.poolings[name], 2, 0))
            conv = self.convolution(name)
            layers.append(Layer(name, conv.kernel_size[0], conv.stride[0], int(conv.padding[0])))
        return layers

    def apply_layer(self, layer: Layer, x: Tensor, padding: tuple[int, int, int, int] | None = None) -> Tensor:
        """One of `layers`, a max pooling, or a convolution and its ReLU, on a map `[N, C, h, w]`.

        The padding is left, right, above and below; the layer's own if `None`.
        """
        if layer.name is None:
            return functional.max_pool2d(x, layer.kernel, layer.stride)
        conv = self.convolution(layer.name)
        if padding is None:
            x = conv(x)
        else:
            left, right, above, below = padding
            across, down = min(left, right), min(above, below)
            if (rest := (left - across, right - across, above - down, below - down)) != (0, 0, 0, 0):
                x = functional.pad(x, rest)
            x = functional.conv2d(x, conv.weight, conv.bias, layer.stride, (down, across))
        # In place: the memory of a second map of a large image costs more than the ReLU.
        return functional.relu(x, inplace=True)

    def normalised(self, images: Tensor) -> Tensor:
        """Images `[N, 3, H, W]` in [0, 1] as the first convolution takes them."""
        return (images - self.mean) / self.std

    def maps(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:  # noqa: D102
        wanted, layers, x = set(names), self.layers(), self.normalised(images)
        fine = layers[: first_coarse(layers)]
        if x.device.type == "cpu" and not torch.is_grad_enabled() and not wanted & {each.name for each in fine}:
            # The fine maps of few images stay in the processor's cache.
            few = max(1, PART_PIXELS * torch.get_num_threads() // (x.shape[-2] * x.shape[-1]))
            x = torch.cat([self._run(part, fine, wanted)[0] for part in x.split(few)])
            layers = layers[len(fine) :]
        return self._run(x, layers, wanted)[1]

    def maps_from(self, name: str, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Feature maps of the convolutions behind `name`, whose map is `x`: as `maps`, the first part done."""
        wanted, layers = set(names), self.layers()
        rest = layers[[layer.name for layer in layers].index(name) + 1 :]
        maps = {name: x} if name in wanted else {}
        return maps | self._run(x, rest, wanted - {name})[1]

    def _run(self, x: Tensor, layers: Iterable[Layer], wanted: set[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Run layers up to the last of the wanted maps; the last output, and these maps."""
        maps: dict[str, Tensor] = {}
        for layer in layers:
            if len(maps) == len(wanted):
                break
            x = self.apply_layer(layer, x)
            if layer.name in wanted:
                maps[layer.name] = x
        return x, maps

    def cells(self, name: str) -> Cells:  # noqa: D102
        cells = Cells(1, 0.0)
        for layer in self.layers():
            cells = cells.after_layer(layer.kernel, layer.stride, layer.padding)
            if layer.name == name:
                break
        return cells

    def channels(self, name: str) -> int:  # noqa: D102
        return self.convolution(name).out_channels


class Slim(Chain):
    """A small 8-layer VGG-style net: 5 convolutions, then fc6, fc7, fc8; 112 x 112 input, stride 8."""

    name = "slim"
    input_size = 112
    convolutions = ("conv1", "conv2", "conv3", "conv4", "conv5")
    sint_layers = ("conv4", "conv5")
    fully_connected = ("fc6", "fc7", "fc8")
    poolings = {"conv2": 2, "conv3": 2}

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 48, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(48, 96, 3, padding=1)
        self.conv3 = nn.Conv2d(96, 192, 3, padding=1)
        self.conv4 = nn.Conv2d(192, 192, 3, padding=1)
        self.conv5 = nn.Conv2d(192, 128, 3, padding=1)
        self.fc6 = nn.Linear(128 * GRID * GRID, 256)
        self.fc7 = nn.Linear(256, 256)
        self.fc8 = nn.Linear(256, 128)


class TorchvisionChain(Chain):
    """A network of torchvision with `features` and `classifier`; 224 x 224 input.

    Args:
        with_classifier: Whether the weights hold the fully connected layers too.
        pools: How many of `poolings` are kept, the first ones. `None` keeps all.

    Raises:
        InputError: If there are not so many poolings.
    """

    input_size = 224
    build: Callable[[], nn.Module]

    def __init__(self, with_classifier: bool, pools: int | None = None) -> None:
        super().__init__()
        if pools is not None and not 0 <= pools <= len(self.poolings):
            raise InputError(
                f"The net '{self.name}' has {len(self.poolings)} max poolings between its convolutions; {pools} of"
                " them cannot be kept."
            )
        self.poolings = dict(list(self.poolings.items())[:pools])
        with torch.device("meta"):
            whole: Any = type(self).build()
        self.fully_connected = ("fc6", "fc7", "fc8") if with_classifier else ()
        self.features = whole.features[:-1].to_empty(device="cpu")
        self.classifier = whole.classifier.to_empty(device="cpu") if with_classifier else None
        layers = [path for path, layer in whole.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
        self._paths = dict(zip((*self.convolutions, "fc6", "fc7", "fc8"), layers, strict=True))

    def path(self, name: str) -> str:  # noqa: D102
        return self._paths[name]


class Vgg16(TorchvisionChain):
    """VGG-16; SINT keeps 2 of the four max poolings between the convolutions, for maps with a stride of 4."""

    name = "vgg16"
    build = staticmethod(vgg16)
    poolings = {f"conv{block}_1": 2 for block in range(2, 6)}
    convolutions = tuple(
        f"conv{block}_{index}" for block, depth in enumerate((2, 2, 3, 3, 3), 1) for index in range(1, depth + 1)
    )
    sint_layers = ("conv4_3", "conv5_3")


class AlexNet(TorchvisionChain):
    """AlexNet (SINT's "CaffeNet" variant, in one group).

    SINT keeps none of the two max poolings between the convolutions, with 5 pixels of padding around the input, so
    that its maps have a stride of 4.
    """

    name = "alexnet"
    build = staticmethod(alexnet)
    poolings = {"conv2": 3, "conv3": 3}
    convolutions = ("conv1", "conv2", "conv3", "conv4", "conv5")
    sint_layers = ("conv4", "conv5")
    grid = 6
    pool_window = 3

    def __init__(self, with_classifier: bool, pools: int | None = None) -> None:
        super().__init__(with_classifier, pools)
        if pools == 0:
            self.convolution("conv1").padding = (5, 5)


def first_coarse(layers: list[Layer]) -> int:
    """The place of the first convolution with at least `COARSE` pixels from cell to cell."""
    strides = accumulate((layer.stride for layer in layers), operator.mul)
    coarse = (i for i, stride in enumerate(strides) if layers[i].name and stride >= COARSE)
    return next(coarse, len(layers))
