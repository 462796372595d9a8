"""The pictures of the documentation, made again from `benchmarks/results` and from drawn targets.

Usage: python benchmarks/plots.py [--results benchmarks/results] [--out docs/pictures]

Writes trackers.png (otb15.json), manifolds.png (vae.json), ladder.png and ladder_sweep.png (ladder.json),
frontier.png (agents.json), paper_state.png (paper_state.json), stopping.png (stopping.json), patches.png
(patches.json), learning.png (agents.json, ladder.json), learning_curves.png (learning_curves.json), actions.png
and search.png.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import occlusion_env  # noqa: F401  (registers OcclusionSearchOracle-v0)
from agents.ablation.pictures import draw_differences, draw_sweep
from agents.ablation.settings import PRIMARY_MEASURE
from agents.common.output import check_folder
from agents.common.pictures import save
from agents.common.results import FORMATS
from agents.common.scripts import run_script
from agents.evaluation.pictures import draw_frontier
from agents.manifolds.evaluation import METHODS
from agents.training.aggregation import ReturnCurve, draw_curves
from occlusion_env.mdp.actions import ACTIONS, RegionLimits
from tracker.data.images import write_png
from tracker.errors import reading_errors, shorten

_READ = {
    "otb15": "benchmark report", "vae": "vae", "ladder": "ladder", "agents": "evaluation",
    "paper_state": "paper_state", "stopping": "stopping", "patches": "patches",
    "learning_curves": "learning_curves",
}  # fmt: skip
"""The files that are read, and their kinds."""

_REMEDY = "give --results the folder benchmarks/results"

_OURS, _OTHERS, _BOUNDS = "#D55E00", "#0072B2", "0.35"

_TRACKERS = {
    "nano": "Nano",
    "siamfc": "SiamFC",
    "sint-vgg16": "SINT, VGG-16",
    "csrt": "CSRT",
    "sint": "SINT (sint)",
    "sint-slim": "SINT (sint-slim)",
    "mil": "MIL",
    "kcf": "KCF",
}

_STOPPING = {"ppo_mask": "maskable PPO", "dqn": "DQN"}

_MANIFOLDS = (
    "real_held_out", "motion_blur", "pca", "crop_interpolation",
    "vae_prior_grid", "vae_posterior", "vae_neighbours",
)  # fmt: skip


_SEARCHES = {
    "best of k random": "best of 10 random regions",
    "constant": "one constant region, 1 query",
    "dqn": "DQN",
    "qrdqn": "QR-DQN",
    "a2c": "A2C",
    "ppo": "PPO",
    "ppo_mask": "maskable PPO",
    "belief": "belief over regions",
}
"""Methods of `learning`, and their names there."""

_TRAININGS = {
    "start": "no training",
    "vae-random": "VAE + random occlusion",
    "vae-hptn": "VAE + agent (SINT++)",
    "adv-net": "Adv-Net",
    "hardest": "hardest of 8 regions, no VAE",
    "always": "random occlusion, no VAE",
}
"""Arms of `learning`, and their names there."""

_PATCHES = {
    "contrast": ("contrast", _OURS, ".-"),
    "random small": ("best of k random, of contrast's size", _BOUNDS, "x--"),
    "random": ("best of k random", _BOUNDS, ".-"),
    "ppo_mask": ("maskable PPO", _OTHERS, "-"),
    "dqn": ("DQN", _OTHERS, "--"),
    "hill climbing": ("hill climbing", "#009E73", "-"),
}

_CONTROLS = ("constant", "random", "towards")
"""First words of the methods that learn nothing from states."""


@dataclass(frozen=True)
class Arguments:
    """Where things are.

    Attributes:
        results: The folder with the results.
        out: The folder for the pictures.
    """

    results: Path = Path("benchmarks/results")
    out: Path = Path("docs/pictures")


class Row(NamedTuple):
    """A value and its interval."""

    name: str
    value: float
    low: float
    high: float
    colour: str


def draw_rows(axis: Axes, rows: Many[Row], label: str) -> None:
    """Each row a point and its interval, the first one at the top."""
    for place, row in enumerate(rows):
        axis.plot([row.low, row.high], [place, place], color=row.colour, linewidth=2.5, solid_capstyle="butt")
        axis.plot(row.value, place, "o", color=row.colour, markersize=6)
    axis.set_yticks(range(len(rows)), [row.name for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel(label)
    axis.grid(axis="x", alpha=0.3)


def trackers(content: dict[str, Any]) -> Figure:
    """How well each tracker follows its targets, and how fast."""
    rows = []
    for key, name in _TRACKERS.items():
        found = content["trackers"][key]
        colour = _OURS if key.startswith("sint") else _OTHERS
        speed = f"{name}, {found['fps']:.0f} frames/s"
        rows.append(Row(speed, found["auc"], *found["intervals"]["auc"], colour))
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    axis = figure.subplots()
    draw_rows(axis, sorted(rows, key=lambda row: -row.value), "success AUC")
    axis.set_xlim(0, 1)
    figure.suptitle(
        f"{len(content['targets'])} OTB videos, one pass each; bars: 95 % t over videos; orange: this package",
        fontsize=11,
    )
    return figure


def manifolds(content: dict[str, Any]) -> Figure:
    """What samples of a manifold are like, beside simpler ways of making crops."""
    panels = {
        "diversity": "diversity:\nvariance over that of the video's crops",
        "novelty_ratio": "novelty:\ndistance to the nearest real crop,\nover the crops' own",
        "realism": "realism:\nSINT's score against the exemplar",
    }
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (measure, label) in zip(axes, panels.items(), strict=True):
        rows = []
        for key in _MANIFOLDS:
            found = content["methods"][key][measure]
            colour = _OURS if key.startswith("vae") else _BOUNDS if key.startswith("real") else _OTHERS
            rows.append(Row(METHODS[key], found["mean"], *found["interval"], colour))
        draw_rows(axis, rows, label)
    figure.suptitle(
        f"{len(content['videos'])} training videos; bars: 95 % t over videos; orange: the VAE", fontsize=11
    )
    return figure


def paper_state(content: dict[str, Any]) -> Figure:
    """What learners that see the paper's state find in ten queries, beside the same ones without the features."""
    states = content["states"]
    shown = {
        name: [title for title in state["methods"] if title not in ("constant region", "constant list")]
        for name, state in states.items()
    }
    figure = Figure(figsize=(12.5, 7.0), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(states)))
    for axis, (name, state) in zip(axes, states.items(), strict=True):
        rows = []
        for title in shown[name]:
            found = state["methods"][title]
            colour = _OURS if "features" in title else _BOUNDS if title.startswith(_CONTROLS) else _OTHERS
            rows.append(Row(title, found["closure"]["10"], *found["interval"], colour))
        draw_rows(axis, rows, "closure after 10 queries\n(random region 0, grid search 1)")
        for control, style in (("constant region", "-"), ("constant list", "--")):
            closure = state["methods"][control]["closure"]["10"]
            axis.axvline(closure, color="0.2", linestyle=style, linewidth=1.2, label=f"{control}: {closure:.2f}")
        axis.legend(loc="lower left", fontsize=9)
        axis.set_title(f"state: {name}", fontsize=11)
    sequences = state["primary"][0]["sequences"]
    figure.suptitle(
        f"{sequences} OTB sequences that nothing was fitted to; bars: 95 % t over sequences and trainings;"
        " orange: sees the features, blue: does not, grey: controls",
        fontsize=11,
    )
    return figure


