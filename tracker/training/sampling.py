"""The frames and boxes of a training step of SINT: candidates around a target, and pairs of frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.boxes import inside, iou, shifted
from ..data.sequences import Sequence
from ..errors import InputError
from .hard_positives import TrainingPositive
from .settings import SintTraining

POSITIVE_IOU = 0.7
NEGATIVE_IOU = 0.5
BOX_TOLERANCE = 1.0
"""Pixels by which the box of a hard positive may differ from its frame's annotation, as rounding makes it."""


def radius_boxes(
    box: ArrayLike, radii: int = 10, angles: int = 16, scales: tuple[float, ...] = (1.0,)
) -> NDArray[np.float64]:
    """Shift a box over rings around it (SINT's radius sampling, which keeps its size).

    Args:
        box: `(x, y, w, h)`.
        radii: Number of rings; the widest has the radius `max(w, h)`.
        angles: Boxes a ring.
        scales: Sizes of the returned boxes relative to the box; each is centred on the shifted box.

    Returns:
        `[len(scales) * (1 + radii * angles), 4]`, scale by scale, the unshifted box first in each.

    >>> radius_boxes([10, 10, 4, 4], radii=1, angles=4).round().tolist()[1:3]
    [[14.0, 10.0, 4.0, 4.0], [10.0, 14.0, 4.0, 4.0]]
    """
    longer = np.asarray(box, dtype=np.float64)[2:].max()
    return shifted(box, longer * np.arange(1, radii + 1) / radii, angles, scales)


def labelled_boxes(
    box: ArrayLike, width: int, height: int, scales: tuple[float, ...] = (1.0,)
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Candidates around a target that lie inside the image, with SINT's labels.

    A candidate is positive above an IoU of 0.7 with the target and negative below 0.5; the rest is dropped.

    Args:
        box: The target, `(x, y, w, h)`.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        scales: See `radius_boxes`.

    Returns:
        Boxes `[N, 4]` and labels `bool[N]`; the target itself is not among them.
    """
    candidates = radius_boxes(box, scales=scales)
    candidates = candidates[(candidates != np.asarray(box, dtype=np.float64)).any(1)]
    candidates = candidates[inside(candidates, width, height)]
    overlap = iou(candidates, box)
    kept = (overlap > POSITIVE_IOU) | (overlap < NEGATIVE_IOU)
    return candidates[kept], overlap[kept] > POSITIVE_IOU


def draw_boxes(
    box: ArrayLike,
    width: int,
    height: int,
    count: int,
    rng: np.random.Generator,
    scales: tuple[float, ...] = (1.0,),
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Draw some of the `labelled_boxes` of a target at random, without balancing the labels, as SINT does.

    Returns:
        Boxes `[count, 4]`, the target first, and labels `bool[count]`; `None` where the image holds too few.
    """
    boxes, same = labelled_boxes(box, width, height, scales)
    if len(boxes) < count - 1:
        return None
    chosen = rng.permutation(len(boxes))[: count - 1]
    target = np.asarray(box, dtype=np.float64)[None]
    return np.concatenate([target, boxes[chosen]]), np.concatenate([[True], same[chosen]])


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
    """Two frames of a video and their augmentation.

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
    usable if it shows the target and holds enough candidates around it. Hard positives are images for the second
    frames; those of other videos are left out.

    Raises:
        InputError: If no video has two usable frames, or a hard positive names a frame that is not there, that
            does not show its target, or whose annotated box is another one than it carries.

    Attributes:
        hard_positives: The hard positives that are used.
        unused: Number of hard positives that are left out.
    """

    def __init__(
        self,
        sequences: Iterable[Sequence],
        settings: SintTraining,
        hard_positives: Iterable[TrainingPositive] = (),
    ) -> None:
        self.sequences = list(sequences)
        self.settings = settings
        self._usable = [
            [int(t) for t in sequence.present if self._has_enough_boxes(video, int(t), sequence.boxes[t])]
            for video, sequence in enumerate(self.sequences)
        ]
        self._totals = list(accumulate(len(frames) * (len(frames) - 1) // 2 for frames in self._usable))
        if not self._totals or not self._totals[-1]:
            raise InputError(
                f"No training video has two frames with {settings.boxes_per_frame - 1} boxes around the target in"
                " the frame; give other videos, or fewer boxes a frame."
            )
        self.hard_positives: list[TrainingPositive] = []
        self.unused = 0
        self._hard_of: dict[int, list[int]] = {}
        names = {sequence.name: video for video, sequence in enumerate(self.sequences)}
        for positive in hard_positives:
            video = names.get(positive.video)
            if video is not None:
                _check_source(positive, self.sequences[video])
            if video is None or not self._has_enough_boxes(video, positive.frame, positive.box):
                self.unused += 1
                continue
            self._hard_of.setdefault(video, []).append(len(self.hard_positives))
            self.hard_positives.append(positive)

    def _has_enough_boxes(self, video: int, t: int, box: Iterable[float]) -> bool:
        width, height = self.sequences[video].frames.size(t)
        candidates, _ = labelled_boxes(list(box), width, height, self.settings.scales)
        return len(candidates) >= self.settings.boxes_per_frame - 1

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


def _check_source(positive: TrainingPositive, sequence: Sequence) -> None:
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
