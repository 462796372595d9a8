"""The logs of training episodes and evaluations: reading them, cutting them at a checkpoint, drawing them."""

from __future__ import annotations

import csv
import json
import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from occlusion_env.mdp.actions import TRIGGER
from tracker.errors import InputError
from tracker.files import replacing_file
from tracker.records import warn_of_damage

from ..common.pictures import save
from .runs import RunFolder

COLUMNS = ("score", "clean_score", "action_index", "is_success", "queries")
"""Keys of an episode's last info that a monitor's log holds, beside return `r`, length `l` and time `t`."""

TIMESTEPS = "timesteps"
"""Column of a monitor's log: environment steps of the run, over all environments, when the episode ended."""

_MOST_BYTES = 2**26
_NUMBERS = ("r", "l", "t", TIMESTEPS, "score", "clean_score", "action_index")

Curve = NDArray[np.float64]


def read_monitors(files: Iterable[Path]) -> dict[str, Curve]:
    """Read Stable-Baselines3's monitor logs, oldest first.

    Args:
        files: The logs.

    Returns:
        Arrays over all episodes: `steps` (environment steps when it ended, over all environments), `seconds` (of
        training until then), `return`, `length`, and where the log has them `drop` (clean score less the last
        score) and `triggered` (0 or 1).

    Raises:
        InputError: If a file is no such log. An empty one, of a run that was killed at its start, has no episodes.
    """
    rows: list[dict[str, float]] = []
    seconds: list[float] = []
    for file in files:
        rows += _read_monitor(file)
        before = seconds[-1] if seconds else 0.0
        seconds += [before + row["t"] for row in rows[len(seconds) :]]
    length = np.array([row["l"] for row in rows])
    # A log of another program has no steps; the sum of lengths is right for one environment.
    counted = bool(rows) and all(TIMESTEPS in row for row in rows)
    steps = np.array([row[TIMESTEPS] for row in rows]) if counted else np.cumsum(length)
    found = {
        "steps": steps, "seconds": np.array(seconds), "return": np.array([row["r"] for row in rows]),
        "length": length,
    }  # fmt: skip
    if rows and all({"action_index", "clean_score", "score"} <= row.keys() for row in rows):
        found["drop"] = np.array([row["clean_score"] - row["score"] for row in rows])
        found["triggered"] = np.array([float(row["action_index"] == TRIGGER) for row in rows])
    return found


def read_evaluations(file: Path) -> dict[str, Curve]:
    """Read the `evaluations.npz` of Stable-Baselines3's `EvalCallback`; nothing in it is unpickled.

    Returns:
        `timesteps`, `[N]`; `results` and `ep_lengths`, `[N, episodes]`.

    Raises:
        InputError: If it is damaged, or larger than 64 MiB once unpacked.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                with archive.open(member) as content:
                    version = np.lib.format.read_magic(content)
                    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
                    shape, _, kind = read[version[0]](content)
                size = max(member.file_size, math.prod(shape) * kind.itemsize)
                if size > _MOST_BYTES:
                    raise InputError(f"'{file}' says it has {size} bytes of '{member.filename}'; delete it.")
        with np.load(file, allow_pickle=False) as found:
            steps, results, lengths = (found[name] for name in ("timesteps", "results", "ep_lengths"))
        if not (steps.shape == results.shape[:1] and results.shape == lengths.shape and results.ndim == 2):
            raise ValueError("shapes")
    except InputError:
        raise
    except (EOFError, KeyError, OSError, SyntaxError, ValueError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"'{file}' holds no evaluations of a training; delete it.") from None
    return {"timesteps": steps, "results": results, "ep_lengths": lengths}


def _read_monitor(file: Path) -> list[dict[str, float]]:
    """The episodes of one log by column; a last row that was cut off is left out."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            head = next(lines, "")
            if head:
                json.loads(head[1:])
            rows = [row for row in csv.DictReader(lines) if None not in row.values()]
        episodes = [{name: float(row[name]) for name in _NUMBERS if row.get(name)} for row in rows]
        if all({"r", "l", "t"} <= row.keys() for row in episodes):
            return episodes
    except (ValueError, RecursionError, csv.Error):
        pass
    raise InputError(f"'{file}' is no log of training episodes; restore it, or move it away.")


