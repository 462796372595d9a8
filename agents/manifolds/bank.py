"""From videos to manifolds and back: crops for `vae`, and samples pasted into real frames for a tracker."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import vae
from occlusion_env.scene.splits import split_frames
from occlusion_env.scene.targets import visible_frames
from tracker.data.images import check_image
from tracker.data.images import paste as paste_crop
from tracker.data.readers import list_targets
from tracker.data.sequences import Frames, SelectedFrames, Sequence, evenly_spaced
from tracker.errors import InputError
from tracker.processes import Workers, check_workers, run_jobs
from tracker.trackers.following import open_sequence

from ..common.locks import lock_folder

Image = NDArray[np.uint8]
FrameChoice = Literal["all", "training"]
"""`all` visible frames, or those before the held-out last third (`split_frames`)."""


def find_videos(data: Path, only: Iterable[str] = ()) -> dict[str, Path]:
    """Find the folders of annotated sequences, by name.

    Args:
        data: A folder of sequences, or one sequence.
        only: Names of sequences; all if empty.

    Raises:
        InputError: If there is nothing annotated, or no sequence of a name in `only`.
    """
    found: dict[str, Path] = {}
    for name, (path, _) in list_targets(data).items():
        if path not in found.values():  # of an OTB video with two targets the first is taken
            found[name] = path
    unknown = sorted(set(only) - set(found))
    if unknown:
        raise InputError(f"'{data}' has no sequence {', '.join(unknown)}; it has {', '.join(found)}.")
    return {name: path for name, path in found.items() if not only or name in set(only)}


def crop_side(config: vae.VAEConfig) -> int:
    """Return the side of the square crops that a model is trained on, in pixels.

    Raises:
        InputError: If its images are grey or not square.
    """
    height, width, channels = config.image_shape
    if height != width or channels != 3:
        raise InputError(
            f"Crops of a video are square and RGB, the model's images are {list(config.image_shape)}; give"
            " image_size one number, and 3 image_channels."
        )
    return height


def target_crops(sequence: Sequence, frames: Iterable[int], size: int | None = None) -> Image:
    """Crop the target from frames, resized to squares (section 4.1.2).

    Args:
        sequence: The video.
        frames: Indices of the frames.
        size: Side in pixels; the paper's 64 by default.

    Returns:
        `uint8[N, size, size, 3]`.

    Raises:
        InputError: If the target is absent in a frame, or there are no frames.
    """
    side = crop_side(vae.VAEConfig()) if size is None else size
    crops = [sequence.crop(int(t), side) for t in frames]
    if not crops:
        raise InputError(f"No frames of '{sequence.name}' were given; its manifold needs at least 1.")
    return np.stack(crops)


def manifold_frames(
    sequence: Sequence, choice: FrameChoice = "all", max_crops: int | None = None
) -> NDArray[np.int64]:
    """Training frames of a manifold: those that show at least half of the target.

    Args:
        sequence: The video.
        choice: All of them, or those before the held-out ones.
        max_crops: Largest number of frames, evenly spaced; all if `None`.

    Raises:
        InputError: If the choice is `training` and the video is too short to be split.
    """
    frames = visible_frames(sequence) if choice == "all" else split_frames(sequence, len(sequence))[0]
    return frames if max_crops is None else frames[evenly_spaced(len(frames), max_crops)]


def train_bank(
    bank: vae.VAEBank,
    videos: dict[str, Path],
    *,
    choice: FrameChoice = "all",
    max_crops: int | None = None,
    model_config: vae.VAEConfig | None = None,
    training: vae.TrainingConfig | None = None,
    replace: bool = False,
    workers: Workers = 1,
    progress: bool = True,
) -> vae.BankReport:
    """Train a model for each video (section 4.1.2) that the bank does not hold yet.

    The record of each model has its `frames`, and the video's `origin` and `box_source`.

    Args:
        bank: Stores the models.
        videos: Sequences by name, see `find_videos`; each is opened when its turn comes.
        choice: See `manifold_frames`.
        max_crops: See `manifold_frames`.
        model_config: Sizes of the networks; the paper's by default.
        training: Settings of the training; the paper's by default.
        replace: Train models with other settings again.
        workers: Number of processes, or a Ray cluster; each process trains one model at a time.
        progress: Show a bar for all videos, and in this process one for each.

    Returns:
        The result of each video. A failed one does not stop the others.

    Raises:
        InputError: If `max_crops` is below 1, the images of `model_config` are grey or not square, or another
            process trains models of this bank.
        OSError: If the disk refuses.
    """
    side = crop_side(model_config or vae.VAEConfig())
    if max_crops is not None and max_crops < 1:
        raise InputError(f"A manifold is learned from {max_crops} crops; it must be at least 1.")
    check_workers(workers)
    shown = progress and workers == 1
    load = partial(_load_crops, choice=choice, max_crops=max_crops, side=side, progress=shown)
    train = partial(
        bank.try_training, model_config=model_config, training=training, replace=replace, progress=shown
    )
    jobs = [(name, partial(train, name, partial(load, path))) for name, path in videos.items()]
    with lock_folder(bank.folder), closing(run_jobs(workers, jobs, bank.folder)) as outcomes:
        return bank.collect_outcomes(list(videos), outcomes, progress)


def _load_crops(
    path: Path, choice: FrameChoice, max_crops: int | None, side: int, progress: bool
) -> tuple[Image, dict[str, Any]]:
    """The training crops of a video, and the notes of its record."""
    sequence = open_sequence(path, progress=progress)
    frames = manifold_frames(sequence, choice, max_crops)
    notes = {"frames": frames.tolist(), "origin": sequence.origin, "box_source": sequence.box_source}
    return target_crops(sequence, frames, side), notes


def match_colour(image: Image, reference: Image) -> Image:
    """Give an image the mean and the standard deviation of another one's channels (Reinhard et al., 2001, in RGB).

    A decoded target is paler and smoother than its training crops; this restores the contrast, not the detail.

    Args:
        image: `uint8[h, w, 3]`.
        reference: `uint8[H, W, 3]`.

    Returns:
        `uint8[h, w, 3]`; a channel without contrast only gets the reference's mean.
    """
    spread = image.std(axis=(0, 1))
    gain = np.divide(reference.std(axis=(0, 1)), spread, out=np.ones(3), where=spread > 0)
    matched = (image - image.mean(axis=(0, 1))) * gain + reference.mean(axis=(0, 1))
    return np.clip(np.rint(matched), 0, 255).astype(np.uint8)


class SampledFrames(Frames):
    """Frames with another image pasted over the target, computed on access.

    Args:
        frames: The original frames.
        boxes: Boxes of the pasted images, `[n, 4]`, `(x, y, w, h)` in pixels, 0-based.
        images: One `uint8[h, w, 3]` a frame, resized to the box; `None` leaves the frame unchanged.
        feather: Width of the soft edge inside the box, as a share of its shorter side, in [0, 0.5]; 0 is a hard
            edge.
    """

    def __init__(
        self, frames: Frames, boxes: NDArray[np.float64], images: Iterable[Image | None], feather: float
    ) -> None:
        self._frames, self._boxes, self._images, self._feather = frames, boxes, tuple(images), feather

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> Image:
        frame, image = self._frames[index], self._images[index]
        return frame if image is None else paste(frame, image, self._boxes[index], self._feather)

    def name(self, index: int, /) -> str:
        """Name of the original frame."""
        return self._frames.name(index)

    def size(self, index: int, /) -> tuple[int, int]:
        """Width and height of the original frame."""
        return self._frames.size(index)


def paste(frame: Image, image: Image, box: NDArray[np.float64], feather: float) -> Image:
    """Paste an image into a box of a frame.

    Args:
        frame: `uint8[H, W, 3]`; not changed.
        image: `uint8[h, w, 3]`, resized to the box.
        box: `(x, y, w, h)` in pixels; parts outside the frame are cut off.
        feather: See `SampledFrames`.

    Returns:
        `uint8[H, W, 3]`. With a hard edge a pixel shows the image where its centre lies in the box; with a soft
        one the share of the image grows from 0 at the box's edge to 1.
    """
    pasted = paste_crop(frame, image, box)
    if feather == 0:
        return pasted
    x, y, w, h = box
    across = np.arange(frame.shape[1]) + 0.5 - x
    down = np.arange(frame.shape[0]) + 0.5 - y
    inside = np.minimum(np.minimum(across, w - across)[None, :], np.minimum(down, h - down)[:, None])
    share = np.clip(inside / (feather * min(w, h)), 0, 1)[..., None]
    return np.rint(frame + share * (pasted.astype(np.float64) - frame)).astype(np.uint8)


def samples_as_sequence(
    sequence: Sequence,
    frames: ArrayLike,
    mu: ArrayLike,
    images: Image,
    codes: ArrayLike,
    *,
    feather: float = 0.1,
    colour: Literal["decoded", "frame"] = "decoded",
) -> Sequence:
    """Make a video of sampled targets in real frames, so that a tracker's training sees their surroundings.

    Each sample is resized to the box of the frame whose code is nearest to its own, and pasted there.

    Args:
        sequence: The video of the manifold.
        frames: Indices of the manifold's training frames, `int[N]`.
        mu: Their codes, `[N, latent]`.
        images: Decoded samples, `uint8[n, h, w, 3]`, n of at least 1.
        codes: Codes of the samples, `[n, latent]`.
        feather: Width of the soft edge as a share of the box's shorter side, in [0, 0.5]; 0 is a hard edge.
        colour: `decoded` leaves the colours as they are; `frame` gives each sample the means and contrasts of the
            target that it replaces, see `match_colour`.

    Returns:
        A sequence of n + 1 frames, named as the video with `-samples`: frame 0 is the original one, with
        the exemplar; each later frame shows one sample. Boxes and visibilities are those of the original frames.

    Raises:
        InputError: If the numbers of samples, codes or frames differ, `feather` is out of its range, or the
            target is absent in one of the frames.
        VAEError: If the codes differ in dimension.
    """
    known, mu, codes = np.asarray(frames, dtype=np.int64), np.asarray(mu), np.asarray(codes)
    if not (len(known) == len(mu) and len(images) == len(codes) and len(images)):
        raise InputError(
            f"{len(images)} samples need as many codes, at least 1, and {len(known)} frames as many codes;"
            f" there are {len(codes)} and {len(mu)}."
        )
    if not 0 <= feather <= 0.5:
        raise InputError(f"feather is {feather}; it must be in [0, 0.5].")
    if colour not in ("decoded", "frame"):
        raise InputError(f"colour is '{colour}'; it must be decoded or frame.")
    absent = [int(t) for t in known if t not in sequence.present]
    if absent:
        raise InputError(
            f"The sequence '{sequence.name}' has no target in frame {absent[0]} (of {len(sequence)})."
        )
    places = known[vae.nearest_codes(codes, mu)]
    samples: list[Image] = [check_image(image, "A sample") for image in images]
    if colour == "frame":
        samples = [match_colour(image, sequence.crop(t)) for image, t in zip(samples, places, strict=True)]
    every = np.concatenate([[0], places])
    return Sequence(
        name=f"{sequence.name}-samples",
        frames=SampledFrames(
            SelectedFrames(sequence.frames, every), sequence.boxes[every], [None, *samples], feather
        ),
        boxes=sequence.boxes[every],
        visibility=sequence.visibility[every],
        origin=sequence.origin,
        box_source=sequence.box_source,
    )
