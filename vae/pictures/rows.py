"""Images in captioned rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import VAEError
from ..files import replacing_file
from ..images import Images


@dataclass(frozen=True)
class Row:
    """One row of `draw_rows`.

    Attributes:
        caption: At its left.
        images: `uint8[n, H, W, C]`: RGB, or grey with one channel.
        notes: A short text below each image, or none.
    """

    caption: str
    images: Images
    notes: Sequence[str] = ()


def draw_rows(path: str | os.PathLike[str], title: str, rows: Sequence[Row]) -> None:
    """Draw images in rows with captions, such as real crops, their reconstructions and the nearest real ones.

    Args:
        path: The PNG to write, whole or not at all.
        title: Above all.
        rows: From top to bottom, all with the same number of images, at least 1.

    Raises:
        VAEError: If there is nothing to draw, or the rows or their notes differ in length.
    """
    counts = {len(row.images) for row in rows} | {len(row.notes) for row in rows if row.notes}
    if len(counts) != 1 or counts == {0}:
        raise VAEError(f"Rows and their notes must have one length of at least 1, got {sorted(counts)}.")
    (count,) = counts
    figure = Figure(figsize=(1.9 + 1.15 * count, 0.5 + 1.4 * len(rows)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axis, row in zip(figure.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True):
        height, width = row.images.shape[1:3]
        gap = max(1, width // 12)
        # One picture a row: a subplot for each image takes seconds to lay out.
        framed = np.pad(row.images, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
        axis.imshow(np.concatenate(list(framed), axis=1)[:, :-gap], cmap="gray", vmin=0, vmax=255)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(row.caption, rotation=0, ha="right", va="center", fontsize=9, labelpad=8)
        for position, note in enumerate(row.notes):
            middle = position * (width + gap) + (width - 1) / 2
            axis.text(middle, 1.06 * height, note, ha="center", va="top", fontsize=8)
    FigureCanvasAgg(figure)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
