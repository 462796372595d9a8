"""A model's files: `model.safetensors` for the weights, `config.json` for the shape; and the Hugging Face Hub."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .config import VAEConfig
from .errors import VAEError
from .files import first_line, replacing_file

if TYPE_CHECKING:
    from huggingface_hub import ModelHubMixin

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
Model = TypeVar("Model", bound="HubModel")


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


class HubModel(ABC):
    """A model with the methods of `huggingface_hub.ModelHubMixin`, which is imported when one of them is called.

    A model's folder holds safetensors and JSON, from which nothing is unpickled, and `README.md`, its model card.
    The errors of the network are the library's.
    """

    hub_title: ClassVar[str]
    """First line of the model card."""
    hub_usage: ClassVar[str]
    """Python code that loads the model from `USER/NAME`, for the model card."""

    @property
    @abstractmethod
    def card(self) -> dict[str, Any]:
        """How the model was made, as plain data."""

    @abstractmethod
    def write_files(self, folder: Path) -> None:
        """Write weights and configuration into a folder that exists."""

    @classmethod
    @abstractmethod
    def read_files(cls: type[Model], folder: Path, **options: Any) -> Model:
        """Read what `write_files` wrote."""

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write the model and its model card; a `README.md` that is there already stays.

        Args:
            folder: Made where it is missing.
            **options: Of `huggingface_hub.ModelHubMixin.save_pretrained`.

        Raises:
            VAEError: If `huggingface_hub` is not installed, or the model cannot be written.
            OSError: If the disk refuses.
        """
        _adapter(type(self))(self).save_pretrained(folder, **options)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the files of `save_pretrained`.

        Args:
            repo_id: `USER/NAME`.
            **options: Of `huggingface_hub.ModelHubMixin.push_to_hub`, such as `private` and `token`.

        Returns:
            The address of the commit.

        Raises:
            VAEError: See `save_pretrained`.
        """
        return str(_adapter(type(self))(self).push_to_hub(repo_id, **options))

    @classmethod
    def from_pretrained(cls: type[Model], name: str | Path, **options: Any) -> Model:
        """Load a model.

        Args:
            name: `USER/NAME` on the Hub, or a folder of `save_pretrained`.
            **options: Of `huggingface_hub.ModelHubMixin.from_pretrained`, such as `revision`, and of the model's
                loading, such as `device`.

        Raises:
            VAEError: If `huggingface_hub` is not installed, or the files are not those of such a model.
        """
        model: Model = _adapter(cls).from_pretrained(name, **options).model
        return model


def _adapter(kind: type[HubModel]) -> Any:
    """The class of `huggingface_hub` that saves, loads and uploads models of a kind."""
    try:
        from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, snapshot_download
    except ImportError:
        raise VAEError(
            "huggingface_hub, which saves and loads models for the Hub, is not installed; install"
            " occlusion-search[hub]."
        ) from None

    class Adapter(ModelHubMixin):
        _hub_mixin_config = {"class": kind.__name__}  # written to config.json where the model writes none

        def __init__(self, model: HubModel) -> None:
            self.model = model

        def _save_pretrained(self, save_directory: Path) -> None:
            self.model.write_files(save_directory)

        def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
            data = ModelCardData(library_name="occlusion-search", tags=["variational-autoencoder"])
            return ModelCard(
                f"---\n{data.to_yaml()}\n---\n\n# {kind.hub_title}\n\n```python\n{kind.hub_usage}\n```\n\n"
                f"How it was made:\n\n```json\n{json.dumps(self.model.card, indent=1)}\n```\n"
            )

        @classmethod
        def _from_pretrained(  # type: ignore[override]
            cls, *, model_id: str, force_download: bool, token: Any, cache_dir: Any, local_files_only: bool,
            revision: str | None, **options: Any,
        ) -> ModelHubMixin:  # fmt: skip
            folder = model_id
            if not Path(model_id).is_dir():
                folder = snapshot_download(
                    model_id, revision=revision, cache_dir=cache_dir, force_download=force_download, token=token,
                    local_files_only=local_files_only, allow_patterns=["*.json", "*.safetensors"],
                )  # fmt: skip
            return cls(kind.read_files(Path(folder), **options))

    return Adapter
