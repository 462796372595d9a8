"""Learning rates of SINT's layers, and its optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..models.backbones import Backbone
from .settings import SintTraining

BIAS_RATE = 2.0
"""Multiplier of biases beside that of their layer (SINT's)."""
MOVING_CONVOLUTIONS = 0.01
"""Multiplier of the trained convolutions, for the learning rate and for the weight decay (SINT's)."""


def sint_multiplier(backbone: Backbone, layer: str) -> float:
    """SINT's multiplier of a layer's learning rate.

    0 before the first of the two compared convolutions, 0.01 from it on, 1 for fc6; 0 for the fully connected
    layers behind it, which are no part of the descriptor. Biases move twice as fast; weights of convolutions
    decay 0.01 times as much, and biases do not.
    """
    if layer in backbone.fully_connected:
        return float(layer == backbone.fully_connected[0])
    if layer not in backbone.convolutions:
        return 0.0
    moves = backbone.convolutions.index(layer) >= backbone.convolutions.index(backbone.sint_layers[0])
    return MOVING_CONVOLUTIONS if moves else 0.0


def multipliers(backbone: Backbone, layer_rates: Iterable[tuple[str, float]] = ()) -> dict[str, float]:
    """The multiplier of every layer that has parameters: that of the first matching pattern, else SINT's.

    Raises:
        InputError: If a pattern fits no layer, or a multiplier is negative or not finite.
    """
    rates = list(layer_rates)
    layers = list(dict.fromkeys(backbone.layer_of(name) for name, _ in backbone.named_parameters()))
    for pattern, value in rates:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise InputError(f"No layer of '{backbone.name}' is called '{pattern}'; they are {', '.join(layers)}.")
        if not 0 <= value < math.inf:
            raise InputError(f"The rate of '{pattern}' is {value:g}; it must be 0 or more, and finite.")
    return {
        layer: next(
            (value for pattern, value in rates if fnmatchcase(layer, pattern)), sint_multiplier(backbone, layer)
        )
        for layer in layers
    }


def frozen_convolution(backbone: Backbone, rates: Mapping[str, float]) -> str | None:
    """The last convolution before which no layer is trained, by the multipliers; `None` where the first one is."""
    moving = {layer for layer, rate in rates.items() if rate > 0}
    if moving - {*backbone.convolutions, *backbone.fully_connected}:
        return None
    fixed = list(takewhile(lambda name: name not in moving, backbone.convolutions))
    return fixed[-1] if fixed else None


def make_optimizer(
    backbone: Backbone, rates: Mapping[str, float], settings: SintTraining
) -> torch.optim.Optimizer:
    """Make an optimizer of the layers with a multiplier above 0; all others stop requiring gradients.

    Raises:
        InputError: If there is no such layer.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in backbone.named_parameters():
        layer = backbone.layer_of(name)
        rate = rates[layer]
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            fully_connected, bias = layer in backbone.fully_connected, name.endswith("bias")
            decay = 0.0 if bias else 1.0 if fully_connected else MOVING_CONVOLUTIONS
            groups.setdefault((rate * (BIAS_RATE if bias else 1.0), decay), []).append(parameter)
    if not groups:
        raise InputError("No layer moves; give a layer a rate above 0.")
    options: list[dict[str, Any]] = [
        {"params": parameters, "lr": settings.learning_rate * rate, "weight_decay": settings.weight_decay * decay}
        for (rate, decay), parameters in groups.items()
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(options, lr=settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(options, lr=settings.learning_rate)
