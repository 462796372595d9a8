"""The features of an agent's observation: one layer of a backbone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .base import Backbone
from .hardware import Precision, autocast, resolve_precision


def unit_rms(features: Tensor) -> Tensor:
    """Scale each row of `[N, D]` to a root mean square of 1 (a row of zeros stays): `float32[N, D]`."""
    return functional.normalize(features.float()) * features.shape[1] ** 0.5


class FeatureExtractor:
    """The state's features: one layer of a backbone, scaled to unit root mean square.

    The scale makes a Q-network's input the same whatever the layer (raw fc6 norms are about 100, and an
    L2-normalised vector of thousands of numbers is next to zero everywhere).

    Args:
        backbone: The network.
        layer: The layer to read.
        precision: Arithmetic of the forward pass; the result is float32.

    Attributes:
        dtype: That arithmetic.
        length: Numbers a crop.
    """

    def __init__(self, backbone: Backbone, layer: str, precision: Precision = "auto") -> None:
        backbone.check_layer(layer)
        self.backbone = backbone
        self.layer = layer
        self.device = next(backbone.parameters()).device
        self.dtype = resolve_precision(precision, self.device)
        side = backbone.input_size
        self.length = int(self(torch.zeros(1, 3, side, side, device=self.device)).shape[1])

    @property
    def input_size(self) -> int:
        """Side of the square crops that it takes."""
        return self.backbone.input_size

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """Features of crops.

        Args:
            crops: `[N, 3, input_size, input_size]` in [0, 1].

        Returns:
            `float32[N, length]`, each row with a root mean square of 1 (or all 0).
        """
        with autocast(self.device, self.dtype):
            outputs = self.backbone(crops.contiguous(memory_format=torch.channels_last), [self.layer])
        return unit_rms(outputs[self.layer].flatten(1))
