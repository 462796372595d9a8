"""Quality of the samples of a manifold, beside simpler ways of making more crops of a target.

Four figures, each for the held-out last third of a video or against its training crops:

- reconstruction: mean squared error (intensities in [0, 1]) and SSIM of held-out crops;
- diversity: variance of the samples over that of the training crops, a mean over pixels; 1 is the
  video's own;
- novelty: distance (root mean square over pixels) from a sample to the nearest training crop, beside the training
  crops' own nearest-neighbour distance; a novelty of 0 is a copy;
- realism: the matcher's score of a sample against the exemplar, the target of frame 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

import vae
from occlusion_env.scene.splits import split_frames
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.evaluation.intervals import interval, method_record
from tracker.scorers import Scorer
from tracker.scorers.outputs import score_images
from tracker.trackers.following import open_sequence

from .bank import crop_side, target_crops
from .controls import PrincipalComponents, blur_motion, interpolate_crops, nearest_on_path, pairwise_distances

Images = NDArray[np.uint8]

METHODS: Mapping[str, str] = {
    "real_held_out": "real crops, held out",
    "real_training": "real crops, trained on",
    "mean_crop": "mean crop",
    "pca": "PCA",
    "crop_interpolation": "blends of neighbouring crops",
    "motion_blur": "motion blur of real crops",
    "vae_reconstruction": "VAE: reconstructions",
    "vae_prior_grid": "VAE: prior grid (Fig. 3)",
    "vae_prior": "VAE: prior draws",
    "vae_posterior": "VAE: aggregate posterior",
    "vae_neighbours": "VAE: between neighbours",
    "vae_mixture": "VAE: mixture over the codes",
}
"""The methods, and their names in tables."""

FIGURES = ("mse", "ssim", "diversity", "novelty", "novelty_ratio", "realism")
"""The figures; `novelty_ratio` is novelty over the training crops' own nearest-neighbour distance."""

BOUNDS = ("elbo", "held_out_elbo", "held_out_log_likelihood")
"""Bounds of log p(x) in nats, means over training crops or held-out ones; the last is importance-weighted."""

_BOUND_SAMPLES = 64
"""Draws of z for each crop in a bound."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Size of an evaluation.

    Attributes:
        samples: Images of each method for a video, at least 2.
        held_out: Held-out crops of a video, evenly spaced, at most; at least 1.
        seed: Random seed, at least 0.

    Raises:
        InputError: If one is too small.
    """

    samples: int = 64
    held_out: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 2 or self.held_out < 1 or self.seed < 0:
            raise InputError(
                f"An evaluation needs at least 2 samples, 1 held-out crop and a seed of at least 0, got"
                f" {self.samples}, {self.held_out} and {self.seed}."
            )


@dataclass(frozen=True)
class VideoManifold:
    """A model with its training crops and held-out crops.

    Attributes:
        sequence: The video.
        model: Its model.
        frames: Indices of the training frames, `int64[N]`.
        crops: Their targets, `uint8[N, H, W, 3]`.
        held_out_frames: Indices of later frames, `int64[M]`.
        held_out: Their targets, `uint8[M, H, W, 3]`.
    """

    sequence: Sequence
    model: vae.VAE
    frames: NDArray[np.int64]
    crops: Images
    held_out_frames: NDArray[np.int64]
    held_out: Images


def open_manifold(bank: vae.VAEBank, name: str, sequence: Sequence, held_out: int) -> VideoManifold:
    """Load a video's model and crop its targets again.

    Args:
        bank: Contains the model.
        name: Name of the model.
        sequence: The video that it was trained on.
        held_out: Largest number of held-out crops, evenly spaced.

    Raises:
        InputError: If there is no model, it was trained on held-out frames too, or on another video.
        VAEError: If a file of the model is damaged.
    """
    if name not in bank:
        raise InputError(f"The bank '{bank.folder}' has no model of '{name}'; train it with train-vae.")
    record = bank.record(name)
    training_frames, held_out_frames = split_frames(sequence, held_out)
    frames = np.asarray(record.notes.get("frames", training_frames), dtype=np.int64)
    first = int(held_out_frames[0])
    if frames.max() >= first:
        raise InputError(
            f"The model of '{name}' in '{bank.folder}' was trained on frames from {first} on, which judge it;"
            " train it with `train-vae --frames training`."
        )
    size = crop_side(record.model_config)
    crops = target_crops(sequence, frames[frames < len(sequence)], size)
    if vae.images_digest(crops) != record.images_digest:
        raise InputError(
            f"The model of '{name}' in '{bank.folder}' was trained on other crops than '{sequence.origin}' gives;"
            " give the video that it was trained on, or train it again."
        )
    later = target_crops(sequence, held_out_frames, size)
    return VideoManifold(sequence, bank[name], frames, crops, held_out_frames, later)


