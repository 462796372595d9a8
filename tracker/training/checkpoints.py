"""Where a run stands: one file, so that what is read back belongs together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..backbones import check_finite
from ..errors import InputError
from ..files import replacing_file
from ..optimizers import flat_moments, restore_moments

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(
    file: Path,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    state: dict[str, Any],
) -> None:
    """Write the parameters that are trained, the optimizer's moments, the best parameters and plain data.

    Raises:
        InputError: If a parameter is not finite; the checkpoint before stays.
        OSError: If the disk refuses.
    """
    check_finite(parameters, "The training has diverged", "give a lower learning rate")
    tensors = {f"now.{name}": value.detach() for name, value in parameters.items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"moments.{name}": value for name, value in flat_moments(optimizer).items()}
    with replacing_file(file) as temporary:
        save_file(
            {name: value.cpu().contiguous() for name, value in tensors.items()},
            temporary,
            metadata={"state": json.dumps(state)},
        )


@torch.no_grad()
def read_checkpoint(
    file: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Put parameters and moments back.

    Returns:
        The best parameters and the plain data.

    Raises:
        InputError: If the file is corrupt.
    """
    groups: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "moments": {}}
    try:
        with safe_open(file, "pt") as content:
            state = json.loads(content.metadata()["state"])
            for key in content.keys():
                group, _, name = key.partition(".")
                groups[group][name] = content.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError):
        raise InputError(f"The checkpoint '{file}' is corrupt; delete it to start anew.") from None
    for name, value in groups["now"].items():
        parameters[name].copy_(value)
    restore_moments(optimizer, groups["moments"])
    return groups["best"], state
