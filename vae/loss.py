"""The variational lower bound: its closed-form divergence (eq. 3) and its estimate by sampling (eq. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from .model import VAE


class LowerBound(NamedTuple):
    """The two terms of eq. 4 for each image, in nats.

    Attributes:
        log_likelihood: The mean over the samples of log p(x|z), `[N]`; at most 0.
        kl: The divergence of q(z|x) from the prior, `[N]`; at least 0.
    """

    log_likelihood: torch.Tensor
    kl: torch.Tensor

    @property
    def value(self) -> torch.Tensor:
        """The lower bound itself, `[N]`."""
        return self.log_likelihood - self.kl


def kl_divergence(mu: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Return the divergence of N(mu, sigma^2) from the prior N(0, I) in closed form (eq. 3, negated).

    Args:
        mu: Means, `[..., J]`.
        log_variance: log sigma^2, `[..., J]`.

    Returns:
        `[...]`, in nats, at least 0.

    >>> kl_divergence(torch.tensor([1.0, 1.0]), torch.zeros(2)).item()
    1.0
    """
    return -0.5 * (1 + log_variance - mu.square() - log_variance.exp()).sum(-1)


def log_likelihood(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return log p(x|z) of independent Bernoulli pixels, summed over the pixels (section 4.1.1).

    With y = sigmoid(logit), x log y + (1 - x) log(1 - y) is (x - 1/2) logit - |logit| / 2 + log sigmoid(|logit|),
    which neither overflows nor needs log1p, the slowest function of a training on a CPU. An intensity between 0
    and 1 counts as its share of either outcome, so the best possible value is then below 0.

    Args:
        logits: The decoder's outputs before the sigmoid, `[..., D]`.
        images: Intensities in [0, 1], `[N, D]`; broadcast over the leading axes of `logits`.

    Returns:
        `[...]`, in nats.
    """
    size = logits.abs()
    return torch.linalg.vecdot(images - 0.5, logits) + size.sigmoid().log().sum(-1) - 0.5 * size.sum(-1)


def evidence_lower_bound(model: VAE, images: torch.Tensor, samples: int, generator: torch.Generator) -> LowerBound:
    """Estimate the lower bound of log p(x) for each image (eq. 4).

    The codes are z = mu + sigma * eps with eps from N(0, I), so gradients reach the encoder.

    Args:
        model: The encoder and the decoder.
        images: Intensities in [0, 1], `[N, D]`.
        samples: Draws L of eps for each image.
        generator: Where eps comes from, on the device of `images`.

    Returns:
        Both terms for each image.
    """
    mu, log_variance = model.encode(images)
    noise = torch.randn((samples, *mu.shape), generator=generator, device=mu.device, dtype=mu.dtype)
    return lower_bound_at(model, images, mu, log_variance, noise)


def lower_bound_at(
    model: VAE,
    images: torch.Tensor,
    mu: torch.Tensor,
    log_variance: torch.Tensor,
    noise: torch.Tensor,
) -> LowerBound:
    """Return eq. 4 for given draws of eps.

    Args:
        model: The decoder.
        images: Intensities in [0, 1], `[N, D]`.
        mu: Means of q(z|x), `[N, J]`.
        log_variance: log sigma^2 of q(z|x), `[N, J]`.
        noise: eps, `[L, N, J]`.

    Returns:
        Both terms for each image.
    """
    z = mu + (0.5 * log_variance).exp() * noise
    likelihood = log_likelihood(model.decode(z), images).mean(0)
    return LowerBound(likelihood, kl_divergence(mu, log_variance))
