"""The command `train-tracker`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tracker.errors import InputError
from tracker.training.settings import SintTraining

from ..shared import GOES_ON, Device, Json, Precision, flags_from_fields, on_interrupt, warn_of_otb


@flags_from_fields
def train_tracker(
    *,
    data: Path,
    out: Path,
    config: Literal["fast", "paper"] = "fast",
    features: str | None = None,
    weights: str | None = None,
    validation: tuple[str, ...] = (),
    hard_positives: Path | None = None,
    harden: str | None = None,
    settings: SintTraining,
    layer_rates: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN=FACTOR ...")] = (),
    side: int | None = None,
    fc_size: int | None = None,
    fc_rank: int | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    checkpoint_seconds: float = 60.0,
    loader_workers: int = 0,
    tensorboard: Path | None = None,
    json: Json = None,
) -> None:
    """Train the matcher SINT on annotated videos.

    The same command resumes a run that was cut off.

    Args:
        data: Folder of annotated videos.
        out: Folder for the weights, their card and the checkpoint.
        config: Input of the network: fast is the region around the target; paper is SINT's own (the frame warped
            to 512 x 512, VGG-16 without its last three poolings), for a GPU.
        features: The backbone: slim, vgg16, alexnet, torchvision:MODEL or torchvision:MODEL:NODE,NODE; slim for
            fast, vgg16 for paper.
        weights: The backbone's weights: a file, imagenet (torchvision fetches them), or random.
        validation: Videos of `data` that select the best step and are not trained on; by default fernando hand2
            sunshade where `data` holds them, else the last fifth of the videos.
        hard_positives: Folder of hard positives of training videos, as `generate` and `demo` write it.
        harden: Hardening of frames during training: random, wide, contrast, lookalikes, hardest, curriculum,
            margin, roi-holes, erasing, blur; `reproduce` describes and measures each.
        side: Side of the network's input in pixels.
        fc_size: Outputs of fc6 where the weights hold none; 0 leaves it out.
        fc_rank: Channels that the maps are projected to before fc6, which makes it smaller.
        checkpoint_seconds: Seconds between two checkpoints.
        loader_workers: Processes that load the frames of the next steps; the result is the same with any number.
        tensorboard: Folder for TensorBoard's event files.

    Examples:
        occlusion-search train-tracker --data path/to/videos --out out/sint
        occlusion-search train-tracker --data path/to/videos --hard-positives out/hard_positives --out out/sint++
    """
    from tracker.models.backbones import resolve_device
    from tracker.models.sint import SintConfig
    from tracker.training import TrainingRun, open_folder, read_hard_positives, train_sint

    from ...ablation.arms import hardening_of
    from ...common.locks import lock_folder
    from ...common.output import TRAINING_BYTES, check_folder
    from ...common.results import write_result

    check_folder(out, data, weights, hard_positives, least_bytes=TRAINING_BYTES, json=json)
    if tensorboard is not None:
        check_folder(tensorboard, data, weights, hard_positives, option="--tensorboard")
    network = SintConfig(features or "slim") if config == "fast" else SintConfig.paper(features or "vgg16")
    if side is not None:
        network = replace(network, side=side)
    if fc_size is not None:
        network = replace(network, fc_size=fc_size or None)
    if fc_rank is not None:
        network = replace(network, fc_rank=fc_rank)
    settings = replace(settings, layer_rates=_rates(layer_rates))
    positives = read_hard_positives(hard_positives) if hard_positives is not None else []
    train, held_out = open_folder(data, validation)
    warn_of_otb(train)
    with on_interrupt(f"{GOES_ON} from the last checkpoint in {out}"), lock_folder(out):
        card = train_sint(
            train, held_out, out, network, settings, weights, positives, resolve_device(device),
            TrainingRun(precision, checkpoint_seconds, tensorboard=tensorboard, loader_workers=loader_workers),
            None if harden is None else hardening_of(harden, settings.hard_share),
        )  # fmt: skip
    write_result(json, "train-tracker", card)
    before, after = (card["validation"][when] for when in ("before", "after"))
    print(
        f"Validation on {', '.join(card['validated_on'])}: pair AUC {before['pair_auc']:.4f} before,"
        f" {after['pair_auc']:.4f} at step {card['best_step']}; top-1 {before['top1']:.4f} before,"
        f" {after['top1']:.4f} after."
    )
    print(f"The weights and their card are in {out}")


def _rates(texts: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    found = []
    for text in texts:
        pattern, _, factor = text.partition("=")
        try:
            found.append((pattern, float(factor)))
        except ValueError:
            raise InputError(f"'{text}' is no layer rate; give PATTERN=FACTOR, such as conv5=0.1.") from None
    return tuple(found)
