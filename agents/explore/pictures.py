"""Pictures of the page, as arrays `uint8[H, W, 3]`."""

from __future__ import annotations

from collections.abc import Sequence as Many

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from occlusion_env.envs.rendering import draw_search
from occlusion_env.scene.occluders import occlude_image

from ..common.pictures import enlarged
from ..policies.belief.pictures import pixel_map, plot_belief
from .target import Result, TargetSearch

Image = NDArray[np.uint8]
Values = NDArray[np.float64]

SIDE = 360
"""Least longer side in pixels of the pictures of a target."""

_LINES = {
    "you": ("black", "-"), "random regions": ("0.55", "--"), "one constant region": ("tab:brown", ":"),
    "hill climbing": ("tab:green", "-"), "agent": ("tab:orange", "-"), "belief": ("tab:blue", "-"),
    "a part of grid search": ("tab:purple", "--"), "all of grid search": ("tab:red", "-."),
}  # fmt: skip
"""Colour and style of each method's line."""


def draw_occluded(search: TargetSearch) -> Image:
    """The target covered as in the last turn of the search by hand."""
    region = search.game.turns[-1].region
    return enlarged(occlude_image(search.target.crop, search.patch, region), SIDE)


def draw_drops(search: TargetSearch) -> Image:
    """The mean drop of the score over the regions of grid search that cover a pixel, and the best region."""
    best = search.grid[int(search.drops.argmax())]
    return draw_map(search.target.crop, pixel_map(search.grid, search.drops), "drop of the score", best)


def draw_map(image: Image, values: Values, label: str, region: Values | None = None) -> Image:
    """Draw a map in colours over a grey image.

    Args:
        image: `uint8[H, W, 3]`.
        values: `float64[h, w]` of the same field of view; NaN is left grey.
        label: Of the colours.
        region: Is outlined, relative to the image.
    """
    height, width = image.shape[:2]
    scale = 3.6 / max(height, width)
    figure = Figure(figsize=(max(1.8, scale * width) + 1.2, max(1.8, scale * height)), layout="constrained")
    axis = figure.subplots()
    axis.imshow(image.mean(axis=2), cmap="gray", extent=(0, width, height, 0))
    drawn = axis.imshow(values, cmap="inferno", alpha=0.65, extent=(0, width, height, 0))
    if region is not None:
        x, y, w, h = region * [width, height, width, height]
        axis.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor="cyan", linewidth=2))
    axis.set_axis_off()
    figure.colorbar(drawn, ax=axis, label=label)
    return to_image(figure)


def draw_comparison(results: Many[Result], clean: float) -> Image:
    """The least score by number of queries, a line each; grid search with all its regions is a level."""
    *lines, whole = results
    most = max(result.queries for result in lines)
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    axis.axhline(clean, color="0.8", linewidth=1, label="not covered")
    for result in lines:
        colour, style = _LINES[result.method]
        queries, curve = [*range(1, result.queries + 1), most], [*result.curve, result.curve[-1]]
        axis.plot(
            queries, curve, color=colour, linestyle=style, linewidth=3 if result.method == "you" else 1.6,
            marker="o" if most == 1 else None, label=result.method,
        )  # fmt: skip
    colour, style = _LINES[whole.method]
    axis.axhline(whole.curve[-1], color=colour, linestyle=style, label=f"{whole.method} ({whole.queries})")
    axis.set(xlabel="queries", ylabel="least score so far", xlim=(1, max(most, 2)))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return to_image(figure)


def draw_agent(search: TargetSearch, step: int) -> Image:
    """The agent's search after a number of its actions."""
    episode, target = search.episode, search.target
    occluded = occlude_image(target.crop, search.patch, episode.trail[step])
    return draw_search(
        target.crop, target.exemplar, occluded, list(episode.trail[: step + 1]),
        episode.scores[: step + 1].tolist(), search.clean, search.clean - search.drop,
        search.models.settings.max_steps,
    )  # fmt: skip


def draw_belief(search: TargetSearch, queries: int) -> Image:
    """The belief before the first query and after a number of queries: expected drops, standard deviations."""
    candidates = search.models.fitted.prior.regions
    return to_image(plot_belief(search.trace, candidates, search.target.crop, (0, queries)))


def to_image(figure: Figure) -> Image:
    """Render a figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
