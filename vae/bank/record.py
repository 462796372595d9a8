"""How each model of a bank was made, and the files that say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..config import TrainingConfig, VAEConfig
from ..errors import VAEError

_BLOCK = 2**20
"""Bytes of a file that are read at once."""


@dataclass(frozen=True)
class BankRecord:
    """How a model of a bank was made.

    Attributes:
        images: How many it was trained on.
        images_digest: SHA-256 of their shape and pixels.
        model_config: The network's shape.
        training: The recipe.
        epochs: Epochs done; fewer than the recipe's where a rule stopped it.
        reconstruction: The negative of log p(x|z) in the epoch that the model is of, in nats, a mean over the
            training images: the last, or with a validation split `best_epoch`.
        kl: The divergence of that epoch, likewise.
        seconds: The training took; of a resumed one the last part.
        weights_digest: SHA-256 of `model.safetensors`.
        precision: The arithmetic that the recipe's `precision` was resolved to: `float32` or `bfloat16`.
        device: Where it was trained: `cpu` or `cuda`. Both are `None` in records that do not say so.
        codes_digest: SHA-256 of `codes.safetensors`; `None` in records that do not say so.
        best_epoch: Epoch of the highest held-out ELBO, counted from 1; `None` without a validation split.
        validation: That ELBO, in nats, a mean over the held-out images; likewise.
        notes: What the caller wanted to keep, as plain data.
    """

    images: int
    images_digest: str
    model_config: VAEConfig
    training: TrainingConfig
    epochs: int
    reconstruction: float
    kl: float
    seconds: float
    weights_digest: str
    precision: str | None = None
    device: str | None = None
    codes_digest: str | None = None
    best_epoch: int | None = None
    validation: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BankRecord:
        """Undo `to_dict`.

        Raises:
            VAEError: If a name is missing or unknown, or a configuration is bad.
        """
        given = dict(values)
        try:
            given["model_config"] = VAEConfig.from_dict(given["model_config"])
            given["training"] = TrainingConfig.from_dict(given["training"])
            return cls(**given)
        except (KeyError, TypeError) as error:
            raise VAEError(f"A bank's record has a name too few or too many: {error}.") from None


@dataclass(frozen=True)
class BankReport:
    """What became of each video of `VAEBank.train_all`, in the order of the videos.

    Attributes:
        trained: The videos whose models were trained now.
        skipped: Those whose models were there.
        failed: Those without a model, and why.
    """

    trained: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: dict[str, str]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a file, or `None` where there is no such file or it holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
