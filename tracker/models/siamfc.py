"""SiamFC-3s: the network, the crops that it takes, and its response.

Bertinetto et al., "Fully-Convolutional Siamese Networks for Object Tracking", 2016.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from .backbones import load_weights

EXEMPLAR = 127
"""Side of the exemplar's input in pixels."""
SEARCH = 255
"""Side of the search region's input."""
STRIDE = 8
"""Pixels of the input from one cell of the response to the next."""
UPSAMPLING = 16
"""The response of 17 x 17 cells is enlarged to 272 x 272 before its peak is taken."""
RESPONSE = (SEARCH - EXEMPLAR) // STRIDE + 1
"""Cells of the response along a side: 17."""
CONTEXT = 0.5
"""Margin around the target as a share of its width plus height."""


class SiamFCNet(nn.Module):
    """AlexNet's five convolutions without padding, batch norm folded in; input RGB, 0 to 255."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, stride=2)
        self.conv2 = nn.Conv2d(96, 256, 5, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3)
        self.conv4 = nn.Conv2d(384, 384, 3, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, groups=2)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features: `[N, 256, 6, 6]` of images with sides of 127, `[N, 256, 22, 22]` of 255."""
        x = functional.max_pool2d(functional.relu(self.conv1(images)), 3, stride=2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 3, stride=2)
        return self.conv5(functional.relu(self.conv4(functional.relu(self.conv3(x)))))


def load_siamfc(weights: str | Path) -> SiamFCNet:
    """Load the network, on the CPU, to be used and not trained.

    Raises:
        InputError: If the weights are missing or are not those of SiamFC.
    """
    net = SiamFCNet()
    try:
        net.load_state_dict({key: value.float() for key, value in load_weights(weights).items()})
    except (RuntimeError, AttributeError):
        raise InputError(f"The weights in '{weights}' are not those of SiamFC's five convolutions.") from None
    return net.eval().requires_grad_(False)


def exemplar_side(width: float, height: float) -> float:
    """Side of the square around a target that is the exemplar, in pixels of the frame.

    >>> exemplar_side(20, 20)
    40.0
    """
    margin = CONTEXT * (width + height)
    return float(np.sqrt((width + margin) * (height + margin)))


def respond(exemplars: Tensor, searched: Tensor) -> Tensor:
    """The responses of pairs of features `[N, 256, 6, 6]` and `[N, 256, 22, 22]`: `[N, 17, 17]`."""
    return functional.conv2d(searched.flatten(0, 1)[None], exemplars, groups=len(exemplars))[0]


def cut_square(
    frame: NDArray[np.uint8], centre: NDArray[np.float64], side: float, size: int, fill: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Cut a square out at its exact place and resize it to `size` pixels; `fill` stands beyond the border."""
    step = side / size
    start = centre - side / 2 + (step - 1) / 2
    matrix = np.array([[step, 0, start[0]], [0, step, start[1]]])
    cut = cv2.warpAffine(
        frame,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=tuple(float(value) for value in fill),
    )
    return np.asarray(cut, dtype=np.uint8)
