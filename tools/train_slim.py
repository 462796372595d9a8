"""Train the slim network that the package ships, from VGG-16.

    python tools/train_slim.py --data DIR --teacher FILE

The same command resumes an interrupted training.
"""

from __future__ import annotations

from pathlib import Path

import tyro
from slim_training import BackboneTraining, train_backbone

from agents.common.locks import lock_folder
from agents.common.output import TRAINING_BYTES, check_folder
from agents.common.scripts import run_script
from tracker.models.backbones import resolve_device


def main(
    data: Path,
    teacher: Path,
    settings: tyro.conf.OmitArgPrefixes[BackboneTraining],
    out: Path = Path("out/backbone"),
    device: str = "auto",
) -> None:
    """Train the slim network, from VGG-16.

    Args:
        data: Folder of annotated sequences to train on.
        teacher: VGG-16's weights: a file with at least the convolutions.
        settings: Settings of the training.
        out: Receives slim.safetensors and its card slim.json.
        device: auto, cpu or cuda.
    """
    check_folder(out, data, teacher, least_bytes=TRAINING_BYTES)
    with lock_folder(out):
        train_backbone(data, teacher, out, settings, resolve_device(device))
    print(f"slim.safetensors and its card are in {out}")


if __name__ == "__main__":
    run_script(main)
