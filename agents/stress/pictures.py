"""Pictures of the stress test: curves, losses by condition, sensitivity maps, the worst moments, the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw

from occlusion_env.scene.shapes import OtherVideo, other_videos
from tracker.data.images import Image, crop, resize
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.evaluation.intervals import LEVEL, Interval
from tracker.evaluation.report.pictures import to_jpeg
from tracker.evaluation.report.plots import DPI, Style, label, styles, to_png
from vae.pictures.gif import write_gif

from .corruptions.moments import Moment
from .corruptions.scene import corrupted_frames
from .corruptions.settings import CONDITIONS, COVER_CURVE, PROTOCOL_VERSION
from .measures import RunScores
from .scores import RECOVERY_CONDITION, MomentScores, StressScores, TrackerStress

Open = Callable[[str], Sequence]
"""Opens a sequence by its name."""

SHARES = (0.0, *COVER_CURVE)

_TRUE = (0, 200, 83)
_TRACKER = (255, 61, 0)
_HEIGHT = 150
"""Of a GIF, in pixels; the page holds one for each tracker."""
_FRAMES, _FRAME_MS, _LAST_MS = 16, 200, 900
_BEYOND = 4
"""Pixels beyond the picture at which lines of two pixels are not seen."""
_EXEMPLARS = 16


class WorstRun(NamedTuple):
    """The run of a tracker in which a corruption cost most overlap."""

    moment: MomentScores
    run: RunScores


def look(scores: StressScores) -> dict[str, Style]:
    """The colour, line and marker of each tracker."""
    return styles(scores.trackers)


def draw_curves(scores: StressScores) -> bytes:
    """The overlap under a cover of growing share, a line for each tracker, as PNG."""
    figure = Figure(figsize=(7.2, 4.4 + 0.2 * len(scores.trackers)), layout="constrained")
    axis = figure.subplots()
    lines = _plot_curves(axis, scores)
    figure.legend(
        lines,
        [f"{tracker.occ_auc.mean:.3f}  {label(name)}" for name, tracker in scores.trackers.items()],
        title="OccAUC, best first",
        loc="outside lower center",
        alignment="left",
        ncols=1 if len(lines) < 8 else 2,
        handlelength=3.5,
    )
    return to_png(figure)


def _plot_curves(axis: Axes, scores: StressScores) -> list[Line2D]:
    lines: list[Line2D] = []
    for (name, tracker), style in zip(scores.trackers.items(), look(scores).values(), strict=True):
        points = cover_curve(tracker)
        lines += axis.plot(
            [100 * share for share in SHARES],
            [np.nan if point is None else point.mean for point in points],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=4,
            linewidth=2,
            label=name,
        )
    axis.set(xlabel="covered share of the target (%)", ylabel="overlap (IoU) while covered", ylim=(0, 1))
    axis.set_xticks([100 * share for share in SHARES])
    axis.grid(alpha=0.3)
    return lines


def cover_curve(tracker: TrackerStress) -> list[Interval | None]:
    """The overlap at each of `SHARES`."""
    return [
        tracker.mean("uncovered", COVER_CURVE[0.25]),
        *(tracker.mean("endurance", name) for name in COVER_CURVE.values()),
    ]


def draw_recovery(scores: StressScores) -> bytes:
    """Overlap while the whole target is covered against recovery afterwards, a point for each tracker, as PNG."""
    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    axis = figure.subplots()
    for name, style in look(scores).items():
        endured = scores.trackers[name].mean("endurance", COVER_CURVE[1.0])
        recovered = scores.trackers[name].mean("recovered", RECOVERY_CONDITION)
        if endured is None or recovered is None:
            continue
        axis.plot(endured.mean, recovered.mean, style.marker, color=style.colour, markersize=9)
        axis.annotate(
            label(name), (endured.mean, recovered.mean), (6, 4), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axis.margins(0.14)
    axis.grid(alpha=0.3)
    axis.set(
        xlabel="endurance: overlap while the whole target is covered, 10 frames",
        ylabel="recovery: share of moments found again\n10 frames after 30 wholly covered ones",
    )
    return to_png(figure)


def draw_losses(scores: StressScores) -> bytes:
    """The overlap that each condition costs each tracker, as a table of colours, PNG."""
    names = [name for name in scores.settings.conditions if name != "reference"]
    values = np.full((len(scores.trackers), len(names)), np.nan)
    for row, tracker in enumerate(scores.trackers.values()):
        for column, name in enumerate(names):
            kept = tracker.mean("kept", name)
            values[row, column] = np.nan if kept is None else 1 - kept.mean
    width = max(10.0, 2.6 + 0.62 * len(names))
    figure = Figure(figsize=(width, max(3.0, 1.9 + 0.34 * len(values))), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(values, cmap="YlOrRd", vmin=0, vmax=0.7, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = "white" if value > 0.45 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=dark)
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=9)
    axis.set_yticks(range(len(values)), [label(name) for name in scores.trackers], fontsize=9)
    figure.colorbar(image, label="overlap lost while corrupted", extend="max")
    return to_png(figure)


def draw_sensitivity(scores: StressScores, tracker: str, open_sequence: Open) -> bytes | None:
    """Where an occlusion costs a tracker most overlap, over the exemplar of each sequence, as JPEG.

    Args:
        scores: The scores.
        tracker: Name of the tracker.
        open_sequence: Opens a sequence, for its exemplar.

    Returns:
        The picture; `None` where the tracker held no moment.
    """
    maps = {name: scores.sensitivity(tracker, name) for name in scores.moments}
    shown = [name for name, values in maps.items() if np.isfinite(values).any()]
    if not shown:
        return None
    shown = [shown[index] for index in evenly_spaced(len(shown), _EXEMPLARS - 1)]
    columns = min(8, len(shown) + 1)
    rows = -(-(len(shown) + 1) // columns)
    figure = Figure(figsize=(1.35 * columns + 1.0, 1.75 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    highest = max(0.1, *(float(np.nanmax(maps[name])) for name in shown))
    for axis in axes:
        axis.axis("off")
    overall = scores.sensitivity(tracker)
    image = axes[0].imshow(overall, cmap="inferno", vmin=0, vmax=highest, extent=(0, 1, 1, 0))
    axes[0].set_title("all sequences", fontsize=8)
    for axis, name in zip(axes[1:], shown, strict=False):
        sequence = open_sequence(name)
        exemplar = crop(sequence.frames[0], sequence.exemplar_box)
        axis.imshow(resize(exemplar, 96, 96).mean(axis=2), cmap="gray", extent=(0, 1, 1, 0), vmin=0, vmax=255)
        axis.imshow(maps[name], cmap="inferno", vmin=0, vmax=highest, alpha=0.55, extent=(0, 1, 1, 0))
        axis.set_title(label(name, 14), fontsize=8)
    figure.colorbar(image, ax=list(axes), label="overlap lost", shrink=0.8)
    return to_jpeg(figure)


def worst_run(tracker: TrackerStress) -> WorstRun | None:
    """The held moment and condition in which a tracker lost most overlap; `None` where it lost nothing."""
    runs = [
        WorstRun(moment, run)
        for moment in tracker.moments
        if moment.held
        for name, run in moment.runs.items()
        if run.kept < 1 and CONDITIONS[name].kind != "none"
    ]
    return min(runs, key=lambda each: each.run.kept, default=None)


def animate(path: Path, worst: WorstRun, boxes: Mapping[str, NDArray[np.float64]], open_sequence: Open) -> None:
    """Write a GIF of a run: on the left the corrupted frames, on the right the same without corruption.

    Args:
        path: The file to write.
        worst: The run.
        boxes: The tracker's boxes by condition, `float64[length, 4]`; of the run's condition and `reference`.
        open_sequence: Opens a sequence.
    """
    moment, run = worst.moment.moment, worst.run
    sequence = open_sequence(moment.sequence)
    condition = CONDITIONS[run.condition]
    other = _other(moment, open_sequence) if condition.content == "cutout" else None
    frames = corrupted_frames(sequence, moment, condition, other, run.region)
    clean = corrupted_frames(sequence, moment, CONDITIONS["reference"])
    shown = set(evenly_spaced(CONDITIONS[run.condition].length, _FRAMES).tolist())
    pictures = [
        _side_by_side(
            _panel(frame, moment.truth[row], boxes[run.condition][row]),
            _panel(plain, moment.truth[row], boxes["reference"][row]),
        )
        for row, (frame, plain) in enumerate(zip(frames, clean, strict=False))
        if row in shown
    ]
    write_gif(path, pictures, [*[_FRAME_MS] * (len(pictures) - 1), _LAST_MS])


def _other(moment: Moment, open_sequence: Open) -> OtherVideo | None:
    return None if moment.cutout is None else other_videos([open_sequence(moment.cutout)])[0]


def _panel(frame: Image, truth: NDArray[np.float64], box: NDArray[np.float64]) -> PILImage.Image:
    scale = _HEIGHT / frame.shape[0]
    picture = PILImage.fromarray(resize(frame, max(1, round(frame.shape[1] * scale)), _HEIGHT))
    draw = ImageDraw.Draw(picture)
    for (x, y, w, h), colour in ((truth, _TRUE), (box, _TRACKER)):
        if w > 0 and h > 0:
            corners = np.array([x, y, max(x + w, x + 1), max(y + h, y + 1)]) * scale
            # Pillow draws every pixel of a line, also a billion of them beyond the picture.
            corners = np.clip(corners, -_BEYOND, np.array([*picture.size, *picture.size]) + _BEYOND)
            draw.rectangle(corners.tolist(), outline=colour, width=2)
    return picture


def _side_by_side(left: PILImage.Image, right: PILImage.Image) -> PILImage.Image:
    sheet = PILImage.new("RGB", (left.width + right.width + 4, left.height), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + 4, 0))
    return sheet.quantize(64, dither=PILImage.Dither.NONE)


def draw_card(scores: StressScores, title: str) -> bytes:
    """The result as one picture to share, 1200 x 630 pixels, PNG.

    Args:
        scores: The scores.
        title: The first line.
    """
    figure = Figure(figsize=(1200 / DPI, 630 / DPI), layout="constrained")
    figure.suptitle(label(title, 90), fontsize=14, fontweight="bold")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _plot_curves(left, scores)
    ranked = [(name, each.occ_auc) for name, each in scores.trackers.items()][::-1]
    looks = look(scores)
    for row, (name, auc) in enumerate(ranked):
        right.barh(row, auc.mean, color=looks[name].colour, height=0.66)
        if auc.bounds is not None:
            right.plot(auc.bounds, [row, row], color="0.15", linewidth=1.6)
        recovery = scores.trackers[name].mean("recovery")
        text = "" if recovery is None else f"  {auc.mean:.2f}, recovers {recovery.mean:.0%}"
        right.text(max(auc.mean, *(auc.bounds or (0.0,))), row, text, va="center", fontsize=8)
    known = any(auc.bounds is not None for _, auc in ranked)
    right.set_yticks(range(len(ranked)), [label(name, 22) for name, _ in ranked], fontsize=9)
    right.set(
        ylim=(-0.6, max(len(ranked), 5) - 0.4),
        xlim=(0, 1.25),
        xlabel="OccAUC" + f", {LEVEL:.0%} interval over sequences" * known,
    )
    right.set_xticks(np.arange(0, 1.01, 0.25))
    right.spines[["top", "right"]].set_visible(False)
    moments = sum(map(len, scores.moments.values()))
    figure.supxlabel(
        f"occlusion-search stress, protocol {PROTOCOL_VERSION}: {moments} moments of {len(scores.moments)}"
        " sequences. Recovers: found again 10 frames after 30 wholly covered ones.",
        fontsize=7.5,
        color="0.35",
    )
    return to_png(figure)
