"""The variational auto-encoder of the Positive Sample Generation Network (sections 4.1.1 and 4.1.2)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import nn

from .config import VAEConfig
from .devices import resolve_device
from .errors import VAEError
from .images import Images, check_images, to_images, to_vectors
from .layers import build_layers, initialise
from .loss import evidence_lower_bound, gaussian_log_likelihood, importance_weighted_bound, log_likelihood
from .sampling import Codes, check_codes, draw_codes, interpolate, traverse
from .storage import CONFIG_NAME, HubModel, read_config, read_weights, write_model

LOG_VARIANCE_RANGE = (-20.0, 10.0)
"""Where log sigma^2 is kept, so that no draw overflows and no variance is 0."""
_CHUNK = 512


class VAE(nn.Module, HubModel):
    """An encoder and a decoder, 12288-512-2-512-12288 by default (section 4.1.2).

    Images go through `encoder` to a hidden layer, and through two linear heads to the code; codes go through
    `decoder` to the other hidden layer and through `output` to the logits. The hidden layers are ReLU. In the
    paper's network `encoder` and `output` are one matrix each, in the convolutional one they hold the
    convolutions (`VAEConfig.architecture`). The weights start Glorot-uniform, the biases at 0.

    `encode` and `decode` are for tensors; the other methods take and return arrays and keep no gradients. The
    images that they take are `uint8[N, H, W, C]` of the configuration's `image_shape`, N of at least 1; others are
    a `VAEError`.

    Args:
        config: The shape of the network.
        generator: A CPU generator for the initial weights; one with seed 0 where it is left out.

    Raises:
        VAEError: If the sizes are beyond what a tensor can have.

    >>> model = VAE(VAEConfig(image_size=8, hidden=4))
    >>> model.generate([[0.0, 0.0], [1.0, -1.0]]).shape
    (2, 8, 8, 3)
    """

    hub_title = "A variational auto-encoder of one video's target"
    hub_usage = """import vae

