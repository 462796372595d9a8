"""Helpers that all pictures share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tracker.data.images import resize
from tracker.files import replacing_file


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG; the file appears complete or not at all."""
    FigureCanvasAgg(figure)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def enlarged(image: NDArray[np.uint8], least: int = 160) -> NDArray[np.uint8]:
    """Enlarge small targets, so that lines drawn on them stay thin."""
    scale = max(1.0, least / max(image.shape[:2]))
    return resize(image, round(image.shape[1] * scale), round(image.shape[0] * scale))
