"""Covering what the matcher goes by: the score taken apart by place says where, and no region is tried."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from occlusion_env.search import Search
from tracker.attribution import cell_contributions
from tracker.boxes import iou
from tracker.errors import InputError
from tracker.images import resize, to_tensor
from tracker.scorers import SintScorer

from .choosing import Choice, by_area, lowest_of

__all__ = ["Attribution", "BestOf", "box_sums", "similarity", "spread_out"]

_CHUNK = 64


class Attribution:
    """The region that covers the most of the similarity.

    The cosine is a sum over cells of the feature maps (`tracker.attribution`); of the regions of
    `RegionLimits.grid` it takes the one under which most of that sum lies. The scorer is asked once, for the
    score of the region chosen.
    """

    draws = 1

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`."""
        return lowest_of(search, slots, propose(search, slots, area, 1, 1.0))


class BestOf:
    """Of the first `count` regions of attribution's ranking the one that hurts most.

    Args:
        count: How many are scored.
        overlap: The largest IoU of two of them: neighbours of the first one tell little (`spread_out`).
    """

    draws = 1

    def __init__(self, count: int, overlap: float = 0.5) -> None:
        """See the class."""
        self.count = count
        self.overlap = overlap

    def choose(
        self, search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], rng: np.random.Generator
    ) -> Choice:
        """Choose; see `Chooser`."""
        return lowest_of(search, slots, propose(search, slots, area, self.count, self.overlap))


def propose(
    search: Search, slots: NDArray[np.int64], area: NDArray[np.float64], count: int, overlap: float
) -> NDArray[np.float64]:
    """Attribution's first `count` regions for each of M searches, best first: `float64[M, count, 4]`."""
    maps = similarity(search, slots)
    found = np.empty((len(slots), count, 4))
    for size, rows in by_area(area):
        grid = search.settings.limits.grid(size)
        found[rows] = grid[spread_out(box_sums(maps[rows], grid), grid, count, overlap)]
    return found


def similarity(search: Search, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each place of the unoccluded targets adds to the score: `float64[M, G, G]`, summed over the layers.

    Args:
        search: The searches.
        slots: `int64[M]`, which of them.

    Raises:
        InputError: If the scorer is not SINT's.
    """
    scorer = search.scorer
    if not isinstance(scorer, SintScorer):
        raise InputError(
            f"Attribution takes SINT's score apart by place; the scorer {type(scorer).__name__} is no SintScorer."
        )
    own, back = np.unique(slots, return_inverse=True)
    targets = [target for slot in own if (target := search.targets[slot]) is not None]
    side, parts = scorer.input_size, []
    for low in range(0, len(targets), _CHUNK):
        pairs = targets[low : low + _CHUNK]
        exemplars = np.stack([resize(target.exemplar, side, side) for target in pairs])
        crops = np.stack([resize(target.crop, side, side) for target in pairs])
        parts.append(
            cell_contributions(scorer, *(to_tensor(images, scorer.device) for images in (exemplars, crops)))
        )
    return torch.cat(parts).sum(dim=1).cpu().double().numpy()[back]


def box_sums(maps: NDArray[np.float64], regions: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each map lies in each region; a cell that is cut counts by the share inside.

    Args:
        maps: `[N, H, W]`, spread evenly over each cell.
        regions: `[K, 4]`, relative to the map.

    Returns:
        `float64[N, K]`.

    >>> box_sums(np.array([[[1.0, 2.0], [4.0, 8.0]]]), np.array([[0.25, 0.5, 0.75, 0.5]])).tolist()
    [[10.0]]
    """
    x, y, w, h = regions.T
    across, down = _covered(x, w, maps.shape[2]), _covered(y, h, maps.shape[1])
    return np.einsum("nrc,kr,kc->nk", maps, down, across, optimize=True)


def _covered(start: NDArray[np.float64], length: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The share of each of `count` cells of a line that lies in an interval: `[K]` to `[K, count]`."""
    edges = np.arange(count + 1) / count
    reached = np.clip((edges[None, :] - start[:, None]), 0, length[:, None])
    return np.diff(reached, axis=1) * count


def spread_out(
    values: NDArray[np.float64], regions: NDArray[np.float64], count: int, overlap: float
) -> NDArray[np.int64]:
    """The first `count` regions of each ranking, without near copies (greedy non-maximum suppression).

    Args:
        values: `[N, K]`, the greater the better.
        regions: `[K, 4]`, the same for all rankings.
        count: At most K.
        overlap: A region whose IoU with a better one that was taken is greater waits until no other is left.

    Returns:
        `int64[N, count]`, indices of regions, best first.
    """
    near = iou(regions[:, None], regions[None]) > overlap
    rows = np.arange(len(values))
    late = np.zeros(values.shape, dtype=bool)
    taken = np.zeros(values.shape, dtype=bool)
    found = np.empty((len(values), count), dtype=np.int64)
    for place in range(count):
        early = np.where(late | taken, -np.inf, values)
        rest = np.where(taken, -np.inf, values)
        best = np.where((~(late | taken)).any(axis=1), early.argmax(axis=1), rest.argmax(axis=1))
        found[:, place] = best
        taken[rows, best] = True
        late |= near[best]
    return found