model = vae.VAE.from_pretrained("USER/NAME")
images = model.generate([[0.0, 0.0], [1.0, -1.0]])  # codes to RGB images, uint8[N, H, W, 3]"""

    encoder: nn.Module
    mean: nn.Module
    log_variance: nn.Module
    decoder: nn.Module
    output: nn.Module
    log_deviation: nn.Parameter

    def __init__(self, config: VAEConfig | None = None, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config or VAEConfig()
        layers = build_layers(self.config)
        for name, layer in layers.items():
            self.add_module(name, layer)
        for name, parameter in layers.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        self.to_empty(device="cpu")
        initialise(self, generator or torch.Generator().manual_seed(0))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and the log-variance of q(z|x).

        Args:
            x: Intensities in [0, 1], `[N, D]`.

        Returns:
            mu and log sigma^2, each `[N, latent]`; the log-variance is kept in [-20, 10].
        """
        hidden = F.relu(self.encoder(x).float())
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round the codes to 3 digits
            return self.mean(hidden), self.log_variance(hidden).clamp(*LOG_VARIANCE_RANGE)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the logits of p(x|z): codes `[..., latent]` to `[..., D]`."""
        with torch.autocast(z.device.type, enabled=False):
            hidden = F.relu(self.decoder(z.reshape(-1, z.shape[-1])))
        logits = self.output(hidden).float()
        return logits.reshape(*z.shape[:-1], self.config.input_size)

    def log_prob(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(x|z) by the configuration's likelihood.

        Args:
            x: Intensities in [0, 1], `[N, D]`.
            z: Codes, `[..., N, latent]`.

        Returns:
            `[..., N]`, in nats.
        """
        if self.config.likelihood == "gaussian":
            return gaussian_log_likelihood(self.decode(z), x, self.log_deviation)
        return log_likelihood(self.decode(z), x)

    def elbo(self, images: Images, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Estimate the lower bound of log p(x) of each image (eq. 4).

        Args:
            images: Such as the model was trained on, or others of the same target.
            samples: Draws of z for each image, at least 1.
            rng: Where the randomness comes from.

        Returns:
            `float64[N]`, in nats.

        Raises:
            VAEError: If there are no samples.
        """

        def bound(x: torch.Tensor, samples: int, generator: torch.Generator) -> torch.Tensor:
            draws = [evidence_lower_bound(self, x, 1, generator).value for _ in range(samples)]
            return torch.stack(draws).mean(0)

        return self._estimate(bound, images, samples, rng)

    def log_likelihood(self, images: Images, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Estimate log p(x) of each image by `samples` importance-weighted draws; see `importance_weighted_bound`.

        Arguments, results and errors are those of `elbo`.
        """
        return self._estimate(partial(importance_weighted_bound, self), images, samples, rng)

    @torch.no_grad()
    def _estimate(
        self,
        bound: Callable[[torch.Tensor, int, torch.Generator], torch.Tensor],
        images: Images,
        samples: int,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        images = check_images(images, self.config.image_shape)
        if samples < 1:
            raise VAEError(f"samples must be at least 1, got {samples}.")
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))
        parts = [
            bound(to_vectors(images[start : start + _CHUNK], self.device), samples, generator)
            for start in range(0, len(images), _CHUNK)
        ]
        return torch.cat(parts).cpu().numpy().astype(np.float64)

    @torch.no_grad()
    def posterior(self, images: Images) -> tuple[Codes, Codes]:
        """Return q(z|x) of each image.

        Returns:
            mu and sigma (the standard deviation), each `float32[N, latent]`.
        """
        images = check_images(images, self.config.image_shape)
        means, deviations = [], []
        for start in range(0, len(images), _CHUNK):
            mu, log_variance = self.encode(to_vectors(images[start : start + _CHUNK], self.device))
            means.append(mu.cpu().numpy())
            deviations.append((0.5 * log_variance).exp().cpu().numpy())
        return np.concatenate(means), np.concatenate(deviations)

    def embed(self, images: Images) -> Codes:
        """Return the code of each image, the mean of q(z|x), `float32[N, latent]`."""
        return self.posterior(images)[0]

    @torch.no_grad()
    def generate(self, codes: ArrayLike) -> Images:
        """Decode codes into images, the mean of p(x|z).

        Args:
            codes: `[N, latent]`, finite; N may be 0.

        Returns:
            `uint8[N, H, W, C]`.

        Raises:
            VAEError: If the codes have another shape or are not finite.
        """
        checked = check_codes(codes, self.config.latent)
        pictures = [np.empty((0, *self.config.image_shape), np.uint8)]
        for start in range(0, len(checked), _CHUNK):
            z = torch.tensor(checked[start : start + _CHUNK], device=self.device)
            pictures.append(to_images(self.decode(z).sigmoid_(), self.config.image_shape))
        return np.concatenate(pictures)

    def reconstruct(self, images: Images) -> Images:
        """Encode images and decode their codes (the means of q(z|x), without noise); the shape stays."""
        return self.generate(self.embed(images))

    def sample(self, images: Images, n: int, rng: np.random.Generator, sampler: str = "posterior") -> Images:
        """Draw new images of the target that some images show.

        Args:
            images: Such as the model was trained on.
            n: How many, at least 0.
            rng: Where the randomness comes from.
            sampler: One of `vae.SAMPLERS`; by default the images' aggregate posterior.

        Returns:
            `uint8[n, H, W, C]`.

        Raises:
            VAEError: If there is no such sampler.
        """
        return self.generate(draw_codes(sampler, *self.posterior(images), n, rng))

    def interpolate(self, images: Images, steps: int) -> Images:
        """Decode straight lines between the codes of images: targets between video frames (section 4.1).

        Args:
            images: In the order of the frames.
            steps: From one image to the next, at least 1.

        Returns:
            `uint8[(N - 1) * steps + 1, H, W, C]`; every `steps`-th is a reconstruction.

        Raises:
            VAEError: If there are no steps.
        """
        return self.generate(interpolate(self.embed(images), steps))

    def traverse(self, images: Images, n: int) -> Images:
        """Decode a walk of constant speed along the codes of images.

        Args:
            images: In the order of the walk.
            n: Images to return, at least 2; the first and the last are reconstructions.

        Returns:
            `uint8[n, H, W, C]`.

        Raises:
            VAEError: If `n` is below 2.
        """
        return self.generate(traverse(self.embed(images), n))

    @property
    def card(self) -> dict[str, Any]:
        """The shape of the network and its number of parameters, for the model card."""
        return {"config": self.config.to_dict(), "parameters": sum(p.numel() for p in self.parameters())}

    def write_files(self, folder: Path) -> None:
        """Write the model by `save`."""
        self.save(folder)

    @classmethod
    def read_files(cls, folder: Path, **options: Any) -> VAE:
        """Read a folder by `load`, whose option is `device`."""
        return cls.load(folder, **options)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and `config.json` into `folder`, which is made where it is missing.

        Each file appears whole or not at all.

        Raises:
            OSError: If the disk refuses.
        """
        write_model(folder, self.config, self.state_dict())

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> VAE:
        """Read what `save` wrote.

        Args:
            folder: The folder given to `save`.
            device: Where the weights go.

        Raises:
            VAEError: If a file is missing or damaged, or the two do not fit each other.
        """
        config = read_config(folder)
        try:
            layers = build_layers(config)
        except VAEError as error:
            raise VAEError(f"What is in {folder} does not fit {CONFIG_NAME}: {error}") from error
        tensors = read_weights(folder, layers.state_dict())
        model = cls(config)
        model.load_state_dict(tensors)
        return model.to(resolve_device(device)).eval()
