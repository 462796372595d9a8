"""Which frames of a video are learned from, and which judge what was learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from occlusion_env.targets import visible_frames
from tracker.errors import InputError
from tracker.sequences import Sequence, evenly_spaced

__all__ = ["split_frames"]


def split_frames(sequence: Sequence, held_out: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a video in time: what is trained learns from the first two thirds and is judged on the rest.

    Neighbouring frames are nearly the same picture; frames held out between training frames would be known.

    Args:
        sequence: The video.
        held_out: How many of the last third's frames, evenly spaced, are kept at most.

    Returns:
        Indices of the training frames (without the first, which gives the exemplar) and the held-out ones.

    Raises:
        InputError: If the target is visible in fewer than 6 frames.
    """
    present = visible_frames(sequence)
    if len(present) < 6:
        remedy = "give the boxes of all frames" if sequence.box_source == "tracked" else "give a longer video"
        raise InputError(
            f"The target of '{sequence.name}' is visible in {len(present)} frames and a split in time needs 6;"
            f" {remedy}."
        )
    edge = 1 + 2 * (len(present) - 1) // 3
    later = present[edge:]
    return present[1:edge], later[evenly_spaced(len(later), held_out)]
