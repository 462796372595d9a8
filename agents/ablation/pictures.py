"""The ladder's pictures: the sweep's curves, the differences with their intervals, what each arm trains on."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tracker.data.images import resize, to_images
from tracker.models.sint import load_sint, to_rois
from tracker.training import PairSampler, open_folder, read_hard_positives
from tracker.training.frames import Views, ViewSampler
from tracker.training.hardening import harden_frames, step_generator
from vae.pictures import Row, draw_rows

from ..common.pictures import save
from .arms import Arm
from .running import START, arm_inputs
from .settings import PRIMARY_MEASURE, LadderRun

Image = NDArray[np.uint8]

_MEASURES = {
    PRIMARY_MEASURE: "unseen occluders, 30 to 50 %",
    "sweep, seen": "seen occluders, 10 to 50 %",
    "auc, tre": "AUC, OCC, 20 starts",
    "auc, OCC": "AUC, OCC",
    "auc, all": "AUC, all",
    "auc, not OCC": "AUC, not OCC",
    "auc, tre, all": "AUC, 20 starts",
    "auc, VOT-2014": "AUC, VOT-2014",
}
_SIDE, _EXAMPLES = 96, 6
_COLOURS = {"sint": "black", "vae-random": "C2", "vae-hptn": "C1", "hardest": "C0"}
"""Arms that the sweep shows in colour; the others are grey."""


def is_significant(row: Mapping[str, Any], level: float) -> bool:
    """Whether a difference's Holm-corrected p-value is below 1 - `level`."""
    return row["p_holm"] is not None and row["p_holm"] < 1 - level


