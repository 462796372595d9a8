"""The videos that the page offers, and opening them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tracker.data.images import Image, write_png
from tracker.data.readers import list_targets
from tracker.data.readers.reading import open_frames
from tracker.data.sequences import Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.scorers import Scorer

from ..common.videos import open_recognised

SYNTHETIC = "synthetic"
"""Name of the video that is always offered."""

MOST_FRAMES = 120
"""Frames of a video that the page uses."""


@dataclass(frozen=True)
class Choice:
    """A video that can be opened.

    Attributes:
        path: A folder or a video file; `None` for the synthetic video.
        number: Which of several targets.
        needs_box: Whether its target must be boxed in the first frame.
    """

    path: Path | None = None
    number: int | None = None
    needs_box: bool = False

    def first_frame(self) -> Image:
        """The frame in which the target is boxed, `uint8[H, W, 3]`.

        Raises:
            InputError: If the video cannot be read.
        """
        return synthetic_sequence(frames=1).frames[0] if self.path is None else open_frames(self.path, "auto")[0]

    def open(self, box: str, load_scorer: Callable[[], Scorer]) -> Sequence:
        """Open at most `MOST_FRAMES` frames: the first ones of an annotated video, else evenly spaced ones.

        Args:
            box: `x,y,w,h` in the first frame, in pixels; used where `needs_box`.
            load_scorer: Makes the matcher that tells in which frames the target was followed.

        Raises:
            InputError: If the video or the box cannot be used.
        """
        if self.path is None:
            return synthetic_sequence()
        if self.needs_box:
            if not box.strip():
                raise InputError("The target has no box; drag the box over it, or type x,y,w,h.")
            return open_recognised(self.path, box, load_scorer, MOST_FRAMES)
        sequence = open_recognised(self.path, None, load_scorer, target=self.number)
        return sequence.subset(np.arange(min(len(sequence), MOST_FRAMES)))


def list_choices(data: Path | None) -> dict[str, Choice]:
    """The videos to choose from, by name: the synthetic one, and those of a path.

    Args:
        data: A folder of annotated sequences, one of them, a folder of images, or a video file.

    Raises:
        InputError: If there is no video at the path.
    """
    choices = {SYNTHETIC: Choice()}
    if data is None:
        return choices
    if not data.exists():
        raise InputError(f"'{data}' does not exist; give --data a folder of sequences or a video file.")
    try:
        found = list_targets(data)
    except InputError:
        open_frames(data, "auto")[0]
        return {data.name: Choice(data, needs_box=True)} | choices
    return {name: Choice(path, number) for name, (path, number) in found.items()} | choices


def format_box(image: Image, region: ArrayLike) -> str:
    """The box `x,y,w,h` in pixels of a region relative to an image.

    >>> format_box(np.zeros((100, 200, 3), np.uint8), (0.05, 0.1, 0.1, 0.4))
    '10,10,20,40'
    """
    height, width = image.shape[:2]
    return ",".join(f"{value:.0f}" for value in np.asarray(region) * [width, height, width, height])


def write_got10k(folder: Path, sequence: Sequence) -> Path:
    """Write a video in the layout of GOT-10k, with its visibilities in eighths.

    Args:
        folder: A new folder.
        sequence: The video.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True)
    for t in range(len(sequence)):
        write_png(folder / f"{t + 1:08d}.png", sequence.frames[t])
    boxes = np.where(sequence.visibility[:, None] > 0, sequence.boxes + [1, 1, 0, 0], 0)
    np.savetxt(folder / "groundtruth.txt", boxes, "%.4f", ",")
    np.savetxt(folder / "absence.label", sequence.visibility == 0, "%d")
    np.savetxt(folder / "cover.label", np.floor(8 * sequence.visibility), "%d")
    return folder
