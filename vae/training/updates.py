"""The updates of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch.optim.adam import adam

from ..config import TrainingConfig
from ..devices import resolve_precision
from ..loss import lower_bound_at
from ..model import VAE
from .noise import Noise, draw_order, validation_noise
from .state import TrainingState

_EPSILON = 1e-8
"""Added to RMSprop's root mean square of the gradients; PyTorch's default."""
_FLUSH_EVERY = 100
_LEAST_AVERAGE = 1e-30
"""No update shows a smaller average of squared gradients; at 1e-38 arithmetic becomes several times slower."""


class Updates:
    """RMSprop on the lower bound (eq. 4, negated; the divergence is weighted), averaged over the images.

    With bf16 the two large matrices of the `mlp` have bf16 copies, which the gradients are computed from;
    convolutions are converted by autocast. Weights, averages of squared gradients and the loss are fp32.

    A weight is updated within the backward pass, as soon as its gradient is known, so that the gradients of the
    two large matrices are never in memory together.

    Args:
        state: The training; its tensors are changed in place.
        images: Intensities in [0, 1], `float32[N, D]`.
        training: The recipe.
        held_out: Images whose bound is measured after every epoch, likewise; none where left out.
    """

    def __init__(
        self,
        state: TrainingState,
        images: torch.Tensor,
        training: TrainingConfig,
        held_out: torch.Tensor | None = None,
    ) -> None:
        self._state, self._training, self._images, model = state, training, images, state.model
        shape = (training.samples, len(images), model.config.latent)
        self._noise = Noise(training.seed, shape, model.device)
        dtype = resolve_precision(training.precision, model.device)
        self._loss = _Loss(model, dtype)
        weights = {name: weight.detach() for name, weight in model.named_parameters()}
        rmsprop = _RMSprop(training, max(weights.values(), key=torch.numel))
        large = ("encoder.weight", "output.weight") if model.config.architecture == "mlp" else ()
        self._copies = {}
        for name, weight in weights.items():
            copy = weight.to(dtype if name in large else torch.float32).requires_grad_()
            copy.register_post_accumulate_grad_hook(partial(rmsprop, weight.detach(), state.square_averages[name]))
            self._copies[f"model.{name}"] = copy
        self._held_out = None
        if held_out is not None and len(held_out):
            shape = (training.samples, len(held_out), model.config.latent)
            self._held_out = held_out, validation_noise(training.seed, shape, model.device)

    def advance(self) -> None:
        """Do one epoch and enter its loss, and the held-out bound, into the history."""
        state = self._state
        terms = torch.zeros(2, device=self._images.device)
        for images, noise in self._batches(state.epoch):
            found = self._terms(images, noise)
            (found[0] + state.kl_weights[state.epoch] * found[1]).backward()
            terms += len(images) / len(self._images) * found.detach()
        state.terms[state.epoch] = terms
        state.epoch += 1
        if state.epoch % _FLUSH_EVERY == 0:
            for average in state.square_averages.values():
                torch.threshold_(average, _LEAST_AVERAGE, 0.0)
        if self._held_out is not None:
            with torch.no_grad():
                state.enter_validation(-self._terms(*self._held_out).sum().item())

    def _batches(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The images of each update of an epoch, `[N, D]`, and their draws of eps, `[L, N, J]`."""
        size, count, noise = self._training.batch_size, len(self._images), self._noise(epoch)
        if size is None or size >= count:
            yield self._images, noise
            return
        for rows in draw_order(self._training.seed, epoch, count).to(noise.device).split(size):
            yield self._images[rows], noise[:, rows]

    def _terms(self, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(self._loss, self._copies, (images, noise))
        return found


class _RMSprop:
    """RMSprop's step by the fused kernel of Adam, since PyTorch has none of RMSprop.

    Without a first moment (beta1 = 0) and with the bias corrections that it has after infinitely many steps, which
    are 1, Adam is RMSprop. The kernel writes the first moment, the gradient itself, over the gradient.

    Args:
        training: The recipe.
        largest: The largest of the weights; gradients in bf16 are converted in memory of its size.
    """

    def __init__(self, training: TrainingConfig, largest: torch.Tensor) -> None:
        self._training, self._converted = training, torch.empty_like(largest).view(-1)
        self._step = torch.tensor(torch.inf, device=largest.device)

    def __call__(self, weight: torch.Tensor, average: torch.Tensor, copy: torch.Tensor) -> None:
        """Update a weight by the gradient of its copy, which becomes the new weight."""
        assert copy.grad is not None
        gradient, copy.grad = copy.grad, None
        if gradient.dtype != weight.dtype:
            gradient = self._converted[: weight.numel()].view_as(weight).copy_(gradient)
        adam(
            [weight], [gradient], [gradient], [average], [], [self._step],
            lr=self._training.learning_rate, beta1=0.0, beta2=self._training.alpha, eps=_EPSILON,
            weight_decay=0.0, amsgrad=False, maximize=False, fused=True,
        )  # fmt: skip
        if copy.dtype != weight.dtype:
            copy.copy_(weight)


class _Loss(torch.nn.Module):
    """Both terms of the loss, `float32[2]`, a mean over the images."""

    def __init__(self, model: VAE, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self._dtype = model, dtype

    def forward(self, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, self._dtype, enabled=self._dtype != torch.float32):
            bound = lower_bound_at(self.model, images, *self.model.encode(images), noise)
        shares = torch.full_like(bound.kl, 1 / len(images))
        return torch.stack((-bound.log_likelihood @ shares, bound.kl @ shares))