def evaluate_video(video: VideoManifold, scorer: Scorer, settings: EvaluationSettings) -> dict[str, Any]:
    """Measure every method on one video.

    Args:
        video: The model and the crops.
        scorer: The matcher whose scores are the realism.
        settings: Size of the evaluation.

    Returns:
        `crops`, `held_out`, `own_distance` (mean nearest-neighbour distance of the training crops), the `BOUNDS`
        and `methods`: for each of `METHODS` its `FIGURES`, `None` where one is not defined.
    """
    crops, held_out = video.crops, video.held_out
    own = pairwise_distances(crops, crops)
    np.fill_diagonal(own, np.inf)
    own_distance = float(own.min(axis=1).mean()) if len(crops) > 1 else 0.0
    variance = _variance(crops)
    samples, rebuilt = _make_images(video, settings)
    exemplar = video.sequence.exemplar()
    methods = {}
    for method in METHODS:
        images = samples[method]
        if method == "real_training":
            novelty = own_distance
        else:
            novelty = float(pairwise_distances(images, crops).min(axis=1).mean())
        scores = score_images(scorer, [exemplar] * len(images), images)
        pairs = None if method not in rebuilt else (held_out, rebuilt[method])
        methods[method] = {
            "mse": None if pairs is None else _round(_mse(*pairs)),
            "ssim": None if pairs is None else _round(_ssim(*pairs)),
            "diversity": _round(_variance(images) / variance) if variance > 0 else None,
            "novelty": _round(novelty),
            "novelty_ratio": _round(novelty / own_distance) if own_distance > 0 else None,
            "realism": _round(float(scores.mean())),
        }
    rng = np.random.default_rng(settings.seed)
    bounds = (
        video.model.elbo(crops, 1, rng),
        video.model.elbo(held_out, _BOUND_SAMPLES, rng),
        video.model.log_likelihood(held_out, _BOUND_SAMPLES, rng),
    )
    return {
        "crops": len(crops),
        "held_out": len(held_out),
        "own_distance": _round(own_distance),
        **{name: round(float(bound.mean()), 2) for name, bound in zip(BOUNDS, bounds, strict=True)},
        "training_mse": _round(_mse(crops, video.model.reconstruct(crops))),
        "code_deviation": [_round(float(v)) for v in video.model.embed(crops).std(axis=0)],
        "methods": methods,
    }


def evaluate_bank(
    bank: vae.VAEBank,
    videos: Mapping[str, Path],
    scorer: Scorer,
    settings: EvaluationSettings,
    draw: Callable[[str, VideoManifold], object] | None = None,
) -> dict[str, Any]:
    """Measure every method on every video.

    Args:
        bank: The models, trained on the frames before the held-out ones.
        videos: The sequences by the name of their model.
        scorer: The matcher.
        settings: Size of the evaluation.
        draw: Called with each video when it has been measured; may draw pictures.

    Returns:
        `videos`: the figures of `evaluate_video`, and the `model`; `methods`: see `summarise`; `bounds`: means of
        the `BOUNDS` over the videos; `failed`: the reasons, by video; a failed video does not stop the others.

    Raises:
        InputError: If every video failed; the sentence is the first one's.
    """
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for name, path in videos.items():
        try:
            video = open_manifold(bank, name, open_sequence(path), settings.held_out)
            record = bank.record(name)
            found[name] = {
                **evaluate_video(video, scorer, settings),
                "model": {
                    **record.model_config.to_dict(),
                    **record.training.to_dict(),
                    "epochs_done": record.epochs,
                    "reconstruction_nats": round(record.reconstruction, 2),
                    "kl_nats": round(record.kl, 3),
                    "seconds": record.seconds,
                },
            }
            if draw is not None:
                draw(name, video)
        except Exception as error:
            failed[name] = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    if not found:
        raise InputError(
            next(iter(failed.values()), "There is no video to evaluate; give --data a folder of some.")
        )
    return {
        "videos": found,
        "methods": summarise(found),
        "bounds": {name: round(float(np.mean([video[name] for video in found.values()])), 2) for name in BOUNDS},
        "interval": method_record("videos"),
        "failed": failed,
        "settings": asdict(settings),
    }