def stopping(content: dict[str, Any]) -> Figure:
    """Closure against scorer queries: fixed budgets of the belief, its stopping rule, and agents that stop."""
    methods, curve, price = content["methods"], content["curve"], content["price"]
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.plot(curve["budget"], curve["closure"], ".-", color=_OTHERS, label="belief, fixed budget")
    rules = [
        row for name, row in methods.items() if re.fullmatch(r"belief that stops at the price( times .*)?", name)
    ]
    rules.sort(key=lambda row: row["queries"])
    axis.plot(
        [row["queries"] for row in rules], [row["closure"] for row in rules], "s-", color="#009E73",
        label="belief that stops where the next query promises too little",
    )  # fmt: skip
    for (algo, title), marker in zip(_STOPPING.items(), "o^", strict=True):
        for number, (closure, queries) in enumerate(methods[algo]["trainings"]):
            label = f"{title} that stops itself, a training each" if number == 0 else None
            axis.plot(queries, closure, marker, color=_OURS, markersize=7, fillstyle="none", label=label)
    constant = methods["constant region"]
    axis.plot(constant["queries"], constant["closure"], "D", color=_BOUNDS, label="constant region")
    best = max(curve["net"])
    budgets = np.array([1.0, 15.0])
    axis.plot(
        budgets, best + price * budgets, ":", color=_BOUNDS, label=f"as good as the best budget, {price} a query"
    )
    axis.set(xlabel="scorer queries", ylabel="closure", xlim=(0.5, 15.5), ylim=(0.7, 1.0))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=9)
    axis.set_title(f"{content['primary'][0]['sequences']} sequences that nothing was fitted to", fontsize=11)
    return figure


