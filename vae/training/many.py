"""Training a model for each of many videos."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import groupby
from operator import attrgetter

import torch

from ..config import TrainingConfig, VAEConfig
from ..devices import resolve_device
from ..errors import VAEError
from ..images import Images, check_images
from ..layers import build_layers, count_weights
from .fit import Callback, FitResult, Run, train
from .noise import split_images
from .state import Checkpoint

_SHARE_OF_FREE_MEMORY = 0.6
_BYTES_A_WEIGHT, _BYTES_A_BEST_WEIGHT = 20, 4
_BYTES_A_LOGIT = 32


def fit_many(
    videos: Sequence[Images],
    *,
    model_config: VAEConfig | None = None,
    training: TrainingConfig | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    group: int | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: Sequence[Checkpoint] | None = None,
) -> list[FitResult]:
    """Fit a model to each of many videos; each comes out, within rounding, as `fit` makes it alone.

    On a CPU the videos are trained side by side, as many as PyTorch has threads, each on its share of them: a
    thread that has a video to itself waits for no other. On a GPU, and wherever `group` is given, the models of a
    group are updated together by batched products; videos with fewer images than the longest are filled up with
    rows that count nothing. Memory holds the models that are done and the trainings that run, about 0.2 GB each
    with the paper's sizes.

    Args:
        videos: For each video its images, as `fit` takes them; their numbers may differ.
        model_config: The shape of every network; the paper's where it is left out.
        training: The recipe of every training, with one seed for all; the paper's where it is left out.
        device: Where to train; the models stay there.
        progress: Show bars with both terms of the loss, in nats; of a group their averages.
        group: How many to update together. Where it is left out, a GPU takes as many as fit into its memory, and
            a CPU none, since batched products are no faster there (`benchmarks/vae_speed.py`). Mini-batches are
            not updated together: with `batch_size` a GPU trains one video after another.
        callbacks: As for `fit`, called with the state of each video, whose `name` is "Video" and its position,
            on a CPU from several threads; True ends that video.
        checkpoints: For each video a file, as `fit` takes it.

    Returns:
        Of each video what `fit` returns, in their order.

    Raises:
        VAEError: As `fit`, naming the video by its position, whereupon the others stop too; or if there are no
            videos, or not as many checkpoints as videos, or `group` is below 1, or given with `batch_size`.
        OSError: If the disk refuses a checkpoint.

    >>> import numpy as np
    >>> videos = [np.zeros((n, 8, 8, 3), np.uint8) for n in (2, 3)]
    >>> shape, recipe = VAEConfig(image_size=8, hidden=4), TrainingConfig(epochs=3)
    >>> [len(result.history.kl) for result in fit_many(videos, model_config=shape, training=recipe)]
    [3, 3]
    """
    model_config, training = model_config or VAEConfig(), training or TrainingConfig()
    place = resolve_device(device)
    if not len(videos):
        raise VAEError("There must be at least 1 video.")
    if checkpoints is not None and len(checkpoints) != len(videos):
        raise VAEError(f"There must be as many checkpoints as videos, got {len(checkpoints)} and {len(videos)}.")
    if group is not None and group < 1:
        raise VAEError(f"group must be at least 1, got {group}.")
    if group is not None and group > 1 and training.batch_size is not None:
        raise VAEError("Mini-batches are not updated in groups; leave out group or batch_size.")
    for position, images in enumerate(videos):
        try:
            check_images(images, model_config.image_shape)
            split_images(len(images), training.validation_share, training.seed)
        except VAEError as error:
            raise VAEError(f"Video {position}: {error}") from None

    def prepare(i: int) -> Run:
        return Run(f"Video {i}", videos[i], model_config, training, place, checkpoints[i] if checkpoints else None)

    if group is None and place.type != "cuda":
        return _side_by_side(len(videos), prepare, progress, callbacks)
    if training.batch_size is not None:
        size = 1
    else:
        size = group or _group_that_fits(model_config, training, max(map(len, videos)), place)
    results: list[FitResult] = []
    for first in range(0, len(videos), size):
        runs = [prepare(i) for i in range(first, min(first + size, len(videos)))]
        epoch = attrgetter("state.epoch")
        for _, together in groupby(sorted(runs, key=epoch), epoch):
            train(list(together), progress, callbacks)
        results += [run.result() for run in runs]
    return results


def _side_by_side(
    count: int, prepare: Callable[[int], Run], progress: bool, callbacks: Sequence[Callback]
) -> list[FitResult]:
    """Train each video on its share of PyTorch's threads; an error, or Ctrl-C, ends all of them.

    The number of threads is each thread's own, but MKL's is the process's, so it is set back at the end.
    """
    threads = torch.get_num_threads()
    workers = min(threads, count)
    halt = threading.Event()

    def work(i: int) -> FitResult:
        torch.set_num_threads(threads // workers)
        run = prepare(i)
        train([run], progress, [*callbacks, lambda _: halt.is_set()])
        return run.result()

    try:
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(work, i) for i in range(count)]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                halt.set()
                pool.shutdown(wait=False, cancel_futures=True)
        failed = [error for future in futures if not future.cancelled() and (error := future.exception())]
        if failed:
            raise failed[0]
        return [future.result() for future in futures]
    finally:
        torch.set_num_threads(threads)


def _group_that_fits(model_config: VAEConfig, training: TrainingConfig, images: int, device: torch.device) -> int:
    """How many models of so many images a GPU has room for."""
    weights = count_weights(build_layers(model_config))
    bytes_a_weight = _BYTES_A_WEIGHT + (_BYTES_A_BEST_WEIGHT if training.validation_share else 0)
    logits = training.samples * images * model_config.input_size
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(free * _SHARE_OF_FREE_MEMORY) // (weights * bytes_a_weight + logits * _BYTES_A_LOGIT))
