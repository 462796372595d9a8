"""The command `plot`."""

from __future__ import annotations

from collections.abc import Mapping
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
    interval over runs from three runs on (Agarwal et al. 2021). A run that is under way is drawn as far as it
    goes.

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
    arms: dict[str, list[RunFolder]] = {}
    for member in members:
        arms.setdefault(member.arm or member.spec, []).append(RunFolder.open(Path(member.spec)))
    curves = {name: read_curve(runs) for name, runs in arms.items()}
    write_curves(out, curves)
    folders = {name: [str(each.path) for each in runs] for name, runs in arms.items()}
    write_result(
        json, "plot", {"arms": {name: curve.record() | {"runs": folders[name]} for name, curve in curves.items()}}
    )
    print_curves(curves)
    print(f"The picture is {out}")


def print_curves(curves: Mapping[str, ReturnCurve]) -> None:
    """Print the first, the best and the last return of each arm."""
    rows = []
    for name, curve in curves.items():
        best = int(curve.iqm.argmax())
        ends = f" [{curve.low[-1]:.3f}, {curve.high[-1]:.3f}]" if np.isfinite(curve.low[-1]) else ""
        rows.append(
            [name, str(curve.trainings), f"{curve.iqm[0]:.3f}", f"{curve.iqm[best]:.3f} ({curve.steps[best]:,})",
             f"{curve.steps[-1]:,}", f"{curve.iqm[-1]:.3f}{ends}"]
        )  # fmt: skip
    print_table(["arm", "trainings", "first", "best (steps)", "steps", "last [95 %]"], rows,
                title="Return, interquartile mean over trainings and episodes")  # fmt: skip
