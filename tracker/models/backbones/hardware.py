"""Where a network runs, and in which arithmetic."""

from __future__ import annotations

import platform
from typing import Literal

import torch

from ...errors import InputError, check_choice

Precision = Literal["auto", "fp32", "bf16"]


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of a name, with its index, so that devices can be compared.

    The package's device policy: `auto` is CUDA's current device where there is one, and the CPU elsewhere.
    Whatever the package loads by name (features, SINT, the predictor, backbones) goes to the requested device. A
    scorer that is given as an object, or that a function makes, stays on its own `device`; crops are moved to it,
    and its scores back, so that scorer and features may be on different devices. A network that is given as an
    object stays where it is.

    Args:
        device: `auto`, `cpu`, `cuda` (its current device), `cuda:N` or `mps`.

    Raises:
        InputError: If the name is unknown or the machine has no such device.
    """
    if str(device) == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    if parsed is None or parsed.type not in ("cpu", "cuda", "mps") or (parsed.type != "cuda" and parsed.index):
        raise InputError(f"'{device}' is no device; choose auto, cpu, cuda, cuda:N or mps.")
    if parsed.type == "cpu":
        return torch.device("cpu")
    if parsed.type == "mps":
        if not torch.backends.mps.is_available():
            raise InputError(f"There is no device '{device}' on this machine; choose auto or cpu.")
        return torch.device("mps", 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (parsed.index or 0) >= count:
        others = "".join(f", cuda:{index}" for index in range(count))
        raise InputError(f"There is no device '{device}' on this machine; choose auto, cpu{others}.")
    return torch.device("cuda", torch.cuda.current_device() if parsed.index is None else parsed.index)


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Turn a precision into a dtype.

    `auto` is bfloat16 where the hardware has units for it, and float32 elsewhere: GPUs of compute capability 7
    (V100, T4) and AVX-512 without bfloat16 emulate it, which is up to ten times slower than float32. `vae` has the
    same rule.

    Args:
        precision: `auto`, `fp32` or `bf16`.
        device: Where the network runs.

    Raises:
        InputError: If the precision is unknown.
    """
    check_choice(precision, ("auto", "fp32", "bf16"), "precision")
    if precision != "auto":
        native = precision == "bf16"
    elif device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and _cpu_has_bf16_units()
    return torch.bfloat16 if native else torch.float32


def _cpu_has_bf16_units() -> bool:
    """Whether oneDNN has bfloat16 kernels for this CPU and the CPU has the instructions for them."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True  # There oneDNN's answer is the CPU's own; on x86 it includes emulation.
    in_use = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return in_use and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def precision_name(precision: Precision, device: str | torch.device) -> Literal["fp32", "bf16"]:
    """The precision that `auto` stands for on a device: what records hold."""
    dtype = resolve_precision(precision, resolve_device(str(device)))
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def describe_arithmetic(dtype: torch.dtype, device: torch.device) -> str:
    """The arithmetic of a network as records hold it.

    On CUDA it includes whether TF32 is used in float32: PyTorch's defaults, which this package leaves as they are,
    round the inputs of convolutions to TF32 (10 bits of mantissa) and compute matrix products in full float32.

    >>> describe_arithmetic(torch.float32, torch.device("cpu"))
    'torch.float32 on cpu'
    """
    text = f"{dtype} on {device.type}"
    if device.type != "cuda" or dtype != torch.float32:
        return text
    tf32 = {"convolutions": torch.backends.cudnn.allow_tf32, "products": torch.backends.cuda.matmul.allow_tf32}
    used = " and ".join(part for part, allowed in tf32.items() if allowed)
    return f"{text}, TF32 in {used}" if used else f"{text}, no TF32"


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Run a forward pass in `dtype`, which `resolve_precision` gave."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
