"""The contact sheet of hard positives."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from occlusion_env.envs.rendering import draw_regions
from tracker.data.sequences import evenly_spaced

from ..common.pictures import enlarged, save
from .records import HardPositive
from .views import covered_pixels


def draw_contact_sheet(path: Path, positives: Many[HardPositive], title: str, rows: int = 8) -> None:
    """Draw one hard positive a row: exemplar, target, the search on the target, the hard positive and its score.

    The chosen region is orange in the last two columns; thin lines are up to three others that the search visited.
    """
    picked = [positives[i] for i in evenly_spaced(len(positives), rows)]
    figure = Figure(figsize=(8.4, 1.0 + 2.0 * len(picked)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(picked), 4, squeeze=False)
    captions = ("exemplar (first frame)", "target", "search: chosen region", "hard positive")
    for axis, caption in zip(axes[0], captions, strict=True):
        axis.set_title(caption, fontsize=10)
    for row, positive in zip(axes, picked, strict=True):
        target, image = positive.target, positive.image
        covered = covered_pixels(positive.box, positive.region) / np.tile(image.shape[1::-1], 2)
        shown = [
            enlarged(target.exemplar),
            enlarged(target.crop),
            draw_regions(enlarged(target.crop), positive.region, list(positive.episode.trail)),
            draw_regions(enlarged(image), covered),
        ]
        for axis, image in zip(row, shown, strict=True):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
        kind = "real" if target.source.code is None else "sampled"
        row[1].set_xlabel(f"{kind}, {positive.score_before:+.3f}", fontsize=9)
        row[2].set_xlabel(_best_step(positive), fontsize=9)
        row[3].set_xlabel(f"{positive.score_after:+.3f}", fontsize=9, color="C1", weight="bold")
        row[0].set_ylabel(f"{target.source.video}\nframe {target.source.frame}", fontsize=8)
    save(figure, path)


def _best_step(positive: HardPositive) -> str:
    """The step of the search at which the chosen region was visited; without steps, its number of queries."""
    steps = len(positive.episode.actions)
    if steps == 0:
        return f"best of {positive.episode.best.queries} queries"
    visits = np.flatnonzero(np.isclose(positive.episode.trail, positive.region).all(axis=1))
    return f"best at step {visits[0]} of {steps}" if len(visits) else f"chosen after {steps} steps"
