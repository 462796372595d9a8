"""Settings of SINT's training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import InputError

__all__ = ["SintTraining"]


@dataclass(frozen=True)
class SintTraining:
    """Settings of `train_sint`; the defaults are SINT's and SINT++'s.

    Attributes:
        steps: Steps.
        optimizer: `sgd` or `adamw`.
        learning_rate: Of a layer whose multiplier is 1, at the start.
        momentum: Of `sgd`.
        weight_decay: Of a layer whose multiplier is 1.
        schedule: `constant`, or `cosine` down to 0 at the last step.
        layer_rates: Pairs of a pattern (`conv4*`) and the multiplier of the learning rate of the layers with
            such names; the first that fits counts, and where none fits SINT's rule (`sint_multiplier`).
        loss: The form of the contrastive loss.
        auxiliary_weight: Weight of the same loss of each fully connected layer alone.
        image_pairs: Pairs of frames a step.
        boxes_per_frame: Boxes of each frame, the target's own among them; frames with fewer are not used.
        scales: Sizes of the candidates (`radius_boxes`).
        flip: Chance that a pair of frames is mirrored.
        jitter: Largest relative change of brightness, contrast and saturation.
        shift: Largest shift of a search region off its target, in sides of the region.
        hard_share: Chance that the second frame of a pair shows a hard positive, where there are any.
        validate_every: Steps between two looks at the validation videos.
        validation_frames: Frames a video of such a look.
        keep: Which step's weights the training ends with: the `best` of those looks, or the `last`, so that
            trainings compare at the same budget.
        seed: Of everything that is drawn.

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
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.optimizer not in ("sgd", "adamw"):
            raise InputError(f"'{self.optimizer}' is no optimizer; choose sgd or adamw.")
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"'{self.schedule}' is no schedule; choose constant or cosine.")
        if self.loss not in ("distance", "squared"):
            raise InputError(f"'{self.loss}' is no form of the contrastive loss; choose distance or squared.")
        if self.keep not in ("best", "last"):
            raise InputError(f"'{self.keep}' is no step to keep; choose best or last.")
        for name in ("steps", "image_pairs", "validate_every", "validation_frames"):
            if getattr(self, name) < 1:
                raise InputError(f"The setting {name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("image_pairs", "boxes_per_frame", "validation_frames"):
            if getattr(self, name) > 10_000:
                raise InputError(f"The setting {name} is {getattr(self, name)}; it must be at most 10000.")
        if self.boxes_per_frame < 2:
            raise InputError(f"The setting boxes_per_frame is {self.boxes_per_frame}; it must be at least 2.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"The learning rate is {self.learning_rate:g}; it must be above 0 and finite.")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise InputError(f"The setting scales is {self.scales}; give some, each above 0 and finite.")
        for name in ("momentum", "weight_decay", "auxiliary_weight", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"The setting {name} is {getattr(self, name):g}; it must be finite, 0 or more.")
        for name in ("flip", "jitter", "shift", "hard_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"The setting {name} is {getattr(self, name):g}; it must be in [0, 1].")

    @property
    def augments(self) -> bool:
        """Whether a frame looks different from step to step."""
        return self.flip > 0 or self.jitter > 0 or self.shift > 0

    def record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)
