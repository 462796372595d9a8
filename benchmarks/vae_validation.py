"""What a validation split is worth for the VAE of a video: bounds of its held-out last third, and its samples.

Each VAE, of 32 x 32 crops and 128 hidden units, is trained on at most 40 crops of the first two thirds of a video:
on all of them, with a share held out to choose the best epoch, and with patience too. The crops of the last third
judge it.

    python benchmarks/vae_validation.py --data path/to/train --only bag ball1 polarbear torus
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.manifolds.bank import find_videos, manifold_frames, target_crops
from agents.manifolds.evaluation import BOUNDS, EvaluationSettings, VideoManifold, evaluate_video
from occlusion_env.scene.splits import split_frames
from tracker import open_sequence
from tracker.scorers import load_scorer
from vae import TrainingConfig, VAEConfig, fit

SIDE, HIDDEN, CROPS = 32, 128, 40
RECIPES: dict[str, dict[str, Any]] = {
    "all crops": {},
    "a fifth held out": {"validation_share": 0.2},
    "and patience": {"validation_share": 0.2, "patience": 100},
}


def main(data: Path, only: tuple[str, ...] = (), epochs: int = 1000, json: Path | None = None) -> None:
    """Train, measure and print; write the figures as JSON where it is asked for.

    Args:
        data: A folder of annotated sequences.
        only: Only these sequences; all by default.
        epochs: Of each training, at most.
        json: Where to write the results.
    """
    check_json_path(json)
    check_counts(epochs=epochs)
    settings, scorer = EvaluationSettings(), load_scorer("slim", None, "cpu", "fp32")
    results: dict[str, Any] = {}
    for name, path in find_videos(data, only).items():
        sequence = open_sequence(path, progress=False)
        frames = manifold_frames(sequence, "training", CROPS)
        held_out_frames = split_frames(sequence, settings.held_out)[1]
        crops, held_out = (target_crops(sequence, some, SIDE) for some in (frames, held_out_frames))
        results[name] = {}
        for label, values in RECIPES.items():
            training = TrainingConfig(epochs=epochs, precision="fp32", **values)
            fitted = fit(crops, model_config=VAEConfig(image_size=SIDE, hidden=HIDDEN), training=training)
            video = VideoManifold(sequence, fitted.model, frames, crops, held_out_frames, held_out)
            found = evaluate_video(video, scorer, settings)
            done, best = len(fitted.history.kl), fitted.history.best_epoch
            results[name][label] = {"epochs": done, "best_epoch": best, **found}
            bounds = ", ".join(f"{bound} {found[bound]:.1f}" for bound in BOUNDS)
            print(f"{name}, {label}: {done} epochs, best {best}, {bounds}", flush=True)
            for sampler in ("vae_posterior", "vae_mixture"):
                print(f"  {sampler}: {found['methods'][sampler]}", flush=True)
    write_result(json, "vae_validation", {"epochs": epochs, "videos": results})


if __name__ == "__main__":
    run_script(main)
