"""How well a matcher tells a target from what lies around it: a tracker's figure without tracking."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.sequences import Sequence, evenly_spaced
from ..errors import InputError
from .losses import contrastive_loss
from .pairs import draw_boxes

__all__ = ["Describe", "MatchingFigures", "matching_figures"]

Describe = Callable[[Sequence, int, NDArray[np.float64]], Tensor]
"""Unit vectors `float32[N, D]` of the boxes `[N, 4]` of a frame of a sequence."""


@dataclass(frozen=True)
class MatchingFigures:
    """Means over sequences; every frame's candidates are compared with the first frame's target.

    Attributes:
        pair_auc: The chance that a positive candidate (IoU > 0.7) scores above a negative one (< 0.5) of the
            same frame.
        top1: Share of frames whose best candidate is a positive.
        loss: The contrastive loss.
    """

    pair_auc: float
    top1: float
    loss: float


@torch.inference_mode()
def matching_figures(
    describe: Describe,
    sequences: Iterable[Sequence],
    frames: int = 20,
    boxes: int = 48,
    form: Literal["distance", "squared"] = "distance",
) -> MatchingFigures:
    """Measure a matcher on annotated sequences.

    Args:
        describe: The matcher's description of boxes.
        sequences: Annotated; the first frame's target is the exemplar.
        frames: Frames a sequence, evenly spaced.
        boxes: Candidates a frame, the target's own among them; a frame with fewer is left out.
        form: Of the loss.

    Returns:
        The figures, rounded to 4 digits.

    Raises:
        InputError: If no frame has enough candidates.
    """
    sequences = list(sequences)
    rows = []
    for sequence in sequences:
        exemplar = describe(sequence, 0, sequence.exemplar_box[None])
        later = [int(t) for t in sequence.present[1:]]
        found = []
        for t in (later[i] for i in evenly_spaced(len(later), frames)):
            width, height = sequence.frames.size(t)
            drawn = draw_boxes(sequence.boxes[t], width, height, boxes, np.random.default_rng([1, t]))
            if drawn is None or bool(drawn[1].all()):
                continue
            candidates = describe(sequence, t, drawn[0])
            same = torch.from_numpy(drawn[1]).to(candidates.device)
            scores = candidates @ exemplar[0]
            found.append(
                [
                    (scores[same][:, None] > scores[~same][None, :]).float().mean().item(),
                    float(same[scores.argmax()]),
                    contrastive_loss(exemplar.expand_as(candidates), candidates, same, form=form).item(),
                ]
            )
        if found:
            rows.append(np.mean(found, axis=0))
    if not rows:
        names = ", ".join(sequence.name for sequence in sequences)
        raise InputError(
            f"No frame of {names} has {boxes - 1} boxes around the target inside the frame; validate on others."
        )
    return MatchingFigures(*(round(float(value), 4) for value in np.mean(rows, axis=0)))
