"""How a training is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..models.backbones import Precision

__all__ = ["TrainingRun"]


@dataclass(frozen=True)
class TrainingRun:
    """How a training is run; nothing of it changes what is drawn.

    Attributes:
        precision: Arithmetic of the forward pass; see `resolve_precision`.
        checkpoint_seconds: A checkpoint is written when the last one is this old.
        cache_bytes: For views of frames in memory.
        map_bytes: For feature maps in memory, where the first convolutions are fixed and nothing is augmented.
        tensorboard: Folder for TensorBoard's event files.
        progress: Whether to show a progress bar.

    Raises:
        InputError: If a number is negative or NaN.
    """

    precision: Precision = "auto"
    checkpoint_seconds: float = 60.0
    cache_bytes: int = 2**30
    map_bytes: int = 4 * 2**30
    tensorboard: Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("checkpoint_seconds", "cache_bytes", "map_bytes"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be 0 or more.")
