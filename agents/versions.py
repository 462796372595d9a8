"""What a result was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

__all__ = ["versions"]

_DISTRIBUTIONS = (
    "occlusion-search",
    "gymnasium",
    "stable-baselines3",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python",
)


def versions() -> dict[str, str]:
    """Python's, the machine's architecture, the packages', and the instructions that torch uses on the CPU."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    found["cpu"] = torch.backends.cpu.get_cpu_capability()
    return found
