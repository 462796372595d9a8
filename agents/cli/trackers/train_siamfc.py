"""The command `train-siamfc`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from tracker.training.settings import SiamFCTraining

from ..shared import GOES_ON, Device, Json, Precision, flags_from_fields, on_interrupt, warn_of_otb


@flags_from_fields
def train_siamfc(
    *,
    data: Path,
    weights: Path,
    out: Path,
    hard_positives: Annotated[str | None, tyro.conf.arg(metavar="METHOD")] = None,
    hard_share: float = 0.5,
    max_area: float = 0.25,
    validation: tuple[str, ...] = (),
    settings: SiamFCTraining,
    device: Device = "auto",
    precision: Precision = "auto",
    checkpoint_seconds: float = 60.0,
    loader_workers: int = 0,
    json: Json = None,
) -> None:
    """Fine-tune SiamFC, with or without hard positives.

    The same command resumes a run that was cut off. `benchmark run --tracker siamfc --weights
    OUT/siamfc.safetensors` then scores the tracker.

    Args:
        data: Folder of annotated videos.
        weights: SiamFC's initial weights, a safetensors file.
        out: Folder for siamfc.safetensors, its card and the checkpoint.
        hard_positives: How the targets of search regions are occluded: a method of
            `agents.policies.methods.METHODS`, such as random or best-of-8-random, which queries the network as
            it is at that step; none by default.
        hard_share: Share of the pairs whose search region is occluded.
        max_area: Share of the target that is covered.
        validation: Videos of `data` that only the loss is measured on; by default fernando hand2 sunshade where
            `data` holds them, else the last fifth of the videos.
        checkpoint_seconds: Seconds between two checkpoints.
        loader_workers: Processes that load the frames of the next steps; the result is the same with any number.

    Examples:
        occlusion-search train-siamfc --data path/to/videos --weights siamfc.safetensors --out out/siamfc
        occlusion-search train-siamfc --data path/to/videos --weights siamfc.safetensors --out out/hard \
            --hard-positives best-of-8-random
    """
    from occlusion_env.mdp.actions import RegionLimits
    from tracker.models.backbones import resolve_device
    from tracker.models.siamfc import load_siamfc
    from tracker.scorers.foreign import SiamFCScorer
    from tracker.training import TrainingRun, open_folder
    from tracker.training import train_siamfc as train_net

    from ...common.locks import lock_folder
    from ...common.output import TRAINING_BYTES, check_folder
    from ...common.results import write_result
    from ...hard_positives.transforms import HardPositiveBatch

    check_folder(out, data, weights, least_bytes=TRAINING_BYTES, json=json)
    net = load_siamfc(weights).to(resolve_device(device))
    transform = None
    if hard_positives is not None:
        transform = HardPositiveBatch(
            hard_positives, SiamFCScorer(net, None, precision), hard_share, RegionLimits(max_area=max_area)
        )
    train, held_out = open_folder(data, validation)
    warn_of_otb(train)
    with on_interrupt(f"{GOES_ON} from the last checkpoint in {out}"), lock_folder(out):
        run = TrainingRun(precision, checkpoint_seconds, loader_workers=loader_workers)
        card = train_net(net, train, held_out, out, settings, transform, run)
    write_result(json, "train-siamfc", card)
    loss = card["validation_loss"]
    print(
        f"The loss on {', '.join(card['validated_on'])}: {loss['before']:.4f} before, {loss['after']:.4f} after"
        f" {settings.steps} steps."
    )
    print(f"The weights and their card are in {out}")