def draw_sweep(path: Path, content: Mapping[str, Any]) -> None:
    """Draw the overlap of each arm as more of the target is covered by seen and by unseen occluders."""
    groups = [name for name in ("seen", "unseen") if f"sweep, {name}" in content["measures"]]
    figure = Figure(figsize=(10.5, 1.2 + 3.8 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 2, squeeze=False, sharex=True)
    levels = np.array(content["levels"])
    base = content["arms"].get("sint", content["arms"][START])["means"]
    for (whole, zoomed), group in zip(axes, groups, strict=True):
        names = [f"sweep, {level:.0%}" if level == 0 else f"sweep, {group}, {level:.0%}" for level in levels]
        ends: list[tuple[float, str]] = []
        for name, arm in sorted(content["arms"].items(), key=lambda arm: arm[0] in _COLOURS):
            values = np.array([arm["means"][measure] for measure in names])
            style = {"color": _COLOURS.get(name, "0.8"), "linewidth": 2.2 if name in _COLOURS else 0.9}
            label = arm["title"] if name in _COLOURS and group == groups[0] else None
            whole.plot(levels, values, **style)
            less = values - [base[measure] for measure in names]
            zoomed.plot(levels, less, label=label, **style)
            if name not in _COLOURS:
                ends.append((float(less[-1]), arm["title"]))
        _label_ends(zoomed, float(levels[-1]), ends)
        whole.set(ylabel="mean overlap with the true box", title=f"Overlap, {group} occluders")
        zoomed.set(ylabel="overlap less plain SINT's", title="The same, less plain SINT's")
        for axis in (whole, zoomed):
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            axis.grid(alpha=0.25)
    for axis in axes[-1]:
        axis.set_xlabel("share of the target that is covered")
    others = len(content["arms"]) - sum(name in _COLOURS for name in content["arms"])
    axes[0, 1].plot([], [], color="0.8", linewidth=0.9, label=f"{others} other arms")
    figure.legend(loc="outside lower center", ncols=5, fontsize=9)
    save(figure, path)


def _label_ends(axis: Axes, right: float, ends: list[tuple[float, str]]) -> None:
    """Name the lines `(last value, label)` at their ends; labels stand at least 1/25 of the axis apart."""
    low, high = axis.get_ylim()
    place = -np.inf
    for value, label in sorted(ends):
        place = max(value, place + (high - low) / 25)
        axis.annotate(
            label, (right, place), xytext=(4, 0), textcoords="offset points",
            fontsize=7, color="0.5", va="center", annotation_clip=False,
        )  # fmt: skip


def draw_differences(path: Path, content: Mapping[str, Any], baseline: str = "sint") -> None:
    """Draw each arm less the arm `baseline`, with the intervals."""
    arms = {name: arm for name, arm in content["arms"].items() if baseline in arm["less"]}
    measures = [measure for measure in _MEASURES if measure in content["measures"]]
    level = content["interval"]["level"]
    figure = Figure(figsize=(3.2 + 2.5 * len(measures), 1.4 + 0.32 * len(arms)), layout="constrained")
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    rows = np.arange(len(arms))[::-1]
    for axis, measure in zip(axes, measures, strict=True):
        for row, arm in zip(rows, arms.values(), strict=True):
            found = arm["less"][baseline][measure]
            colour = "C0" if is_significant(found, level) else "0.6"
            if found["interval"] is not None:
                axis.plot(found["interval"], [row, row], color=colour, linewidth=2)
            axis.plot(found["difference"], row, "o", color=colour, markersize=5)
        axis.axvline(0, color="0.3", linewidth=1)
        axis.set_title(_MEASURES[measure], fontsize=10)
        axis.grid(alpha=0.25, axis="x")
        axis.tick_params(axis="x", labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    axes[0].set_yticks(rows, [arm["title"] for arm in arms.values()], fontsize=9)
    title = content["arms"][baseline]["title"]
    figure.suptitle(
        f"Less '{title}': mean, uncorrected {level:.0%} Student's t interval over sequences\n"
        f"(blue: Holm-corrected p below {1 - level:.2f})",
        fontsize=11,
    )
    save(figure, path)


def draw_training(path: Path, content: Mapping[str, Any]) -> None:
    """Draw the matcher on the validation videos before and after each training."""
    arms = {name: arm for name, arm in content["arms"].items() if name != START}
    figure = Figure(figsize=(8.4, 1.4 + 0.32 * len(arms)), layout="constrained")
    axis = figure.subplots()
    rows = np.arange(len(arms))[::-1]
    for row, arm in zip(rows, arms.values(), strict=True):
        curves = [seed["training"] for seed in arm["seeds"].values()]
        for curve in curves:
            axis.plot(curve["after"]["pair_auc"], row, "o", color="C0", alpha=0.7, markersize=5)
        axis.plot(curves[0]["before"]["pair_auc"], row, "|", color="0.3", markersize=14)
    axis.set_yticks(rows, [arm["title"] for arm in arms.values()], fontsize=9)
    axis.set_xlabel("pair AUC on the validation videos: bar before, dots after, one a seed")
    axis.grid(alpha=0.25, axis="x")
    save(figure, path)


def draw_examples(path: Path, run: LadderRun, arms: Many[Arm]) -> None:
    """What each arm trains on: targets of the first steps, as its network is shown them, by its first seed.

    Arms that change features show frames as they are; the network is that at the end of its training.
    """
    rows = [Row(textwrap.fill(arm.title, 24), np.stack(_examples(run, arm))) for arm in arms]
    draw_rows(path, "Targets that each arm trains on", rows)


def _examples(run: LadderRun, arm: Arm) -> list[Image]:
    """Targets of second frames, one a step, all of them changed where the arm changes any."""
    train, _ = open_folder(run.train)
    positives = [] if arm.samples is None else read_hard_positives(run.positives_folder(arm.name))
    sampler = PairSampler(train, replace(run.training(0), hard_share=1.0, flip=0.0), positives)
    draw = ViewSampler(sampler, Views(run.network, sampler.sequences, sampler.hard_positives))
    sint = load_sint(run.network_folder(arm.name, 0), run.weights, run.device)
    hardening = None if arm.harden is None else arm.harden(sint, arm_inputs(run, 1.0))
    found = []
    for step in range(_EXAMPLES):
        drawn = draw(step)
        images, rois = drawn.load(torch.device(run.device)), to_rois(drawn.corners, run.device)
        if hardening is not None:
            images = harden_frames(
                hardening.at(0.5), images, rois, sint.backbone.input_size, step_generator(0, step)
            )
        left, top, right, bottom = drawn.corners[1][0].round().astype(int)
        view = to_images(images[1:2])[0]
        found.append(resize(view[max(0, top) : bottom, max(0, left) : right], _SIDE, _SIDE))
    return found
