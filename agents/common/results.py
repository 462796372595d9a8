"""Result files: figures with the command, the commit, the machine and the version of their format."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .output import write_json

FORMATS = {
    "benchmark report": 2,
    "benchmark run": 2,
    "benchmark score": 2,
    "check-tracker": 1,
    "doctor": 1,
    "enjoy": 1,
    "env_speed": 1,
    "evaluation": 3,
    "fit-prior": 1,
    "generate": 1,
    "generation_speed": 1,
    "ladder": 3,
    "ladder_recipe": 1,
    "learning_curves": 1,
    "loader_speed": 1,
    "paper_state": 1,
    "patches": 1,
    "play": 1,
    "plot": 1,
    "robustness": 1,
    "siamfc": 2,
    "state_correlation": 1,
    "stopping": 1,
    "stress": 1,
    "stress_prediction": 1,
    "stress_ladder_seeds": 1,
    "stress_siamfc": 1,
    "tracker_speed": 1,
    "train-siamfc": 1,
    "train-tracker": 1,
    "train-vae": 1,
    "vae": 2,
    "vae_speed": 1,
    "vae_validation": 1,
}
"""Version of each kind of result file; it grows when a key is renamed, removed or changes its meaning."""

_ROOT = Path(__file__).resolve().parents[2]


def write_result(path: Path | None, kind: str, content: Mapping[str, Any]) -> None:
    """Write figures to a JSON file, with their provenance.

    Adds `format` (such as `ladder/2`), `command`, `commit` and `machine`.

    Args:
        path: The file; it appears complete or not at all. `None` for no output.
        kind: A name of `FORMATS`.
        content: The figures.
    """
    if path is None:
        return
    provenance = {
        "format": f"{kind}/{FORMATS[kind]}",
        "command": command_line(),
        "commit": commit(),
        "machine": machine(),
    }
    write_json(path, {**content, **provenance})


def command_line(arguments: list[str] | None = None) -> str:
    """Return the command of this process as a person types it, absolute paths relative to the current folder.

    >>> command_line(["/venv/bin/occlusion-search", "demo", "--device", "cpu"])
    'occlusion-search demo --device cpu'
    """
    program, *rest = sys.argv if arguments is None else arguments
    words = ["python", os.path.relpath(program)] if program.endswith(".py") else [Path(program).name]
    if words == ["python", os.path.relpath(Path(__file__).parents[1] / "cli" / "__main__.py")]:
        words = ["occlusion-search"]
    return shlex.join(
        [*words, *(re.sub(r"(?<![^=])/.*", lambda path: os.path.relpath(path[0]), word) for word in rest)]
    )


def commit() -> str:
    """Return the commit of the checkout that runs, with `-dirty` where it was changed, or else the version."""
    if (_ROOT / ".git").exists():
        words = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
        try:
            found = subprocess.run(words, capture_output=True, text=True, check=True)
            return found.stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    from .versions import versions

    return f"version {versions()['occlusion-search']}"


def machine() -> dict[str, Any]:
    """Return the properties of the machine that figures and times depend on, without its name."""
    import torch

    from tracker.models.backbones import resolve_precision

    from .versions import versions

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        **versions(),
        "cores": allowed,
        "threads": torch.get_num_threads(),
        "bf16_units": resolve_precision("auto", torch.device("cpu")) == torch.bfloat16,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
