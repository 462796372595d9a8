"""The layers of both architectures (section 4.1.2), and the weights that they start with."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from .config import VAEConfig
from .errors import VAEError

_COLOURS = 3
_KERNEL, _STRIDE, _PADDING = 4, 2, 1

MOST_WEIGHTS = 2**29
"""Weights of a model: 2 GiB."""


class Layers(NamedTuple):
    """What a model is made of, without memory for the weights (on the device `meta`).

    Attributes:
        encoder: Images `[N, D]` to the first hidden layer before its ReLU, `[N, hidden]`.
        mean: That layer to mu, `[N, latent]`.
        log_variance: That layer to log sigma^2, `[N, latent]`.
        decoder: Codes `[N, latent]` to the second hidden layer before its ReLU, `[N, hidden]`.
        output: That layer to the logits, `[N, D]`.
    """

    encoder: nn.Module
    mean: nn.Module
    log_variance: nn.Module
    decoder: nn.Module
    output: nn.Module


def build_layers(config: VAEConfig) -> Layers:
    """Build the layers of an architecture.

    Raises:
        VAEError: If the sizes are beyond what a tensor can have, or there are more than `MOST_WEIGHTS`.
    """
    ends = {"mlp": _matrices, "conv": _convolutions}[config.architecture]
    try:
        encoder, output = ends(config)
        layers = Layers(
            encoder,
            _linear(config.hidden, config.latent),
            _linear(config.hidden, config.latent),
            _linear(config.latent, config.hidden),
            output,
        )
    except (RuntimeError, OverflowError) as error:
        raise VAEError(f"No network can have these sizes: {config}.") from error
    count = sum(weight.numel() for layer in layers for weight in layer.parameters())
    if count > MOST_WEIGHTS:
        raise VAEError(f"{config} has {count} weights; give sizes with at most {MOST_WEIGHTS}.")
    return layers


def weight_shapes(config: VAEConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of a model, by the name that its file gives it.

    Raises:
        VAEError: If the sizes are beyond what a tensor can have.
    """
    layers = build_layers(config)._asdict()
    return {
        f"{part}.{name}": tuple(weight.shape)
        for part, layer in layers.items()
        for name, weight in layer.named_parameters()
    }


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Fill every weight Glorot-uniform and every bias with 0, in the order of the layers."""
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        else:
            nn.init.xavier_uniform_(weight, generator=generator)


def _matrices(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return _linear(config.input_size, config.hidden), _linear(config.hidden, config.input_size)


def _convolutions(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    """4 x 4 convolutions of stride 2 down to a small map, which one matrix joins to the hidden layer, and back."""
    size, channels = config.image_size, config.channels
    small = size // 2 ** len(channels)
    cells = channels[-1] * small * small
    down: list[nn.Module] = [_ToPlanes(size)]
    for before, after in zip((_COLOURS, *channels[:-1]), channels, strict=True):
        down += [nn.Conv2d(before, after, _KERNEL, _STRIDE, _PADDING, device="meta"), nn.ReLU()]
    up: list[nn.Module] = [_linear(config.hidden, cells), nn.Unflatten(-1, (channels[-1], small, small))]
    for before, after in zip(channels[::-1], (*channels[-2::-1], _COLOURS), strict=True):
        up += [nn.ReLU(), nn.ConvTranspose2d(before, after, _KERNEL, _STRIDE, _PADDING, device="meta")]
    return nn.Sequential(*down, nn.Flatten(), _linear(cells, config.hidden)), nn.Sequential(*up, _ToVectors())


def _linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, device="meta")


class _ToPlanes(nn.Module):
    """`[N, H * W * 3]`, the order of an image's array, to `[N, 3, H, W]`, the order of a convolution."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.unflatten(-1, (self.size, self.size, _COLOURS)).movedim(-1, -3)


class _ToVectors(nn.Module):
    """Undo `_ToPlanes`."""

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return planes.movedim(-3, -1).flatten(-3)
