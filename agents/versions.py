"""What a result was made with."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from tracker.backbones import resolve_precision

__all__ = ["measured_with", "versions"]

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


def measured_with() -> dict[str, Any]:
    """What a benchmark's figures depend on: its `command`, and of the `machine` what timings hang on."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "command": shlex.join(["python", *sys.argv]),
        "machine": {
            **versions(),
            "cores": allowed,
            "threads": torch.get_num_threads(),
            "bf16_units": resolve_precision("auto", torch.device("cpu")) == torch.bfloat16,
        },
    }