def learning(agents: dict[str, Any], ladder: dict[str, Any]) -> Figure:
    """The closure of search methods, and the overlap of trackers trained on hard positives."""
    figure = Figure(figsize=(11.5, 3.6), layout="constrained")
    search, training = figure.subplots(1, 2)
    rows = []
    for key, name in _SEARCHES.items():
        colour = _OTHERS if key in agents["arms"] or key == "belief" else _BOUNDS
        rows.append(Row(name, agents["frontier"][key]["10"], *agents["frontier_intervals"][key]["10"], colour))
    draw_rows(search, rows, "closure after 10 queries: random region 0, grid search 1")
    search.set_title("Search for the hardest region", fontsize=11)
    rows = []
    for key, name in _TRAININGS.items():
        found = ladder["arms"][key]["less"]["sint"][PRIMARY_MEASURE]
        colour = _BOUNDS if key == "start" else _OTHERS
        rows.append(Row(name, found["difference"], *found["interval"], colour))
    draw_rows(training, rows, "overlap under covers of 30 to 50 %, less plain training")
    training.set_xticks([-0.02, -0.01, 0, 0.01])
    training.axvline(0, color="0.3", linewidth=1, label="plain training")
    training.legend(loc="lower left", fontsize=9)
    training.set_title("Training the tracker on hard positives", fontsize=11)
    figure.suptitle(
        f"{ladder['sequences']} OTB sequences that nothing was fitted to; bars: 95 % intervals;"
        " grey: nothing learned",
        fontsize=11,
    )
    return figure


def patches(content: dict[str, Any]) -> Figure:
    """Score drop against queries: of methods for the patch of a fixed region, and of both searches together."""
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    fixed, both = figure.subplots(1, 2, sharey=True)
    drops = {name: row["mean"] for name, row in content["drops"].items()}
    queries = np.arange(1, len(drops["random"]) + 1)
    fixed.axhline(drops["no second search"][0], color=_BOUNDS, linestyle=":", label="no second search")
    for name, (label, colour, style) in _PATCHES.items():
        fixed.plot(queries, drops[name], style, color=colour, label=label)
    fixed.set(xlabel="scorer queries on the patch", ylabel="score drop", title="Patches of a fixed region")
    for first, colour, style in (
        ("random", _BOUNDS, ".-"),
        ("random small", _BOUNDS, "x--"),
        ("contrast", _OURS, ".-"),
    ):
        both.plot(
            queries, drops[f"region, {first} patch"], style, color=colour, label=f"region with a {first} patch"
        )
    totals, share = content["settings"]["totals"], content["settings"]["on_patches"]
    divided = (
        ("random", "random", "o", _BOUNDS),
        ("random", "random small", "D", _BOUNDS),
        ("random", "contrast", "^", _OTHERS),
        ("contrast", "contrast", "s", _OURS),
    )
    for place, (first, second, marker, colour) in enumerate(divided):
        keys = [
            f"{first} patch, {total - share} on the region and {share} on {second} patches" for total in totals
        ]
        label = f"region with a {first} patch, then {share} queries on {second} patches"
        values = np.array([drops[key][0] for key in keys])
        ends = np.abs(np.array([content["drops"][key]["interval"][0] for key in keys]).T - values)
        both.errorbar(
            np.array(totals) + 0.4 * (place - 1.5),
            values,
            ends,
            fmt=marker,
            color=colour,
            markersize=8,
            fillstyle="none",
            capsize=3,
            label=label,
        )
    both.set(xlabel="scorer queries in all", title="Both searches; bars: 95 % intervals over sequences")
    fixed.set_ylim(bottom=0.1)  # room for the legends
    for axis in (fixed, both):
        axis.set_xticks([1, 5, 10, 15, 20])
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="lower right")
    return figure


