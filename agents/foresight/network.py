"""The network that foretells how far the score falls when a region is covered."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.backbones import load_weights, save_weights
from tracker.errors import InputError, shorten
from tracker.files import read_text, replacing_file
from tracker.scorers import SintScorer

__all__ = ["DropPredictor", "load_predictor", "save_predictor", "shipped_predictor"]

_MOST_CHANNELS = 2048
_AROUND = 1.6


class DropPredictor(nn.Module):
    """From what each cell adds to the score (`tracker.attribution`) to what covering a region takes away.

    Two convolutions look at the cells' neighbours. A region is described by the means of their channels within
    it and within a window 1.6 times as long and as wide, by their means over the whole target, and by its place
    and size; two layers make one number of it. The occluder is not looked at: the prediction is for any.

    Args:
        parts: P, how many maps a target has.
        width: Channels of the convolutions.
        hidden: Numbers in the layers behind.
        unit: What the network's output 1 means, in units of the score, see `tracker.scorers.unit_of`.
    """

    def __init__(self, parts: int = 2, width: int = 32, hidden: int = 96, unit: float = SintScorer.unit) -> None:
        """See the class."""
        super().__init__()
        self.parts, self.width, self.hidden, self.unit = parts, width, hidden, unit
        self.look = nn.Sequential(
            nn.Conv2d(parts, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.judge = nn.Sequential(
            nn.Linear(3 * (width + parts) + 5, hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def cells(self, maps: Tensor) -> Tensor:
        """What is computed once a target.

        Args:
            maps: `[N, P, G, G]`, what each cell adds to the score.

        Returns:
            `[N, width + P, G, G]`.
        """
        scaled = maps * (maps.shape[-1] * maps.shape[-2])
        return torch.cat([self.look(scaled), scaled], dim=1)

    def drops(self, cells: Tensor, regions: Tensor) -> Tensor:
        """How far the score falls.

        Args:
            cells: `[N, width + P, G, G]`, see `cells`.
            regions: `[N, R, 4]`, relative to each target.

        Returns:
            `[N, R]`, in units of the score.
        """
        whole = cells.mean(dim=(2, 3))[:, None].expand(-1, regions.shape[1], -1)
        area = regions[..., 2:3] * regions[..., 3:4] * 4
        described = [_sums(cells, regions, 1.0), _sums(cells, regions, _AROUND), whole, regions, area]
        return self.judge(torch.cat(described, dim=2))[..., 0] * self.unit

    def in_unit(self, unit: float) -> DropPredictor:
        """A copy of the network for a matcher whose scores have another spread."""
        other = deepcopy(self)
        other.unit = unit
        return other

    def forward(self, maps: Tensor, regions: Tensor) -> Tensor:
        """`drops` of `cells`."""
        return self.drops(self.cells(maps), regions)


def _sums(cells: Tensor, regions: Tensor, factor: float) -> Tensor:
    """Sums over windows `factor` times a region's size, cut at the border, over the number of all cells."""
    height, width = cells.shape[-2:]
    middle, half = regions[..., :2] + regions[..., 2:] / 2, regions[..., 2:] * (factor / 2)
    low, high = (middle - half).clamp(0, 1), (middle + half).clamp(0, 1)
    across = _covered(low[..., 0], high[..., 0], width)
    down = _covered(low[..., 1], high[..., 1], height)
    return torch.einsum("ncij,nri,nrj->nrc", cells, down, across) / (height * width)


def _covered(low: Tensor, high: Tensor, count: int) -> Tensor:
    """The share of each of `count` cells of a line that lies between two places: `[...]` to `[..., count]`."""
    cell = torch.arange(count, device=low.device, dtype=low.dtype)
    reached = torch.minimum(high[..., None] * count, cell + 1) - torch.maximum(low[..., None] * count, cell)
    return reached.clamp(0, 1)


def save_predictor(file: Path, predictor: DropPredictor, card: dict[str, Any]) -> None:
    """Write a predictor as safetensors, and its card beside it as JSON.

    Args:
        file: `NAME.safetensors`.
        predictor: The network.
        card: What else is worth knowing, as plain data.

    Raises:
        InputError: If a weight is not finite; nothing is written.
        OSError: If the disk refuses.
    """
    sizes = {name: getattr(predictor, name) for name in ("parts", "width", "hidden", "unit")}
    save_weights(file, predictor.state_dict())
    with replacing_file(file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"sizes": sizes, **card}, indent=1) + "\n")


def load_predictor(file: str | Path) -> DropPredictor:
    """Load what `save_predictor` wrote, ready for inference.

    Raises:
        InputError: If a file is missing, or is none of a predictor's.
    """
    file = Path(file)
    try:
        sizes = json.loads(read_text(file.with_suffix(".json")))["sizes"]
        for name in ("parts", "width", "hidden"):
            if name in sizes and (type(sizes[name]) is not int or not 1 <= sizes[name] <= _MOST_CHANNELS):
                raise InputError(
                    f"'{file.with_suffix('.json')}' says {name} is {shorten(sizes[name])}; it must be 1 to"
                    f" {_MOST_CHANNELS}."
                )
        predictor = DropPredictor(**sizes)
    except FileNotFoundError:
        raise InputError(
            f"There is no '{file.with_suffix('.json')}'; name the .safetensors file beside it."
        ) from None
    except InputError:
        raise
    except (KeyError, RecursionError, TypeError, ValueError):
        raise InputError(f"'{file.with_suffix('.json')}' is no card of a predictor; train it again.") from None
    state = load_weights(file)
    own = predictor.state_dict()
    if state.keys() != own.keys() or any(state[name].shape != own[name].shape for name in own):
        raise InputError(f"The weights in '{file}' are not those of the predictor in its card; train it again.")
    predictor.load_state_dict({name: value.float() for name, value in state.items()})
    return predictor.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def shipped_predictor() -> DropPredictor:
    """The predictor that the package ships, for SINT over the slim net; a process loads it once."""
    with resources.as_file(resources.files("agents") / "weights" / "foresight.safetensors") as file:
        return load_predictor(file)
