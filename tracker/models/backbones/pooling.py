"""SINT's pooling of regions of feature maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

GRID = 7
"""Side of the pooled grid: every region becomes 7 x 7 cells (SINT's RoI pooling)."""


def roi_pool(
    maps: Tensor, boxes: Tensor | None = None, scale: float = 1.0, grid: int = GRID, window: int = 2
) -> Tensor:
    """Pool regions of feature maps to 7 x 7: averaged on an aligned 14 x 14 grid, then 2 x 2 maxima.

    On a whole 14 x 14 map this is VGG's own last max pooling, so fully connected layers trained behind that
    pooling see what they expect; on a part of a map it is SINT's RoI max pooling, without the rounding.

    Args:
        maps: `[N, C, h, w]`.
        boxes: `[R, 5]`: the index of the image, then `x1, y1, x2, y2` in pixels of the input. `None` takes
            each whole map.
        scale: Cells of the map per pixel of the input.
        grid: Side of the result.
        window: Side of the last pooling's window, whose step is 2: VGG's is 2, AlexNet's 3.

    Returns:
        `[N or R, C, grid, grid]`.
    """
    side = 2 * (grid - 1) + window
    if boxes is None:
        fine = functional.adaptive_avg_pool2d(maps, side)
    elif maps.requires_grad and maps.device.type == "cpu":
        fine = separable_align(maps.float(), boxes.float(), side, scale).to(maps)
    else:
        fine = roi_align(maps.float(), boxes.float(), side, scale, aligned=True).to(maps)
    return functional.max_pool2d(fine, window, 2)


def separable_align(maps: Tensor, boxes: Tensor, side: int, scale: float) -> Tensor:
    """Torchvision's aligned `roi_align` as two matrix products a box, rows and then columns.

    The result, `float32[R, C, side, side]`, is the same to rounding. On a CPU its gradient is faster:
    torchvision's adds the samples of all boxes one by one.
    """
    height, width = maps.shape[-2:]
    corners = boxes[:, 1:] * scale - 0.5
    rows = _weights(corners[:, 1], corners[:, 3], side, height)
    columns = _weights(corners[:, 0], corners[:, 2], side, width)
    result = maps.new_zeros(len(boxes), maps.shape[1], side, side)
    with torch.autocast(maps.device.type, enabled=False):
        for n in range(len(maps)):
            rows_of_image = torch.nonzero(boxes[:, 0] == n)[:, 0]
            if not len(rows_of_image):
                continue
            flat = maps[n].permute(1, 0, 2).reshape(height, -1)
            tall = (rows[rows_of_image].flatten(0, 1) @ flat).view(len(rows_of_image), -1, width)
            pooled = (tall @ columns[rows_of_image].transpose(1, 2)).view(len(rows_of_image), side, -1, side)
            result = result.index_copy(0, rows_of_image, pooled.transpose(1, 2))
    return result


def _weights(low: Tensor, high: Tensor, side: int, length: int) -> Tensor:
    """Bilinear weights `[R, side, length]` of the cells of a line in the bins of boxes, means over samples."""
    size = (high - low) / side
    count = size.ceil().clamp(min=1)
    sample = torch.arange(int(count.max()) if len(count) else 1, device=low.device)
    place = (sample + 0.5) / count[:, None]
    points = low[:, None, None] + size[:, None, None] * (
        torch.arange(side, device=low.device)[None, :, None] + place[:, None, :]
    )
    counts = (sample < count[:, None])[:, None] & (points >= -1) & (points <= length)
    distance = (points.clamp(0, length - 1)[..., None] - torch.arange(length, device=low.device)).abs()
    weights = (1 - distance).clamp(min=0) * counts[..., None]
    return weights.sum(dim=2) / count[:, None, None]
