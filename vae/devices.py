"""Where a model runs."""

from __future__ import annotations

import torch

from .errors import VAEError


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of a name as torch has it, with the index of a GPU.

    Raises:
        VAEError: If the name is unknown or the machine has no such device.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):
        raise VAEError(
            f"There is no device '{device}' on this machine; choose cpu, or a GPU that it has."
        ) from None
