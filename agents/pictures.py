"""The demo's pictures."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from occlusion_env.rendering import draw_trail
from tracker.images import resize
from tracker.sequences import evenly_spaced

from .evaluation import Comparison
from .hard_positives import HardPositive

__all__ = ["draw_contact_sheet", "draw_manifold", "draw_scores", "enlarged", "save"]

_COLOURS = {
    "clean": "0.6",
    "random": "C0",
    "centre": "C2",
    "attribution": "C4",
    "constant": "C3",
    "agent": "C1",
    "belief": "C5",
    "grid search": "0.25",
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, format="png")


def draw_contact_sheet(path: Path, positives: Many[HardPositive], title: str, rows: int = 8) -> None:
    """One row a hard positive: exemplar, target, the trail of the search, the hard positive and its score.

    The orange region is the hard positive's; a search may have gone on from there.
    """
    picked = [positives[i] for i in evenly_spaced(len(positives), rows)]
    figure = Figure(figsize=(8.4, 1.0 + 2.0 * len(picked)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(picked), 4, squeeze=False)
    captions = ("exemplar (first frame)", "target", "search: blue to orange", "hard positive")
    for axis, caption in zip(axes[0], captions, strict=True):
        axis.set_title(caption, fontsize=10)
    for row, positive in zip(axes, picked, strict=True):
        target = positive.target
        shown = [
            enlarged(target.exemplar),
            enlarged(target.crop),
            draw_trail(enlarged(target.crop), [*positive.episode.trail, positive.region]),
            enlarged(positive.image),
        ]
        for axis, image in zip(row, shown, strict=True):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
        kind = "real" if target.source.code is None else "sampled"
        row[1].set_xlabel(f"{kind}, {positive.score_before:+.3f}", fontsize=9)
        ending = "trigger" if positive.episode.triggered else "out of steps"
        row[2].set_xlabel(f"{len(positive.episode.actions)} actions, {ending}", fontsize=9)
        row[3].set_xlabel(f"{positive.score_after:+.3f}", fontsize=9, color="C1", weight="bold")
        row[0].set_ylabel(f"{target.source.video}\nframe {target.source.frame}", fontsize=8)
    save(figure, path)


def draw_manifold(
    path: Path,
    grid: NDArray[np.uint8],
    codes: NDArray[np.floating],
    grid_codes: NDArray[np.floating],
    title: str,
) -> None:
    """Fig. 3: the decoded grid of codes, beside where the video's own frames lie.

    Args:
        path: The PNG to write.
        grid: `uint8[n * 64, n * 64, 3]`, the decodes.
        codes: `[N, 2]`, of the video's crops.
        grid_codes: `[n * n, 2]`, of the grid.
        title: Above both.
    """
    figure = Figure(figsize=(12.5, 6.8), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    left.imshow(grid)
    left.set_title("decoded grid of codes (Fig. 3)")
    left.set(xticks=[], yticks=[])
    left.set_xlabel("$z_1$ from least to greatest")
    left.set_ylabel("$z_2$ from least (top) to greatest")
    order = np.arange(len(codes))
    dots = right.scatter(codes[:, 0], codes[:, 1], c=order, cmap="viridis", s=28, label="frames of the video")
    right.scatter(grid_codes[:, 0], grid_codes[:, 1], marker="+", c="0.7", s=18, label="grid", zorder=0)
    right.invert_yaxis()
    right.set(xlabel="$z_1$", ylabel="$z_2$", title="codes of the video's frames")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2)
    figure.colorbar(dots, ax=right, label="frame, in order of time", shrink=0.8)
    save(figure, path)


def draw_scores(path: Path, comparison: Comparison, title: str) -> None:
    """The score of every held-out target under each method, and the means."""
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    axis = figure.subplots()
    known = {"clean": comparison.clean, **{name: trial.scores for name, trial in comparison.trials.items()}}
    values = {name: known[name] for name in _COLOURS if name in known}
    for place, (name, scores) in enumerate(values.items()):
        spread = np.linspace(-0.16, 0.16, len(scores))
        axis.scatter(place + spread, scores, s=14, color=_COLOURS[name], alpha=0.6, linewidths=0)
        mean = float(scores.mean())
        axis.hlines(mean, place - 0.28, place + 0.28, color=_COLOURS[name], linewidth=3)
        axis.annotate(
            f"{mean:+.3f}", (place + 0.3, mean), fontsize=9, va="center", color="0.1", annotation_clip=False
        )
    axis.set_xticks(range(len(values)), list(values))
    axis.set_xlim(-0.5, len(values) - 0.3)
    axis.set_ylabel("SINT score against the exemplar (lower is harder)")
    axis.grid(axis="y", alpha=0.3)
    found = comparison.closure("agent")
    closure = "undefined" if found is None else f"{found:.2f}"
    axis.set_title(f"{title}\nclosure of the agent between random (0) and grid search (1): {closure}", fontsize=11)
    save(figure, path)


def enlarged(image: NDArray[np.uint8], least: int = 160) -> NDArray[np.uint8]:
    """Enlarge small targets, so that lines drawn on them stay thin."""
    scale = max(1.0, least / max(image.shape[:2]))
    return resize(image, round(image.shape[1] * scale), round(image.shape[0] * scale))
