"""Pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from occlusion_env.occluders import occlude_image
from occlusion_env.targets import Target
from tracker.files import replacing_file
from tracker.sequences import evenly_spaced

from .evaluation import Comparison
from .pictures import enlarged, save

__all__ = ["draw_choices", "draw_closures"]


def draw_closures(path: Path, content: dict[str, Any]) -> None:
    """Closure of every method against the scorer queries that it needs, with the intervals over sequences.

    Args:
        path: The PNG to write.
        content: What `summarise` returned.
    """
    figure = Figure(figsize=(9.4, 5.6), layout="constrained")
    axis = figure.subplots()
    agents = {name for agent in content["agents"] for name in (agent, f"{agent} (last)")}
    points = {name: row for name, row in content["methods"].items() if row.get("closure") is not None}
    crowd: dict[float, int] = {}
    for number, (name, row) in enumerate(sorted(points.items(), key=lambda item: item[1]["queries"])):
        # Methods with as many queries stand side by side.
        place = round(row["queries"], 1)
        crowd[place] = crowd.get(place, -1) + 1
        queries = row["queries"] * 1.16 ** crowd[place]
        low, high = row["interval"] or (row["closure"], row["closure"])
        error = np.clip([[row["closure"] - low], [high - row["closure"]]], 0, None)
        colour = "C1" if name in agents else "0.25" if name in ("random", "exhaustive") else "C0"
        axis.errorbar(queries, row["closure"], yerr=error, fmt="o", color=colour, capsize=3, markersize=6)
        # Labels of neighbours go above and below in turn.
        beside = (5, 5) if number % 2 else (5, -12)
        axis.annotate(
            name, (queries, row["closure"]), xytext=beside, textcoords="offset points", fontsize=9, color=colour
        )
    axis.axhline(0, color="0.8", zorder=0)
    axis.axhline(1, color="0.8", zorder=0)
    axis.set_xscale("log")
    axis.margins(x=0.12)
    axis.set(xlabel="scorer queries a target", ylabel="closure: random regions 0, exhaustive search 1")
    count = len(content["sequences"])
    axis.set_title(
        f"{content['targets']} targets of {count} sequence{'s' * (count != 1)}, equal area, same patch;"
        " bars: 95 % t over sequences",
        fontsize=11,
    )
    axis.grid(alpha=0.25)
    with replacing_file(path) as temporary:
        save(figure, temporary)


def draw_choices(path: Path, title: str, targets: Many[Target], comparison: Comparison, rows: int = 4) -> None:
    """What each method covered: some targets, one a row, a method a column, the score below.

    Args:
        path: The PNG to write.
        title: Above all.
        targets: The N targets compared.
        comparison: What was found.
        rows: How many targets are shown, evenly spaced.
    """
    shown = evenly_spaced(len(targets), rows)
    methods = [name for name in comparison.trials if not name.startswith("random")]
    figure = Figure(figsize=(1.5 * (len(methods) + 2), 0.9 + 1.75 * len(shown)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(shown), len(methods) + 2, squeeze=False)
    for axis, caption in zip(axes[0], ["exemplar", "target", *methods], strict=True):
        axis.set_title(caption.replace(" (", "\n("), fontsize=9)
    for line, index in zip(axes, shown, strict=True):
        target, patch = targets[index], comparison.patches[index]
        line[0].imshow(enlarged(target.exemplar))
        line[1].imshow(enlarged(target.crop))
        line[0].set_ylabel(f"frame {target.source.frame}", fontsize=8)
        line[1].set_xlabel(f"{comparison.clean[index]:+.3f}", fontsize=8)
        least = min(comparison.trials[name].scores[index] for name in methods)
        for axis, name in zip(line[2:], methods, strict=True):
            trial = comparison.trials[name]
            axis.imshow(occlude_image(enlarged(target.crop), patch, trial.regions[index]))
            best = trial.scores[index] <= least + 1e-9
            axis.set_xlabel(f"{trial.scores[index]:+.3f}", fontsize=8, weight="bold" if best else "normal")
        for axis in line:
            axis.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        save(figure, temporary)
