"""Versions of the software behind a result."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

_DISTRIBUTIONS = (
    "occlusion-search",
    "gymnasium",
    "stable-baselines3",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python",
)
_OPTIONAL = ("opencv-contrib-python",)
"""Recorded where they are installed; they replace one of the others."""


def versions() -> dict[str, str]:
    """Versions of Python and the packages, the machine's architecture, and torch's instruction set on the CPU."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    for name in _OPTIONAL:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    found["cpu"] = torch.backends.cpu.get_cpu_capability()
    return found


def device_name(device: torch.device) -> str:
    """Return the name of a device in a record: `cpu`, or a GPU with its model."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
