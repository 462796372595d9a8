"""The training from a folder of sequences to weights and a card."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from tracker.data.identity import check_identity
from tracker.errors import InputError
from tracker.files import remove_leftovers, replacing_file
from tracker.models.backbones import (
    Slim,
    describe_arithmetic,
    fingerprint,
    load_backbone,
    resolve_device,
    resolve_precision,
    save_weights,
)
from tracker.training.data import open_folder

from .contrastive import matching_figures, train_fully_connected
from .distillation import VIEWS, distil, teacher_maps
from .settings import BackboneTraining

__all__ = ["train_backbone"]


def train_backbone(
    data: str | Path,
    teacher: str | Path,
    out: str | Path,
    settings: BackboneTraining | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> dict[str, object]:
    """Train the slim net; an interrupted run resumes.

    Args:
        data: A folder of annotated sequences.
        teacher: VGG-16's weights (`load_backbone`).
        out: Receives `slim.safetensors`, its card `slim.json`, and the folder `work/` that an interrupted
            run resumes from (about 140 kB a crop).
        settings: See `BackboneTraining`.
        device: Where it runs.
        progress: Whether to show progress bars.

    Returns:
        The card: what it was trained on, and its figures on the validation sequences beside the teacher's.

    Raises:
        InputError: If there are no sequences to train or to validate on, they are too few or too short, or `out`
            holds a run with other settings, data or teacher.
    """
    settings = settings or BackboneTraining()
    train, held_out = open_folder(data, settings.validation)
    if not settings.validation:
        settings = replace(settings, validation=tuple(sequence.name for sequence in held_out))
    count = VIEWS * settings.rounds * sum(len(sequence.present) for sequence in train)
    if count < settings.batch_size:
        raise InputError(
            f"{count} crops do not fill a batch of {settings.batch_size}; give --data more frames, or a smaller"
            " --batch-size."
        )
    device = resolve_device(str(device))
    vgg = load_backbone("vgg16", teacher, device)

    out = Path(out)
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    run: dict[str, object] = {
        "settings": asdict(settings),
        "frames": {sequence.name: len(sequence.present) for sequence in [*train, *held_out]},
        "teacher": fingerprint(vgg),
        "arithmetic": describe_arithmetic(resolve_precision("auto", device), device),
    }
    check_identity(work / "run.json", run, what="a run with other settings")
    reference = matching_figures(vgg, held_out, with_fc=False)
    crops, knowledge = teacher_maps(train, vgg, work / "train", settings, progress)
    slim = Slim().to(device).to(memory_format=torch.channels_last)
    distil(slim, crops, knowledge, work / "convolutions.safetensors", settings, progress)
    curve = train_fully_connected(slim, train, held_out, settings, progress)

    card: dict[str, object] = {
        "network": "slim: 5 convolutions, fc6, fc7, fc8; RGB in [0, 1], 112 x 112",
        "parameters": sum(parameter.numel() for parameter in slim.parameters()),
        "convolutions": "distilled from VGG-16's conv4_3 and conv5_3",
        "teacher": run["teacher"],
        "arithmetic": run["arithmetic"],
        "fully_connected": "SINT's contrastive loss, margin 1, convolutions fixed; the best step on validation",
        "trained_on": [sequence.name for sequence in train],
        "frames": sum(len(sequence) for sequence in train),
        "validated_on": [sequence.name for sequence in held_out],
        "settings": asdict(settings),
        "validation": {
            "slim": matching_figures(slim, held_out),
            "slim_convolutions_alone": matching_figures(slim, held_out, with_fc=False),
            "vgg16_convolutions": reference,
            "contrastive_curve": curve,
        },
    }
    save_weights(out / "slim.safetensors", {key: value.half() for key, value in slim.state_dict().items()})
    with replacing_file(out / "slim.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    return card
