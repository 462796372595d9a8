"""Choose the ladder's recipe on training videos: folds of videos, each judged by networks trained on the others.

    python benchmarks/ladder_recipe.py --data path/to/train --json benchmarks/results/ladder_recipe.json

Each recipe trains plain SINT and the hardest of 8 regions, as it learns, on the videos outside a fold; the primary
measure of the ladder on the fold judges it. The same command resumes. The network that every training starts from
was distilled on these videos; the choice is between recipes, all of which start there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from agents.ablation.occlusion_sweep import SweepSettings
from agents.ablation.running import START, run_ladder
from agents.ablation.settings import PRIMARY_MEASURE, LadderRun
from agents.ablation.summary import sequence_figures
from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, check_videos, run_script
from tracker.data.readers import list_targets

Layers = Literal["head", "all"]
ARMS = ("sint", "hardest")
"""The arms of the first primary contrast."""


@dataclass(frozen=True)
class Recipe:
    """What the recipes differ in; see `LadderRun`.

    Attributes:
        layers: The layers that move.
        learning_rate: Initial learning rate.
        steps: Steps of a training.
        interpolation: Share of the trained weights.
        pasted: Number of pasted training videos.
    """

    layers: Layers
    learning_rate: float
    steps: int
    interpolation: float
    pasted: int = 0

    @property
    def name(self) -> str:
        """Name of its folder and of its row."""
        made = f", {self.pasted} pasted videos" if self.pasted else ""
        return (
            f"{self.layers}, rate {self.learning_rate:g}, {self.steps} steps, share {self.interpolation:g}{made}"
        )


RECIPES = [
    Recipe("head", 0.1, 300, 1.0),
    Recipe("head", 0.1, 300, 0.5),
    Recipe("head", 0.1, 1000, 1.0),
    Recipe("head", 0.1, 300, 1.0, pasted=15),
    Recipe("all", 4e-3, 300, 1.0),
    Recipe("all", 4e-3, 300, 0.5),
    Recipe("all", 4e-3, 300, 1.0, pasted=15),
]


@dataclass(frozen=True)
class Arguments:
    """Arguments.

    Attributes:
        data: The training videos.
        out: Folder of the runs.
        folds: Number of folds; the videos go to them in turn, in alphabetical order.
        frames: Test frames of each video.
        workers: Number of processes.
        json: File of the result.
    """

    data: Path
    out: Path = Path("out/ladder_recipe")
    folds: int = 2
    frames: int = 8
    workers: int = 1
    json: Path | None = None


def link_fold(given: Arguments, fold: int) -> Path:
    """Make a folder with the folders `train` and `otb`: links to the videos outside and inside of a fold."""
    root = given.out / f"fold{fold}"
    shutil.rmtree(root, ignore_errors=True)
    for number, path in enumerate(sorted(given.data.resolve() / name for name in list_targets(given.data))):
        folder = root / ("otb" if number % given.folds == fold else "train")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path)
    return root


def main(given: Arguments) -> None:
    """Run every recipe on every fold and rank them by the mean of both arms over all videos."""
    check_json_path(given.json)
    check_counts(2, folds=given.folds)
    check_counts(frames=given.frames, workers=given.workers)
    check_videos(2 * given.folds, data=given.data)
    rows: dict[str, dict[str, dict[str, float]]] = {recipe.name: {arm: {} for arm in ARMS} for recipe in RECIPES}
    start: dict[str, float] = {}
    roots = [link_fold(given, fold) for fold in range(given.folds)]
    for recipe in RECIPES:
        for fold, root in enumerate(roots):
            run = LadderRun(
                root, out=given.out / recipe.name / f"{fold}", only=ARMS, seeds=1, measures=("sweep",),
                steps=recipe.steps, learning_rate=recipe.learning_rate, layers=recipe.layers,
                interpolation=recipe.interpolation, pasted=recipe.pasted, sweep=SweepSettings(frames=given.frames),
                workers=given.workers,
            )  # fmt: skip
            for arm, seeds in run_ladder(run).items():
                figures = sequence_figures(run, seeds)[PRIMARY_MEASURE]
                into = start if arm == START else rows[recipe.name][arm]
                into.update({video: round(value, 5) for video, (value,) in figures.items()})
    ranked = sorted(rows, key=lambda name: -np.mean([np.mean(list(rows[name][arm].values())) for arm in ARMS]))
    for name in ranked:
        print(name, *(f"{arm} {np.mean(list(rows[name][arm].values())):.4f}" for arm in ARMS))
    print(f"before training {np.mean(list(start.values())):.4f}")
    content = {"measure": PRIMARY_MEASURE, "chosen": ranked[0], "start": start, "recipes": rows}
    write_result(given.json, "ladder_recipe", content)


if __name__ == "__main__":
    run_script(main, Arguments)
