"""The plots of a benchmark report: curves, attributes, paired differences, speed.

Every function takes plain numbers and returns a `Figure` of its own; no state is shared with pyplot. A tracker has
the same colour, line and marker in all plots of a report (`styles`).
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter
from numpy.typing import ArrayLike

from ..intervals import LEAST_TARGETS, LEVEL, Interval
from ..measures import ERROR_THRESHOLDS, MEASURES, OVERLAP_THRESHOLDS, PRECISION_AT, Measure

_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A3D9A",
    "#8C564B", "#B2182B", "#7F7F7F", "#17A2A2", "#9A9A00", "#1B3A6B", "#F564E3",
)  # fmt: skip
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_GROUPS_A_ROW = 7
_LONGEST = 32
DPI = 130
"""Pixels per inch of the pictures."""


class Style(NamedTuple):
    """How a tracker is drawn."""

    colour: str
    line: str
    marker: str


def styles(trackers: Iterable[str]) -> dict[str, Style]:
    """Give each tracker a colour, a line and a marker; the first 14 have different colours.

    The first six colours are Okabe and Ito's, safe for the colour-blind. The line and the marker change too, so
    that trackers stay apart on a grey print.

    >>> [style.line for style in styles(["a", "b", "c"]).values()]
    ['-', '--', '-.']
    """
    rounds = zip(itertools.cycle(_COLOURS), itertools.cycle(_LINES), itertools.cycle(_MARKERS), strict=False)
    return {name: Style(*row) for name, row in zip(trackers, rounds, strict=False)}


def to_png(figure: Figure) -> bytes:
    """Render a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def label(text: str, longest: int = _LONGEST) -> str:
    r"""Make a name safe for a plot: not read as mathematics, not hidden from legends (`_x`), not too long.

    >>> label("cost$^2$")
    'cost\\$^2\\$'
    """
    short = " ".join(text.split())
    short = short if len(short) <= longest else short[: longest - 1] + "…"
    return (" " if short.startswith("_") else "") + short.replace("$", r"\$")


def draw_success(curves: Mapping[str, ArrayLike], scores: Mapping[str, float], title: str) -> Figure:
    """Success curves: the share of frames whose overlap is above each threshold.

    Args:
        curves: Per tracker `[21]`, at `measures.OVERLAP_THRESHOLDS`.
        scores: Per tracker the AUC; the legend is sorted by it.
        title: Title of the plot.
    """
    figure, axis = _curves(curves, scores, OVERLAP_THRESHOLDS, title, "AUC")
    axis.set(xlabel="overlap threshold (IoU)", ylabel="share of frames above it", xlim=(0, 1))
    return figure


def draw_precision(curves: Mapping[str, ArrayLike], scores: Mapping[str, float], title: str) -> Figure:
    """Precision curves: the share of frames whose centre error is at most each threshold.

    Args:
        curves: Per tracker `[51]`, at `measures.ERROR_THRESHOLDS`.
        scores: Per tracker the precision at 20 pixels; the legend is sorted by it.
        title: Title of the plot.
    """
    figure, axis = _curves(curves, scores, ERROR_THRESHOLDS, title, f"at {PRECISION_AT} px")
    axis.axvline(PRECISION_AT, color="0.5", linewidth=0.8)
    axis.set(xlabel="centre error threshold (pixels)", ylabel="share of frames within it", xlim=(0, 50))
    return figure


def _curves(
    curves: Mapping[str, ArrayLike], scores: Mapping[str, float], thresholds: ArrayLike, title: str, what: str
) -> tuple[Figure, Axes]:
    looks = styles(curves)
    ranked = sorted(curves, key=lambda name: -scores[name])
    figure = Figure(figsize=(6.4, 4.6 + 0.24 * len(ranked)), layout="constrained")
    axis = figure.subplots()
    lines = [
        axis.plot(thresholds, curves[name], color=looks[name].colour, linestyle=looks[name].line, linewidth=2)[0]
        for name in ranked
    ]
    axis.set_ylim(0, 1.005)
    axis.grid(alpha=0.3)
    axis.set_title(label(title, 80))
    figure.legend(
        lines,
        [f"{scores[name]:.3f}  {label(name)}" for name in ranked],
        title=f"{what}, best first",
        loc="outside lower center",
        alignment="left",
        handlelength=3.5,
    )
    return figure, axis


