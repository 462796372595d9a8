"""Overlap of a tracker on partly covered targets: test frames with 0 to 50 % of the target occluded.

A benchmark's occlusions are few and uncontrolled. Here a growing share of the target is covered in each test
frame, and the tracker, initialised on the first frame, takes one step from a box near the target. The occluders
are of the kind that hard positives train with (`background`: a rectangle of the frame's own background) and of
kinds that they do not (`agents.ablation.sweep_occluders`), at equal covered areas. Frames and start boxes are the
same for all trackers, so that their figures are paired.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import PATCH_SIZE, background_box, mean_patch, occlude_image
from occlusion_env.scene.shapes import OtherVideo
from occlusion_env.scene.targets import visible_frames
from tracker.data.boxes import iou
from tracker.data.images import crop, paste
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.errors import InputError
from tracker.trackers.sint.tracker import SintTracker

from ..common.randomness import generator
from .sweep_occluders import KINDS, cover

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class SweepSettings:
    """The frames and occluders of a sweep.

    Attributes:
        kinds: Occluders, of `sweep_occluders.KINDS`.
        levels: Covered shares of the target, each 0 or between 0.01 and 0.9.
        frames: Frames a sequence, evenly spaced over those after the first that show the target.
        shift: Largest distance of the start box from the target, in sizes of the target, along each axis.
        seed: Seed of the regions, the patches and the shifts.

    Raises:
        InputError: If a value is out of range.
    """

    kinds: tuple[str, ...] = KINDS
    levels: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    frames: int = 20
    shift: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise InputError(f"'{unknown[0]}' is no occluder of the sweep; choose {', '.join(KINDS)}.")
        if not self.kinds:
            raise InputError(f"The sweep has no occluders; give some of {', '.join(KINDS)}.")
        if not self.levels or not all(level == 0 or 0.01 <= level <= 0.9 for level in self.levels):
            raise InputError(f"The levels are {self.levels}; give some, each 0 or between 0.01 and 0.9.")
        if self.frames < 1 or not 0 <= self.shift < 1:
            raise InputError(f"frames is {self.frames} and shift {self.shift:g}; give at least 1, and 0 to 1.")


@dataclass(frozen=True)
class SweptTarget:
    """The figures of one target.

    Attributes:
        name: The sequence.
        frames: Number of test frames.
        overlap: For each kind of occluder and each level the mean intersection over union with the true boxes.
    """

    name: str
    frames: int
    overlap: dict[str, tuple[float, ...]]


def start_box(sequence: Sequence, settings: SweepSettings, t: int) -> NDArray[np.float64]:
    """The box near the target in frame `t` from which the tracker takes its step, `(x, y, w, h)`."""
    box = sequence.boxes[t]
    offset = generator(settings.seed, sequence.name, str(t)).uniform(-settings.shift, settings.shift, 2)
    return np.concatenate([box[:2] + offset * box[2:], box[2:]])


def sweep_frames(
    sequence: Sequence, settings: SweepSettings, t: int, others: Many[OtherVideo] = ()
) -> dict[str, list[Image]]:
    """A frame of a sequence, `uint8[H, W, 3]`, with each kind of occluder at each level.

    The draws are seeded by the seed, the sequence, the frame and the kind (of `background` also the level).

    Args:
        sequence: Annotated.
        settings: The kinds and levels.
        t: The frame.
        others: Sources of `cutout` and `side`; sources from the sequence's own video are left out.

    Raises:
        InputError: If there is such a kind and no other video.
    """
    frame, box = sequence.frames[t], sequence.boxes[t]
    foreign = [other for other in others if not other.is_of(sequence)]
    if not foreign and {"cutout", "side"} & set(settings.kinds):
        raise InputError(
            f"Occluders for '{sequence.name}' are cut from other videos, and there is none; give more sequences,"
            " or leave out the kinds cutout and side."
        )

    def occlude(kind: str, level: float) -> Image:
        if level == 0:
            return frame
        if kind == "background":
            rng = generator(settings.seed, sequence.name, str(t), f"{level:g}")
            region = RegionLimits(max_area=level).random(np.array([level]), rng)[0]
            piece = background_box(frame.shape[1], frame.shape[0], box, level, rng)
            patch = mean_patch(frame) if piece is None else crop(frame, piece, PATCH_SIZE)
            return paste(frame, occlude_image(crop(frame, box), patch, region), box)
        rng = generator(settings.seed, sequence.name, str(t), kind)
        return paste(frame, cover(kind, crop(frame, box), level, foreign, rng), box)

    return {kind: [occlude(kind, level) for level in settings.levels] for kind in settings.kinds}


def occlusion_sweep(
    tracker: SintTracker,
    sequences: Iterable[Sequence],
    settings: SweepSettings | None = None,
    others: Many[OtherVideo] = (),
) -> list[SweptTarget]:
    """Run a tracker for one step on each covered target.

    Args:
        tracker: Initialised on each sequence's first frame.
        sequences: Annotated.
        settings: The frames and occluders; the defaults if `None`.
        others: Videos that occluders are cut from, such as `sweep_occluders.other_videos` of the same sequences.

    Returns:
        One result a sequence, in their order.

    Raises:
        InputError: If a sequence shows its target in no frame after the first, or an occluder is to be cut from
            another video and there is none.
    """
    settings = settings or SweepSettings()
    results = []
    for sequence in sequences:
        later = visible_frames(sequence)[1:]
        if not len(later):
            raise InputError(f"'{sequence.name}' shows its target in no frame after the first; leave it out.")
        chosen = later[evenly_spaced(len(later), settings.frames)]
        tracker.init(sequence.frames[0], sequence.exemplar_box)
        overlaps = np.empty((len(chosen), len(settings.kinds), len(settings.levels)))
        for row, t in enumerate(chosen):
            start = start_box(sequence, settings, int(t))
            for depth, frames in enumerate(sweep_frames(sequence, settings, int(t), others).values()):
                for column, frame in enumerate(frames):
                    if depth and settings.levels[column] == 0:  # the uncovered frame is the same for all kinds
                        overlaps[row, depth, column] = overlaps[row, 0, column]
                        continue
                    tracker.place(start, (frame.shape[1], frame.shape[0]))
                    overlaps[row, depth, column] = iou(tracker.update(frame)[None], sequence.boxes[t])[0]
        means = [tuple(values) for values in overlaps.mean(axis=0).tolist()]
        results.append(SweptTarget(sequence.name, len(chosen), dict(zip(settings.kinds, means, strict=True))))
    return results
