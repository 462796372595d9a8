"""The command `evaluate-vae`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from tracker.errors import InputError

from ..shared import GOES_ON, Device, Json, Precision, Seed, on_interrupt, print_table

_COLUMNS = {
    "mse": "MSE",
    "ssim": "SSIM",
    "diversity": "diversity",
    "novelty": "novelty",
    "novelty_ratio": "(ratio)",
    "realism": "realism",
}


def evaluate_vae(
    data: Path,
    bank: Path | None = None,
    epochs: int | None = None,
    only: tuple[str, ...] = (),
    latent: int = 2,
    architecture: Literal["mlp", "conv"] = "mlp",
    samples: int = 64,
    held_out: int = 40,
    out: Path = Path("out/evaluate-vae"),
    features: Literal["slim", "vgg16"] = "slim",
    weights: str | None = None,
    precision: Precision = "auto",
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Measure manifold samples beside PCA, blends and blurs.

    The models are trained on the first two thirds of each video and evaluated on the last third. Give a bank that
    `train-vae --frames training` wrote, with any of its options, or --epochs to train one in OUT/bank; the same
    command resumes it.

    Writes vae.json to OUT, and samples.png and reconstructions.png of each video to OUT/pictures.

    Args:
        data: A folder of annotated sequences, or one sequence.
        bank: The models to evaluate.
        epochs: Train the models first, for so many updates.
        only: Only these sequences; all by default.
        latent: With --epochs: dimensions of the latent code.
        architecture: With --epochs: the paper's fully connected network, or the convolutional one.
        samples: Images that each method draws for a video.
        held_out: Held-out crops of a video, evenly spaced, at most.
        out: Folder for the results.
        features: Network of the matcher whose score measures realism.
        weights: A safetensors file with the network's weights.

    Examples:
        occlusion-search evaluate-vae --data path/to/videos --epochs 2000
        occlusion-search evaluate-vae --data path/to/videos --bank out/bank --json vae.json
    """
    import numpy as np

    import vae
    from tracker.files import remove_leftovers
    from tracker.models.backbones import precision_name, resolve_device
    from tracker.scorers import load_scorer

    from ...common.locks import lock_folder
    from ...common.output import check_folder
    from ...common.results import write_result
    from ...manifolds.bank import find_videos, train_bank
    from ...manifolds.evaluation import EvaluationSettings, VideoManifold, evaluate_bank
    from ...manifolds.pictures import draw_held_out, draw_samples

    check_folder(out, data, bank, weights, json=json)
    if (bank is None) == (epochs is None):
        raise InputError("Give either --bank, the models to judge, or --epochs, to train them first.")
    settings = EvaluationSettings(samples, held_out, seed)
    videos = find_videos(data, only)
    place = str(resolve_device(device))
    precision = precision_name(precision, place)
    scorer = load_scorer(features, weights, place, precision)
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    models = vae.VAEBank(bank or out / "bank", place)
    untrained: dict[str, str] = {}
    if epochs is not None:
        shape = vae.VAEConfig(latent=latent, architecture=architecture)
        training = vae.TrainingConfig(epochs=epochs, seed=seed)
        with on_interrupt(f"the models so far are in {out / 'bank'}; {GOES_ON}"), lock_folder(out):
            report = train_bank(models, videos, choice="training", model_config=shape, training=training)
        untrained = report.failed
        videos = {name: path for name, path in videos.items() if name not in untrained}
    if not videos:
        raise InputError(next(iter(untrained.values())))

    def draw(name: str, video: VideoManifold) -> None:
        print(f"{name} is evaluated", file=sys.stderr)
        folder = out / "pictures" / name
        folder.mkdir(parents=True, exist_ok=True)
        draw_held_out(folder / "reconstructions.png", video)
        draw_samples(folder / "samples.png", video, np.random.default_rng(seed))

    with (
        on_interrupt(f"no figures were written, and the pictures so far are in {out / 'pictures'}"),
        lock_folder(out),
    ):
        content = evaluate_bank(models, videos, scorer, settings, draw)
    content["failed"] = {**untrained, **content["failed"]}
    content.update(features=features, device=place, precision=precision)
    for path in (out / "vae.json", json):
        write_result(path, "vae", content)
    _print_table(content)
    print(f"The figures of each video are in {out / 'vae.json'}, the pictures in {out / 'pictures'}.")
    for name, reason in content["failed"].items():
        print(f"- {name} failed: {reason}", file=sys.stderr)
    if content["failed"]:
        sys.exit(1)


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    ends = found["interval"]
    return f"{found['mean']:.3g}" + ("" if ends is None else f"\n{ends[0]:.3g} to {ends[1]:.3g}")


def _print_table(content: dict[str, Any]) -> None:
    """Means over videos, and their 95 % intervals."""
    from ...manifolds.evaluation import FIGURES, METHODS

    count = len(content["videos"])
    title = f"{count} video{'s' * (count != 1)}: mean, and 95 % interval over videos"
    rows = [
        [name, *(_cell(content["methods"][method][figure]) for figure in FIGURES)]
        for method, name in METHODS.items()
    ]
    print_table(("method", *(_COLUMNS[figure] for figure in FIGURES)), rows, 150, title)
    print(
        "MSE, SSIM: of held-out crops. Diversity: variance over that of the training crops. Novelty: distance to"
        " the\nnearest training crop; its ratio is to the training crops' own. Realism: score against"
        " the exemplar."
    )
    bounds = content["bounds"]
    print(
        f"ELBO of the training crops {bounds['elbo']:.1f} nats, of the held-out {bounds['held_out_elbo']:.1f};"
        f" held-out log likelihood, importance-weighted, {bounds['held_out_log_likelihood']:.1f}."
    )
