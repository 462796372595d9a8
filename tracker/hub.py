"""Models on the Hugging Face Hub, by the library `huggingface_hub`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .errors import InputError

if TYPE_CHECKING:
    from huggingface_hub import ModelHubMixin

Model = TypeVar("Model", bound="HubModel")


class HubModel(ABC):
    """A model with the methods of `huggingface_hub.ModelHubMixin`, which is imported when one of them is called.

    A model's folder holds safetensors and JSON, from which nothing is unpickled, and `README.md`, its model card.
    The errors of the network are the library's.
    """

    hub_title: ClassVar[str]
    """First line of the model card."""
    hub_usage: ClassVar[str]
    """Python code that loads the model from `USER/NAME`, for the model card."""
    card: dict[str, Any]
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
            InputError: If `huggingface_hub` is not installed, or the model cannot be written.
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
            InputError: See `save_pretrained`.
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
            InputError: If `huggingface_hub` is not installed, or the files are not those of such a model.
        """
        model: Model = _adapter(cls).from_pretrained(name, **options).model
        return model


def _adapter(kind: type[HubModel]) -> Any:
    """The class of `huggingface_hub` that saves, loads and uploads models of a kind."""
    try:
        from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, snapshot_download
    except ImportError:
        raise InputError(
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
            data = ModelCardData(library_name="occlusion-search", tags=["visual-tracking", kind.__name__.lower()])
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
