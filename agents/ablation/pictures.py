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
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tracker.data.images import resize, to_images
from tracker.files import replacing_file
from tracker.models.sint import load_sint, to_rois
from tracker.training import PairSampler, open_folder, read_hard_positives
from tracker.training.frames import Views, stack_pairs
from tracker.training.hardening import harden_frames, step_generator

from ..common.pictures import save
from .arms import Arm
from .running import START, arm_inputs
from .settings import LadderRun

Image = NDArray[np.uint8]

_MEASURES = {
    "sweep, unseen": "unseen occluders, 10 to 50 %",
    "sweep, seen": "seen occluders, 10 to 50 %",
    "auc, OCC": "AUC, OCC",
    "auc, all": "AUC, all",
    "auc, not OCC": "AUC, not OCC",
}
_SIDE = 96
_COLOURS = {"sint": "black", "vae-random": "C2", "vae-hptn": "C1", "hardest": "C0"}
"""Arms that the sweep shows in colour; the others are grey."""


def is_significant(row: Mapping[str, Any], level: float) -> bool:
    """Whether a difference's Holm-corrected p-value is below 1 - `level`."""
    return row["p_holm"] is not None and row["p_holm"] < 1 - level


def draw_sweep(path: Path, content: Mapping[str, Any]) -> None:
    """Overlap of each arm as more of the target is covered, by seen and by unseen occluders; four arms in colour.

    Args:
        path: The PNG to write.
        content: What `summarise_ladder` returned.
    """
    groups = [name for name in ("seen", "unseen") if f"sweep, {name}" in content["measures"]]
    figure = Figure(figsize=(10.5, 1.2 + 3.8 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 2, squeeze=False, sharex=True)
    levels = np.array(content["levels"])
    base = content["arms"].get("sint", content["arms"][START])["means"]
    for (whole, zoomed), group in zip(axes, groups, strict=True):
        names = [f"sweep, {level:.0%}" if level == 0 else f"sweep, {group}, {level:.0%}" for level in levels]
        for name, arm in sorted(content["arms"].items(), key=lambda arm: arm[0] in _COLOURS):
            values = np.array([arm["means"][measure] for measure in names])
            style = {"color": _COLOURS.get(name, "0.8"), "linewidth": 2.2 if name in _COLOURS else 0.9}
            label = arm["title"] if name in _COLOURS and group == groups[0] else None
            whole.plot(levels, values, **style)
            less = values - [base[measure] for measure in names]
            zoomed.plot(levels, less, label=label, **style)
            if name not in _COLOURS:
                zoomed.annotate(
                    arm["title"], (levels[-1], less[-1]), xytext=(15, 0), textcoords="offset points",
                    fontsize=7, color="0.5", va="center", annotation_clip=False,
                )  # fmt: skip
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
    with replacing_file(path) as temporary:
        save(figure, temporary)


def draw_differences(path: Path, content: Mapping[str, Any], baseline: str = "sint") -> None:
    """Each arm less a baseline, with the intervals.

    Args:
        path: The PNG to write.
        content: What `summarise_ladder` returned.
        baseline: Name of the arm that is taken away.
    """
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
        f"Less '{title}': mean, uncorrected {level:.0%} Student's t interval over sequences"
        f" (blue: Holm-corrected p below {1 - level:.2f})",
        fontsize=11,
    )
    with replacing_file(path) as temporary:
        save(figure, temporary)


def draw_training(path: Path, content: Mapping[str, Any]) -> None:
    """The matcher on the validation videos before and after each training."""
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
    with replacing_file(path) as temporary:
        save(figure, temporary)


def draw_examples(path: Path, run: LadderRun, arms: Many[Arm], columns: int = 6) -> None:
    """What each arm trains on: targets of the first steps, as its network is shown them, by its first seed.

    Arms that change features show frames as they are; the network is asked as it was when its training ended.

    Args:
        path: The PNG to write.
        run: What was run.
        arms: What to show.
        columns: Targets of each.
    """
    figure = Figure(figsize=(2.6 + 1.15 * columns, 0.4 + 1.2 * len(arms)), layout="constrained")
    axes = figure.subplots(len(arms), columns, squeeze=False)
    for row, arm in zip(axes, arms, strict=True):
        for axis, image in zip(row, _examples(run, arm, columns), strict=True):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(
            "\n".join(_wrapped(arm.title)), rotation=0, ha="right", va="center", fontsize=8, labelpad=6
        )
    with replacing_file(path) as temporary:
        save(figure, temporary)


def _examples(run: LadderRun, arm: Arm, count: int) -> list[Image]:
    """Targets of second frames, one a step, all of them changed where the arm changes any."""
    train, _ = open_folder(run.train)
    positives = [] if arm.samples is None else read_hard_positives(run.positives_folder(arm.name))
    sampler = PairSampler(train, replace(run.training(0), hard_share=1.0, flip=0.0), positives)
    views = Views(run.network, sampler.sequences, sampler.hard_positives)
    sint = load_sint(run.network_folder(arm.name, 0), run.weights, run.device)
    hardening = None if arm.harden is None else arm.harden(sint, arm_inputs(run, 1.0))
    found = []
    for step in range(count):
        pairs = sampler.draw(step)
        images, corners = stack_pairs(views, pairs, torch.device(run.device))
        rois = to_rois(corners, run.device)
        if hardening is not None:
            images = harden_frames(
                hardening.at(0.5), images, rois, sint.backbone.input_size, step_generator(0, step)
            )
        left, top, right, bottom = corners[1][0].round().astype(int)
        view = to_images(images[1:2])[0]
        found.append(resize(view[max(0, top) : bottom, max(0, left) : right], _SIDE, _SIDE))
    return found


def _wrapped(title: str, width: int = 24) -> list[str]:
    return textwrap.wrap(title, width)
