"""The gradients of the lower bound (eq. 4): written out for the paper's network, by autograd for any other.

Both are functions of the weights alone, so that `torch.func.vmap` turns either into one for many videos at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from .model import LOG_VARIANCE_RANGE, VAE
from .objective import kl_divergence, lower_bound_at

Weights = dict[str, torch.Tensor]
"""A tensor for each parameter of a model, by its name."""

_WIDEST_LOGIT = 80.0


class Batch(NamedTuple):
    """The images of a video, as an update sees them.

    Attributes:
        images: Intensities in [0, 1], `float32[N, D]`.
        operand: The same in the dtype that large matrices are multiplied in.
        share: What each image counts in the mean, `float32[N]`: 1 / N, and 0 for rows that only fill up.
    """

    images: torch.Tensor
    operand: torch.Tensor
    share: torch.Tensor


Gradients = Callable[[Weights, Batch, torch.Tensor], tuple[Weights, torch.Tensor]]
"""Weights, images and noise `[L, N, J]` to the gradient of each weight and the loss's two terms, `float32[2]`."""


def low_precision_weights(model: VAE) -> tuple[str, ...]:
    """Name the weights that `gradients_for` takes in bf16; autocast converts those of convolutions itself."""
    return ("encoder.weight", "output.weight") if model.config.architecture == "mlp" else ()


def gradients_for(model: VAE, dtype: torch.dtype) -> Gradients:
    """Return the fastest way to the gradients of a model's architecture."""
    return gradients_of_mlp if model.config.architecture == "mlp" else gradients_by_autograd(model, dtype)


def gradients_by_autograd(model: VAE, dtype: torch.dtype = torch.float32) -> Gradients:
    """Return the gradients of any model, as PyTorch derives them.

    Args:
        model: Gives the architecture; its weights are not used.
        dtype: What products are computed in, by autocast.
    """

    def loss(weights: Weights, batch: Batch, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bound = lower_bound_at(_Reweighted(model, weights, dtype), batch.images, noise)
        terms = torch.stack((-bound.log_likelihood @ batch.share, bound.kl @ batch.share))
        return terms.sum(), terms.detach()

    return torch.func.grad(loss, has_aux=True)


def gradients_of_mlp(weights: Weights, batch: Batch, noise: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    """Return the gradients of the paper's network, without a graph.

    The five products with the two large matrices are in the dtype of these matrices; all else is fp32. With
    s = sigmoid(logits), the gradient with respect to the logits is s - x, and log p(x|z) is
    x * logits - logits + log s, so that one pass of sigmoids serves both. Logits are kept in [-80, 80], where s
    is 0 or 1 to 34 digits.
    """
    dtype = weights["output.weight"].dtype
    samples, count, latent = noise.shape
    first = (batch.operand @ weights["encoder.weight"].t()).float() + weights["encoder.bias"]
    hidden = first.relu()
    mu = F.linear(hidden, weights["mean.weight"], weights["mean.bias"])
    free = F.linear(hidden, weights["log_variance.weight"], weights["log_variance.bias"])
    log_variance = free.clamp(*LOG_VARIANCE_RANGE)
    sigma = (0.5 * log_variance).exp()
    z = (mu + sigma * noise).reshape(-1, latent)
    wide = F.linear(z, weights["decoder.weight"], weights["decoder.bias"]).relu()
    logits = (wide.to(dtype) @ weights["output.weight"].t()).float().add_(weights["output.bias"])
    logits = logits.clamp(-_WIDEST_LOGIT, _WIDEST_LOGIT).reshape(samples, count, -1)
    chances = logits.sigmoid()
    difference = (chances - batch.images).to(dtype).reshape(samples * count, -1)
    products = (batch.images[:, None] @ logits.permute(1, 2, 0))[:, 0].t()
    likelihood = products - logits.sum(-1) + chances.log_().sum(-1)
    terms = torch.stack((-likelihood.mean(0) @ batch.share, kl_divergence(mu, log_variance) @ batch.share))

    scale = (batch.share / samples).expand(samples, count).reshape(-1, 1)
    to_wide = (difference @ weights["output.weight"]).float() * scale * (wide > 0)
    to_z = (to_wide @ weights["decoder.weight"]).reshape(samples, count, latent)
    to_mu = to_z.sum(0) + mu * batch.share[:, None]
    to_free = 0.5 * ((to_z * noise).sum(0) * sigma + (log_variance.exp() - 1) * batch.share[:, None])
    to_free = to_free * (free == log_variance)
    to_hidden = (to_mu @ weights["mean.weight"] + to_free @ weights["log_variance.weight"]) * (first > 0)
    gradients = {
        "encoder.weight": to_hidden.to(dtype).t() @ batch.operand,
        "encoder.bias": to_hidden.sum(0),
        "mean.weight": to_mu.t() @ hidden,
        "mean.bias": to_mu.sum(0),
        "log_variance.weight": to_free.t() @ hidden,
        "log_variance.bias": to_free.sum(0),
        "decoder.weight": to_wide.t() @ z,
        "decoder.bias": to_wide.sum(0),
        "output.weight": difference.t() @ (wide * scale).to(dtype),
        "output.bias": (scale.to(dtype).t() @ difference)[0].float(),
    }
    return gradients, terms


class _Reweighted:
    """A model under other weights than its own, with its products in a dtype."""

    def __init__(self, model: VAE, weights: Weights, dtype: torch.dtype) -> None:
        self._model, self._dtype = model, dtype
        self._weights = {f"model.{name}": weight for name, weight in weights.items()}

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu, log_variance = self._call("encode", x)
        return mu.float(), log_variance.float()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self._call("decode", z).float()

    def _call(self, method: str, argument: torch.Tensor) -> Any:
        with torch.autocast(argument.device.type, self._dtype, enabled=self._dtype != torch.float32):
            return torch.func.functional_call(_Method(self._model, method), self._weights, (argument,))


class _Method(torch.nn.Module):
    """One method of a model as a module, which `functional_call` asks for."""

    def __init__(self, model: VAE, name: str) -> None:
        super().__init__()
        self.model, self._name = model, name

    def forward(self, argument: torch.Tensor) -> Any:
        return getattr(self.model, self._name)(argument)
