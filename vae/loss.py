"""Bounds of log p(x): the lower bound (eq. 4), its divergence (eq. 3), and the importance-weighted bound."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import torch

_LEAST_LOG_DEVIATION = -math.log(255)
"""Of a Gaussian p(x|z): one level of 8 bits. Below it, images without any contrast would have infinite density."""


class LatentModel(Protocol):
    """The densities of a latent variable model with the prior N(0, I) and Gaussian q(z|x), such as `VAE`."""

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mu and log sigma^2 of q(z|x), each `[N, J]`, for images `[N, D]`."""

    def log_prob(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(x|z), `[..., N]`, for images `[N, D]` and codes `[..., N, J]`."""


class LowerBound(NamedTuple):
    """The two terms of eq. 4 for each image, in nats.

    Attributes:
        log_likelihood: The mean over the samples of log p(x|z), `[N]`; at most 0 for a Bernoulli likelihood.
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

    With y = sigmoid(logit), x log y + (1 - x) log(1 - y) is x * logit - softplus(logit). An intensity between 0
    and 1 counts as its share of either outcome, so the best possible value is then below 0.

    Args:
        logits: The decoder's outputs before the sigmoid, `[..., D]`.
        images: Intensities in [0, 1], `[N, D]`; broadcast over the leading axes of `logits`.

    Returns:
        `[...]`, in nats.
    """
    softplus: torch.Tensor = _SumOfSoftplus.apply(logits)
    return (images * logits).sum(-1) - softplus


class _SumOfSoftplus(torch.autograd.Function):
    """log(1 + exp(x)), summed over the last axis.

    `torch.nn.functional.softplus` uses log1p, which on a CPU takes half as long as all matrix products of an epoch
    in bf16. The logarithm of sigmoid(|x|) does not overflow either. The gradient is sigmoid(x).
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        size = x.abs()
        return 0.5 * (x.sum(-1) + size.sum(-1)) - size.sigmoid_().log_().sum(-1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return x.sigmoid().mul_(gradient.unsqueeze(-1))


def gaussian_log_likelihood(
    logits: torch.Tensor, images: torch.Tensor, log_deviation: torch.Tensor
) -> torch.Tensor:
    """Return log p(x|z) of independent Gaussian pixels with mean sigmoid(logit), summed over the pixels.

    Args:
        logits: The decoder's outputs before the sigmoid, `[..., D]`.
        images: Intensities in [0, 1], `[N, D]`; broadcast over the leading axes of `logits`.
        log_deviation: Log of the standard deviation of every pixel, `[]`; below 1/255, 1/255 is taken.

    Returns:
        `[...]`, in nats, a density that may be above 0.
    """
    log_deviation = log_deviation.clamp(min=_LEAST_LOG_DEVIATION)
    squares = (images - logits.sigmoid()).square().sum(-1)
    constant = images.shape[-1] * (log_deviation + 0.5 * math.log(2 * math.pi))
    return -0.5 * squares * (-2 * log_deviation).exp() - constant


def evidence_lower_bound(
    model: LatentModel, images: torch.Tensor, samples: int, generator: torch.Generator
) -> LowerBound:
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
    model: LatentModel, images: torch.Tensor, mu: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor
) -> LowerBound:
    """Return eq. 4 for given draws of eps, `[L, N, J]`; mu and log sigma^2 are those of q(z|x), `[N, J]`."""
    z = mu + (0.5 * log_variance).exp() * noise
    return LowerBound(model.log_prob(images, z).mean(0), kl_divergence(mu, log_variance))


def importance_weighted_bound(
    model: LatentModel, images: torch.Tensor, samples: int, generator: torch.Generator
) -> torch.Tensor:
    """Estimate the importance-weighted lower bound of log p(x) for each image (Burda et al., 2016, eq. 8).

    Its expectation is the ELBO for one sample, grows with the number of samples, and tends to log p(x).

    Args:
        model: The encoder and the decoder.
        images: Intensities in [0, 1], `[N, D]`.
        samples: Draws of z from q(z|x) for each image, at least 1; they are decoded one after another.
        generator: Where the draws come from, on the device of `images`.

    Returns:
        `[N]`, in nats.
    """
    mu, log_variance = model.encode(images)
    logs = []
    for _ in range(samples):
        noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        z = mu + (0.5 * log_variance).exp() * noise
        log_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)  # log p(z) - log q(z|x)
        logs.append(model.log_prob(images, z) + log_ratio)
    return torch.stack(logs).logsumexp(0) - math.log(samples)
