"""How a training is run, and which run a folder holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backbones import Precision
from ..errors import InputError

__all__ = ["TrainingRun", "same_run"]


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
    """

    precision: Precision = "auto"
    checkpoint_seconds: float = 60.0
    cache_bytes: int = 2**30
    map_bytes: int = 4 * 2**30
    tensorboard: Path | None = None
    progress: bool = True


def same_run(path: Path, record: dict[str, Any]) -> None:
    """Note what a folder's run is made with.

    Args:
        path: The file `OUT/work/run.json`.
        record: Plain data.

    Raises:
        InputError: If a run that was made with something else has been noted there.
    """
    text = json.dumps(record, indent=1)
    if path.exists() and path.read_text() != text:
        raise InputError(
            f"'{path.parent.parent}' holds a run with other settings, data, weights or precision; give another"
            " --out or delete it."
        )
    path.write_text(text)
