"""One update of the weights of one model, or of a batch of models of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch.optim.adam import adam

from ..config import TrainingConfig
from ..devices import resolve_precision
from ..loss import lower_bound_at
from ..model import VAE
from .noise import Noise
from .state import TrainingState

_EPSILON = 1e-8
"""Added to RMSprop's root mean square of the gradients; PyTorch's default."""
_FLUSH_EVERY = 100
_LEAST_AVERAGE = 1e-30
"""No update shows a smaller average of squared gradients; at 1e-38 arithmetic becomes several times slower."""


class Updates:
    """RMSprop on the lower bound (eq. 4, negated), averaged over the images, for models of one shape.

    With bf16 the two large matrices of the `mlp` have bf16 copies, which the gradients are computed from;
    convolutions are converted by autocast. Weights, averages of squared gradients and the loss are fp32.

    A weight is updated within the backward pass, as soon as its gradient is known, so that the gradients of the
    two large matrices are never in memory together.

    The weights of a batch of models become views of stacked tensors until `unstack`; images are padded to the
    largest number with rows of weight 0.

    Args:
        states: The trainings, all at one epoch; their tensors are changed in place.
        images: Intensities in [0, 1] for each, `float32[N, D]`.
        training: The recipe.
    """

    def __init__(
        self, states: Sequence[TrainingState], images: Sequence[torch.Tensor], training: TrainingConfig
    ) -> None:
        self._states, model = states, states[0].model
        shapes = [(training.samples, len(vectors), model.config.latent) for vectors in images]
        self._noises = [Noise(training.seed, shape, model.device) for shape in shapes]
        dtype = resolve_precision(training.precision, model.device)
        self._loss = _Loss(model, dtype)
        shares = [torch.full((len(vectors),), 1 / len(vectors), device=model.device) for vectors in images]
        if len(states) == 1:
            weights = {name: weight.detach() for name, weight in model.named_parameters()}
            self._averages = states[0].square_averages
            self._images, self._shares = images[0], shares[0]
        else:
            weights, self._averages = _stack(states)
            self._images, self._shares = _pad(images), _pad(shares)
        rmsprop = _RMSprop(training, max(weights.values(), key=torch.numel))
        large = ("encoder.weight", "output.weight") if model.config.architecture == "mlp" else ()
        self._copies = {}
        for name, weight in weights.items():
            copy = weight.to(dtype if name in large else torch.float32).requires_grad_()
            copy.register_post_accumulate_grad_hook(partial(rmsprop, weight.detach(), self._averages[name]))
            self._copies[f"model.{name}"] = copy

    def advance(self) -> None:
        """Do one update of every model and enter its loss into the histories."""
        epoch = self._states[0].epoch
        draws = [noise(epoch) for noise in self._noises]
        loss = partial(torch.func.functional_call, self._loss)
        if len(draws) == 1:
            terms = loss(self._copies, (self._images, self._shares, draws[0]))[None]
        else:
            noise = _pad([draw.transpose(0, 1) for draw in draws]).transpose(1, 2)
            terms = torch.func.vmap(loss)(self._copies, (self._images, self._shares, noise))
        terms.sum().backward()
        for state, values in zip(self._states, terms.detach(), strict=True):
            state.terms[epoch] = values
            state.epoch += 1
        if (epoch + 1) % _FLUSH_EVERY == 0:
            for average in self._averages.values():
                torch.threshold_(average, _LEAST_AVERAGE, 0.0)

    def unstack(self) -> None:
        """Give every model of a batch memory of its own again."""
        if len(self._states) > 1:
            for state in self._states:
                for name, weight in state.model.named_parameters():
                    weight.data = weight.detach().clone()
                    state.square_averages[name] = state.square_averages[name].clone()


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
    """Both terms of the loss, `float32[2]`, a weighted mean over the images."""

    def __init__(self, model: VAE, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self._dtype = model, dtype

    def forward(self, images: torch.Tensor, shares: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, self._dtype, enabled=self._dtype != torch.float32):
            bound = lower_bound_at(self.model, images, *self.model.encode(images), noise)
        return torch.stack((-bound.log_likelihood @ shares, bound.kl @ shares))


def _pad(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stack tensors `[N, ...]` of different N, filled up with zeros."""
    return torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True)


def _stack(states: Sequence[TrainingState]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Stack the weights and the averages of all models, and make the models' own views of the stacks."""
    weights, averages = {}, {}
    parameters = [dict(state.model.named_parameters()) for state in states]
    for name in parameters[0]:
        weights[name] = torch.stack([own[name].detach() for own in parameters])
        averages[name] = torch.stack([state.square_averages[name] for state in states])
        for number, (own, state) in enumerate(zip(parameters, states, strict=True)):
            own[name].data = weights[name][number]
            state.square_averages[name] = averages[name][number]
    return weights, averages
