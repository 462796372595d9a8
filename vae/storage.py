"""A model's files: `model.safetensors` for the weights, `config.json` for the shape."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .config import VAEConfig
from .errors import VAEError
from .files import first_line, replacing_file

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"


def write_model(folder: str | os.PathLike[str], config: VAEConfig, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write both files, each under a temporary name first; the folder is made where it is missing.

    Raises:
        VAEError: If a value is not finite; nothing is written.
        OSError: If the disk refuses.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise VAEError(f"The model is not written: {name} is not finite; train with a lower learning rate.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing_file(folder / WEIGHTS_NAME) as temporary:
        save_file(cpu, temporary)
    write_json(folder / CONFIG_NAME, config.to_dict())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object; the file appears complete or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_config(folder: str | os.PathLike[str]) -> VAEConfig:
    """Read the shape of the model in `folder`.

    Raises:
        VAEError: If the file is missing, is not JSON, or has an unknown name or a bad value.
    """
    path = Path(folder) / CONFIG_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VAEError(f"There is no model in {folder}: {CONFIG_NAME} is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise VAEError(f"{path} cannot be read as JSON: {first_line(error)}.") from error
    try:
        return VAEConfig.from_dict(values)
    except VAEError as error:
        raise VAEError(f"{path}: {error}") from error


def read_weights(folder: str | os.PathLike[str], like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Read the weights in `folder`, on the CPU.

    Raises:
        VAEError: If the file is missing or damaged, its tensors are not those of `like` by name, shape and dtype,
            or a value is not finite.
    """
    path = Path(folder) / WEIGHTS_NAME
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except FileNotFoundError:
        raise VAEError(f"There is no model in {folder}: {WEIGHTS_NAME} is missing.") from None
    except (OSError, SafetensorError) as error:
        raise VAEError(f"{path} is damaged: {first_line(error)}.") from error
    differing = sorted(set(tensors) ^ set(like))
    if differing:
        raise VAEError(f"{path} is of another model: {', '.join(differing)} is missing or unexpected.")
    for name, tensor in tensors.items():
        if (got := _describe(tensor)) != (wanted := _describe(like[name])):
            raise VAEError(f"{path} does not fit {CONFIG_NAME}: {name} is {got}, not {wanted}.")
        if not torch.isfinite(tensor).all():
            raise VAEError(f"{path} is damaged: {name} holds values that are not finite.")
    return tensors


def _describe(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
