"""The command `plot`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from ..shared import Json, print_table

if TYPE_CHECKING:
    from ...training.aggregation import ReturnCurve

Runs = Annotated[tuple[str, ...], tyro.conf.arg(metavar="[ARM=]RUN_FOLDER ...")]


def plot(run: Runs, out: Path = Path("learning_curves.png"), json: Json = None) -> None:
    """Draw learning curves of training runs, over their seeds.

    Shows the return of the evaluations on the selection videos against environment steps, or of the training
    episodes where a run has no evaluation: the interquartile mean over runs and episodes, with a 95 % bootstrap
    interval over runs from three runs on (Agarwal et al. 2021). An arm is drawn as far as its shortest run.

    Args:
        run: Folders of runs. ARM=RUN_FOLDER pools runs that were trained with several seeds.
        out: The picture, a PNG.

    Examples:
        occlusion-search plot --run logs/dqn/OcclusionSearch-v0_1
        occlusion-search plot --run dqn=logs/dqn/OcclusionSearch-v0_1 dqn=logs/dqn/OcclusionSearch-v0_2
    """
    from tracker.errors import InputError

    from ...common.output import check_file, check_json_path
    from ...common.results import write_result
    from ...evaluation.arms import read_members
    from ...training.aggregation import read_curve, write_curves
    from ...training.runs import RunFolder

    if not run:
        raise InputError("--run names no run; give folders such as logs/dqn/OcclusionSearch-v0_1.")
    members = read_members(run)
    specs = [member.spec for member in members]
    check_file(out, *specs, option="--out")
    check_json_path(json, *specs)
    if out.suffix.lower() != ".png":
        raise InputError(f"--out is '{out}'; give FILE.png.")
    if json is not None and os.path.realpath(json) == os.path.realpath(out):
        raise InputError(f"--out and --json are both '{out}'; give another --json.")
    names = end_names([member.spec for member in members if member.arm is None])
    arms: dict[str, list[RunFolder]] = {}
    for member in members:
        arms.setdefault(member.arm or names[member.spec], []).append(RunFolder.open(Path(member.spec)))
    curves = {name: read_curve(runs) for name, runs in arms.items()}
    write_curves(out, curves)
    folders = {name: [str(each.path) for each in runs] for name, runs in arms.items()}
    write_result(
        json, "plot", {"arms": {name: curve.record() | {"runs": folders[name]} for name, curve in curves.items()}}
    )
    print_curves(curves)
    print(f"The picture is {out}")


def end_names(paths: Sequence[str]) -> dict[str, str]:
    """The shortest ends of paths, of two parts or more, that differ.

    >>> end_names(["logs/dqn/Search-v0_1", "logs/ppo/Search-v0_1"])
    {'logs/dqn/Search-v0_1': 'dqn/Search-v0_1', 'logs/ppo/Search-v0_1': 'ppo/Search-v0_1'}
    """
    parts = {path: Path(path).parts for path in paths}
    for length in range(2, max(map(len, parts.values()), default=0)):
        names = {path: str(Path(*each[-length:])) for path, each in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {path: str(Path(path)) for path in paths}


def print_curves(curves: Mapping[str, ReturnCurve]) -> None:
    """Print the first, the best and the last return of each arm."""
    rows = []
    for name, curve in curves.items():
        best = int(curve.iqm.argmax())
        ends = f" [{curve.low[-1]:.3f}, {curve.high[-1]:.3f}]" if np.isfinite(curve.low[-1]) else ""
        rows.append(
            [name, str(curve.trainings), curve.source, f"{curve.iqm[0]:.3f}",
             f"{curve.iqm[best]:.3f} ({curve.steps[best]:,})", f"{curve.steps[-1]:,}",
             f"{curve.iqm[-1]:.3f}{ends}"]
        )  # fmt: skip
    print_table(["arm", "trainings", "returns of", "first", "best (steps)", "steps", "last [95 %]"], rows,
                width=120, title="Return, interquartile mean over trainings and episodes")  # fmt: skip
