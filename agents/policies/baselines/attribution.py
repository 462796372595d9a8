"""Similarity maps of SINT, and regions ranked by the part of the similarity that lies under them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlusion_env.search.core import Search
from tracker.data.boxes import iou
from tracker.data.images import resize, to_tensor
from tracker.errors import InputError
from tracker.models.backbones import Precision
from tracker.scorers import SintScorer, load_scorer
from tracker.scorers.attribution import cell_contributions, embedded_contributions

from .proposing import Generators, Proposals

OVERLAP = 0.5
"""Largest IoU of two of the first regions of a ranking: the near copies of a queried region tell little."""

_PRECISIONS: dict[torch.dtype | None, Precision] = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def rank_by_attribution(search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """The regions of the grid that cover the most of the similarity, first the one that covers most.

    The cosine is a sum over cells of the feature maps (`tracker.scorers.attribution`); a region's rank is the
    part of that sum that lies under it. See `spread_out` for the order of near copies.
    """
    grid = search.settings.limits.grid(search.settings.limits.max_area)
    return rank_grid(grid, box_sums(similarity(search, slots), grid), most)


def rank_grid(grid: NDArray[np.float64], values: NDArray[np.float64], most: int) -> Proposals:
    """Regions `[R, 4]` in the order of each search's values `[M, R]`, the greatest first, near copies later."""
    yield grid[spread_out(values, grid, min(most, len(grid)), OVERLAP)]


def similarity(search: Search, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each cell of the unoccluded targets in the score: `float64[M, G, G]`, summed over the layers.

    Args:
        search: The searches.
        slots: `int64[M]`, which of them.

    Raises:
        InputError: If the scorer is not SINT's.
    """
    if not isinstance(search.scorer, SintScorer):
        raise InputError(
            f"Attribution takes SINT's score apart by place; the scorer {type(search.scorer).__name__} is no"
            " SintScorer."
        )
    own, back = np.unique(slots, return_inverse=True)
    return similarity_maps(search, own).sum(dim=1).cpu().double().numpy()[back]


def similarity_maps(search: Search, slots: NDArray[np.int64]) -> Tensor:
    """Return what each cell of unoccluded targets adds to SINT's score.

    A search whose scorer is SINT's has embedded the images already. For another scorer they go through SINT over
    the slim network: two forward passes a target, and no scorer query.

    Args:
        search: The searches, begun.
        slots: `int64[M]`, which of them.

    Returns:
        `float32[M, P, G, G]` on SINT's device, see `tracker.scorers.attribution`.
    """
    scorer = search.scorer
    if isinstance(scorer, SintScorer):
        embedded = scorer.embed(search.target_images(slots))
        return embedded_contributions(scorer.backbone, search.exemplar_embeddings(slots), embedded)
    # In the features' arithmetic, which `precision` sets; features of another kind have none.
    precision = _PRECISIONS.get(getattr(search.features, "dtype", None), "auto")
    sint = load_scorer(device=str(search.view_device), precision=precision)
    targets = [target for slot in slots if (target := search.targets[slot]) is not None]
    exemplars, crops = (
        to_tensor(np.stack([resize(image, sint.input_size, sint.input_size) for image in images]), sint.device)
        for images in ([each.exemplar for each in targets], [each.crop for each in targets])
    )
    return cell_contributions(sint, exemplars, crops)


def box_sums(maps: NDArray[np.float64], regions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum each map over each region; a cell that is cut counts by the share inside.

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
