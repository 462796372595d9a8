"""Pictures beside the models of a bank."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import vae
from tracker.data.sequences import evenly_spaced
from tracker.evaluation.running import weights_digest
from tracker.files import remove_leftovers
from tracker.records import read_record, write_record
from tracker.trackers.following import open_sequence
from vae.pictures import Row, draw_rows, traversal_pictures, write_animation

from ..common.output import is_intact
from ..common.pictures import save
from .bank import crop_side, target_crops
from .controls import pairwise_distances
from .evaluation import VideoManifold

_PICTURES = "pictures.json"
_GRID = 7
"""Crops along a side of the drawn grid: each keeps the 64 pixels that it was decoded to."""
_CORNERS, _STEPS = 12, 72
_SHOWN = 8


class Crops(NamedTuple):
    """Targets of a video.

    Attributes:
        frames: Where they are from, indices `int64[N]`.
        images: `uint8[N, H, W, 3]`.
    """

    frames: NDArray[np.int64]
    images: NDArray[np.uint8]


def draw_bank(bank: vae.VAEBank, videos: Mapping[str, Path], moving: bool) -> None:
    """Draw the manifold of each model beside it; what is there, of this model and not damaged stays.

    Args:
        bank: The models.
        videos: The sequences by the name of their model.
        moving: Also a walk through the codes of the frames (`traversal.gif`, `traversal.mp4`) and
            `reconstructions.png`, for which the record must note the `frames`.
    """
    for name, path in videos.items():
        folder, record = bank.path(name), bank.record(name)
        remove_leftovers(folder)
        wanted = ["manifold.png"] if record.model_config.latent == 2 else []
        wanted += ["traversal.gif", "traversal.mp4", "reconstructions.png"] if moving else []
        noted = read_record(folder / _PICTURES) or {}
        drawn: dict[str, str] = dict(noted["files"]) if noted.get("model") == record.weights_digest else {}
        missing = [file for file in wanted if file not in drawn or not is_intact(folder / file, drawn[file])]
        if not missing:
            continue
        model, (mu, _) = bank[name], bank.codes(name)
        if "manifold.png" in missing:
            grid = vae.codes_grid(mu, _GRID)
            title = f"The manifold of the target of '{name}' after {record.epochs:,} epochs, {record.images} crops"
            draw_manifold(folder / "manifold.png", vae.manifold_image(model, _GRID, grid), mu, grid, title)
        if animations := [file for file in missing if file.startswith("traversal")]:
            walk = vae.traverse(mu[evenly_spaced(len(mu), _CORNERS)], _STEPS)
            shown = traversal_pictures(model, walk, mu)
            for file in animations:
                write_animation(folder / file, shown)
        frames = np.asarray(record.notes.get("frames", ()), dtype=np.int64)
        if "reconstructions.png" in missing and len(frames):
            known = Crops(frames, target_crops(open_sequence(path), frames, crop_side(record.model_config)))
            title = f"Crops of '{name}' that the model was trained on, and its reconstructions"
            draw_reconstructions(folder / "reconstructions.png", title, model, known, known)
        drawn |= {file: weights_digest(folder / file) for file in missing if (folder / file).is_file()}
        write_record(folder / _PICTURES, {"model": record.weights_digest, "files": drawn})


def draw_held_out(path: Path, video: VideoManifold) -> None:
    """Draw crops that a model never saw, see `draw_reconstructions`."""
    title = f"'{video.sequence.name}': crops that the model never saw, and its reconstructions"
    held_out = Crops(video.held_out_frames, video.held_out)
    draw_reconstructions(path, title, video.model, held_out, Crops(video.frames, video.crops))


def draw_reconstructions(path: Path, title: str, model: vae.VAE, crops: Crops, known: Crops) -> None:
    """Draw some of the crops, evenly spaced, how a model shows them, and the known crop nearest to that."""
    shown = evenly_spaced(len(crops.frames), _SHOWN)
    real = crops.images[shown]
    rebuilt = model.reconstruct(real)
    errors = np.square((rebuilt.astype(float) - real) / 255).mean(axis=(1, 2, 3))
    rows = [
        Row("real crop", real, [f"frame {t}" for t in crops.frames[shown]]),
        Row("reconstruction\n(below: MSE)", rebuilt, [f"{error:.4f}" for error in errors]),
        _nearest_row(rebuilt, known),
    ]
    draw_rows(path, title, rows)


def draw_samples(path: Path, video: VideoManifold, rng: np.random.Generator) -> None:
    """Draw samples of each sampler above the nearest training crops."""
    mu, sigma = video.model.posterior(video.crops)
    known = Crops(video.frames, video.crops)
    captions = {
        "prior_grid": "prior grid",
        "posterior": "aggregate\nposterior",
        "neighbours": "between\nneighbours",
    }
    rows = []
    for sampler, caption in captions.items():
        images = video.model.generate(vae.draw_codes(sampler, mu, sigma, _SHOWN, rng))
        rows += [Row(f"sampled:\n{caption}", images), _nearest_row(images, known)]
    draw_rows(path, f"'{video.sequence.name}': samples, each above the nearest training crop", rows)


def _nearest_row(images: NDArray[np.uint8], known: Crops) -> Row:
    """The training crop nearest to each image."""
    distances = pairwise_distances(images, known.images)
    nearest = distances.argmin(axis=1)
    notes = [f"frame {known.frames[i]}: {row[i]:.3f}" for i, row in zip(nearest, distances, strict=True)]
    return Row("nearest\ntraining crop\n(below: distance)", known.images[nearest], notes)


def draw_manifold(
    path: Path,
    grid: NDArray[np.uint8],
    codes: NDArray[np.floating],
    grid_codes: NDArray[np.floating],
    title: str,
) -> None:
    """Fig. 3: the decoded grid of codes, beside where the video's own frames lie.

    Args:
        path: The PNG to write.
        grid: `uint8[n * 64, n * 64, 3]`, the decodes.
        codes: `[N, 2]`, of the video's crops.
        grid_codes: `[n * n, 2]`, of the grid.
        title: Above both.
    """
    figure = Figure(figsize=(12.5, 7.6), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    left.imshow(grid)
    left.set_title("decoded grid of codes (Fig. 3)")
    left.set(xticks=[], yticks=[])
    left.set_xlabel("$z_1$ from least to greatest")
    left.set_ylabel("$z_2$ from least (top) to greatest")
    order = np.arange(len(codes))
    dots = right.scatter(codes[:, 0], codes[:, 1], c=order, cmap="viridis", s=28, label="frames of the video")
    right.scatter(grid_codes[:, 0], grid_codes[:, 1], marker="+", c="0.5", s=30, label="grid", zorder=0)
    right.invert_yaxis()
    right.set(xlabel="$z_1$", ylabel="$z_2$", title="codes of the video's frames")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2)
    figure.colorbar(dots, ax=right, label="frame, in order of time", shrink=0.8)
    save(figure, path)
