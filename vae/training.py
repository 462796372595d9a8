"""Training one model on the images of one video (section 4.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from .config import TrainingConfig, VAEConfig
from .errors import VAEError
from .images import Images, check_images, to_vectors
from .model import VAE
from .objective import evidence_lower_bound

_LOOK_EVERY = 50


@dataclass(frozen=True)
class History:
    """The two terms of the loss at each epoch, in nats, averaged over the images.

    Attributes:
        reconstruction: The cross-entropy, summed over the pixels, `float64[epochs]`.
        kl: The divergence from the prior (eq. 3, negated), `float64[epochs]`.
    """

    reconstruction: NDArray[np.float64]
    kl: NDArray[np.float64]

    @property
    def loss(self) -> NDArray[np.float64]:
        """What is minimised, the negative of eq. 4, `float64[epochs]`."""
        return self.reconstruction + self.kl


@dataclass
class TrainingState:
    """All that changes while a model is fitted.

    Attributes:
        model: The model.
        optimizer: Its RMSprop.
        generator: Where the noise of eq. 4 comes from, on the model's device.
        terms: The history so far, `float32[epochs, 2]` on the model's device: reconstruction and kl.
        epoch: Epochs done.
    """

    model: VAE
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    terms: torch.Tensor
    epoch: int = 0

    def history(self) -> History:
        """Return the history of the epochs done; on a GPU this waits for them."""
        done = self.terms[: self.epoch].cpu().numpy().astype(np.float64)
        return History(done[:, 0].copy(), done[:, 1].copy())


@dataclass(frozen=True)
class FitResult:
    """A trained model and how it got there."""

    model: VAE
    history: History


def fit(
    images: Images,
    *,
    model_config: VAEConfig | None = None,
    training: TrainingConfig | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    should_stop: Callable[[TrainingState], bool] | None = None,
) -> FitResult:
    """Fit a model to the images of one target, all of them in every update (section 4.1.2).

    The same seed, images, device and number of threads give the same weights, byte for byte.

    Args:
        images: `uint8[N, image_size, image_size, 3]`, RGB, N of at least 1.
        model_config: The shape of the network; the paper's where it is left out.
        training: The recipe; the paper's where it is left out.
        device: Where to train; the model stays there.
        progress: Show a bar with both terms of the loss, in nats.
        should_stop: Called after every epoch; training ends early where it returns True.

    Returns:
        The model and the history of the epochs done.

    Raises:
        VAEError: If the images have another shape or dtype, or if the loss stops being finite.

    >>> images = np.zeros((2, 8, 8, 3), np.uint8)
    >>> shape, recipe = VAEConfig(image_size=8, hidden=4), TrainingConfig(epochs=3)
    >>> fit(images, model_config=shape, training=recipe).history.kl.shape
    (3,)
    """
    model_config = model_config or VAEConfig()
    training = training or TrainingConfig()
    vectors = to_vectors(check_images(images, model_config.image_shape), torch.device(device))
    state = _start(model_config, training, vectors.device)
    with tqdm(total=training.epochs, unit="epoch", disable=not progress) as bar:
        while state.epoch < training.epochs:
            _advance(state, vectors, training.samples)
            bar.update()
            if state.epoch % _LOOK_EVERY == 0 or state.epoch == training.epochs:
                reconstruction, kl = _finite_terms(state)
                bar.set_postfix(reconstruction=f"{reconstruction:.1f}", kl=f"{kl:.2f}", refresh=False)
            if should_stop is not None and should_stop(state):
                break
    _finite_terms(state)
    state.optimizer.zero_grad()
    return FitResult(state.model.eval(), state.history())


def _start(model_config: VAEConfig, training: TrainingConfig, device: torch.device) -> TrainingState:
    """Draw the initial weights, and a seed for the noise, from one generator on the CPU."""
    source = torch.Generator().manual_seed(training.seed)
    model = VAE(model_config, source).to(device)
    noise_seed = int(torch.randint(2**62, (), generator=source))
    optimizer = torch.optim.RMSprop(
        model.parameters(),
        lr=training.learning_rate,
        alpha=training.alpha,
        # `foreach` saves launches on a GPU; on a CPU its temporaries cost more (38 against 49 ms an epoch).
        foreach=device.type != "cpu",
    )
    generator = torch.Generator(device).manual_seed(noise_seed)
    terms = torch.zeros((training.epochs, 2), device=device)
    return TrainingState(model, optimizer, generator, terms)


def _advance(state: TrainingState, vectors: torch.Tensor, samples: int) -> None:
    """Do one update: a step of RMSprop up the lower bound, averaged over the images (eq. 4)."""
    bound = evidence_lower_bound(state.model, vectors, samples, state.generator)
    reconstruction, kl = -bound.log_likelihood.mean(), bound.kl.mean()
    state.optimizer.zero_grad()
    (reconstruction + kl).backward()
    state.optimizer.step()
    state.terms[state.epoch] = torch.stack((reconstruction.detach(), kl.detach()))
    state.epoch += 1


def _finite_terms(state: TrainingState) -> tuple[float, float]:
    """Return the last epoch's terms, which on a GPU waits for it."""
    reconstruction, kl = state.terms[state.epoch - 1].tolist()
    if not np.isfinite(reconstruction + kl):
        raise VAEError(f"The loss was not finite at epoch {state.epoch}: lower the learning rate.")
    return reconstruction, kl
