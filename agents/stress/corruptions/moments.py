"""Moments: when a sequence is corrupted, and everything that is drawn for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import background_box
from occlusion_env.scene.shapes import OtherVideo
from occlusion_env.scene.targets import visible_frames
from tracker.data.sequences import Sequence

from ...common.randomness import generator
from .settings import BASE, LEAD, SPAN, StressSettings

Region = tuple[float, float, float, float]

SIDES = ("left", "right", "top", "bottom")
"""Sides from which a cover enters."""

MARGIN = 0.1
"""How far an occluder reaches beyond the sides of the target that it covers, in widths and heights of the box."""


@dataclass(frozen=True)
class Moment:
    """A moment of a sequence and its draws, as plain data; the same for all trackers.

    Attributes:
        sequence: Name of the sequence.
        number: Which of the sequence's moments, from 0.
        frame: The first corrupted frame t0.
        seed: Seed of the draws.
        boxes: True boxes of the frames t0 - `LEAD` and following, `SPAN` of them, `(x, y, w, h)` in pixels.
        side: The side from which the cover enters: `left`, `right`, `top` or `bottom`.
        background: The piece of frame t0 that covers, `(x, y, w, h)` in pixels; `None` where the target leaves
            none: then its mean colour covers.
        random: A random region of three quarters of the box, relative to it.
        hardest: The region that lowers SINT's score most; `None` where the settings do not have it.
        cutout: The sequence whose target a shape is cut from; `None` where there is no other video.
        lookalike: The side of the target at which its image is pasted, `left` or `right`.
        blur_angle: Direction of the motion blur in radians.
    """

    sequence: str
    number: int
    frame: int
    seed: int
    boxes: tuple[Region, ...]
    side: str
    background: Region | None
    random: Region
    hardest: Region | None
    cutout: str | None
    lookalike: str
    blur_angle: float

    @property
    def start(self) -> int:
        """The frame on whose true box a tracker is initialised."""
        return self.frame - LEAD

    @property
    def truth(self) -> NDArray[np.float64]:
        """The true boxes, `float64[SPAN, 4]`."""
        return np.array(self.boxes, dtype=np.float64)

    def generator(self, purpose: str) -> np.random.Generator:
        """A random generator for one purpose, independent of the draws for others."""
        return generator(self.seed, self.sequence, str(self.frame), purpose)

    def record(self) -> dict[str, Any]:
        """The attributes as JSON types; `from_record` reads them back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Moment:
        """Read a `record`."""

        def region(values: Any) -> Region | None:
            return None if values is None else (values[0], values[1], values[2], values[3])

        regions = {name: region(record[name]) for name in ("background", "random", "hardest")}
        return cls(**{**record, **regions, "boxes": tuple(map(region, record["boxes"]))})


def possible_frames(sequence: Sequence) -> NDArray[np.int64]:
    """Frames that may be the first corrupted one.

    All `SPAN` frames of the moment exist and show the target: its box is annotated, at least half of it is visible
    by the annotation, and its centre lies in the image.
    """
    shown = np.zeros(len(sequence), bool)
    shown[visible_frames(sequence)] = True
    if sequence.box_source == "first":
        shown[:] = False
    for t in np.flatnonzero(shown):
        centre = sequence.boxes[t, :2] + sequence.boxes[t, 2:] / 2
        shown[t] = bool(((centre >= 0) & (centre <= sequence.frames.size(int(t)))).all())
    if len(sequence) < SPAN:
        return np.empty(0, np.int64)
    complete = np.lib.stride_tricks.sliding_window_view(shown, SPAN).all(axis=1)
    return np.flatnonzero(complete).astype(np.int64) + LEAD


def draw_moments(sequence: Sequence, settings: StressSettings, others: Many[OtherVideo] = ()) -> list[Moment]:
    """Draw the moments of a sequence: one from each of `settings.moments` equal parts of the possible frames.

    Args:
        sequence: Annotated.
        settings: The number of moments and the seed.
        others: Videos that an occluder may be cut from; those that show the same video are not used.

    Returns:
        The moments in the order of time, one for each part that has a possible frame. Their `hardest` is `None`.
    """
    rng = generator(settings.seed, sequence.name, "moments")
    parts = np.array_split(possible_frames(sequence), settings.moments)
    foreign = [other.name for other in others if not other.is_of(sequence)]
    chosen = [int(rng.choice(part)) for part in parts if len(part)]
    return [_draw_moment(sequence, number, t, settings.seed, foreign) for number, t in enumerate(chosen)]


def _draw_moment(sequence: Sequence, number: int, t: int, seed: int, foreign: list[str]) -> Moment:
    def rng(purpose: str) -> np.random.Generator:
        return generator(seed, sequence.name, str(t), purpose)

    width, height = sequence.frames.size(t)
    box, share = sequence.boxes[t], (1 + 2 * MARGIN) ** 2
    piece = background_box(width, height, box, share, rng("background"))
    limits = RegionLimits(max_area=BASE.strength)
    return Moment(
        sequence=sequence.name,
        number=number,
        frame=t,
        seed=seed,
        boxes=tuple(_four(row) for row in sequence.boxes[t - LEAD : t - LEAD + SPAN]),
        side=str(rng("side").choice(SIDES)),
        background=None if piece is None else _four(piece),
        random=_four(limits.random(np.array([BASE.strength]), rng("random"))[0]),
        hardest=None,
        cutout=str(rng("cutout").choice(foreign)) if foreign else None,
        lookalike="left" if box[0] > width - box[0] - box[2] else "right",
        blur_angle=float(rng("blur").uniform(0, math.pi)),
    )


def _four(values: NDArray[np.float64]) -> Region:
    x, y, w, h = (float(value) for value in values)
    return (x, y, w, h)
