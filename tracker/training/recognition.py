"""In which frames of a followed video a matcher still knows the target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.images import crop, to_tensor
from ..data.sequences import Sequence
from ..errors import InputError
from ..scorers import Scorer
from .pairs import labelled_boxes

__all__ = ["keep_recognised", "recognition_threshold"]

_BATCH = 32


def _embed(scorer: Scorer, crops: list[NDArray[np.uint8]]) -> torch.Tensor:
    parts = [np.stack(crops[low : low + _BATCH]) for low in range(0, len(crops), _BATCH)]
    return torch.cat([scorer.embed(to_tensor(part, scorer.device)) for part in parts])


def recognition_threshold(sequence: Sequence, scorer: Scorer) -> float:
    """The best score that a box of the first frame gets which holds less than half of the target (IoU < 0.5).

    Args:
        sequence: The video; only its first frame is looked at.
        scorer: The matcher.

    Returns:
        The score; -inf where no such box lies inside the frame.
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
    """Mark as absent every frame whose box scores no better than the surroundings did in the first frame.

    Args:
        sequence: A followed video.
        scorer: The matcher.

    Returns:
        The same video; `visibility` is 0 in the frames that were marked.

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
