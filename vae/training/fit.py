"""Training one model on the images of one video (section 4.1.2)."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..config import TrainingConfig, VAEConfig
from ..devices import resolve_device, resolve_precision
from ..errors import VAEError
from ..images import Images, check_images, to_vectors
from ..model import VAE
from .noise import split_images
from .state import Checkpoint, History, TrainingState, read_checkpoint, start, training_identity, write_checkpoint
from .updates import Updates

Callback = Callable[[TrainingState], bool | None]
"""Called after an epoch with the training's state, which it must not change; True ends the training."""

_LOOK_EVERY = 50


@dataclass(frozen=True)
class FitResult:
    """A trained model, with a validation split that of `history.best_epoch`, and how it got there."""

    model: VAE
    history: History


def fit(
    images: Images,
    *,
    model_config: VAEConfig | None = None,
    training: TrainingConfig | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Fit a model to the images of one target, by default all of them in every update (section 4.1.2).

    The same seed, images, device and number of threads give the same weights, byte for byte. One image, and
    images that are all alike, are learnt as any others are: the model reconstructs them, while codes that are far
    from theirs decode to nothing in particular.

    Args:
        images: `uint8[N, H, W, C]` of the configuration's `image_shape`, N of at least 1, or 2 for a validation
            split.
        model_config: The shape of the network; the paper's where it is left out.
        training: The recipe; the paper's where it is left out.
        device: Where to train; the model stays there.
        progress: Show a bar with both terms of the loss, in nats.
        callbacks: Called one after another after every epoch; training ends early where one returns True.
        checkpoint: A file that the training is kept in, and goes on from where it is there.

    Returns:
        The model and the history of the epochs done.

    Raises:
        VAEError: If the images have another shape or dtype, the loss stops being finite, or the checkpoint is
            damaged or of another training.
        OSError: If the disk refuses a checkpoint.

    >>> import numpy as np
    >>> images = np.zeros((2, 8, 8, 3), np.uint8)
    >>> shape, recipe = VAEConfig(image_size=8, hidden=4), TrainingConfig(epochs=3)
    >>> fit(images, model_config=shape, training=recipe).history.kl.shape
    (3,)
    """
    model_config, training = model_config or VAEConfig(), training or TrainingConfig()
    place = resolve_device(device)
    check_images(images, model_config.image_shape)
    rows, held_out_rows = split_images(len(images), training.validation_share, training.seed)
    state = start(model_config, training, place)
    dtype = resolve_precision(training.precision, place)
    identity = training_identity(images, model_config, training, dtype)
    if checkpoint is not None:
        read_checkpoint(Path(checkpoint.path), state, identity)
    updates = Updates(state, to_vectors(images[rows], place), training, to_vectors(images[held_out_rows], place))
    written, ended = time.monotonic(), _has_ended(state, training)
    with tqdm(total=training.epochs, initial=state.epoch, unit="epoch", disable=not progress) as bar:
        while not ended:
            updates.advance()
            bar.update()
            stopped = any([callback(state) for callback in callbacks])
            ended = stopped or _has_ended(state, training)
            if ended or state.epoch % _LOOK_EVERY == 0:
                reconstruction, kl = _last_terms(state)
                bar.set_postfix(reconstruction=f"{reconstruction:.1f}", kl=f"{kl:.2f}", refresh=ended)
            if checkpoint is not None and (ended or time.monotonic() - written >= checkpoint.seconds):
                _last_terms(state)
                write_checkpoint(Path(checkpoint.path), state, identity)
                written = time.monotonic()
    model = state.model.eval()
    if state.best_weights:
        model.load_state_dict(state.best_weights)
    return FitResult(model, state.history())


def _has_ended(state: TrainingState, training: TrainingConfig) -> bool:
    """Return whether the last epoch is done, patience is at its end or the plateau rule says stop."""
    done, warmup = state.epoch, training.warmup_epochs
    rule, patience = training.plateau, training.patience
    if done >= training.epochs:
        return True
    if patience is not None and done - max(state.best_epoch(), warmup) >= patience:
        return True
    if rule is None or done < warmup or (done - warmup) % rule.window:
        return False
    return rule.is_reached(state.history().loss[warmup:])


def _last_terms(state: TrainingState) -> tuple[float, float]:
    """Return the last epoch's terms, which on a GPU waits for it.

    Raises:
        VAEError: If they are not finite.
    """
    reconstruction, kl = state.terms[state.epoch - 1].tolist()
    if not math.isfinite(reconstruction + kl):
        raise VAEError(f"The loss was not finite at epoch {state.epoch}: lower the learning rate.")
    return reconstruction, kl


def fit_many(
    videos: Sequence[Images], *, checkpoints: Sequence[Checkpoint] | None = None, group: Any = None, **options: Any
) -> list[FitResult]:
    """Deprecated form of `[fit(images, ...) for images in videos]`; `group` has no effect."""
    warnings.warn(
        "vae.fit_many is no faster than vae.fit for each video; it goes in the next version.",
        DeprecationWarning,
        stacklevel=2,
    )
    files = zip(videos, checkpoints or [None] * len(videos), strict=True)  # type: ignore[list-item]
    return [fit(images, checkpoint=file, **options) for images, file in files]
