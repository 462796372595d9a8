"""Train the slim network that the package ships, from VGG-16.

    python tools/train_slim.py --data DIR --teacher FILE

The same command goes on where an earlier one was cut off.
"""

from __future__ import annotations

from pathlib import Path

import tyro
from slim_training import BackboneTraining, train_backbone

from agents.common.locks import lock_folder
from agents.common.output import TRAINING_BYTES, check_folder
from tracker.models.backbones import resolve_device


def main(
    data: Path,
    teacher: Path,
    out: Path = Path("out/backbone"),
    validation: tuple[str, ...] = ("fernando", "hand2", "sunshade"),
    rounds: int = 1,
    epochs: int = 30,
    fc_steps: int = 600,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train it.

    Args:
        data: Folder of annotated sequences to train on.
        teacher: VGG-16's weights: a file with at least the convolutions.
        out: Receives slim.safetensors and its card slim.json.
        validation: Sequences of `data` that nothing is trained on.
        rounds: How many times the six kinds of crops are cut out of every frame.
        epochs: Passes over the crops that the convolutions learn from.
        fc_steps: Steps of the contrastive loss for the fully connected layers.
        seed: Of everything that is drawn.
        device: `auto`, `cpu` or `cuda`.
    """
    check_folder(out, data, teacher, least_bytes=TRAINING_BYTES)
    settings = BackboneTraining(validation=validation, rounds=rounds, epochs=epochs, fc_steps=fc_steps, seed=seed)
    with lock_folder(out):
        train_backbone(data, teacher, out, settings, resolve_device(device))
    print(f"slim.safetensors and its card are in {out}")


if __name__ == "__main__":
    tyro.cli(main)