def cut_monitors(run: RunFolder, steps: int) -> int:
    """Drop the episodes that ended after a checkpoint; returns the number of the next log.

    An episode's end is its `timesteps`. The sum of lengths says less with several environments: it lacks the
    unfinished episodes, so that episodes after the checkpoint would be kept.
    """
    monitors = run.monitors
    for file in monitors:
        # A kill leaves no complete head in the last log, or a last line without its end.
        lines = [
            line[:-1] for line in file.read_text(errors="replace").splitlines(keepends=True) if line[-1] == "\n"
        ]
        if not _is_head(lines):
            if file != monitors[-1] or file == monitors[0] or len(lines) > 1:
                warn_of_damage(file, "its episodes are missing in the learning curve")
            file.unlink()
            continue
        head, names, *rows = lines
        columns = names.split(",")
        if TIMESTEPS not in columns:
            raise InputError(f"'{file}' has no column {TIMESTEPS}: an older version wrote it; train anew.")
        intact = [row for row in rows if _is_row(row, columns)]
        if len(intact) < len(rows):
            warn_of_damage(file, f"{len(rows) - len(intact)} of its episodes are missing in the learning curve")
        column = columns.index(TIMESTEPS)
        kept = [row for row in intact if int(row.split(",")[column]) <= steps]
        with replacing_file(file) as temporary:
            temporary.write_text("\n".join([head, names, *kept]) + "\n")
    return 1 + max((int(file.name.split(".")[0]) for file in run.monitors), default=-1)


def _is_head(lines: list[str]) -> bool:
    """Whether a log begins with its JSON and the names of its columns."""
    try:
        return len(lines) > 1 and lines[0][:1] == "#" and isinstance(json.loads(lines[0][1:]), dict)
    except ValueError:
        return False


def _is_row(row: str, columns: list[str]) -> bool:
    """Whether a line of a log has a number for each column but those of texts and truth values."""
    cells = dict(zip(columns, row.split(","), strict=False))
    try:
        _ = int(cells[TIMESTEPS]), *(float(cells[name]) for name in "rlt")
    except (KeyError, ValueError):
        return False
    return len(row.split(",")) == len(columns)


def moving_average(values: Curve, window: int) -> Curve:
    """Means of up to `window` values that end at each place: `float64[N]`.

    >>> moving_average(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist()
    [1.0, 1.5, 2.5, 3.5]
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def draw_learning_curves(
    path: Path, episodes: dict[str, Curve], evaluations: Path | None = None, title: str = ""
) -> None:
    """Draw return, score drop, length and trigger rate of training episodes against steps.

    Args:
        path: A PNG.
        episodes: From `read_monitors`.
        evaluations: Stable-Baselines3's `evaluations.npz`, drawn as points where it exists.
        title: Above all.
    """
    count = len(episodes["steps"])
    window = max(1, min(100, count // 10))
    panels = {
        "return": ("return: the sum of an episode's rewards", "return"),
        "drop": ("score drop at the end of an episode", "unoccluded score - last score"),
        "length": ("length of an episode", "actions"),
        "triggered": ("episodes that the agent ended itself (trigger)", "share of episodes"),
    }
    panels = {key: panel for key, panel in panels.items() if key in episodes}
    figure = Figure(figsize=(9, 3.2 * ((len(panels) + 1) // 2)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots((len(panels) + 1) // 2, 2, squeeze=False).ravel()
    for axis, (key, (name, unit)) in zip(axes, panels.items(), strict=False):
        if key != "triggered":
            axis.plot(
                episodes["steps"],
                episodes[key],
                ".",
                color="C0",
                alpha=0.3,
                markersize=2.5,
                label="training episode",
            )
        label = f"mean of the last {window}"
        axis.plot(episodes["steps"], moving_average(episodes[key], window), color="C0", label=label)
        axis.set(title=name, xlabel="environment steps (actions)", ylabel=unit)
        axis.grid(alpha=0.3)
        axis.locator_params(axis="x", nbins=5)
    if evaluations is not None and evaluations.is_file():
        found = read_evaluations(evaluations)
        steps, returns, lengths = found["timesteps"], found["results"], found["ep_lengths"]
        for key, values in (("return", returns), ("length", lengths)):
            axis = axes[list(panels).index(key)]
            label = f"evaluation without exploration, mean of {values.shape[1]}"
            axis.plot(steps, values.mean(axis=1), "o-", color="C1", markersize=3, label=label)
    for axis in axes[len(panels) :]:
        axis.remove()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    save(figure, path)
