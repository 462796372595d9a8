"""Contribution of each place of a target to SINT's score.

The score is an inner product of two descriptors that keep their places (eq. 1), so it is a sum over the cells of
the pooled grids: nothing has to be covered, and no candidate scored, to know where the similarity is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.backbones import Backbone
from . import SintScorer


def cell_contributions(scorer: SintScorer, exemplars: Tensor, crops: Tensor) -> Tensor:
    """Share of every cell of the pooled convolutions in the score of pairs of crops.

    Args:
        scorer: The matcher.
        exemplars: `[N, 3, S, S]` in [0, 1].
        crops: `[N, 3, S, S]` in [0, 1].

    Returns:
        `float32[N, P, G, G]`: for each of the P compared convolutions, in the order of `sint_layers`, the G x G
        cells, rows from top to bottom. All cells of a pair, and the product of the two fc6 where the network has
        one, add up to its score.
    """
    return embedded_contributions(scorer.backbone, scorer.embed(exemplars), scorer.embed(crops))


def embedded_contributions(backbone: Backbone, exemplars: Tensor, candidates: Tensor) -> Tensor:
    """`cell_contributions` of pairs that `SintScorer.embed` has embedded, `[N, D]` each: `float32[N, P, G, G]`."""
    grid = backbone.grid
    sizes = [backbone.channels(name) * grid * grid for name in backbone.sint_layers]
    products = (exemplars * candidates).float()[:, : sum(sizes)].split(sizes, dim=1)
    return torch.stack([part.reshape(len(part), -1, grid, grid).sum(dim=1) for part in products], dim=1)
