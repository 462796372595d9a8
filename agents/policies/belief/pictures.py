"""Pictures of priors and of a belief."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.belief import Prior
from occlusion_env.search.core import Search
from tracker.data.images import resize

from ...common.pictures import save
from .fitting import FittedPrior
from .method import BeliefTrace, trace_belief

Values = NDArray[np.float64]

_SIDE = 64
_SHOWN = (0, 1, 3, 5, 10)
"""Numbers of queries after which a belief is drawn."""


def average_target(targets: TargetSet) -> NDArray[np.uint8]:
    """Average the crops of targets, each resized to a square: `uint8[64, 64, 3]`."""
    crops = [resize(target.crop, _SIDE, _SIDE).astype(np.float64) for target in targets]
    return np.mean(crops, axis=0).round().astype(np.uint8)


def pixel_map(regions: Values, values: Values) -> Values:
    """Average values `[R]` of regions `[R, 4]` over the regions that cover a pixel: `float64[64, 64]`."""
    centre = (np.arange(_SIDE) + 0.5) / _SIDE
    x, y, w, h = regions.T[:, :, None]
    across, down = (x <= centre) & (centre < x + w), (y <= centre) & (centre < y + h)
    covered = down[:, :, None] & across[:, None]
    return np.einsum("r,rij->ij", values, covered) / np.maximum(covered.sum(axis=0), 1)


def draw_priors(path: Path, priors: Mapping[str, Prior], target: NDArray[np.uint8] | None = None) -> None:
    """Draw where on a target matchers are weak: the average drop at each pixel, and the best constant region.

    Args:
        path: The PNG to write.
        priors: By the name of the matcher.
        target: `uint8[H, W, 3]`, drawn under each map; none if `None`.
    """
    figure = Figure(figsize=(3.4 * len(priors), 4.7), layout="constrained")
    for axis, (name, prior) in zip(np.atleast_1d(figure.subplots(1, len(priors))), priors.items(), strict=True):
        if target is not None:
            axis.imshow(target.mean(axis=2), cmap="gray", extent=(0, 1, 1, 0))
        drawn = axis.imshow(pixel_map(prior.regions, prior.mean), extent=(0, 1, 1, 0), cmap="inferno", alpha=0.7)
        _outline(axis, prior.regions[prior.best], "cyan")
        axis.set_title(f"{name}\nbest constant region: drop {prior.mean.max():.3f}", fontsize=10)
        figure.colorbar(drawn, ax=axis, location="bottom", shrink=0.9)
        _plain(axis)
    figure.suptitle(
        "Average drop of the score\nover the occlusions that cover a pixel;\nframe: the best constant region"
        if len(priors) == 1
        else "Average drop of the score over the occlusions that cover a pixel; frame: the best constant region",
        fontsize=11,
    )
    save(figure, path)


def draw_belief(path: Path, fitted: FittedPrior, search: Search, target: NDArray[np.uint8]) -> None:
    """Draw the belief about one target after 0, 1, 3, 5 and 10 queries: expected drops, and their deviation.

    Args:
        path: The PNG to write.
        fitted: The prior.
        search: One search, begun with the target.
        target: `uint8[H, W, 3]`, the target.
    """
    trace = trace_belief(fitted, search, _SHOWN[-1])
    figure = plot_belief(trace, fitted.prior.regions, target, _SHOWN)
    figure.suptitle("The belief about one target: best region so far solid, latest query dashed", fontsize=11)
    save(figure, path)


def plot_belief(
    trace: BeliefTrace, candidates: Values, target: NDArray[np.uint8], numbers: Sequence[int]
) -> Figure:
    """Draw the belief about one target after some numbers of queries, a column each.

    Args:
        trace: The belief by number of queries; its extremes are those of the colours.
        candidates: `float64[R, 4]`, the candidate regions.
        target: `uint8[H, W, 3]`, the target.
        numbers: Numbers of queries, at most those of the trace.
    """
    figure = Figure(figsize=(2.3 * len(numbers) + 1, 5.2), layout="constrained")
    axes = figure.subplots(2, len(numbers), squeeze=False)
    kinds = (("expected drop", "inferno", trace.means), ("standard deviation", "viridis", trace.deviations))
    for row, (name, colours, values) in enumerate(kinds):
        maps = np.stack([pixel_map(candidates, each) for each in values])
        low, high = min(0.0, maps.min()), maps.max()
        for axis, count in zip(axes[row], numbers, strict=True):
            axis.imshow(target.mean(axis=2), cmap="gray", extent=(0, 1, 1, 0))
            drawn = axis.imshow(maps[count], extent=(0, 1, 1, 0), cmap=colours, alpha=0.7, vmin=low, vmax=high)
            if count:
                _outline(axis, trace.regions[int(np.argmax(trace.drops[:count]))], "cyan")
                _outline(axis, trace.regions[count - 1], "white", "--")
            if row == 0:
                best = f", best drop {trace.drops[:count].max():.2f}" if count else ""
                axis.set_title(f"{count} {'query' if count == 1 else 'queries'}{best}", fontsize=9)
            _plain(axis)
        axes[row, 0].set_ylabel(name)
        figure.colorbar(drawn, ax=list(axes[row]), shrink=0.8)
    return figure


def _outline(axis: Axes, region: Values, colour: str, style: str = "-") -> None:
    x, y, w, h = region
    axis.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=colour, linewidth=2, linestyle=style))


def _plain(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0))
