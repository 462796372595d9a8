"""SiamFC's training: from sequences and released weights to a network and its card.

Bertinetto et al. 2016, sections 2.2 and 3.2: pairs of an exemplar and a search region of one video, and the
logistic loss of every cell of the response, those near the target against all others. Batch norm is folded into
the convolutions, so they learn as plain ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.identity import content_digest
from ..data.images import Image, mean_colour, to_tensor
from ..data.sequences import Sequence
from ..errors import InputError
from ..files import replacing_file
from ..models.backbones import autocast, fingerprint, save_weights
from ..models.siamfc import (
    EXEMPLAR,
    RESPONSE,
    SEARCH,
    STRIDE,
    SiamFCNet,
    cut_square,
    exemplar_side,
    respond,
)
from .data import check_disjoint
from .frames import cache_frames
from .hardening import FrameTransform, step_generator
from .loop import Trainer
from .losses import balanced_logistic
from .settings import SiamFCTraining, TrainingRun

TARGET = 64
"""Side of the crops of exemplars' targets, without surroundings, that a transform is given."""
CALIBRATION_PAIRS = 16
CALIBRATED_GAP = 4.0
"""Difference of the mean logits at targets and elsewhere that the calibration gives the start network."""


def train_siamfc(
    net: SiamFCNet,
    train: Iterable[Sequence],
    held_out: Iterable[Sequence],
    out: str | Path,
    settings: SiamFCTraining | None = None,
    transform: FrameTransform | None = None,
    run: TrainingRun | None = None,
) -> dict[str, Any]:
    """Fine-tune SiamFC; an interrupted run resumes, and ends with the same bytes as one that was not interrupted.

    The response has no scale of its own, so it is brought to logits by a slope and an offset that are measured
    once, from the responses of the given network to training pairs: 0 lies halfway between the mean response at
    targets and that elsewhere, which are 4 apart (less where they differ by less than the responses vary). A
    tracker needs neither.

    Args:
        net: The network, where it runs; it is changed.
        train: The videos to learn from.
        held_out: The videos on whose pairs the loss is measured before and after; the last step is kept.
        out: Receives `siamfc.safetensors`, which `load_siamfc` and `SiamFCTracker` read, `siamfc.json`, its
            card, and the folder `work/` that an interrupted run resumes from.
        settings: See `SiamFCTraining`.
        transform: Changes the search regions of each step, such as to occlude targets; its draws follow from the
            seed and the step's number. It may use `net`, which is as it is at that moment. Its `repr` identifies
            it in the run's record.
        run: See `TrainingRun`.

    Returns:
        The card.

    Raises:
        InputError: If there is nothing to train on, the loss diverges, or `out` holds a run of something else.
    """
    settings, run = settings or SiamFCTraining(), run or TrainingRun()
    pairs = SiamFCPairs(train, settings, run.bytes_per_cache)
    held_out_pairs = SiamFCPairs(held_out, settings, run.cache_bytes)
    check_disjoint(pairs.sequences, held_out_pairs.sequences)
    trainer = SiamFCTrainer(net, pairs, held_out_pairs, transform, run)
    record: dict[str, Any] = {
        "network": "SiamFC-3s, five convolutions; RGB from 0 to 255",
        "weights": fingerprint(net),
        "settings": asdict(settings),
        "transform": None if transform is None else repr(transform),
        "trained_on": {each.name: len(each.present) for each in pairs.sequences},
        "validated_on": {each.name: len(each.present) for each in held_out_pairs.sequences},
        "data": {each.name: content_digest(each) for each in [*pairs.sequences, *held_out_pairs.sequences]},
        "arithmetic": trainer.arithmetic,
    }
    out = Path(out)
    trainer.train(out, record)
    state = trainer.state
    card = record | {
        "logits": {"slope": state["slope"], "offset": state["offset"]},
        "training_loss": state["losses"],
        "validation_loss": {"before": state["before"], "after": state["after"]},
    }
    save_weights(out / "siamfc.safetensors", {name: value.float() for name, value in net.state_dict().items()})
    with replacing_file(out / "siamfc.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    return card


class SiamFCTrainer(Trainer):
    """Trains SiamFC by the balanced logistic loss of its responses, and keeps the last step.

    The settings of the training are those of `pairs`.
    """

    name = "siamfc"

    def __init__(
        self,
        net: SiamFCNet,
        pairs: SiamFCPairs,
        held_out: SiamFCPairs,
        transform: FrameTransform | None,
        run: TrainingRun,
    ) -> None:
        self.net, self.pairs, self.held_out, self.transform = net, pairs, held_out, transform
        self.settings = settings = pairs.settings
        for number, layer in enumerate(net.children()):
            layer.requires_grad_(number >= settings.frozen)
        net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(
            (value for value in net.parameters() if value.requires_grad),
            settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay,
        )  # fmt: skip
        super().__init__(net, optimizer, settings, run, "cosine", validate_every=settings.steps)
        self.draw = partial(pairs.draw, count=settings.pairs)
        self.state["losses"] = []

    def loss(self, step: int, drawn: DrawnCrops) -> Tensor:
        """The balanced logistic loss of the responses to transformed search regions."""
        pairs = SearchPairs.load(drawn, self.device)
        searched = pairs.searched
        if self.transform is not None:
            generator = step_generator(self.settings.seed, step)
            searched = self.transform(searched, pairs.boxes, pairs.targets, generator)
        return self._loss(pairs, searched)

    def record_loss(self, loss: float) -> None:
        """Append the loss of the step."""
        self.state["losses"].append(round(loss, 6))

    @torch.no_grad()
    def validate(self, step: int) -> dict[str, float]:
        """Measure the loss on pairs of the held-out videos, the same ones each time."""
        if step == 0:
            self._calibrate()
        settings, losses, left = self.settings, [], self.settings.validate_pairs
        while left:
            count = min(left, settings.pairs)
            pairs = SearchPairs.load(self.held_out.draw(left, count), self.device)
            losses.append(float(self._loss(pairs, pairs.searched)) * count)
            left -= count
        loss = self.state["before" if step == 0 else "after"] = round(sum(losses) / settings.validate_pairs, 6)
        return {"loss": loss}

    def _loss(self, pairs: SearchPairs, searched: Tensor) -> Tensor:
        logits = self.state["slope"] * (self._responses(pairs.exemplars, searched) - self.state["offset"])
        return balanced_logistic(logits, response_labels(pairs.boxes, self.settings.radius))

    def _responses(self, exemplars: Tensor, searched: Tensor) -> Tensor:
        """`float32[N, 17, 17]` of images in [0, 1]."""
        with autocast(self.device, self.dtype):
            features = [
                self.net((255 * images).contiguous(memory_format=torch.channels_last)).float()
                for images in (exemplars, searched)
            ]
        return respond(*features)

    def _calibrate(self) -> None:
        """Measure the slope and the offset; see `train_siamfc`."""
        pairs = SearchPairs.load(self.pairs.draw(-1 % 2**31, CALIBRATION_PAIRS), self.device)
        responses = self._responses(pairs.exemplars, pairs.searched)
        labels = response_labels(pairs.boxes, self.settings.radius)
        at, off = float(responses[labels].mean()), float(responses[~labels].mean())
        self.state["offset"] = (at + off) / 2
        self.state["slope"] = CALIBRATED_GAP / max(at - off, float(responses.std()), 1e-12)


class DrawnCrops(NamedTuple):
    """The crops of N pairs of frames, on the CPU.

    Attributes:
        exemplars: `uint8[N, 127, 127, 3]`.
        targets: `uint8[N, 64, 64, 3]`.
        searched: `uint8[N, 255, 255, 3]`.
        boxes: `float32[N, 4]`; see `SearchPairs`.
    """

    exemplars: Tensor
    targets: Tensor
    searched: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class SearchPairs:
    """N pairs of frames, each of one video.

    Attributes:
        exemplars: `float32[N, 3, 127, 127]` in [0, 1], targets with their surroundings.
        targets: `float32[N, 3, 64, 64]`, the same targets without.
        searched: `float32[N, 3, 255, 255]`, the search regions.
        boxes: `float32[N, 4]`, `(x, y, w, h)` of the targets in `searched`.
    """

    exemplars: Tensor
    targets: Tensor
    searched: Tensor
    boxes: Tensor

    @classmethod
    def load(cls, drawn: DrawnCrops, device: str | torch.device = "cpu") -> SearchPairs:
        """Convert crops to the network's input, on a device."""
        exemplars, targets, searched = (to_tensor(crops.numpy(), device) for crops in drawn[:3])
        return cls(exemplars, targets, searched, drawn.boxes.to(device))


class SiamFCPairs:
    """Draws the pairs of a step; the draw depends on the seed and the step's number alone.

    A video is drawn uniformly, then a frame that shows its target, then another one at most `gap` frames off.
    Decoded frames are kept up to `cache_bytes`.

    Raises:
        InputError: If a video has no two such frames.
    """

    def __init__(self, sequences: Iterable[Sequence], settings: SiamFCTraining, cache_bytes: int = 2**30) -> None:
        self.sequences = cache_frames(sequences, cache_bytes)
        if not self.sequences:
            raise InputError("There is no video to draw pairs from; give at least one.")
        self.settings = settings
        for each in self.sequences:
            if len(each.present) < 2 or np.diff(each.present).min() > settings.gap:
                raise InputError(
                    f"The video '{each.name}' has no two frames with the target within {settings.gap} frames;"
                    " leave it out, or allow a larger gap."
                )

    def draw(self, step: int, count: int) -> DrawnCrops:
        """Draw the pairs of a step by its number."""
        rng = np.random.default_rng([self.settings.seed, 11, step])
        exemplars, targets, searched, boxes = (
            torch.from_numpy(np.stack(part)) for part in zip(*(self._pair(rng) for _ in range(count)), strict=True)
        )
        return DrawnCrops(exemplars, targets, searched, boxes.float())

    def _pair(self, rng: np.random.Generator) -> tuple[Image, Image, Image, NDArray[np.float64]]:
        settings = self.settings
        sequence = self.sequences[rng.integers(len(self.sequences))]
        present = sequence.present
        while True:
            first = int(rng.choice(present))
            near = present[(np.abs(present - first) <= settings.gap) & (present != first)]
            if len(near):
                break
        second = int(rng.choice(near))
        zoom = 1 + rng.uniform(-settings.scale, settings.scale, 2)
        shift = rng.uniform(-settings.shift, settings.shift, 2)
        exemplar, _ = region_around(sequence, first, EXEMPLAR, zoom[0], np.zeros(2))
        searched, box = region_around(sequence, second, SEARCH, zoom[1], shift)
        return exemplar, sequence.crop(first, TARGET), searched, box


def region_around(
    sequence: Sequence, t: int, size: int, zoom: float, shift: NDArray[np.float64]
) -> tuple[Image, NDArray[np.float64]]:
    """Cut the square around a target out of a frame, as SiamFC's input.

    Args:
        sequence: The video.
        t: Index of the frame.
        size: Side of the square in pixels: `EXEMPLAR` or `SEARCH`, which show 1 and 255 / 127 exemplar sides.
        zoom: Factor of the side that is shown.
        shift: Offset of the target from the middle, `(x, y)` in pixels of the square.

    Returns:
        `uint8[size, size, 3]`, and the target's box in it, `(x, y, w, h)`.
    """
    frame, (x, y, w, h) = sequence.frames[t], sequence.boxes[t]
    side = exemplar_side(w, h) * size / EXEMPLAR * zoom
    step = side / size
    centre = np.array([x + w / 2, y + h / 2]) - shift * step
    image = cut_square(frame, centre, side, size, mean_colour(frame))
    middle = size / 2 + shift
    extent = np.array([w, h]) / step
    return image, np.concatenate([middle - extent / 2, extent])


def response_labels(boxes: Tensor, radius: float) -> Tensor:
    """Label the cells of responses: positive near the target's centre.

    Args:
        boxes: `[N, 4]`, `(x, y, w, h)` in the search regions.
        radius: Largest distance of a positive cell from the box's centre, in pixels.

    Returns:
        `bool[N, 17, 17]`.
    """
    side = RESPONSE
    places = SEARCH / 2 + STRIDE * (torch.arange(side, device=boxes.device) - side // 2)
    x, y = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3] / 2
    squared = (places[None, None] - x[:, None, None]) ** 2 + (places[None, :, None] - y[:, None, None]) ** 2
    return squared <= radius**2
