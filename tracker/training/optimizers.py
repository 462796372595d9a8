"""The state of an optimizer as flat tensors, which is what a safetensors file holds."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["flat_moments", "restore_moments"]


def flat_moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's moments, by `INDEX.KEY`."""
    return {
        f"{index}.{key}": torch.as_tensor(value).contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Put back what `flat_moments` gave, into an optimizer of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
