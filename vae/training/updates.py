"""The updates of an epoch, of one model or of a batch of models of one shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch.optim.adam import adam

from ..config import TrainingConfig
from ..devices import resolve_precision
from ..loss import lower_bound_at
from ..model import VAE
from .noise import Noise, draw_order, validation_noise
from .state import TrainingState

_Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Images `[N, D]`, their shares of the loss `[N]`, draws of eps `[L, N, J]`; of several models `[models, ...]`."""

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

    The weights of a batch of models become views of stacked tensors until `unstack`; images are padded to the
    largest number with rows of weight 0.

    Args:
        states: The trainings, all at one epoch; their tensors are changed in place.
        images: Intensities in [0, 1] for each, `float32[N, D]`.
        training: The recipe; mini-batches are for a single model.
        held_out: Images for each whose bound is measured after every epoch; none where left out.
    """

    def __init__(
        self,
        states: Sequence[TrainingState],
        images: Sequence[torch.Tensor],
        training: TrainingConfig,
        held_out: Sequence[torch.Tensor] = (),
    ) -> None:
        self._states, self._training, model = states, training, states[0].model
        shapes = [(training.samples, len(vectors), model.config.latent) for vectors in images]
        self._noises = [Noise(training.seed, shape, model.device) for shape in shapes]
        dtype = resolve_precision(training.precision, model.device)
        self._loss = _Loss(model, dtype)
        shares = [_equal_shares(vectors) for vectors in images]
        if len(states) == 1:
            weights = {name: weight.detach() for name, weight in model.named_parameters()}
            self._averages = states[0].square_averages
        else:
            weights, self._averages = _stack(states)
        self._images, self._shares = _join(images), _join(shares)
        rmsprop = _RMSprop(training, max(weights.values(), key=torch.numel))
        large = ("encoder.weight", "output.weight") if model.config.architecture == "mlp" else ()
        self._copies = {}
        for name, weight in weights.items():
            copy = weight.to(dtype if name in large else torch.float32).requires_grad_()
            copy.register_post_accumulate_grad_hook(partial(rmsprop, weight.detach(), self._averages[name]))
            self._copies[f"model.{name}"] = copy
        self._held_out: _Batch | None = None
        if held_out:
            shapes = [(training.samples, len(vectors), model.config.latent) for vectors in held_out]
            noises = [validation_noise(training.seed, shape, model.device) for shape in shapes]
            self._held_out = (
                _join(held_out),
                _join([_equal_shares(vectors) for vectors in held_out]),
                _join(noises, 1),
            )

    def advance(self) -> None:
        """Do one epoch of every model and enter its loss, and the held-out bound, into the histories."""
        epoch = self._states[0].epoch
        terms = torch.zeros((len(self._states), 2), device=self._shares.device)
        for batch, share in self._batches(epoch):
            found = self._terms(batch)
            (found[:, 0] + self._states[0].kl_weights[epoch] * found[:, 1]).sum().backward()
            terms += share * found.detach()
        for state, values in zip(self._states, terms, strict=True):
            state.terms[epoch] = values
            state.epoch += 1
        if (epoch + 1) % _FLUSH_EVERY == 0:
            for average in self._averages.values():
                torch.threshold_(average, _LEAST_AVERAGE, 0.0)
        if self._held_out is not None:
            with torch.no_grad():
                bounds = -self._terms(self._held_out).sum(-1)
            for state, bound in zip(self._states, bounds.tolist(), strict=True):
                state.enter_validation(bound)

    def _batches(self, epoch: int) -> Iterator[tuple[_Batch, float]]:
        """The batches of an epoch, and the share of the images that each has."""
        noise = _join([draw(epoch) for draw in self._noises], 1)
        size, count = self._training.batch_size, len(self._images)
        if size is None or size >= count:
            yield (self._images, self._shares, noise), 1.0
            return
        for rows in draw_order(self._training.seed, epoch, count).to(noise.device).split(size):
            images = self._images[rows]
            yield (images, _equal_shares(images), noise[:, rows]), len(rows) / count

    def _terms(self, batch: _Batch) -> torch.Tensor:
        """Both terms of each model's loss, `float32[models, 2]`."""
        loss = partial(torch.func.functional_call, self._loss)
        return (
            loss(self._copies, batch)[None]
            if len(self._states) == 1
            else torch.func.vmap(loss)(self._copies, batch)
        )

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


def _equal_shares(images: torch.Tensor) -> torch.Tensor:
    return torch.full((len(images),), 1 / len(images), device=images.device)


def _join(tensors: Sequence[torch.Tensor], axis: int = 0) -> torch.Tensor:
    """Return the tensor of a single model, or stack those of a batch, filled up with zeros along `axis`."""
    if len(tensors) == 1:
        return tensors[0]
    padded = torch.nn.utils.rnn.pad_sequence([tensor.movedim(axis, 0) for tensor in tensors], batch_first=True)
    return padded.movedim(1, 1 + axis)


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
