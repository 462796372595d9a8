"""Training one model on the images of one video (section 4.1.2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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

    >>> images = np.zeros((2, 8, 8, 3), np.uint8)
    >>> shape, recipe = VAEConfig(image_size=8, hidden=4), TrainingConfig(epochs=3)
    >>> fit(images, model_config=shape, training=recipe).history.kl.shape
    (3,)
    """
    model_config, training = model_config or VAEConfig(), training or TrainingConfig()
    run = Run("", images, model_config, training, resolve_device(device), checkpoint)
    train([run], progress, callbacks)
    return run.result()


class Run:
    """The training of one video, at its start or where its checkpoint is; arguments and errors as `fit` has them.

    Attributes:
        name: What an error and the bar call the video; may be empty.
        images: Training images, intensities in [0, 1], `float32[N, D]`.
        held_out: Held-out images, likewise; none without a validation split.
        state: Where it is.
    """

    def __init__(
        self,
        name: str,
        images: Images,
        model_config: VAEConfig,
        training: TrainingConfig,
        device: torch.device,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.name, self.training, self.checkpoint = name, training, checkpoint
        check_images(images, model_config.image_shape)
        rows, held_out_rows = split_images(len(images), training.validation_share, training.seed)
        self.images, self.held_out = to_vectors(images[rows], device), to_vectors(images[held_out_rows], device)
        self.state = start(model_config, training, device)
        self.state.name = name
        dtype = resolve_precision(training.precision, device)
        self._identity = training_identity(images, model_config, training, dtype)
        if checkpoint is not None:
            read_checkpoint(Path(checkpoint.path), self.state, self._identity)
        self._kept = time.monotonic()

    def has_ended(self) -> bool:
        """Return whether the last epoch is done, patience is at its end or the plateau rule says stop."""
        done, warmup = self.state.epoch, self.training.warmup_epochs
        rule, patience = self.training.plateau, self.training.patience
        if done >= self.training.epochs:
            return True
        if patience is not None and done - max(self.state.best_epoch(), warmup) >= patience:
            return True
        if rule is None or done < warmup or (done - warmup) % rule.window:
            return False
        return rule.is_reached(self.state.history().loss[warmup:])

    def terms(self) -> tuple[float, float]:
        """Return the last epoch's terms, which on a GPU waits for it.

        Raises:
            VAEError: If they are not finite.
        """
        reconstruction, kl = self.state.terms[self.state.epoch - 1].tolist()
        if not np.isfinite(reconstruction + kl):
            raise VAEError(
                f"{self.name}{': ' if self.name else ''}The loss was not finite at epoch {self.state.epoch}: "
                "lower the learning rate."
            )
        return reconstruction, kl

    def keep(self, has_ended: bool) -> None:
        """Write the checkpoint, if one is asked for, when it is due and when the training has ended.

        Raises:
            VAEError: If the loss is not finite; nothing is written.
        """
        if self.checkpoint is not None and (has_ended or time.monotonic() - self._kept >= self.checkpoint.seconds):
            self.terms()
            write_checkpoint(Path(self.checkpoint.path), self.state, self._identity)
            self._kept = time.monotonic()

    def result(self) -> FitResult:
        """Return the model, ready for use, with its best weights where there is a validation split."""
        model = self.state.model.eval()
        if self.state.best_weights:
            model.load_state_dict(self.state.best_weights)
        return FitResult(model, self.state.history())


def train(runs: Sequence[Run], progress: bool, callbacks: Sequence[Callback] = ()) -> None:
    """Train videos that are at one epoch of one recipe together, until each has ended.

    The bar shows averages over the videos; the callbacks are called with each video's state and end that video.
    Errors are those of `fit`.
    """
    active = [run for run in runs if not run.has_ended()]
    name = runs[0].name + (f" and {len(runs) - 1} more" if len(runs) > 1 else "")
    epochs, done = runs[0].training.epochs, runs[0].state.epoch
    with tqdm(total=epochs, initial=done, desc=name or None, unit="epoch", disable=not progress) as bar:
        while active:
            held_out = [run.held_out for run in active if len(run.held_out)]
            updates = Updates(
                [run.state for run in active], [run.images for run in active], runs[0].training, held_out
            )
            ended: Sequence[Run] = []
            while not ended:
                updates.advance()
                bar.update()
                stopped = [run for run in active if any([callback(run.state) for callback in callbacks])]
                ended = [run for run in active if run in stopped or run.has_ended()]
                if ended or active[0].state.epoch % _LOOK_EVERY == 0:
                    reconstruction, kl = np.mean([run.terms() for run in ended or active], axis=0)
                    bar.set_postfix(reconstruction=f"{reconstruction:.1f}", kl=f"{kl:.2f}", refresh=bool(ended))
                for run in active:
                    run.keep(has_ended=run in ended)
            updates.unstack()
            active = [run for run in active if run not in ended]
