"""Pictures of the longest stretches of frames in which a tracker has lost its target."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import AbstractPathEffect, Normal, Stroke
from numpy.typing import ArrayLike, NDArray

from ...data.sequences import Frames
from ..annotations import Annotation
from .plots import label, styles

TRUTH = "#FFFFFF"
ON_TARGET = 0.5
OTHERS = 3
"""Other trackers whose boxes are drawn."""


@dataclass(frozen=True)
class LostStretch:
    """The longest stretch of frames in which a tracker's box does not touch the truth.

    Attributes:
        target: Name of the target.
        start: First frame of the stretch, from 0.
        stop: One past its last frame.
        frames: Frames of the whole video.
    """

    target: str
    start: int
    stop: int
    frames: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        """Return the target and the frames, counted from 1."""
        return f"{self.target}, frames {self.start + 1} to {self.stop} ({len(self)} of {self.frames})"


def longest_lost_stretch(overlap: ArrayLike) -> tuple[int, int]:
    """Find the longest run of frames with an overlap of 0; the first of several.

    Args:
        overlap: `[T]`; -1 where the annotation is invalid: such a frame belongs to no run.

    Returns:
        First frame, and one past the last; both 0 if there is none.

    >>> longest_lost_stretch([1.0, 0.0, 0.4, 0.0, 0.0, -1.0, 0.0])
    (3, 5)
    """
    lost = np.concatenate([[0], (np.asarray(overlap) == 0).astype(np.int8), [0]])
    starts, stops = np.flatnonzero(np.diff(lost) == 1), np.flatnonzero(np.diff(lost) == -1)
    if starts.size == 0:
        return 0, 0
    worst = int(np.argmax(stops - starts))
    return int(starts[worst]), int(stops[worst])


def rank_lost_stretches(overlaps: Mapping[str, ArrayLike], at_most: int) -> list[LostStretch]:
    """Rank the targets by the share of the video that their longest lost stretch takes.

    Args:
        overlaps: Per target `[T]`, as `TargetScores.overlap` of a one-pass run.
        at_most: How many to keep; targets that are never lost are left out.
    """
    stretches = [
        LostStretch(name, *longest_lost_stretch(overlap), len(np.asarray(overlap)))
        for name, overlap in overlaps.items()
    ]
    ranked = sorted(stretches, key=lambda stretch: (-len(stretch) / stretch.frames, stretch.target))
    return [stretch for stretch in ranked if len(stretch) > 0][:at_most]


def choose_frames(stretch: LostStretch, overlap: ArrayLike) -> list[int]:
    """Choose three frames to show: before the lost stretch, its first, and its middle.

    The one before is the last in which the overlap was above 0.5; where there is none, the one just before.

    >>> choose_frames(LostStretch("Coke", 3, 9, 10), [1, 0.9, 0.2, 0, 0, 0, 0, 0, 0, 0.7])
    [1, 3, 6]
    """
    good = np.flatnonzero(np.asarray(overlap)[: stretch.start] > ON_TARGET)
    before = int(good[-1]) if good.size else max(stretch.start - 1, 0)
    return [before, stretch.start, (stretch.start + stretch.stop) // 2]


def draw_lost_stretches(
    tracker: str,
    stretches: Sequence[LostStretch],
    frames: Mapping[str, Frames],
    truth: Mapping[str, Annotation],
    boxes: Mapping[str, Mapping[str, NDArray[np.float64]]],
    overlaps: Mapping[str, NDArray[np.float64]],
) -> Figure:
    """Draw a row of three frames for each lost stretch.

    Args:
        tracker: Name of the tracker.
        stretches: Its lost stretches; at least one.
        frames: Per target its video.
        truth: Per target the annotation.
        boxes: Per tracker and target the boxes, `float64[T, 4]`, 0-based; all trackers of the report, so that
            colours agree with the plots. Besides those of `tracker` at most three others' are drawn, thinly.
        overlaps: Per target the overlaps of `tracker`.

    Raises:
        InputError: If a frame cannot be read.
    """
    looks, others = styles(boxes), [name for name in boxes if name != tracker][:OTHERS]
    heights = [
        3.1 * shape[0] / shape[1] + 0.55 for shape in (frames[stretch.target][0].shape for stretch in stretches)
    ]
    figure = Figure(figsize=(9.6, 0.9 + sum(heights)), layout="constrained")
    figure.suptitle(f"Where {label(tracker)} loses its target for longest", fontsize=12)
    grid = figure.subplots(len(stretches), 3, squeeze=False, height_ratios=heights)
    for axes, stretch in zip(grid, stretches, strict=True):
        for axis, t in zip(axes, choose_frames(stretch, overlaps[stretch.target]), strict=True):
            image = frames[stretch.target][t]
            axis.imshow(image)
            axis.set(xticks=[], yticks=[], xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
            axis.set_anchor("N")
            for name in others:
                _draw_box(axis, boxes[name].get(stretch.target), t, looks[name].colour, 1.2)
            annotation = truth[stretch.target]
            if annotation.valid[t]:
                _draw_box(axis, annotation.boxes, t, TRUTH, 2.4)
            _draw_box(axis, boxes[tracker][stretch.target], t, looks[tracker].colour, 2.4)
            overlap = overlaps[stretch.target][t]
            axis.set_xlabel(f"frame {t + 1}, overlap {max(overlap, 0.0):.2f}", fontsize=9)
        axes[0].set_title(
            f"{label(stretch.target)}: lost in frames {stretch.start + 1} to {stretch.stop}"
            f" ({len(stretch)} of {stretch.frames} frames)",
            fontsize=10,
            loc="left",
        )
    lines = {"truth": (TRUTH, 2.4), f"box of {label(tracker)}": (looks[tracker].colour, 2.4)}
    lines |= {f"box of {label(name)}": (looks[name].colour, 1.2) for name in others}
    legend = [
        Line2D([], [], color=colour, linewidth=width, label=text, path_effects=_outline(width))
        for text, (colour, width) in lines.items()
    ]
    figure.legend(handles=legend, loc="outside lower left", ncols=5)
    return figure


def to_jpeg(figure: Figure) -> bytes:
    """Render a figure that shows frames as JPEG, a tenth of the size of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="jpeg", facecolor="white", pil_kwargs={"quality": 85})
    return buffer.getvalue()


def _draw_box(axis: Axes, rows: NDArray[np.float64] | None, t: int, colour: str, linewidth: float) -> None:
    if rows is None or t >= len(rows) or not np.isfinite(rows[t]).all():
        return
    x, y, w, h = rows[t]
    axis.add_patch(
        Rectangle(
            (x - 0.5, y - 0.5),
            w,
            h,
            fill=False,
            edgecolor=colour,
            linewidth=linewidth,
            path_effects=_outline(linewidth),
        )
    )


def _outline(linewidth: float) -> list[AbstractPathEffect]:
    """A black edge, so that a line is seen on any ground."""
    return [Stroke(linewidth=linewidth + 1.6, foreground="black"), Normal()]