def summarise(videos: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean over videos of each method's figures, with its 95 % Student's t interval over videos.

    Args:
        videos: The figures of `evaluate_video`, by video.

    Returns:
        For each method and figure `mean`, `interval` (`None` from fewer than 8 videos) and `videos`, their number;
        `None` where no video has it.
    """
    summary: dict[str, dict[str, Any]] = {}
    for method in METHODS:
        summary[method] = {}
        for figure in FIGURES:
            values = [video["methods"][method][figure] for video in videos.values()]
            known = [value for value in values if value is not None]
            if not known:
                summary[method][figure] = None
                continue
            found = interval(known)
            summary[method][figure] = {
                "mean": _round(found.mean),
                "interval": found.ends(6),
                "videos": len(known),
            }
    return summary


def _make_images(
    video: VideoManifold, settings: EvaluationSettings
) -> tuple[dict[str, Images], dict[str, Images]]:
    """The images of each method, and its reconstructions of the held-out crops if it has any.

    Each method draws from its own generator.
    """
    crops, held_out, model, n = video.crops, video.held_out, video.model, settings.samples
    mu, sigma = model.posterior(crops)
    mean = np.rint(crops.mean(axis=0)).astype(np.uint8)
    principal = PrincipalComponents.fit(crops, model.config.latent)
    nearest = pairwise_distances(held_out, crops).argmin(axis=1)
    generators = dict(zip(METHODS, np.random.default_rng(settings.seed).spawn(len(METHODS)), strict=True))
    decoded = {
        f"vae_{sampler}": model.generate(vae.draw_codes(sampler, mu, sigma, n, generators[f"vae_{sampler}"]))
        for sampler in ("prior_grid", "prior", "posterior", "neighbours", "mixture")
    }
    samples = {
        "real_held_out": held_out,
        "real_training": crops,
        "mean_crop": mean[None],
        "pca": principal.sample(n, generators["pca"]),
        "crop_interpolation": interpolate_crops(crops, n, generators["crop_interpolation"]),
        "motion_blur": blur_motion(crops, n, generators["motion_blur"]),
        "vae_reconstruction": model.generate(mu),
        **decoded,
    }
    reconstructions = {
        "real_training": crops[nearest],
        "mean_crop": np.repeat(mean[None], len(held_out), axis=0),
        "pca": principal.reconstruct(held_out),
        "crop_interpolation": nearest_on_path(held_out, crops),
        "vae_reconstruction": model.reconstruct(held_out),
    }
    return samples, reconstructions


def _variance(images: Images) -> float:
    """Variance over the images, a mean over pixels, of intensities in [0, 1]."""
    return float((images.astype(np.float64) / 255).var(axis=0).mean())


def _mse(images: Images, others: Images) -> float:
    return float(np.square((images.astype(np.float64) - others) / 255).mean())


def _ssim(images: Images, others: Images) -> float:
    """Structural similarity (Wang et al., 2004), mean over the pairs."""
    pairs = zip(images, others, strict=True)
    window = min(7, images.shape[1] - 1 + images.shape[1] % 2)
    return float(np.mean([structural_similarity(a, b, channel_axis=2, win_size=window) for a, b in pairs]))


def _round(value: float) -> float:
    return round(value, 6)
