"""The layers of both architectures (section 4.1.2), and the weights that they start with."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import VAEConfig
from .errors import VAEError

_START_DEVIATION = 0.2
"""Of a Gaussian p(x|z): about that of the intensities of natural images, which are in [0, 1]."""
_KERNEL, _STRIDE, _PADDING = 4, 2, 1

MOST_WEIGHTS = 2**29
"""Weights of a model: 2 GiB."""


def build_layers(config: VAEConfig) -> nn.ModuleDict:
    """Build the layers of an architecture, without memory for the weights (on the device `meta`).

    Returns:
        By name, in the order of a model's weights: `encoder`, images `[N, D]` to the first hidden layer before its
        ReLU, `[N, hidden]`; `mean` and `log_variance`, from there to mu and log sigma^2, `[N, latent]`; `decoder`,
        codes to the second hidden layer before its ReLU; `output`, from there to the logits, `[N, D]`. A Gaussian
        likelihood adds the parameter `log_deviation`, log of the standard deviation of p(x|z).

    Raises:
        VAEError: If the sizes are beyond what a tensor can have, or there are more than `MOST_WEIGHTS`.
    """
    try:
        with torch.device("meta"):
            encoder, output = {"mlp": _matrices, "conv": _convolutions}[config.architecture](config)
            mean, log_variance = (nn.Linear(config.hidden, config.latent) for _ in range(2))
            decoder = nn.Linear(config.latent, config.hidden)
    except (RuntimeError, OverflowError) as error:
        raise VAEError(f"No network can have these sizes: {config}.") from error
    layers = nn.ModuleDict(
        {"encoder": encoder, "mean": mean, "log_variance": log_variance, "decoder": decoder, "output": output}
    )
    if config.likelihood == "gaussian":
        layers.register_parameter("log_deviation", nn.Parameter(torch.empty((), device="meta")))
    if (count := sum(weight.numel() for weight in layers.parameters())) > MOST_WEIGHTS:
        raise VAEError(f"{config} has {count} weights; give sizes with at most {MOST_WEIGHTS}.")
    return layers


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Fill every weight Glorot-uniform, every bias with 0 and `log_deviation` with log 0.2, in order."""
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        elif name == "log_deviation":
            nn.init.constant_(weight, math.log(_START_DEVIATION))
        else:
            nn.init.xavier_uniform_(weight, generator=generator)


def _matrices(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(config.input_size, config.hidden), nn.Linear(config.hidden, config.input_size)


def _convolutions(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    """4 x 4 convolutions of stride 2 down to a small map, which one matrix joins to the hidden layer, and back."""
    (height, width, colours), channels = config.image_shape, config.channels
    small = (channels[-1], height // 2 ** len(channels), width // 2 ** len(channels))
    cells = math.prod(small)
    down: list[nn.Module] = [_ToPlanes(config.image_shape)]
    for before, after in zip((colours, *channels[:-1]), channels, strict=True):
        down += [nn.Conv2d(before, after, _KERNEL, _STRIDE, _PADDING), nn.ReLU()]
    up: list[nn.Module] = [nn.Linear(config.hidden, cells), nn.Unflatten(-1, small)]
    for before, after in zip(channels[::-1], (*channels[-2::-1], colours), strict=True):
        up += [nn.ReLU(), nn.ConvTranspose2d(before, after, _KERNEL, _STRIDE, _PADDING)]
    return nn.Sequential(*down, nn.Flatten(), nn.Linear(cells, config.hidden)), nn.Sequential(*up, _ToVectors())


class _ToPlanes(nn.Module):
    """`[N, H * W * C]`, the order of an image's array, to `[N, C, H, W]`, the order of a convolution."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.unflatten(-1, self.shape).movedim(-1, -3)


class _ToVectors(nn.Module):
    """Undo `_ToPlanes`."""

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return planes.movedim(-3, -1).flatten(-3)
