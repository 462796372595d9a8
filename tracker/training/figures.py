"""Figures of a matcher without tracking: how well it discriminates and recognises the target of a video."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.images import Image, crop, to_tensor
from ..data.sequences import Sequence, evenly_spaced
from ..errors import InputError
from ..scorers import Scorer
from .losses import contrastive_loss
from .sampling import draw_boxes, labelled_boxes

Describe = Callable[[Sequence, int, NDArray[np.float64]], Tensor]
"""Takes a sequence, the index of a frame and boxes `[N, 4]`, and returns unit vectors `float32[N, D]`."""

_BATCH = 32
_BOXES = 48
"""Candidates a frame, the target's own among them."""


@torch.inference_mode()
def matching_figures(
    describe: Describe,
    sequences: Iterable[Sequence],
    frames: int = 20,
    form: Literal["distance", "squared"] = "distance",
) -> dict[str, float]:
    """Measure how well a matcher discriminates a target from its surroundings.

    Args:
        describe: The matcher's descriptor of boxes.
        sequences: Annotated; the first frame's target is the exemplar.
        frames: Frames a sequence, evenly spaced.
        form: Form of the contrastive loss.

    Returns:
        Means over sequences, rounded to 4 digits; every frame's 48 boxes, the target's own among them, are
        compared with the first frame's target, and frames with fewer are left out. `pair_auc` is the probability
        that a positive candidate (IoU > 0.7) scores above a negative one (< 0.5) of the same frame, `top1` the
        share of frames whose best candidate is a positive, `loss` the contrastive loss.

    Raises:
        InputError: If no frame has enough candidates.
    """
    sequences = list(sequences)
    rows = []
    for sequence in sequences:
        exemplar = describe(sequence, 0, sequence.exemplar_box[None])
        later = [int(t) for t in sequence.present[1:]]
        by_frame = []
        for t in (later[i] for i in evenly_spaced(len(later), frames)):
            width, height = sequence.frames.size(t)
            drawn = draw_boxes(sequence.boxes[t], width, height, _BOXES, np.random.default_rng([1, t]))
            if drawn is None or bool(drawn[1].all()):
                continue
            candidates = describe(sequence, t, drawn[0])
            same = torch.from_numpy(drawn[1]).to(candidates.device)
            scores = candidates @ exemplar[0]
            by_frame.append(
                [
                    (scores[same][:, None] > scores[~same][None, :]).float().mean().item(),
                    float(same[scores.argmax()]),
                    contrastive_loss(exemplar.expand_as(candidates), candidates, same, form=form).item(),
                ]
            )
        if by_frame:
            rows.append(np.mean(by_frame, axis=0))
    if not rows:
        names = ", ".join(sequence.name for sequence in sequences)
        raise InputError(
            f"No frame of {names} has {_BOXES - 1} boxes around the target inside the frame; validate on others."
        )
    means = (round(float(value), 4) for value in np.mean(rows, axis=0))
    return dict(zip(("pair_auc", "top1", "loss"), means, strict=True))


def _embed(scorer: Scorer, crops: list[Image]) -> Tensor:
    parts = [np.stack(crops[low : low + _BATCH]) for low in range(0, len(crops), _BATCH)]
    return torch.cat([scorer.embed(to_tensor(part, scorer.device)) for part in parts])


def recognition_threshold(sequence: Sequence, scorer: Scorer) -> float:
    """The highest score in the first frame of a box that holds less than half of the target (IoU < 0.5).

    It is -inf where no such box lies inside the frame.
    """
    frame = sequence.frames[0]
    boxes, same = labelled_boxes(sequence.exemplar_box, frame.shape[1], frame.shape[0])
    if same.all():
        return float("-inf")
    side = scorer.input_size
    candidates = _embed(scorer, [crop(frame, box, side) for box in boxes[~same]])
    exemplar = _embed(scorer, [sequence.exemplar(side)])
    return float(scorer.compare(exemplar.expand_as(candidates), candidates).max())


def keep_recognised(sequence: Sequence, scorer: Scorer) -> Sequence:
    """Mark as absent every frame of a followed video whose box scores no better than the first surroundings.

    The surroundings' score is `recognition_threshold`; `visibility` is 0 in the frames that were marked.

    Raises:
        InputError: If the target is recognised in no frame after the first.
    """
    threshold = recognition_threshold(sequence, scorer)
    present = sequence.present
    crops = _embed(scorer, [sequence.crop(int(t), scorer.input_size) for t in present])
    scores = scorer.compare(crops[:1].expand_as(crops), crops).cpu().double().numpy()
    visibility = np.array(sequence.visibility)
    lost = present[scores <= threshold]
    visibility[lost[lost > 0]] = 0.0
    if not visibility[1:].any():
        raise InputError(
            f"The target of '{sequence.name}' is recognised in no frame after the first; give the boxes of all"
            " frames."
        )
    return replace(sequence, visibility=visibility)
