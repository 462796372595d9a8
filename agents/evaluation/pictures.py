"""Pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from occlusion_env.scene.occluders import occlude_image
from occlusion_env.scene.targets import Target
from tracker.data.sequences import evenly_spaced

from ..common.pictures import enlarged, save
from .comparison import MethodComparison
from .methods import BUDGETS

_METHODS = (
    "best of k random", "cells", "constant", "strips", "attribution", "predictor", "hill climbing", "belief",
)  # fmt: skip
"""Methods that have the same colour in every picture; agents have the colours after theirs."""

_TITLES = {
    "cells": "3 x 3 cells", "constant": "constant region", "predictor": "drop predictor", "a2c": "A2C",
    "dqn": "DQN", "ppo": "PPO", "ppo_mask": "maskable PPO", "qrdqn": "QR-DQN",
}  # fmt: skip
"""Methods and algorithms in the legend of the frontier; others have their own names."""

DEMO_COLOURS = {
    "clean": "0.6",
    "random": "C0",
    "random at equal queries": "C9",
    "constant": "C3",
    "agent": "C1",
    "belief": "C5",
    "grid search": "0.25",
}
"""The methods of the demo, in the order of its table and picture."""


def draw_frontier(path: Path, content: dict[str, Any]) -> None:
    """Draw closure by the number of scorer queries, with the intervals over sequences, from `summarise`."""
    figure = Figure(figsize=(9.6, 5.8), layout="constrained")
    axis = figure.subplots()
    members = {agent for arm in content.get("arms", {}).values() for agent in arm["agents"]}
    shown = {name: row for name, row in content["frontier"].items() if name not in members}
    agents = [*content["agents"], *content.get("arms", {})]
    lines = {}
    numbers = {name: number for number, name in enumerate((*_METHODS, *(n for n in shown if n not in _METHODS)))}
    for name, row in shown.items():
        number = numbers[name]
        points = [(int(q), value, content["frontier_intervals"][name][q]) for q, value in row.items()]
        points = [point for point in points if point[1] is not None]
        if not points:
            continue
        queries, closures, bounds = zip(*points, strict=True)
        style = "--" if name in agents else "-"
        (line,) = axis.plot(
            queries, closures, style, color=f"C{number % 10}", marker="os^Dv"[number // 10 % 5], ms=4
        )
        if all(each is not None for each in bounds):
            low, high = zip(*bounds, strict=True)
            axis.fill_between(queries, low, high, color=line.get_color(), alpha=0.1, linewidth=0)
        lines[name] = (closures[-1], line)
    for level in (0, 1):
        axis.axhline(level, color="0.75", zorder=0)
    order = sorted(lines, key=lambda name: -lines[name][0])
    axis.legend(
        [lines[name][1] for name in order], [f"{_TITLES.get(name, name)}: {lines[name][0]:.2f}" for name in order],
        title=f"closure after {BUDGETS[-1]} queries", loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9,
    )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
    axis.minorticks_off()
    # A method far below random regions would flatten the others.
    axis.set_ylim(bottom=max(axis.get_ylim()[0], -0.6))
    axis.set(xlabel="scorer queries a target", ylabel="closure: random region 0, grid search 1")
    count, bands = len(content["sequences"]), any(content["frontier_intervals"][name]["1"] for name in shown)
    axis.set_title(
        f"{content['targets']} targets of {count} sequence{'s' * (count != 1)}, equal area cap, same patch\n"
        + ("bands: 95 % t over sequences" if bands else "no intervals over so few sequences")
        + ("; dashed: agents" if agents else ""),
        fontsize=11,
    )
    axis.grid(alpha=0.25)
    save(figure, path)


def draw_choices(out: Path, name: str, targets: Many[Target], comparison: MethodComparison) -> Path:
    """Draw what each method covered: four of the targets, evenly spaced, a method a column, the score below.

    Returns:
        The file, `out/pictures/NAME.png`.
    """
    shown = evenly_spaced(len(targets), 4)
    methods = [method for method in comparison.trials if "random" not in method]
    figure = Figure(figsize=(1.5 * (len(methods) + 2), 0.9 + 1.75 * len(shown)), layout="constrained")
    figure.suptitle(f"'{name}': what each method covers, and the score (bold: lowest)")
    axes = figure.subplots(len(shown), len(methods) + 2, squeeze=False)
    for axis, caption in zip(axes[0], ["exemplar", "target", *methods], strict=True):
        axis.set_title(caption.replace(" (", "\n("), fontsize=9)
    for line, index in zip(axes, shown, strict=True):
        target, patch = targets[index], comparison.patches[index]
        line[0].imshow(enlarged(target.exemplar))
        line[1].imshow(enlarged(target.crop))
        line[0].set_ylabel(f"frame {target.source.frame}", fontsize=8)
        line[1].set_xlabel(f"{comparison.clean[index]:+.3f}", fontsize=8)
        least = min(comparison.trials[method].scores[index] for method in methods)
        for axis, method in zip(line[2:], methods, strict=True):
            trial = comparison.trials[method]
            axis.imshow(occlude_image(enlarged(target.crop), patch, trial.regions[index]))
            best = trial.scores[index] <= least + 1e-9
            axis.set_xlabel(f"{trial.scores[index]:+.3f}", fontsize=8, weight="bold" if best else "normal")
        for axis in line:
            axis.set(xticks=[], yticks=[])
    path = out / "pictures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)
    return path


def draw_scores(path: Path, comparison: MethodComparison, title: str) -> None:
    """The score of every held-out target under each method, and the means."""
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    axis = figure.subplots()
    known = {"clean": comparison.clean, **{name: trial.scores for name, trial in comparison.trials.items()}}
    values = {name: known[name] for name in DEMO_COLOURS if name in known}
    for place, (name, scores) in enumerate(values.items()):
        spread = np.linspace(-0.16, 0.16, len(scores))
        axis.scatter(place + spread, scores, s=14, color=DEMO_COLOURS[name], alpha=0.6, linewidths=0)
        mean = float(scores.mean())
        axis.hlines(mean, place - 0.28, place + 0.28, color=DEMO_COLOURS[name], linewidth=3)
        axis.annotate(
            f"{mean:+.3f}",
            (place, mean),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            weight="bold",
        )
    axis.set_xticks(range(len(values)), [name.replace(" at ", "\nat ") for name in values])
    axis.set_xlim(-0.5, len(values) - 0.5)
    axis.set_ylabel("SINT score against the exemplar (lower is harder)")
    axis.grid(axis="y", alpha=0.3)
    found = comparison.closure("agent")
    closure = "undefined" if found is None else f"{found:.2f}"
    axis.set_title(f"{title}\nclosure of the agent between random (0) and grid search (1): {closure}", fontsize=11)
    save(figure, path)
