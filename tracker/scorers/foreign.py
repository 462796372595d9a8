"""Scorers from other trackers: a network's embedding, SiamFC's response, a tracker's confidence.

The environments and the commands take a function without arguments that returns a scorer by its name,
`module:function`. `tracker.scorers.check.check_scorer` tests a scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..data.images import to_images
from ..errors import InputError
from ..models import siamfc
from ..models.backbones import Precision, autocast, resolve_device, resolve_precision
from .sint import CosineScorer

_CHUNK = 64
"""Pairs that are correlated in one pass, which bounds the memory."""
_REACH = 2
"""Cells of the response around its middle that are searched for the peak."""


class EmbeddingScorer(CosineScorer):
    """The cosine of a network's embeddings of two crops.

    The network may go on learning: its weights at the time of the call count, in evaluation mode and without
    gradients. Its modes are restored.

    Args:
        module: `float32[N, 3, input_size, input_size]` to `[N, ...]`.
        input_size: Side of the crops that it takes.
        mean: Subtracted from each channel of crops in [0, 1].
        std: Each channel is divided by it afterwards.

    Raises:
        InputError: If the sizes or the numbers cannot be.
    """

    def __init__(
        self,
        module: nn.Module,
        input_size: int,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        if input_size < 1:
            raise InputError(f"input_size is {input_size}; give the side of the network's input in pixels.")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise InputError(f"mean is {mean} and std {std}; give three numbers each, those of std above 0.")
        self.module = module
        self.input_size = input_size
        self._mean, self._std = (torch.tensor(values).float().reshape(1, 3, 1, 1) for values in (mean, std))

    @property
    def device(self) -> torch.device:
        """Where the network is now."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @torch.no_grad()
    def embed(self, crops: Tensor) -> Tensor:
        """Crops to unit vectors `float32[N, D]`."""
        mean, std = self._mean.to(crops.device), self._std.to(crops.device)
        training = [part for part in self.module.modules() if part.training]
        self.module.eval()
        try:
            embedded = self.module((crops - mean) / std)
        finally:
            for part in training:
                part.training = True
        if not isinstance(embedded, Tensor):
            raise InputError(
                f"{type(self.module).__name__} returned a {type(embedded).__name__}; wrap it so that it returns"
                " its embedding alone."
            )
        return functional.normalize(embedded.float().flatten(1))


