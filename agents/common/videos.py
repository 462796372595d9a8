"""Opening one video with annotated boxes, or with the box of its first frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tracker.data.sequences import Sequence
from tracker.scorers import Scorer
from tracker.trackers.following import open_sequence
from tracker.training.figures import keep_recognised


def open_recognised(
    path: str | Path,
    box: str | None,
    load_scorer: Callable[[], Scorer],
    max_frames: int | None = None,
    target: int | None = None,
) -> Sequence:
    """Open a video; where its target has to be followed, keep the frames in which the matcher recognises it.

    Args:
        path: A folder or a video file.
        box: See `open_sequence`.
        load_scorer: Makes the matcher; called only where the target was followed.
        max_frames: Keep at most this many frames.
        target: Which of several targets, see `read_sequence`.

    Raises:
        InputError: If anything about the video or the box cannot be used.
    """
    sequence = open_sequence(path, box, target=target, max_frames=max_frames)
    if sequence.box_source == "first":
        sequence = open_sequence(path, sequence.exemplar_box, max_frames=max_frames)
    return keep_recognised(sequence, load_scorer()) if sequence.box_source == "tracked" else sequence
