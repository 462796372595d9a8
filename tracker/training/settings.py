"""Settings of the trainings, and how a training is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError, shorten

if TYPE_CHECKING:
    from ..models.backbones import Precision


def _check(settings: object, names: Iterable[str], allowed: str, fits: Callable[[Any], bool]) -> None:
    """Raise an `InputError` for the first setting whose value does not fit; comparisons with NaN are false."""
    for name in names:
        if not fits(value := getattr(settings, name)):
            raise InputError(f"The setting {name} is {shorten(value)}; it must be {allowed}.")


def _check_steps(settings: object, learning_rate: float, steps: Iterable[str], counts: Iterable[str]) -> None:
    """Check the settings that both trainings have: numbers of steps, numbers of images or boxes, the rate."""
    _check(settings, steps, "at least 1", lambda value: value >= 1)
    _check(settings, counts, "at least 1 and at most 10000", lambda value: 1 <= value <= 10_000)
    if not 0 < learning_rate < math.inf:
        raise InputError(f"The learning rate is {learning_rate:g}; it must be above 0 and finite.")


@dataclass(frozen=True)
class TrainingRun:
    """How a training is run; nothing here but the precision changes the result.

    Attributes:
        precision: Arithmetic of the forward pass; see `resolve_precision`.
        checkpoint_seconds: A checkpoint is written when the last one is this old.
        cache_bytes: Memory for frames, or views of them; loader workers share it.
        map_bytes: Memory for feature maps, where the first convolutions are fixed and nothing is augmented.
        tensorboard: Folder for TensorBoard's event files.
        progress: Show a progress bar.
        loader_workers: Processes that draw the next steps (`torch.utils.data.DataLoader`); 0 draws each step in
            this process. Where feature maps are cached there is little to draw, and none is started.

    Raises:
        InputError: If a number is negative or NaN, or there are more than 1,000 loader workers.
    """

    precision: Precision = "auto"
    checkpoint_seconds: float = 60.0
    cache_bytes: int = 2**30
    map_bytes: int = 4 * 2**30
    tensorboard: Path | None = None
    progress: bool = True
    loader_workers: int = 0

    def __post_init__(self) -> None:
        _check(self, ("checkpoint_seconds", "cache_bytes", "map_bytes"), "0 or more", lambda value: value >= 0)
        _check(self, ["loader_workers"], "0 to 1000", lambda value: 0 <= value <= 1000)

    @property
    def bytes_per_cache(self) -> int:
        """Share of `cache_bytes` of each process that draws."""
        return self.cache_bytes // max(1, self.loader_workers)


@dataclass(frozen=True)
class SintTraining:
    """Settings of `train_sint`; the defaults are SINT's and SINT++'s.

    Attributes:
        steps: Training steps.
        optimizer: sgd is SINT's.
        learning_rate: Learning rate of fc6, and of every layer whose multiplier is 1.
        momentum: Momentum of sgd.
        weight_decay: Weight decay of a layer whose multiplier is 1.
        schedule: Schedule of the learning rate; cosine falls to 0 at the last step.
        layer_rates: Multiples of the learning rate by a pattern of the layer's name, such as conv*=0.1; the first
            that fits a layer counts. By default SINT's: 0 before the first compared convolution, 0.01 from it on,
            1 for fc6 (`sint_multiplier`).
        loss: Form of the contrastive loss: distance is the one SINT trained with, squared the one it printed.
        auxiliary_weight: Weight of the same loss of each fully connected layer alone.
        image_pairs: Pairs of frames a step; each gives 128 pairs of boxes by default.
        boxes_per_frame: Boxes of each frame, the target's own among them; frames with fewer are not used.
        scales: Sizes of the candidates relative to the target; SINT's is 1 alone.
        flip: Probability that a pair of frames is mirrored.
        jitter: Largest relative change of brightness, contrast and saturation.
        shift: Largest shift of a search region off its target, in sides of the region.
        hard_share: Probability that the second frame of a pair shows a hard positive, where its video has one,
            or is hardened.
        validate_every: Steps between two validations.
        validation_frames: Frames a video of a validation.
        keep: Which step's weights the training ends with: the best by validation, or the last, so that
            trainings compare at the same budget.
        interpolation: Share of the trained weights in the final ones; the rest is the initial weights (WiSE-FT,
            Wortsman et al. 2022). At 1 the final weights are the trained ones.
        seed: Seed of all random numbers.

    Raises:
        InputError: If a value is out of its range.
    """

    steps: int = 4000
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 1e-4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["constant", "cosine"] = "constant"
    layer_rates: tuple[tuple[str, float], ...] = ()
    loss: Literal["distance", "squared"] = "distance"
    auxiliary_weight: float = 0.0
    image_pairs: int = 1
    boxes_per_frame: int = 64
    scales: tuple[float, ...] = (1.0,)
    flip: float = 0.0
    jitter: float = 0.0
    shift: float = 0.0
    hard_share: float = 0.5
    validate_every: int = 200
    validation_frames: int = 20
    keep: Literal["best", "last"] = "best"
    interpolation: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "optimizer": ("sgd", "adamw"), "schedule": ("constant", "cosine"), "loss": ("distance", "squared"),
            "keep": ("best", "last"),
        }  # fmt: skip
        for name, allowed in choices.items():
            _check(self, [name], " or ".join(allowed), allowed.__contains__)
        counts = ("image_pairs", "boxes_per_frame", "validation_frames")
        _check_steps(self, self.learning_rate, ("steps", "validate_every"), counts)
        _check(self, ["boxes_per_frame"], "at least 2", lambda value: value >= 2)
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise InputError(f"The setting scales is {self.scales}; give some, each above 0 and finite.")
        finite = ("momentum", "weight_decay", "auxiliary_weight", "seed")
        _check(self, finite, "finite, 0 or more", lambda value: 0 <= value < math.inf)
        shares = ("flip", "jitter", "shift", "hard_share", "interpolation")
        _check(self, shares, "in [0, 1]", lambda value: 0 <= value <= 1)


@dataclass(frozen=True)
class SiamFCTraining:
    """Settings of `train_siamfc`; the recipe is SiamFC's, the learning rate fits released weights.

    Attributes:
        steps: Training steps.
        pairs: Pairs of frames a step; SiamFC's 8.
        learning_rate: Initial learning rate; it falls to 0 by a cosine.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        frozen: Number of the five convolutions, counted from the first, that are not trained.
        gap: Largest number of frames between the two of a pair; SiamFC's 100.
        radius: Cells of the response within this distance of the target, in pixels of the search region, are
            positive.
        shift: Largest shift of the search region off its target, in both directions, in pixels of the region.
        scale: Largest relative change of the regions' sides.
        validate_pairs: Pairs of the held-out videos, always the same ones, that the loss is validated on.
        seed: Seed of all random numbers.

    Raises:
        InputError: If a value is out of its range.
    """

    steps: int = 300
    pairs: int = 8
    learning_rate: float = 1e-5
    momentum: float = 0.9
    weight_decay: float = 5e-4
    frozen: int = 0
    gap: int = 100
    radius: float = 16.0
    shift: float = 32.0
    scale: float = 0.05
    validate_pairs: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        from ..models.siamfc import RESPONSE, STRIDE

        _check_steps(self, self.learning_rate, ("steps", "gap"), ("pairs", "validate_pairs"))
        finite = ("weight_decay", "radius", "shift", "seed")
        _check(self, finite, "finite, 0 or more", lambda value: 0 <= value < math.inf)
        _check(self, ("momentum", "scale"), "in [0, 1)", lambda value: 0 <= value < 1)
        _check(self, ["frozen"], "0 to 4, so that something learns", lambda value: 0 <= value < 5)
        reach = STRIDE * (RESPONSE // 2)
        if self.shift + self.radius > reach:
            raise InputError(
                f"With a shift of {self.shift:g} and a radius of {self.radius:g} a target can leave the response;"
                f" give at most {reach} pixels together."
            )
