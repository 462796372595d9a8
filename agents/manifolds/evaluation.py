"""What the samples of a manifold are worth, beside simpler ways of making more crops of a target.

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
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.evaluation.intervals import interval, method_record
from tracker.scorers import Scorer
from tracker.scorers.outputs import score_images
from tracker.trackers.following import open_sequence

from ..training.splits import split_frames
from .bank import target_crops
from .controls import PrincipalComponents, blur_motion, interpolate_crops, nearest_on_path, pairwise_distances

__all__ = [
    "FIGURES",
    "METHODS",
    "EvaluationSettings",
    "VideoManifold",
    "evaluate_bank",
    "evaluate_video",
    "open_manifold",
    "summarise",
]

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
}
"""What is compared, and what a table calls it."""

FIGURES = ("mse", "ssim", "diversity", "novelty", "novelty_ratio", "realism")
"""What is measured: `novelty_ratio` is novelty over the training crops' own nearest-neighbour distance."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is drawn.

    Attributes:
        samples: Images that each method makes for a video.
        held_out: Held-out crops of a video, evenly spaced, at most.
        seed: Of the draws.
    """

    samples: int = 64
    held_out: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the counts.

        Raises:
            InputError: If one is too small.
        """
        if self.samples < 2 or self.held_out < 1 or self.seed < 0:
            raise InputError(
                f"An evaluation needs at least 2 samples, 1 held-out crop and a seed of at least 0, got"
                f" {self.samples}, {self.held_out} and {self.seed}."
            )


@dataclass(frozen=True)
class VideoManifold:
    """A model beside the crops that it was trained on and those that it never saw.

    Attributes:
        sequence: The video.
        model: Its model.
        frames: Indices of the frames that it was trained on, `int64[N]`.
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
    """Read a video's model and cut its crops out again.

    Args:
        bank: Where the model is.
        name: Of the model.
        sequence: The video that it was trained on.
        held_out: How many held-out crops, evenly spaced, at most.

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
    size = record.model_config.image_size
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
        scorer: The matcher that says how real a sample is.
        settings: How much is drawn.

    Returns:
        `crops`, `held_out`, `own_distance` (mean nearest-neighbour distance of the training crops) and `methods`:
        for each of `METHODS` its `FIGURES`, `None` where one is not defined.
    """
    crops, held_out = video.crops, video.held_out
    own = pairwise_distances(crops, crops)
    np.fill_diagonal(own, np.inf)
    own_distance = float(own.min(axis=1).mean()) if len(crops) > 1 else 0.0
    variance = _variance(crops)
    samples, rebuilt = _samples(video, settings), _reconstructions(video)
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
            "mse": None if pairs is None else _rounded(_mse(*pairs)),
            "ssim": None if pairs is None else _rounded(_ssim(*pairs)),
            "diversity": _rounded(_variance(images) / variance) if variance > 0 else None,
            "novelty": _rounded(novelty),
            "novelty_ratio": _rounded(novelty / own_distance) if own_distance > 0 else None,
            "realism": _rounded(float(scores.mean())),
        }
    return {
        "crops": len(crops),
        "held_out": len(held_out),
        "own_distance": _rounded(own_distance),
        "training_mse": _rounded(_mse(crops, video.model.reconstruct(crops))),
        "code_deviation": [_rounded(float(v)) for v in video.model.embed(crops).std(axis=0)],
        "methods": methods,
    }


def evaluate_bank(
    bank: vae.VAEBank,
    videos: Mapping[str, Path],
    scorer: Scorer,
    settings: EvaluationSettings,
    look: Callable[[str, VideoManifold], object] | None = None,
) -> dict[str, Any]:
    """Measure every method on every video.

    Args:
        bank: The models, trained on the frames before the held-out ones.
        videos: The sequences by the name of their model.
        scorer: The matcher.
        settings: How much is drawn.
        look: Called with each video when it has been measured.

    Returns:
        `videos`: what `evaluate_video` returns, and how the model was made; `methods`: see `summarise`; `failed`:
        why, by video; a video that fails does not stop the others.

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
            if look is not None:
                look(name, video)
        except Exception as error:
            failed[name] = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    if not found:
        raise InputError(
            next(iter(failed.values()), "There is no video to evaluate; give --data a folder of some.")
        )
    return {
        "videos": found,
        "methods": summarise(found),
        "interval": method_record("videos"),
        "failed": failed,
        "settings": asdict(settings),
    }


def summarise(videos: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean over videos of each method's figures, with its 95 % Student's t interval over videos.

    Args:
        videos: What `evaluate_video` returned, by video.

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
                "mean": _rounded(found.mean),
                "interval": None if found.bounds is None else [_rounded(end) for end in found.bounds],
                "videos": len(known),
            }
    return summary


def _samples(video: VideoManifold, settings: EvaluationSettings) -> dict[str, Images]:
    """Every method's images; each draws from a generator of its own, so that none disturbs another."""
    crops, n = video.crops, settings.samples
    mu, sigma = video.model.posterior(crops)
    generators = dict(zip(METHODS, np.random.default_rng(settings.seed).spawn(len(METHODS)), strict=True))

    def decoded(sampler: str) -> Images:
        rng = generators[f"vae_{sampler}"]
        return video.model.generate(vae.draw_codes(sampler, mu, sigma, n, rng))

    mean = np.rint(crops.mean(axis=0)).astype(np.uint8)
    principal = PrincipalComponents.fit(crops, video.model.config.latent)
    return {
        "real_held_out": video.held_out,
        "real_training": crops,
        "mean_crop": mean[None],
        "pca": principal.sample(n, generators["pca"]),
        "crop_interpolation": interpolate_crops(crops, n, generators["crop_interpolation"]),
        "motion_blur": blur_motion(crops, n, generators["motion_blur"]),
        "vae_reconstruction": video.model.generate(mu),
        "vae_prior_grid": decoded("prior_grid"),
        "vae_prior": decoded("prior"),
        "vae_posterior": decoded("posterior"),
        "vae_neighbours": decoded("neighbours"),
    }


def _reconstructions(video: VideoManifold) -> dict[str, Images]:
    """The held-out crops as each method that can shows them."""
    crops, held_out = video.crops, video.held_out
    mean = np.rint(crops.mean(axis=0)).astype(np.uint8)
    nearest = pairwise_distances(held_out, crops).argmin(axis=1)
    principal = PrincipalComponents.fit(crops, video.model.config.latent)
    return {
        "real_training": crops[nearest],
        "mean_crop": np.repeat(mean[None], len(held_out), axis=0),
        "pca": principal.reconstruct(held_out),
        "crop_interpolation": nearest_on_path(held_out, crops),
        "vae_reconstruction": video.model.reconstruct(held_out),
    }


def _variance(images: Images) -> float:
    """Variance over the images, a mean over pixels, of intensities in [0, 1]."""
    return float((images.astype(np.float64) / 255).var(axis=0).mean())


def _mse(images: Images, others: Images) -> float:
    return float(np.square((images.astype(np.float64) - others) / 255).mean())


def _ssim(images: Images, others: Images) -> float:
    """Structural similarity (Wang et al., 2004), a mean over the pairs."""
    pairs = zip(images, others, strict=True)
    window = min(7, images.shape[1] - 1 + images.shape[1] % 2)
    return float(np.mean([structural_similarity(a, b, channel_axis=2, win_size=window) for a, b in pairs]))


def _rounded(value: float) -> float:
    return round(value, 6)
