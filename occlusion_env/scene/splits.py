"""Splits of frames and of videos into training and held-out parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracker.data.sequences import Sequence, evenly_spaced
from tracker.errors import InputError

from .targets import TargetSet, load_targets, visible_frames

_GENERATED = ("synthetic", "drawn", "oracle")
_HELD_OUT_SHARE = 6
"""One video in six is held out."""


def split_frames(sequence: Sequence, held_out: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split a video in time: the first two thirds are for training, the rest is held out.

    Neighbouring frames are nearly the same picture, so frames held out between training frames would leak.

    Args:
        sequence: The video.
        held_out: Held-out frames at most, evenly spaced over the last third.

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


def split_targets(targets: str | TargetSet) -> tuple[str | TargetSet, str | TargetSet]:
    """Split targets into those that an agent is trained on and held-out ones.

    Of several videos one in six (at least one) is held out, evenly spaced over their order. Of a single video the
    last third is held out. For a generated video (`synthetic`, `drawn`, `oracle`) it is the video of the next
    seed.

    Args:
        targets: See `occlusion_env.envs.arguments.SearchArguments`.

    Returns:
        The training targets and the held-out ones; no frame is in both.

    Raises:
        InputError: If there is one target alone, or they cannot be read.
    """
    if isinstance(targets, str):
        name, _, seed = targets.partition(":")
        if name in _GENERATED and (not seed or seed.isdecimal()):
            return targets, f"{name}:{int(seed or 0) + 1}"
        targets = load_targets(targets)
    videos = list(dict.fromkeys(targets.videos))
    if len(videos) > 1:
        count = max(1, len(videos) // _HELD_OUT_SHARE)
        held_out = {videos[(2 * number + 1) * len(videos) // (2 * count)] for number in range(count)}
        chosen = np.array([video in held_out for video in targets.videos])
    else:
        chosen = np.arange(len(targets)) >= max(1, 2 * len(targets) // 3)
    if not chosen.any():
        raise InputError(
            "There is one target alone, and none is left to hold out; give more frames, or hold none out"
            " (--eval-freq -1 in training)."
        )
    return targets.subset(np.flatnonzero(~chosen)), targets.subset(np.flatnonzero(chosen))
