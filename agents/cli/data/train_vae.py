"""The command `train-vae`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from ..shared import GOES_ON, Device, Json, Ray, Seed, WorkerCount, choose_workers, on_interrupt


def train_vae(
    data: Path,
    out: Path = Path("out/vae/bank"),
    only: tuple[str, ...] = (),
    epochs: int = 20_000,
    latent: int = 2,
    architecture: Literal["mlp", "conv"] = "mlp",
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
    beta: float = 1.0,
    warmup: int = 0,
    batch_size: int | None = None,
    validation: float = 0.0,
    patience: int | None = None,
    plateau: bool = False,
    frames: Literal["all", "training"] = "all",
    max_crops: int | None = None,
    pictures: bool = False,
    replace: bool = False,
    workers: WorkerCount = 1,
    ray: Ray = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Train the manifold (VAE) of each video's target.

    One model a video (PSGN, section 4.1 of the paper), in a folder that is called a bank. Models that the bank
    holds already are skipped, so the same command resumes a run that was cut off. With two latent dimensions,
    manifold.png is drawn beside each model.

    Args:
        data: A folder of annotated sequences, or one sequence.
        out: Folder of the bank.
        only: Only these sequences; all by default.
        epochs: Passes over a video's crops; the paper's 20,000 take hours a video on a CPU.
        latent: Dimensions of the latent code; the paper's are 2.
        architecture: The paper's fully connected network, or the convolutional one.
        likelihood: Density of a pixel: the paper's Bernoulli, or Gaussians with one learned standard deviation.
        beta: Weight of the KL divergence in the loss.
        warmup: Epochs in which that weight rises from 0.
        batch_size: Crops of an update; all by default, as in the paper.
        validation: Hold out this share of a video's crops, and keep the model with their highest ELBO.
        patience: With --validation: stop after so many epochs without a higher ELBO.
        plateau: Stop a model's training when its loss no longer falls.
        frames: Training frames: all that show the target, or those before the last third, as evaluate-vae needs.
        max_crops: Train on at most this many frames of a video, evenly spaced.
        pictures: Write traversal.gif, traversal.mp4 and reconstructions.png beside each model too.
        replace: Train models anew that the bank holds with other settings or of other crops.

    Examples:
        occlusion-search train-vae --data path/to/videos --out out/bank
        occlusion-search train-vae --data path/to/videos --validation 0.1 --patience 200
    """
    import vae
    from tracker.models.backbones import resolve_device
    from vae.bank import FAILURES_NAME
    from vae.config import Plateau

    from ...common.output import check_folder
    from ...common.results import write_result
    from ...manifolds.bank import find_videos, train_bank
    from ...manifolds.pictures import draw_bank

    check_folder(out, data, json=json)
    videos = find_videos(data, only)
    place = str(resolve_device(device))
    bank = vae.VAEBank(out, place)
    with on_interrupt(f"the models so far are in {out}; {GOES_ON}"):
        report = train_bank(
            bank,
            videos,
            choice=frames,
            max_crops=max_crops,
            model_config=vae.VAEConfig(latent=latent, architecture=architecture, likelihood=likelihood, beta=beta),
            training=vae.TrainingConfig(
                epochs=epochs,
                seed=seed,
                plateau=Plateau() if plateau else None,
                batch_size=batch_size,
                validation_share=validation,
                patience=patience,
                warmup_epochs=warmup,
            ),
            replace=replace,
            workers=choose_workers(workers, ray),
        )
        drawn = [name for name in videos if name in report.trained + report.skipped]
        draw_bank(bank, {name: videos[name] for name in drawn}, moving=pictures)
    if json is not None:
        records = {name: bank.record(name).to_dict() for name in drawn}
        content = {"trained": report.trained, "skipped": report.skipped, "failed": report.failed}
        write_result(json, "train-vae", {**content, "models": records})
    counts = f"Models trained: {len(report.trained)}; there already: {len(report.skipped)}"
    print(f"{counts}; in the bank {out}: {len(bank)}.")
    for name, reason in report.failed.items():
        print(f"- {name} failed: {reason}", file=sys.stderr)
    if report.failed:
        print(f"The reasons are in {out / FAILURES_NAME} too.", file=sys.stderr)
        sys.exit(1)
