"""Where a run stands: one file, so that what is read back belongs together."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..files import replacing_file
from ..models.backbones import check_finite
from ..records import warn_of_damage
from .optimizers import flat_moments, restore_moments

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
    content = {name: value.cpu().contiguous() for name, value in tensors.items()}
    # One entry, because safetensors writes several in any order.
    text = json.dumps({"sha256": _digest(state, content), "state": state})
    with replacing_file(file) as temporary:
        save_file(content, temporary, metadata={"training": text})


@torch.no_grad()
def read_checkpoint(
    file: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Put parameters and moments back.

    Returns:
        The best parameters and the plain data; `None` where there is no checkpoint or, with a warning, where it is
        damaged, and nothing was put back.
    """
    if not file.exists():
        return None
    try:
        with safe_open(file, "pt") as content:
            found = json.loads(content.metadata()["training"])
            tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
            intact = found["sha256"] == _digest(found["state"], tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        warn_of_damage(file, "the training starts anew")
        return None
    groups: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "moments": {}}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        groups[group][name] = tensor
    for name, value in groups["now"].items():
        parameters[name].copy_(value)
    restore_moments(optimizer, groups["moments"])
    return groups["best"], found["state"]


def _digest(state: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of a checkpoint's content, since safetensors files have no checksum of their own."""
    digest = hashlib.sha256(json.dumps(state).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
