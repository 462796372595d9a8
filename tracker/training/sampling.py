"""Which frames and boxes a step learns from: SINT's pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..data.sequences import Sequence
from ..errors import InputError
from .hard_positives import HardPositive
from .pairs import draw_boxes, labelled_boxes
from .settings import SintTraining

__all__ = ["ImagePair", "LabelledFrame", "PairSampler"]

BOX_TOLERANCE = 1.0
"""Pixels by which the box of a hard positive may differ from its frame's annotation, as rounding makes it."""


@dataclass(frozen=True)
class LabelledFrame:
    """A frame and boxes of it.

    Attributes:
        video: Index of its sequence.
        frame: Index of the frame.
        boxes: `float64[K, 4]`, the target's own first.
        same: `bool[K]`, whether a box shows the target.
        hard: Index of the hard positive that is pasted over the target; `None` for the frame as it is.
        shift: Shift of the search region off the target, in sides of the region.
    """

    video: int
    frame: int
    boxes: NDArray[np.float64]
    same: NDArray[np.bool_]
    hard: int | None = None
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class ImagePair:
    """Two frames of a video, and how they are changed on the way to the network.

    The pairs of boxes are (target of the first) x (boxes of the second) and (boxes of the first) x (target of
    the second), as SINT has them: with 64 boxes a frame 128 pairs.

    Attributes:
        first: The earlier frame.
        second: The later one, or one with a hard positive.
        flip: Whether both are mirrored.
        colour: Factors of brightness, contrast and saturation, of each frame.
    """

    first: LabelledFrame
    second: LabelledFrame
    flip: bool
    colour: tuple[tuple[float, float, float], tuple[float, float, float]]


class PairSampler:
    """Draws the pairs of a step; the draw depends on the seed and the step's number alone.

    All ordered pairs m < n of usable frames inside a video are equally likely, over all videos. A frame is
    usable if it shows the target and holds enough candidates around it.

    Args:
        sequences: The videos.
        settings: See `SintTraining`.
        hard_positives: Those of videos that are not among the sequences are left out.

    Raises:
        InputError: If no video has two usable frames, or a hard positive names a frame that is not there, that
            does not show its target, or whose annotated box is another one than it carries.

    Attributes:
        hard_positives: Those that are used.
        unused: How many are not.
    """

    def __init__(
        self, sequences: Iterable[Sequence], settings: SintTraining, hard_positives: Iterable[HardPositive] = ()
    ) -> None:
        """See the class."""
        self.sequences = list(sequences)
        self.settings = settings
        self._usable = [
            [int(t) for t in sequence.present if self._enough(video, int(t), sequence.boxes[t])]
            for video, sequence in enumerate(self.sequences)
        ]
        self._totals = list(accumulate(len(frames) * (len(frames) - 1) // 2 for frames in self._usable))
        if not self._totals or not self._totals[-1]:
            raise InputError(
                f"No training video has two frames with {settings.boxes_per_frame - 1} boxes around the target in"
                " the frame; give other videos, or fewer boxes a frame."
            )
        self.hard_positives: list[HardPositive] = []
        self.unused = 0
        self._hard_of: dict[int, list[int]] = {}
        names = {sequence.name: video for video, sequence in enumerate(self.sequences)}
        for positive in hard_positives:
            known = names.get(positive.video)
            if known is None:
                self.unused += 1
                continue
            _check_source(positive, self.sequences[known])
            if not self._enough(known, positive.frame, positive.box):
                self.unused += 1
                continue
            self._hard_of.setdefault(known, []).append(len(self.hard_positives))
            self.hard_positives.append(positive)

    def _enough(self, video: int, t: int, box: Iterable[float]) -> bool:
        width, height = self.sequences[video].frames.size(t)
        found, _ = labelled_boxes(list(box), width, height, self.settings.scales)
        return len(found) >= self.settings.boxes_per_frame - 1

    def draw(self, step: int) -> list[ImagePair]:
        """The pairs of a step, by its number."""
        rng = np.random.default_rng([self.settings.seed, 3, step])
        return [self._pair(rng) for _ in range(self.settings.image_pairs)]

    def _pair(self, rng: np.random.Generator) -> ImagePair:
        settings = self.settings
        video = int(np.searchsorted(self._totals, rng.integers(self._totals[-1]), side="right"))
        frames = self._usable[video]
        m, n = sorted(rng.choice(len(frames), 2, replace=False).tolist())
        hard = self._hard_of.get(video)
        positive = None
        if hard and rng.random() < settings.hard_share:
            positive = hard[rng.integers(len(hard))]
        first, second = self._frame(video, frames[m], None, rng), self._frame(video, frames[n], positive, rng)
        flip = bool(rng.random() < settings.flip)
        factors = 1 + rng.uniform(-settings.jitter, settings.jitter, (2, 3))
        one, two = ((float(row[0]), float(row[1]), float(row[2])) for row in factors)
        return ImagePair(first, second, flip, (one, two))

    def _frame(self, video: int, t: int, hard: int | None, rng: np.random.Generator) -> LabelledFrame:
        box: Iterable[float] = self.sequences[video].boxes[t]
        if hard is not None:
            t, box = self.hard_positives[hard].frame, self.hard_positives[hard].box
        width, height = self.sequences[video].frames.size(t)
        drawn = draw_boxes(list(box), width, height, self.settings.boxes_per_frame, rng, self.settings.scales)
        assert drawn is not None
        x, y = rng.uniform(-self.settings.shift, self.settings.shift, 2)
        return LabelledFrame(video, t, drawn[0], drawn[1], hard, (float(x), float(y)))


def _check_source(positive: HardPositive, sequence: Sequence) -> None:
    """Check that a hard positive carries the annotated box of its frame."""
    what = f"A hard positive is of frame {positive.frame} of '{positive.video}'"
    remedy = "give those made from the same data"
    if positive.frame >= len(sequence):
        raise InputError(f"{what}, which has {len(sequence)} frames; {remedy}.")
    if sequence.visibility[positive.frame] == 0:
        raise InputError(f"{what}, which does not show its target; {remedy}.")
    annotated = sequence.boxes[positive.frame]
    if np.abs(annotated - positive.box).max() > BOX_TOLERANCE:
        carried, right = (",".join(f"{value:g}" for value in box) for box in (positive.box, annotated))
        raise InputError(f"{what} and carries the box {carried}, but the box is {right} there; {remedy}.")
