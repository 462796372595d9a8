"""The interface of backbones: convolutional networks that are read at named layers."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import InputError
from .pooling import GRID, roi_pool


@dataclass(frozen=True)
class Cells:
    """Where the cells of a feature map lie in the input.

    The centre of cell i is at `stride * (i + 1/2) + shift` pixels.

    Attributes:
        stride: Pixels from one cell to the next.
        shift: 0 where padding keeps the borders of the map on those of the input.
    """

    stride: float
    shift: float

    @property
    def offset(self) -> float:
        """The shift; 0 where it is under a tenth of a cell, so that the box of a whole image is the whole map."""
        return self.shift if abs(self.shift) >= 0.1 * self.stride else 0.0

    def after_layer(self, kernel: int, stride: int, padding: int) -> Cells:
        """The cells of a convolution's or a pooling's result.

        >>> Cells(1, 0).after_layer(3, 1, 1).after_layer(2, 2, 0)
        Cells(stride=2, shift=0.0)
        >>> Cells(1, 0).after_layer(11, 4, 2)
        Cells(stride=4, shift=1.5)
        """
        first = self.stride / 2 + self.shift + ((kernel - 1) / 2 - padding) * self.stride
        return Cells(self.stride * stride, first - self.stride * stride / 2)


class Backbone(nn.Module):
    """A convolutional network read at named layers.

    Attributes:
        name: Its name on the command line.
        input_size: Side of the square image that it takes.
        convolutions: Names of the convolutions that can be read, first to last.
        sint_layers: The two convolutions whose pooled maps SINT compares.
        fully_connected: Names of the fully connected layers; empty where only convolutions were loaded.
        grid: Side of the pooled grid.
        pool_window: Side of the window of the last pooling; see `roi_pool`.
        added: A first fully connected layer that `add_fc6` put behind the convolutions.
    """

    name: str
    input_size: int
    convolutions: tuple[str, ...]
    sint_layers: tuple[str, str]
    fully_connected: tuple[str, ...]
    grid: int = GRID
    pool_window: int = 2
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.added: nn.Module | None = None

    def maps(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Feature maps of `convolutions` by name, after ReLU, of images `[N, 3, H, W]` in [0, 1]."""
        raise NotImplementedError

    def cells(self, name: str) -> Cells:
        """Where the cells of a convolution's map lie in the input."""
        raise NotImplementedError

    def channels(self, name: str) -> int:
        """How many channels the map of a convolution has."""
        raise NotImplementedError

    def path(self, name: str) -> str:
        """The submodule that is the layer of that name; its parameters are the layer's."""
        return name

    def layer_of(self, parameter: str) -> str:
        """The name of the layer that a parameter, named as in `named_parameters`, belongs to."""
        if self.added is not None and parameter.startswith("added."):
            return "fc6"
        names = (*self.convolutions, *self.fully_connected)
        return next((name for name in names if parameter.startswith(f"{self.path(name)}.")), parameter)

    def pool(self, name: str, maps: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Pool regions of the map of a convolution; the boxes are those of `roi_pool`.

        Returns:
            `[N or R, C, grid, grid]`.
        """
        cells = self.cells(name)
        if boxes is not None and cells.offset:
            boxes = boxes - boxes.new_tensor([0.0] + [cells.offset] * 4)
        return roi_pool(maps, boxes, 1 / cells.stride, self.grid, self.pool_window)

    def fc_outputs(self, pooled: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Fully connected layers on top of `pool5` of shape `[N, C, 7, 7]`: their output before the ReLU."""
        wanted = set(names)
        outputs: dict[str, Tensor] = {}
        x = pooled.flatten(1)
        for name in self.fully_connected:
            if len(outputs) == len(wanted):
                break
            x = self.linear(name)(x)
            if name in wanted:
                outputs[name] = x
            x = functional.relu(x)
        return outputs

    def linear(self, name: str) -> nn.Module:
        """The fully connected layer of that name."""
        return self.get_submodule(self.path(name)) if self.added is None else self.added

    def add_fc6(self, size: int, rank: int | None, generator: torch.Generator) -> None:
        """Put a fully connected layer with random weights (He's) behind the last convolution.

        Args:
            size: Its outputs.
            rank: Channels that a 1 x 1 convolution first brings the maps to, so that the layer has
                `grid^2 * rank * size` weights in place of `grid^2 * channels * size`; `None` for a plain layer.
            generator: Draws the weights.

        Raises:
            ValueError: If the network has fully connected layers.
        """
        if self.fully_connected:
            raise ValueError(f"the net '{self.name}' has an fc6")
        channels, cells = self.channels(self.convolutions[-1]), self.grid**2
        layers: list[nn.Module] = []
        if rank is not None:
            layers = [
                nn.Unflatten(1, (channels, self.grid, self.grid)),
                nn.Conv2d(channels, rank, 1),
                nn.Flatten(),
            ]
        layers.append(nn.Linear((rank or channels) * cells, size))
        self.added = nn.Sequential(*layers)
        draw_weights(self.added, "linear", generator)
        self.added.to(self.mean.device)
        self.fully_connected = ("fc6",)

    def forward(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Read layers of whole images.

        Args:
            images: `[N, 3, input_size, input_size]` in [0, 1].
            names: Any of `convolutions`, `"pool5"`, `fully_connected`.

        Returns:
            For each name `[N, C, h, w]` (convolutions) or `[N, D]` (`pool5` and the fully connected).

        Raises:
            InputError: If the network has no layer of that name.
        """
        wanted = list(names)
        for name in wanted:
            self.check_layer(name)
        last = self.convolutions[-1]
        convolutions = {name for name in wanted if name in self.convolutions}
        outputs = self.maps(images, convolutions if len(convolutions) == len(wanted) else {*convolutions, last})
        if len(convolutions) < len(wanted):
            pooled = self.pool(last, outputs[last])
            outputs["pool5"] = pooled.flatten(1)
            outputs |= self.fc_outputs(pooled, [name for name in wanted if name in self.fully_connected])
        return {name: outputs[name] for name in wanted}

    def check_layer(self, name: str) -> None:
        """Raise an `InputError` if no such layer can be read."""
        layers = (*self.convolutions, "pool5", *self.fully_connected)
        if name not in layers:
            hint = "" if self.fully_connected else " (its weights file holds the convolutions alone)"
            raise InputError(f"The net '{self.name}' has no layer '{name}'{hint}; choose {', '.join(layers)}.")


def draw_weights(module: nn.Module, nonlinearity: Literal["linear", "relu"], generator: torch.Generator) -> None:
    """Give all convolutions and linear layers He's random weights, and biases of 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity, generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def in_precision(backbone: Backbone, dtype: torch.dtype) -> Backbone:
    """A copy whose convolutions and fully connected layers lie in `dtype`: `autocast` then casts no weights.

    For float32 the network itself is returned.
    """
    if dtype == torch.float32:
        return backbone
    twin = copy.deepcopy(backbone)
    for layer in twin.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.to(dtype)
    return twin


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of the weights, which identifies the network in runs and results."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
