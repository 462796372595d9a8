"""How well a tracker finds a target that is partly covered: test frames with 0 to 50 % of the target occluded.

A benchmark's occlusions are few and uncontrolled. Here each test frame is shown with a growing share of its target
covered, and the tracker, initialised on the first frame, takes one step from a place near the target. The
occluders are of the kind that hard positives train with (`background`: a rectangle of the frame's own background)
and of kinds that they do not (`agents.ablation.sweep_occluders`), at equal covered areas. All trackers see the
same frames and start from the same places, so that their figures are paired.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import background_patch, occlude_image
from occlusion_env.scene.targets import visible_frames
from tracker.data.boxes import iou
from tracker.data.images import crop
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.errors import InputError
from tracker.training.hard_positives import paste

from ..evaluation.comparison import generator
from .sweep_occluders import KINDS, OtherVideo, cover

__all__ = ["PlaceableTracker", "SweepSettings", "SweptTarget", "occlusion_sweep", "sweep_frames"]

Image = NDArray[np.uint8]


class PlaceableTracker(Protocol):
    """A tracker that can be told where to look next."""

    def init(self, image: Image, box: ArrayLike) -> None:
        """Take the target; see `tracker.trackers.protocol.Tracker`."""
        ...

    def place(self, box: ArrayLike, size: tuple[int, int]) -> None:
        """Take `(x, y, w, h)` of a frame of that width and height for the last box found; the exemplar stays."""
        ...

    def update(self, image: Image) -> NDArray[np.float64]:
        """Find the target in a frame; see `tracker.trackers.protocol.Tracker`."""
        ...


@dataclass(frozen=True)
class SweepSettings:
    """What is shown.

    Attributes:
        kinds: Occluders, of `sweep_occluders.KINDS`.
        levels: Shares of the target that are covered.
        frames: Frames a sequence, evenly spaced over those after the first that show the target.
        shift: The tracker starts as far off the target at most, in sizes of the target, along each axis.
        seed: Of the regions, the patches and the shifts.
    """

    kinds: tuple[str, ...] = KINDS
    levels: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    frames: int = 20
    shift: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be shown.

        Raises:
            InputError: Naming the value.
        """
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise InputError(f"'{unknown[0]}' is no occluder of the sweep; choose {', '.join(KINDS)}.")
        if not self.kinds:
            raise InputError(f"The sweep has no occluders; give some of {', '.join(KINDS)}.")
        if not self.levels or not all(level == 0 or 0.01 <= level <= 0.9 for level in self.levels):
            raise InputError(f"The levels are {self.levels}; give some, each 0 or between 0.01 and 0.9.")
        if self.frames < 1 or not 0 <= self.shift < 1:
            raise InputError(f"frames is {self.frames} and shift {self.shift:g}; give at least 1, and 0 to 1.")

    def record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SweptTarget:
    """How well one target was found.

    Attributes:
        name: The sequence.
        frames: How many of its frames were shown.
        overlap: For each kind of occluder and each level the mean intersection over union of the boxes found
            with the true ones.
    """

    name: str
    frames: int
    overlap: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class SweepFrame:
    """One frame of a sweep.

    Attributes:
        image: With the target covered, `uint8[H, W, 3]`.
        box: The target, `(x, y, w, h)`.
        start: Where the tracker starts, of the same size.
    """

    image: Image
    box: NDArray[np.float64]
    start: NDArray[np.float64]


def sweep_frames(
    sequence: Sequence, settings: SweepSettings, t: int, others: Many[OtherVideo] = ()
) -> dict[str, list[SweepFrame]]:
    """A frame of a sequence with each kind of occluder at each level.

    The draws follow from the seed, the sequence, the frame and the kind (of `background` also from the level).

    Args:
        sequence: Annotated.
        settings: What is shown.
        t: The frame.
        others: What `cutout` and `side` are taken from; those of the sequence's own video are left out.

    Raises:
        InputError: If such a kind is shown and there is no other video.
    """
    frame, box = sequence.frames[t], sequence.boxes[t]
    offset = generator(settings.seed, sequence.name, str(t)).uniform(-settings.shift, settings.shift, 2)
    start = np.concatenate([box[:2] + offset * box[2:], box[2:]])
    foreign = [other for other in others if not other.is_of(sequence)]
    if not foreign and {"cutout", "side"} & set(settings.kinds):
        raise InputError(
            f"Occluders for '{sequence.name}' are cut from other videos, and there is none; give more sequences,"
            " or leave out the kinds cutout and side."
        )

    def shown(kind: str, level: float) -> Image:
        if level == 0:
            return frame
        if kind == "background":
            rng = generator(settings.seed, sequence.name, str(t), f"{level:g}")
            region = RegionLimits(max_area=level).random(np.array([level]), rng)[0]
            patch, _ = background_patch(frame, box, level, rng)
            return paste(frame, occlude_image(crop(frame, box), patch, region), box)
        rng = generator(settings.seed, sequence.name, str(t), kind)
        return paste(frame, cover(kind, crop(frame, box), level, foreign, rng), box)

    return {
        kind: [SweepFrame(shown(kind, level), box, start) for level in settings.levels] for kind in settings.kinds
    }


def occlusion_sweep(
    tracker: PlaceableTracker,
    sequences: Iterable[Sequence],
    settings: SweepSettings | None = None,
    others: Many[OtherVideo] = (),
) -> list[SweptTarget]:
    """Show a tracker covered targets, one step each.

    Args:
        tracker: It is initialised on each sequence's first frame.
        sequences: Annotated.
        settings: What is shown.
        others: Videos that occluders are cut from (`sweep_occluders.other_videos`, of the same sequences for
            example).

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
            uncovered: float | None = None
            for depth, frames in enumerate(sweep_frames(sequence, settings, int(t), others).values()):
                for column, shown in enumerate(frames):
                    # The uncovered frame is the same for all kinds.
                    if settings.levels[column] == 0 and uncovered is not None:
                        overlaps[row, depth, column] = uncovered
                        continue
                    height, width = shown.image.shape[:2]
                    tracker.place(shown.start, (width, height))
                    overlap = float(iou(tracker.update(shown.image)[None], shown.box)[0])
                    overlaps[row, depth, column] = overlap
                    if settings.levels[column] == 0:
                        uncovered = overlap
        means = {
            kind: tuple(float(value) for value in row)
            for kind, row in zip(settings.kinds, overlaps.mean(axis=0), strict=True)
        }
        results.append(SweptTarget(sequence.name, len(chosen), means))
    return results
