"""What a baseline is: it chooses a region of a given area for each of several searches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from occlusion_env.search import Search

__all__ = ["Choice", "Chooser", "by_area", "lowest_of"]


@dataclass(frozen=True)
class Choice:
    """A region for each of M searches.

    Attributes:
        regions: `float64[M, 4]`, relative to the target.
        scores: `float64[M]`, with that region occluded.
        queries: `int64[M]`, how often the scorer was asked, the question for `scores` included.
    """

    regions: NDArray[np.float64]
    scores: NDArray[np.float64]
    queries: NDArray[np.int64]


class Chooser(Protocol):
    """A way to choose regions. It learns nothing, and looks at no other search.

    Attributes:
        draws: How often it has to choose for its mean score to be known; 1 where nothing is drawn.
    """

    draws: int

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose a region for each of M searches; their state stays as it is.

        Args:
            search: The searches, begun.
            slots: `int64[M]`, which of them; one may come more than once.
            area: `float64[M]`, of the regions, as a share of the target.
            rng: Where draws come from.
        """
        ...


def by_area(area: NDArray[np.float64]) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """Each area that occurs, and the rows that have it.

    >>> [(area, rows.tolist()) for area, rows in by_area(np.array([0.25, 0.1, 0.25]))]
    [(0.1, [1]), (0.25, [0, 2])]
    """
    values, group = np.unique(area.round(9), return_inverse=True)
    for number, value in enumerate(values):
        yield float(value), np.flatnonzero(group == number)


def lowest_of(search: Search, slots: NDArray[np.int64], candidates: NDArray[np.float64]) -> Choice:
    """Score K candidates `[M, K, 4]` for each of M searches, and take the one that hurts most."""
    count, each = candidates.shape[:2]
    scores = search.scores(np.repeat(slots, each), candidates.reshape(-1, 4)).reshape(count, each)
    best = scores.argmin(axis=1)
    rows = np.arange(count)
    return Choice(candidates[rows, best], scores[rows, best], np.full(count, each, dtype=np.int64))
