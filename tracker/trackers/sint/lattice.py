"""Scores of all candidates of a lattice from one resampled feature map a scale.

The pooled grid of a box (`Backbone.pool`) is a maximum over the means of 14 x 14 bins, each the mean of bilinear
samples of the feature map, one for each cell that the bin spans. Boxes of one size that are shifted by whole bins
share these means. So the map is resampled once a scale, and a box is a window of the result: its inner product
with the exemplar is a correlation. The scores are those of `Backbone.pool` to rounding, for boxes inside the view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...models.backbones import Backbone, Cells

FARTHEST = 4.0
"""Largest reach of a lattice in boxes: a target of one pixel costs no more than any other."""


@dataclass(frozen=True)
class Lattice:
    """Boxes of several sizes around one centre, in the pixels of a view.

    Attributes:
        centre: `(x, y)`.
        sizes: `float64[S, 2]`: width and height of the boxes of each scale.
        columns: Boxes side by side, odd.
        rows: Boxes above one another, odd.
        bins: Bins on a side of a box; neighbours are one bin apart.
    """

    centre: tuple[float, float]
    sizes: NDArray[np.float64]
    columns: int
    rows: int
    bins: int

    @classmethod
    def reaching(
        cls,
        centre: tuple[float, float],
        size: NDArray[np.float64],
        scales: tuple[float, ...],
        reach: float,
        bins: int,
    ) -> Lattice:
        """The smallest lattice whose boxes of scale 1 reach `reach` pixels from the centre in every direction.

        In a direction in which that is more than `FARTHEST` boxes, it reaches so many.
        """
        columns, rows = (2 * np.ceil(np.minimum(reach / size, FARTHEST) * bins).astype(int) + 1).tolist()
        return cls(centre, np.asarray(scales)[:, None] * size, columns, rows, bins)

    def corners(
        self,
        scale: NDArray[np.int64],
        row: NDArray[np.floating | np.integer],
        column: NDArray[np.floating | np.integer],
    ) -> NDArray[np.float64]:
        """Boxes of the lattice, also between its points.

        Args:
            scale: `int[N]`, which of `sizes`.
            row: `[N]`, from 0 (top) to `rows - 1`.
            column: `[N]`, from 0 (left) to `columns - 1`.

        Returns:
            `float64[N, 4]`: `x1, y1, x2, y2`.
        """
        size = self.sizes[scale]
        steps = np.stack([column - (self.columns - 1) / 2, row - (self.rows - 1) / 2], axis=-1)
        centre = np.asarray(self.centre) + steps * size / self.bins
        return np.concatenate([centre - size / 2, centre + size / 2], axis=-1)

    def bin_weights(self, axis: int, cells: Cells, length: int) -> Tensor:
        """The bilinear weights that a line of a map has in the means of the bins along an axis.

        Args:
            axis: 0 for x, 1 for y.
            cells: Where the cells of the map lie.
            length: Cells of the line; its ends are repeated beyond it.

        Returns:
            `float32[S, columns or rows + bins - 1, length]`.
        """
        count = (self.columns, self.rows)[axis] + self.bins - 1
        steps = np.arange(count) - (count - 1) / 2
        weights = []
        for size in self.sizes[:, axis] / self.bins:
            samples = max(1, math.ceil(size / cells.stride - 1e-6))  # RoI-align's number
            inside = (np.arange(samples) + 0.5) / samples - 0.5
            pixels = self.centre[axis] + size * (steps[:, None] + inside)
            weights.append(_bilinear((pixels - cells.offset) / cells.stride - 0.5, length).mean(1))
        return torch.stack(weights)


class LatticeMatcher:
    """SINT's scores of a lattice of candidates against one exemplar (eq. 1).

    The two pooled convolutions are compared for every candidate. fc6, where the network has one, is computed for
    the `keep` candidates with the highest cosines of these; the others have no score.

    Args:
        backbone: The network.
        maps: Of `sint_layers`, `[1, C, h, w]`: the frame that shows the exemplar.
        exemplar: The lattice whose only point is the exemplar.
        keep: Number of candidates whose fc6 is compared too.
    """

    def __init__(self, backbone: Backbone, maps: dict[str, Tensor], exemplar: Lattice, keep: int = 64) -> None:
        self.backbone = backbone
        self.keep = keep
        windows = self._windows(maps, exemplar)
        grids = [self._grids(window, torch.zeros(1, dtype=torch.long), exemplar) for window in windows]
        self._kernels = [
            functional.normalize(grid.float().flatten(1)).view(grid.shape[1], -1).T.contiguous() for grid in grids
        ]
        self._fc6 = self._describe(grids[-1]) if backbone.fully_connected else None

    def score(self, maps: dict[str, Tensor], lattice: Lattice) -> Tensor:
        """Score every candidate.

        Args:
            maps: Of `sint_layers`, `[1, C, h, w]`.
            lattice: The candidates; what lies beyond the map repeats its border.

        Returns:
            `float32[S, rows, columns]`, cosines in [-1, 1]; -inf where a candidate was not kept.
        """
        windows = self._windows(maps, lattice)
        parts = [self._cosines(window, kernel) for window, kernel in zip(windows, self._kernels, strict=True)]
        total = torch.stack(parts).sum(0)
        if self._fc6 is None:
            return total / len(parts)
        keep = min(self.keep, total.numel())
        best = total.flatten().topk(keep).indices
        scores = torch.full_like(total, -torch.inf)
        fc6 = self._describe(self._grids(windows[-1], best, lattice)) @ self._fc6[0]
        scores.view(-1)[best] = (total.view(-1)[best] + fc6) / (len(parts) + 1)
        return scores

    def _windows(self, maps: dict[str, Tensor], lattice: Lattice) -> list[Tensor]:
        """Of each of `sint_layers` the resampled maps of all scales, max pooled, `[S, rows', columns', C]`."""
        windows = []
        for name in self.backbone.sint_layers:
            grid, cells = maps[name][0].permute(1, 2, 0), self.backbone.cells(name)
            height, width = grid.shape[:2]
            by_x = lattice.bin_weights(0, cells, width).to(grid)
            by_y = lattice.bin_weights(1, cells, height).to(grid)
            scales, down, across = len(by_x), by_y.shape[1], by_x.shape[1]
            rows = (by_y.flatten(0, 1) @ grid.reshape(height, -1)).view(scales, down, width, -1)
            bins = (by_x[:, None] @ rows).view(scales, down, across, -1)
            pooled = functional.max_pool2d(bins.permute(0, 3, 1, 2), self.backbone.pool_window, 1)
            windows.append(pooled.permute(0, 2, 3, 1))
        return windows

    def _cosines(self, windows: Tensor, kernel: Tensor) -> Tensor:
        """Cosine of every candidate's pooled grid and the exemplar's, `float32[S, rows, columns]`.

        Each resampled cell is multiplied with each of the exemplar's `grid` x `grid` cells. A candidate's cells
        are a window of every second one, and its cell (a, b) meets the exemplar's (a, b): a diagonal of the
        window's products. Their sum over the norm of the candidate's cells is the cosine.
        """
        side = self.backbone.grid
        products = (windows @ kernel.to(windows).T).float().unflatten(-1, (side, side))
        # [S, rows, columns, exemplar's a, exemplar's b, candidate's a, candidate's b], then where both are equal.
        same = self._cells_of_candidates(products).diagonal(dim1=3, dim2=5).diagonal(dim1=3, dim2=4)
        squares = self._cells_of_candidates(windows.float().square().sum(-1))
        return same.sum((-1, -2)) / squares.sum((-1, -2)).clamp(min=1e-12).sqrt()

    def _cells_of_candidates(self, values: Tensor) -> Tensor:
        """A view of `[S, rows', columns', ...]` by candidates, `[S, rows, columns, ..., grid, grid]`."""
        extent = 2 * self.backbone.grid - 1
        return values.unfold(1, extent, 1).unfold(2, extent, 1)[..., ::2, ::2]

    def _grids(self, windows: Tensor, which: Tensor, lattice: Lattice) -> Tensor:
        """The pooled grids of some candidates, `[N, C, grid, grid]`."""
        row, column = which // lattice.columns % lattice.rows, which % lattice.columns
        scale = which // (lattice.rows * lattice.columns)
        steps = 2 * torch.arange(self.backbone.grid, device=which.device)
        grids = windows[
            scale[:, None, None], (row[:, None] + steps)[:, :, None], (column[:, None] + steps)[:, None, :]
        ]
        return grids.permute(0, 3, 1, 2).contiguous()

    def _describe(self, pooled: Tensor) -> Tensor:
        dtype = next(self.backbone.linear("fc6").parameters()).dtype
        return functional.normalize(self.backbone.fc_outputs(pooled.to(dtype), ["fc6"])["fc6"].float())


def _bilinear(positions: NDArray[np.float64], size: int) -> Tensor:
    """Weights that read a line of `size` cells at positions (in cells, 0 the first), `float32[..., size]`."""
    at = torch.from_numpy(positions).clamp(0, size - 1)
    return (1 - (at[..., None] - torch.arange(size)).abs()).clamp(min=0).float()
