"""One update of the weights of one model, or of a batch of models of one shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch.optim.rmsprop import rmsprop

from ..config import TrainingConfig
from ..devices import resolve_precision
from ..loss import lower_bound_at
from ..model import VAE
from .noise import Noise
from .state import TrainingState

_EPSILON = 1e-8
"""Added to RMSprop's root mean square of the gradients; PyTorch's default."""
_BLOCK = 2**17
"""Weights that a CPU updates in one go: with gradient and average they fit into its cache, 2 MiB."""
_FLUSH_EVERY = 100
_LEAST_AVERAGE = 1e-30
"""No update shows a smaller average of squared gradients; at 1e-38 arithmetic becomes several times slower."""


class Updates:
    """RMSprop on the lower bound (eq. 4, negated), averaged over the images, for models of one shape.

    With bf16 the two large matrices of the `mlp` have bf16 copies, which the gradients are computed from;
    convolutions are converted by autocast. Weights and averages of squared gradients are fp32.

    The weights of a batch of models become views of stacked tensors until `unstack`; images are padded to the
    largest number with rows of weight 0.

    Args:
        states: The trainings, all at one epoch; their tensors are changed in place.
        images: Intensities in [0, 1] for each, `float32[N, D]`.
        noises: The draws of eps for each.
        training: The recipe.
    """

    def __init__(
        self,
        states: Sequence[TrainingState],
        images: Sequence[torch.Tensor],
        noises: Sequence[Noise],
        training: TrainingConfig,
    ) -> None:
        self._states, self._noises, self._training = states, noises, training
        model = states[0].model
        self._device = model.device
        self._dtype = resolve_precision(training.precision, model.device)
        self._loss = _Loss(model)
        shares = [torch.full((len(vectors),), 1 / len(vectors), device=model.device) for vectors in images]
        if len(states) == 1:
            weights = {name: weight.detach() for name, weight in model.named_parameters()}
            averages = states[0].square_averages
            self._images, self._shares = images[0], shares[0]
        else:
            weights, averages = _stack(states)
            self._images, self._shares = _pad(images), _pad(shares)
        large = ("encoder.weight", "output.weight") if model.config.architecture == "mlp" else ()
        self._copies = {
            name: weight.detach().to(self._dtype if name in large else torch.float32).requires_grad_()
            for name, weight in weights.items()
        }
        self._inputs = self._images.to(self._dtype) if large else self._images
        self._blocks = list(
            zip(
                self._split(weights.values()),
                self._split(averages[name] for name in weights),
                self._split(copy.detach() for copy in self._copies.values()),
                strict=True,
            )
        )

    def advance(self) -> None:
        """Do one update of every model and enter its loss into the histories."""
        epoch = self._states[0].epoch
        draws = [noise(epoch) for noise in self._noises]
        weights = {f"model.{name}": copy for name, copy in self._copies.items()}
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            if len(draws) == 1:
                terms = self._terms(weights, self._inputs, self._images, self._shares, draws[0])[None]
            else:
                noise = _pad([draw.transpose(0, 1) for draw in draws]).transpose(1, 2)
                terms = torch.func.vmap(self._terms)(weights, self._inputs, self._images, self._shares, noise)
        self._step(torch.autograd.grad(terms.sum(), list(self._copies.values())))
        for state, values in zip(self._states, terms.detach(), strict=True):
            state.terms[epoch] = values
            state.epoch += 1
        if (epoch + 1) % _FLUSH_EVERY == 0:
            for _, average, _ in self._blocks:
                torch.threshold_(average, _LEAST_AVERAGE, 0.0)

    def unstack(self) -> None:
        """Give every model of a batch memory of its own again."""
        if len(self._states) > 1:
            for state in self._states:
                for name, weight in state.model.named_parameters():
                    weight.data = weight.detach().clone()
                    state.square_averages[name] = state.square_averages[name].clone()

    def _terms(self, weights: dict[str, torch.Tensor], *batch: torch.Tensor) -> torch.Tensor:
        terms: torch.Tensor = torch.func.functional_call(self._loss, weights, batch)
        return terms

    @torch.no_grad()
    def _step(self, gradients: Iterable[torch.Tensor]) -> None:
        steps = [torch.tensor(0.0)]  # counted by PyTorch, without effect on the update
        for (weight, average, copy), gradient in zip(self._blocks, self._split(gradients), strict=True):
            rmsprop(
                [weight], [gradient.float()], [average], [], [], steps,
                lr=self._training.learning_rate, alpha=self._training.alpha, eps=_EPSILON,
                weight_decay=0.0, momentum=0.0, centered=False, foreach=False,
            )  # fmt: skip
            if copy.dtype != weight.dtype:
                copy.copy_(weight)

    def _split(self, tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Cut tensors into the blocks of an update; a GPU takes each whole."""
        flat = [tensor.reshape(-1) for tensor in tensors]
        return [
            block
            for tensor in flat
            for block in tensor.split(_BLOCK if self._device.type == "cpu" else len(tensor))
        ]


class _Loss(torch.nn.Module):
    """Both terms of the loss, `float32[2]`, a weighted mean over the images."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, inputs: torch.Tensor, images: torch.Tensor, shares: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        bound = lower_bound_at(self.model, images, *self.model.encode(inputs), noise)
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
