"""SiamFC-3s: the target is where its first appearance correlates best with the frame, at one of three scales.

Bertinetto et al., "Fully-Convolutional Siamese Networks for Object Tracking", 2016, with the tracking constants
that its authors published with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from ..data.boxes import check_box
from ..data.images import as_rgb, mean_colour
from ..models.backbones import Precision, autocast, fingerprint, resolve_device, resolve_precision
from ..models.siamfc import EXEMPLAR, RESPONSE, SEARCH, STRIDE, UPSAMPLING, cut_square, exemplar_side, load_siamfc

SCALES = 1.0375 ** np.array([-1.0, 0.0, 1.0])
"""Sizes of the search region, relative to the last one."""
SCALE_PENALTY = 0.9745
"""Factor of the responses at the scales that differ from the last one."""
SCALE_RATE = 0.59
"""How far the size goes towards the best scale's in one frame."""
WINDOW_INFLUENCE = 0.176
"""Share of the cosine window in the map whose peak is taken."""
SIZE_LIMITS = (0.2, 5.0)
"""Bounds of the size relative to the first one."""


class SiamFCTracker:
    """SiamFC-3s as a tracker.

    The three scales of a frame go through the network in one pass. The box's centre is kept inside the frame, so
    that a target that left is waited for at the border; its size stays between a fifth and five times the
    first one. Two details differ from the authors' code, for the sake of fractions of a pixel: regions are cut out
    bilinearly at their exact place instead of being rounded to whole pixels, and the response's centre lies
    between its two middle cells.

    Args:
        weights: A safetensors file with `conv1` to `conv5` of `SiamFCNet`.
        device: See `tracker.models.backbones.resolve_device`.
        precision: See `tracker.models.backbones.resolve_precision`.

    Attributes:
        name: Name in result folders and tables.
        score: The correlation at the last peak, without unit and different from target to target; 0 before the
            first `update`.

    Raises:
        InputError: If the weights are missing or are not those of SiamFC, or the device is unknown.
    """

    name = "siamfc"

    def __init__(
        self, weights: str | Path, device: str | torch.device = "auto", precision: Precision = "auto"
    ) -> None:
        net = load_siamfc(weights)
        self.device = resolve_device(str(device))
        self._dtype = resolve_precision(precision, self.device)
        self._net = net.to(self.device).to(memory_format=torch.channels_last)
        side = UPSAMPLING * RESPONSE
        window = np.outer(np.hanning(side), np.hanning(side))
        self._window = torch.from_numpy(window / window.sum()).float().to(self.device)
        self.score = 0.0

    @property
    def identity(self) -> dict[str, str]:
        """Everything that changes the boxes; see `Tracker`."""
        return {"weights": fingerprint(self._net), "precision": str(self._dtype).removeprefix("torch.")}

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        """Take the target; see `Tracker`.

        Raises:
            InputError: If the box has no area or lies outside the frame.
        """
        frame = as_rgb(image, "The frame")
        height, width = frame.shape[:2]
        x, y, w, h = check_box(box, width, height, "The box of the first frame")
        self._centre = np.array([x + w / 2, y + h / 2])
        self._first_size = np.array([w, h])
        self._scale = 1.0
        self._exemplar_side = exemplar_side(w, h)
        self._fill = mean_colour(frame)
        self._exemplar = self._features(
            [cut_square(frame, self._centre, self._exemplar_side, EXEMPLAR, self._fill)]
        )
        self.score = 0.0

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find the target in the next frame; see `Tracker`."""
        frame = as_rgb(image, "The frame")
        side = self._scale * self._exemplar_side * SEARCH / EXEMPLAR
        regions = [cut_square(frame, self._centre, side * scale, SEARCH, self._fill) for scale in SCALES]
        best, row, column, self.score = self._peak(self._features(regions))
        middle = (UPSAMPLING * RESPONSE - 1) / 2
        moved = np.array([column - middle, row - middle]) * STRIDE / UPSAMPLING
        self._centre = self._centre + moved * side * SCALES[best] / SEARCH
        self._centre = np.clip(self._centre, 0, [frame.shape[1], frame.shape[0]])
        grown = self._scale * (1 + SCALE_RATE * (SCALES[best] - 1))
        self._scale = float(np.clip(grown, *SIZE_LIMITS))
        size = self._scale * self._first_size
        return np.concatenate([self._centre - size / 2, size])

    @torch.inference_mode()
    def _features(self, regions: list[NDArray[np.uint8]]) -> Tensor:
        batch = torch.from_numpy(np.stack(regions)).to(self.device).permute(0, 3, 1, 2).float()
        with autocast(self.device, self._dtype):
            return self._net(batch)

    @torch.inference_mode()
    def _peak(self, features: Tensor) -> tuple[int, int, int, float]:
        """Index of the best scale, row and column of its peak in the enlarged response, and the response there."""
        response = functional.conv2d(features.float(), self._exemplar.float())
        response = functional.interpolate(response, scale_factor=UPSAMPLING, mode="bicubic")[:, 0]
        penalty = torch.where(torch.arange(len(SCALES)) == len(SCALES) // 2, 1.0, SCALE_PENALTY).to(self.device)
        best = int((response.amax(dim=(1, 2)) * penalty).argmax())
        chosen = response[best]
        share = chosen - chosen.min()
        share = (1 - WINDOW_INFLUENCE) * share / share.sum().clamp_min(1e-12) + WINDOW_INFLUENCE * self._window
        row, column = divmod(int(share.argmax()), share.shape[1])
        return best, row, column, float(chosen[row, column])
