"""The variational lower bound: its closed-form divergence (eq. 3) and its estimate by sampling (eq. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        size = x.abs()
        return 0.5 * (x.sum(-1) + size.sum(-1)) - size.sigmoid_().log_().sum(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return x.sigmoid().mul_(gradient.unsqueeze(-1))


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
    model: VAE, images: torch.Tensor, mu: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor
) -> LowerBound:
    """Return eq. 4 for given draws of eps, `[L, N, J]`; mu and log sigma^2 are those of q(z|x), `[N, J]`."""
    z = mu + (0.5 * log_variance).exp() * noise
    likelihood = log_likelihood(model.decode(z), images).mean(0)
    return LowerBound(likelihood, kl_divergence(mu, log_variance))
