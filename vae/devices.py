"""The device and the precision of a training."""

from __future__ import annotations

import platform

import torch

from .config import Precision
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


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Turn a precision into a dtype; `auto` is bf16 where the hardware has units for it, and float32 elsewhere.

    The rule is that of `tracker.models.backbones.resolve_precision`.
    """
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.get_device_capability(device) >= (8, 0)
        else:
            native = device.type == "cpu" and _cpu_has_bf16_units()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _cpu_has_bf16_units() -> bool:
    """Whether oneDNN has bfloat16 kernels for this CPU and the CPU has the instructions for them."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True  # There oneDNN's answer is the CPU's own; on x86 it includes emulation.
    in_use = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return in_use and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
