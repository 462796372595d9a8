"""The variational auto-encoder of the Positive Sample Generation Network (sections 4.1.1 and 4.1.2)."""

from __future__ import annotations

import os

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import nn

from .config import VAEConfig
from .errors import VAEError
from .images import Images, check_images, to_images, to_vectors
from .storage import read_config, read_weights, write_model

Codes = NDArray[np.float32]
"""`float32[N, latent]`."""

_LOG_VARIANCE_RANGE = (-20.0, 10.0)
_CHUNK = 512


class VAE(nn.Module):
    """A fully connected encoder and decoder, 12288-512-2-512-12288 by default (section 4.1.2).

    The hidden layers are ReLU, the two heads of the encoder and the decoder's logits are linear. The weights
    start Glorot-uniform, the biases at 0.

    `encode` and `decode` are for tensors; the other methods take and return arrays and keep no gradients.

    Args:
        config: The shape of the network.
        generator: A CPU generator for the initial weights; one with seed 0 where it is left out.

    >>> model = VAE(VAEConfig(image_size=8, hidden=4))
    >>> model.generate([[0.0, 0.0], [1.0, -1.0]]).shape
    (2, 8, 8, 3)
    """

    def __init__(self, config: VAEConfig | None = None, generator: torch.Generator | None = None) -> None:
        """Build the layers and draw their weights."""
        super().__init__()
        config = config or VAEConfig()
        generator = generator or torch.Generator().manual_seed(0)
        self.config = config
        self.encoder = _layer(config.input_size, config.hidden, generator)
        self.mean = _layer(config.hidden, config.latent, generator)
        self.log_variance = _layer(config.hidden, config.latent, generator)
        self.decoder = _layer(config.latent, config.hidden, generator)
        self.output = _layer(config.hidden, config.input_size, generator)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.output.weight.device

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and the log-variance of q(z|x).

        Args:
            x: Intensities in [0, 1], `[N, D]`.

        Returns:
            mu and log sigma^2, each `[N, latent]`; the log-variance is kept in [-20, 10].
        """
        hidden = F.relu(self.encoder(x))
        return self.mean(hidden), self.log_variance(hidden).clamp(*_LOG_VARIANCE_RANGE)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the logits of p(x|z): codes `[..., latent]` to `[..., D]`."""
        return self.output(F.relu(self.decoder(z)))

    @torch.no_grad()
    def posterior(self, images: Images) -> tuple[Codes, Codes]:
        """Return q(z|x) of each image.

        Args:
            images: `uint8[N, image_size, image_size, 3]`, N of at least 1.

        Returns:
            mu and sigma (the standard deviation), each `float32[N, latent]`.

        Raises:
            VAEError: If the images have another shape or dtype.
        """
        images = check_images(images, self.config.image_shape)
        means, deviations = [], []
        for start in range(0, len(images), _CHUNK):
            mu, log_variance = self.encode(to_vectors(images[start : start + _CHUNK], self.device))
            means.append(mu.cpu().numpy())
            deviations.append((0.5 * log_variance).exp().cpu().numpy())
        return np.concatenate(means), np.concatenate(deviations)

    def embed(self, images: Images) -> Codes:
        """Return the code of each image, the mean of q(z|x), `float32[N, latent]`.

        Args:
            images: `uint8[N, image_size, image_size, 3]`, N of at least 1.

        Raises:
            VAEError: If the images have another shape or dtype.
        """
        return self.posterior(images)[0]

    @torch.no_grad()
    def generate(self, codes: ArrayLike) -> Images:
        """Decode codes into images, the mean of p(x|z).

        Args:
            codes: `[N, latent]`, finite; N may be 0.

        Returns:
            `uint8[N, image_size, image_size, 3]`, RGB.

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
        """Encode images and decode their codes (the means of q(z|x), without noise).

        Args:
            images: `uint8[N, image_size, image_size, 3]`, N of at least 1.

        Returns:
            As many images of the same shape.

        Raises:
            VAEError: If the images have another shape or dtype.
        """
        return self.generate(self.embed(images))

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
        tensors = read_weights(folder, _shapes(config))
        model = cls(config)
        model.load_state_dict(tensors)
        return model.to(device).eval()


def check_codes(codes: ArrayLike, latent: int | None = None) -> Codes:
    """Return codes as `float32[N, latent]`.

    Args:
        codes: Numbers `[N, J]`.
        latent: The J they must have; any of at least 1 where it is left out.

    Raises:
        VAEError: If they are not numbers, have another shape, or are not finite.
    """
    wanted = f"[N, {'J' if latent is None else latent}]"
    try:
        array = np.asarray(codes, dtype=np.float32)
    except (TypeError, ValueError):
        raise VAEError(f"Codes must be numbers {wanted}.") from None
    if array.ndim != 2 or array.shape[1] < 1 or (latent is not None and array.shape[1] != latent):
        raise VAEError(f"Codes must be {wanted}, got {list(array.shape)}.")
    if not np.isfinite(array).all():
        raise VAEError("Codes must be finite.")
    return array


def _layer(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def _shapes(config: VAEConfig) -> dict[str, tuple[int, ...]]:
    sizes = {
        "encoder": (config.hidden, config.input_size),
        "mean": (config.latent, config.hidden),
        "log_variance": (config.latent, config.hidden),
        "decoder": (config.hidden, config.latent),
        "output": (config.input_size, config.hidden),
    }
    weights = {f"{name}.weight": size for name, size in sizes.items()}
    biases = {f"{name}.bias": size[:1] for name, size in sizes.items()}
    return {**weights, **biases}