class SiamFCScorer(CosineScorer):
    """SiamFC's response: the peak of the correlation of the exemplar's and the candidate's features.

    A crop is a target without surroundings, and SiamFC expects as much again around it. The crop is put into the
    middle of a square, as large as a square target is in SiamFC's search input, in the mean colour of its own
    border; the features of the middle 127 pixels are the exemplar's kernel, as in the tracker.

    The score is the peak of the response up to two cells (16 pixels, a quarter of the target) off the middle,
    where the candidate is known to be, in units of the exemplar's response to itself: 1 is "as the exemplar
    itself". A candidate with stronger features than the exemplar scores above 1. The peak of the tracker's whole
    17 x 17 response lay within one cell of the middle for each of 60 pictures of targets, clean and occluded; a
    search of all of it would take more than twice the time.

    Args:
        net: The five convolutions; their weights at the time of the call count.
        device: Where the network is moved; `None` leaves it where it is.
        precision: See `tracker.models.backbones.resolve_precision`; scores are float32.
    """

    input_size = 64
    """A square target's side in SiamFC's input: half of 127, rounded up to the features' stride."""

    def __init__(
        self,
        net: siamfc.SiamFCNet,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.device = next(net.parameters()).device if device is None else resolve_device(device)
        self.net = net.to(self.device).to(memory_format=torch.channels_last)
        self._dtype = resolve_precision(precision, self.device)

    @classmethod
    def load(cls, weights: str | Path, device: str = "auto", precision: Precision = "auto") -> SiamFCScorer:
        """Load the weights; see `SiamFCTracker`.

        Raises:
            InputError: If they are missing or are not SiamFC's.
        """
        return cls(siamfc.load_siamfc(weights), device, precision)

    @torch.no_grad()
    def embed(self, crops: Tensor) -> Tensor:
        """Crops to the features of the square, `float32[N, 256, 10, 10]`."""
        with autocast(self.device, self._dtype):
            canvas = place_on_canvas(crops, siamfc.EXEMPLAR + 2 * _REACH * siamfc.STRIDE) * 255
            return self.net(canvas.contiguous(memory_format=torch.channels_last)).float()

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """Peaks of the responses, `float32[N]`."""
        kernels = exemplars[:, :, _REACH:-_REACH, _REACH:-_REACH]
        self_responses = kernels.square().sum(dim=(1, 2, 3)).clamp_min(1e-12)
        peaks = [
            siamfc.respond(kernel, maps).amax(dim=(1, 2))
            for maps, kernel in zip(candidates.split(_CHUNK), kernels.split(_CHUNK), strict=True)
        ]
        return torch.cat([candidates.new_zeros(0), *peaks]) / self_responses


class _ConfidentTracker(Protocol):
    """A tracker with the confidence of its last `update`, higher where it is more confident."""

    @property
    def score(self) -> float: ...

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None: ...

    def update(self, image: NDArray[np.uint8]) -> Any: ...


class ConfidenceScorer(CosineScorer):
    """The confidence in the candidate of a tracker that starts on the exemplar.

    For a tracker without access to its embedding: `embed` is the identity, and `compare` calls `init` with a
    picture of the exemplar and `update` with one of the candidate, each in the middle of a canvas of the
    exemplar's mean border colour. Pairs are scored one by one, so it is as slow as the tracker.

    Trackers learn a target with its surroundings. All crops have the same plain surroundings, which would be
    recognised instead of the target, so the box of `init` is the `core` of the crop.

    Args:
        tracker: The tracker, its class, or a function that returns one.
        input_size: Side of the crop in the picture, in pixels.
        surroundings: Side of the picture in sides of the crop.
        core: Side of the box of `init` in sides of the crop.

    Raises:
        InputError: If the tracker has no score, or a number cannot be.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        tracker: _ConfidentTracker | Callable[[], _ConfidentTracker],
        input_size: int = 64,
        surroundings: float = 4.0,
        core: float = 0.5,
    ) -> None:
        instance: Any = tracker if hasattr(tracker, "update") and not isinstance(tracker, type) else tracker()
        if not all(hasattr(instance, part) for part in ("init", "update", "score")):
            raise InputError(
                f"{type(instance).__name__} lacks init, update or score; give a tracker with a confidence."
            )
        if input_size < 1 or not surroundings >= 1 or not 0 < core <= 1:
            raise InputError(
                f"input_size is {input_size}, surroundings {surroundings} and core {core}; the first two must"
                " be at least 1, and core above 0 and at most 1."
            )
        self.tracker: _ConfidentTracker = instance
        self.input_size = input_size
        self._side = round(input_size * surroundings)
        self._core = max(1, round(input_size * core))

    def embed(self, crops: Tensor) -> Tensor:
        """The crops themselves, `[N, 3, S, S]`."""
        return crops

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """The tracker's confidence in each pair `[N, 3, S, S]`: `float32[N]`."""
        fill = border_colour(exemplars)
        first, second = (to_images(place_on_canvas(crops, self._side, fill)) for crops in (exemplars, candidates))
        start = (self._side - self._core) // 2
        scores = []
        for exemplar, candidate in zip(first, second, strict=True):
            self.tracker.init(exemplar, (start, start, self._core, self._core))
            self.tracker.update(candidate)
            scores.append(float(self.tracker.score))
        return torch.tensor(scores, dtype=torch.float32)


def border_colour(crops: Tensor) -> Tensor:
    """Mean colour of the outermost pixels of crops `[N, 3, S, S]`: `[N, 3, 1, 1]`."""
    edges = torch.cat([crops[..., 0, :], crops[..., -1, :], crops[..., :, 0], crops[..., :, -1]], dim=2)
    return edges.mean(dim=2)[..., None, None]


def place_on_canvas(crops: Tensor, side: int, fill: Tensor | None = None) -> Tensor:
    """Put crops `[N, 3, S, S]` into the middle of squares `[N, 3, side, side]` of a colour `[N, 3, 1, 1]`.

    The colour is the crops' `border_colour` if `None`; the squares are at least as long as the crops.
    """
    count, channels, size, _ = crops.shape
    fill = border_colour(crops) if fill is None else fill
    canvas = fill.expand(count, channels, side, side).clone()
    start = (side - size) // 2
    canvas[..., start : start + size, start : start + size] = crops
    return canvas
