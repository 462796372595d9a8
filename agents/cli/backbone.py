"""The command `train-backbone`."""

from __future__ import annotations

from pathlib import Path

from .shared import Device, Seed, on_interrupt

__all__ = ["train_backbone"]


def train_backbone(
    data: Path,
    teacher: Path,
    out: Path = Path("out/backbone"),
    validation: tuple[str, ...] = ("fernando", "hand2", "sunshade"),
    rounds: int = 1,
    epochs: int = 30,
    fc_steps: int = 600,
    seed: Seed = 0,
    device: Device = "auto",
    json: Path | None = None,
) -> None:
    """Train the slim network that the package ships; a run that was cut off goes on.

    Args:
        data: Folder of annotated sequences to train on.
        teacher: VGG-16's weights: a file with at least the convolutions.
        out: Receives slim.safetensors and its card slim.json.
        validation: Sequences of `data` that nothing is trained on.
        rounds: How many times the six kinds of crops are cut out of every frame.
        epochs: Passes over the crops that the convolutions learn from.
        fc_steps: Steps of the contrastive loss for the fully connected layers.
        seed: Of everything that is drawn.
        device: Where it runs.
        json: Write the card here too.
    """
    from tracker.backbones import resolve_device
    from tracker.slim_training import BackboneTraining
    from tracker.slim_training import train_backbone as train

    from ..locks import lock_folder
    from ..output import TRAINING_BYTES, check_folder, check_json_path
    from ..results import write_result

    check_folder(out, data, teacher, least_bytes=TRAINING_BYTES)
    check_json_path(json, data, teacher)
    settings = BackboneTraining(validation=validation, rounds=rounds, epochs=epochs, fc_steps=fc_steps, seed=seed)
    with on_interrupt(f"the same command goes on from the last checkpoint in {out}"), lock_folder(out):
        card = train(data, teacher, out, settings, resolve_device(device))
    if json is not None:
        write_result(json, "train-backbone", card)
    print(f"slim.safetensors and its card are in {out}")
