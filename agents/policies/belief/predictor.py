"""The network that predicts how far the score falls when a region is occluded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_AROUND = 1.6
"""Sides of the second window, in sides of the region: what lies next to a region counts too."""


class DropPredictor(nn.Module):
    """Predicts score drops from what each cell adds to the score (`tracker.scorers.attribution`).

    Two convolutions mix neighbouring cells. A region is described by the sums of their channels within it and
    within a window 1.6 times as long and as wide, by their means over the target, and by its position and size;
    two hidden layers turn that into a drop. The occluder is no input: the prediction is an average over occluders.

    Args:
        parts: P, the number of maps of a target.
        width: Channels of the convolutions.
        hidden: Units of the hidden layers.
        unit: Drop that the output 1 stands for.
    """

    def __init__(self, parts: int = 2, width: int = 32, hidden: int = 96, unit: float = 1.0) -> None:
        super().__init__()
        self.parts, self.width, self.hidden, self.unit = parts, width, hidden, unit
        self.convolutions = nn.Sequential(
            nn.Conv2d(parts, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Sequential(
            nn.Linear(3 * (width + parts) + 5, hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, maps: Tensor, regions: Tensor) -> Tensor:
        """Predict.

        Args:
            maps: `[N, P, G, G]`, what each cell adds to the score.
            regions: `[N, R, 4]`, relative to each target.

        Returns:
            `[N, R]`, drops in units of the score.
        """
        scaled = maps * (maps.shape[-1] * maps.shape[-2])
        cells = torch.cat([self.convolutions(scaled), scaled], dim=1)
        whole = cells.mean(dim=(2, 3))[:, None].expand(-1, regions.shape[1], -1)
        area = regions[..., 2:3] * regions[..., 3:4] * 4
        described = [_sums(cells, regions, 1.0), _sums(cells, regions, _AROUND), whole, regions, area]
        return self.head(torch.cat(described, dim=2))[..., 0] * self.unit


def _sums(cells: Tensor, regions: Tensor, factor: float) -> Tensor:
    """Sums over windows `factor` times a region's size, cut at the border, over the number of all cells."""
    height, width = cells.shape[-2:]
    middle, half = regions[..., :2] + regions[..., 2:] / 2, regions[..., 2:] * (factor / 2)
    low, high = (middle - half).clamp(0, 1), (middle + half).clamp(0, 1)
    across = _covered(low[..., 0], high[..., 0], width)
    down = _covered(low[..., 1], high[..., 1], height)
    return torch.einsum("ncij,nri,nrj->nrc", cells, down, across) / (height * width)


def _covered(low: Tensor, high: Tensor, count: int) -> Tensor:
    """The share of each of `count` cells of a line that lies in an interval: `[...]` to `[..., count]`."""
    cell = torch.arange(count, device=low.device, dtype=low.dtype)
    overlap = torch.minimum(high[..., None] * count, cell + 1) - torch.maximum(low[..., None] * count, cell)
    return overlap.clamp(0, 1)