def learning_curves(content: dict[str, Any]) -> Figure:
    """The return of each algorithm beside the belief and random moves, and of DQN with each change."""
    curves = {name: ReturnCurve.from_record(arm) for name, arm in content["arms"].items()}
    levels = {name: each["iqm"] for name, each in content["references"].items()}
    changed = {name: curve for name, curve in curves.items() if name.startswith("DQN")}
    figure = Figure(figsize=(13.0, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_curves(left, {name: curve for name, curve in curves.items() if "," not in name}, levels)
    left.set_ylim(top=3.8)
    left.legend(loc="upper center", fontsize=9, ncols=2)
    left.set_title("every algorithm, beside methods that learn nothing from rewards", fontsize=11)
    draw_curves(right, changed)
    right.set_title("DQN and four changes", fontsize=11)
    figure.suptitle(
        "100 times the fall of the score below the best constant region's, on three held-out training videos"
        f" ({curves['DQN'].episodes} episodes a training); bands: 95 % bootstrap over trainings",
        fontsize=11,
    )
    return figure


def actions(limits: RegionLimits) -> Figure:
    """What each of the nine actions does to a region."""
    region = np.array([[0.3, 0.33, 0.4, 0.34]])
    figure = Figure(figsize=(9.0, 1.3), layout="constrained")
    axes = figure.subplots(1, len(ACTIONS))
    for number, (axis, name) in enumerate(zip(axes, ACTIONS, strict=True)):
        axis.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], aspect="equal", facecolor="0.94")
        moved = region if name == "trigger" else limits.move(region, np.array([number]))
        x, y, w, h = region[0]
        axis.add_patch(Rectangle((x, y), w, h, fill=False, linestyle=":", edgecolor="0.3", linewidth=1.2))
        x, y, w, h = moved[0]
        colour = _BOUNDS if name == "trigger" else _OURS
        axis.add_patch(
            Rectangle((x, y), w, h, fill=name == "trigger", edgecolor=colour, facecolor="0.6", linewidth=2)
        )
        axis.set_title(f"{number} {name}", fontsize=9)
    return figure


def search_picture() -> np.ndarray:
    """An episode on a drawn target: the move that lowers the score most, again and again, then the trigger."""
    env = gym.make("OcclusionSearchOracle-v0", render_mode="rgb_array", max_area=0.12)
    _, info = env.reset(seed=3)
    search = env.unwrapped.search  # type: ignore[attr-defined]
    while info["score"] > info["phi"]:
        moves = search.settings.limits.move(search.region.repeat(8, axis=0), np.arange(8))
        scores = search.scores(np.zeros(8, dtype=int), moves)
        if scores.min() >= info["score"]:
            break
        *_, info = env.step(int(scores.argmin()))
    env.step(ACTIONS.index("trigger"))
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    return picture


def read_results(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of results.

    Raises:
        InputError: If it is missing or damaged, or of another kind or version.
    """
    wanted = f"{kind}/{FORMATS[kind]}"
    with reading_errors(path, f"results of the format {wanted}", _REMEDY):
        content: dict[str, Any] = json.loads(path.read_text())
        if content["format"] != wanted:
            raise ValueError(f"its format is {shorten(content['format'])}")
    return content


def main(given: Arguments) -> None:
    """Draw them all."""
    check_folder(given.out, given.results)
    read = {name: read_results(given.results / f"{name}.json", kind) for name, kind in _READ.items()}
    with reading_errors(given.results, "results of these benchmarks", _REMEDY):
        figures = {
            "trackers.png": trackers(read["otb15"]),
            "manifolds.png": manifolds(read["vae"]),
            "paper_state.png": paper_state(read["paper_state"]),
            "stopping.png": stopping(read["stopping"]),
            "learning.png": learning(read["agents"], read["ladder"]),
            "patches.png": patches(read["patches"]),
            "learning_curves.png": learning_curves(read["learning_curves"]),
        }
    figures["actions.png"] = actions(RegionLimits())
    given.out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        save(figure, given.out / name)
    draw_differences(given.out / "ladder.png", read["ladder"])
    draw_sweep(given.out / "ladder_sweep.png", read["ladder"])
    draw_frontier(given.out / "frontier.png", read["agents"])
    write_png(given.out / "search.png", search_picture())


if __name__ == "__main__":
    run_script(main, Arguments)
