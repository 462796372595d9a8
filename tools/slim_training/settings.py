"""Settings of the slim net's training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracker.errors import InputError

__all__ = ["BackboneTraining"]


@dataclass(frozen=True)
class BackboneTraining:
    """Settings of `train_backbone`.

    Attributes:
        validation: Names of the sequences that nothing is trained on; by default fernando, hand2 and sunshade
            where all of them are there, else the last fifth in alphabetical order.
        rounds: Times that the six kinds of crops are cut out of every frame.
        epochs: Passes over the crops that the convolutions learn from.
        batch_size: Crops a step.
        learning_rate: AdamW's peak rate for the convolutions.
        similarity_weight: Weight of the similarity loss beside the regression.
        boxes_per_frame: Boxes a frame for the contrastive loss, the target's own among them.
        fc_steps: Steps of the contrastive loss.
        fc_learning_rate: Adam's peak rate for the fully connected layers.
        frame_pairs: Pairs of frames a contrastive step.
        seed: Seed of all draws.

    Raises:
        InputError: If a value is out of its range.
    """

    validation: tuple[str, ...] = ()
    rounds: int = 1
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 2e-3
    similarity_weight: float = 10.0
    boxes_per_frame: int = 24
    fc_steps: int = 600
    fc_learning_rate: float = 1e-4
    frame_pairs: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (
            ("rounds", 1), ("epochs", 1), ("batch_size", 2), ("boxes_per_frame", 2), ("fc_steps", 1),
            ("frame_pairs", 1), ("seed", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise InputError(f"The setting {name} is {getattr(self, name)}; it must be at least {least}.")
        for name in ("learning_rate", "fc_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"The setting {name} is {getattr(self, name):g}; it must be above 0 and finite.")
        if not 0 <= self.similarity_weight < math.inf:
            raise InputError(
                f"The setting similarity_weight is {self.similarity_weight:g}; it must be 0 or more, and finite."
            )