def draw_attributes(
    groups: Sequence[str], counts: Mapping[str, int], values: Mapping[str, Mapping[str, float]], title: str
) -> Figure:
    """Grouped bars: each attribute, each tracker.

    Args:
        groups: The attributes in the order of the plot.
        counts: Number of targets of each attribute.
        values: Per tracker the score of each attribute.
        title: Title of the plot.
    """
    looks = styles(values)
    rows = [groups[start : start + _GROUPS_A_ROW] for start in range(0, len(groups), _GROUPS_A_ROW)]
    figure = Figure(figsize=(9.0, 0.6 + 2.6 * len(rows) + 0.24 * len(values)), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False, sharey=True)[:, 0]
    width = 0.84 / len(values)
    bars = {}
    for axis, names in zip(axes, rows, strict=True):
        places = np.arange(len(names), dtype=float)
        for k, (tracker, scores) in enumerate(values.items()):
            shift = (k - (len(values) - 1) / 2) * width
            drawn = [scores.get(name, np.nan) for name in names]
            bars[tracker] = axis.bar(
                places + shift, drawn, width, color=looks[tracker].colour, edgecolor="white", linewidth=0.5
            )
            if len(values) <= 3:
                axis.bar_label(bars[tracker], fmt="%.2f", fontsize=7)
        axis.set_xticks(places, [f"{label(name)}\n({counts[name]})" for name in names])
        axis.set_xlim(-0.6, _GROUPS_A_ROW - 0.4 if len(rows) > 1 else len(names) - 0.4)
        axis.set_ylabel("AUC")
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
    figure.suptitle(label(title, 80))
    figure.legend(
        [bars[name] for name in values],
        [label(name) for name in values],
        loc="outside lower center",
        ncols=min(3, len(values)),
    )
    return figure


def draw_differences(rows: Mapping[str, Mapping[Measure, Interval]], order: Iterable[str], title: str) -> Figure:
    """Forest plot: each comparison a point and its interval, around zero; filled where p is below 0.05.

    Args:
        rows: From top to bottom, by the tracker that is subtracted: the difference of each measure, its
            p-value corrected for the number of pairs.
        order: All trackers of the report; see `draw_speed`.
        title: Title of the plot.
    """
    looks = styles(order)
    figure = Figure(figsize=(9.0, 1.7 + 0.36 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, measure in zip((left, right), MEASURES, strict=True):
        axis.axvline(0, color="0.4", linewidth=1)
        intervals = [row[measure] for row in rows.values()]
        for place, (name, interval) in enumerate(zip(rows, intervals, strict=True)):
            clear, look = interval.p is not None and interval.p < 1 - LEVEL, looks[name]
            if interval.bounds is not None:
                axis.plot(interval.bounds, [place, place], color=look.colour, linewidth=2)
            face = look.colour if clear else "white"
            axis.plot(interval.mean, place, look.marker, color=look.colour, markerfacecolor=face)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.grid(axis="x", alpha=0.3)
        ends = [0.0, *(number for each in intervals for number in each.bounds or (each.mean,))]
        room = 0.08 * (max(ends) - min(ends)) or 0.01
        axis.set_xlim(min(ends) - room, max(ends) + room)
    left.set_yticks(range(len(rows)), [label(name, 60) for name in rows])
    left.set_xlabel("difference of the AUC")
    right.set_xlabel(f"difference of the precision at {PRECISION_AT} px")
    few = all(row[measure].bounds is None for row in rows.values() for measure in MEASURES)
    note = f"{LEVEL:.0%} intervals, uncorrected; filled: Holm-corrected p below {1 - LEVEL:.2f}"
    if few:
        note = f"no intervals from fewer than {LEAST_TARGETS} targets"
    figure.suptitle(f"{label(title, 80)}\n{note}", fontsize=11)
    return figure


def draw_speed(
    speeds: Mapping[str, float], scores: Mapping[str, float], order: Iterable[str], title: str
) -> Figure:
    """Speed against AUC, a point a tracker.

    Args:
        speeds: Frames a second, of the trackers whose times are known.
        scores: AUC.
        order: All trackers of the report, so that colours and markers agree with the other plots.
        title: Title of the plot.
    """
    looks = styles(order)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, speed in speeds.items():
        axis.plot(speed, scores[name], looks[name].marker, color=looks[name].colour, markersize=9)
        axis.annotate(
            label(name),
            (speed, scores[name]),
            xytext=(0, 8),
            textcoords="offset points",
            fontsize=9,
            ha="center",
        )
    low, high = min(speeds.values()), max(speeds.values())
    axis.set_xscale("log")
    axis.set_xlim(low / 2.5, high * 2.5)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(y=0.22)
    axis.grid(alpha=0.3)
    axis.set(xlabel="frames a second (log scale)", ylabel="AUC")
    axis.set_title(label(title, 80))
    return figure
