"""One update of the weights of one model, or of many models at once."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import torch

from .config import Precision, TrainingConfig
from .gradients import Batch, Weights, gradients_for, low_precision_weights
from .noise import Noise
from .rmsprop import RMSprop
from .state import TrainingState

_TIDY_EVERY = 100


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Turn a precision into a dtype; `auto` is bf16 where the hardware has units for it, and float32 elsewhere.

    The rule is that of `tracker.models.backbones.resolve_precision`.
    """
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.get_device_capability(device) >= (8, 0)
        else:
            native = device.type == "cpu" and _cpu_has_bf16_units()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _cpu_has_bf16_units() -> bool:
    """Whether oneDNN has bfloat16 kernels for this CPU and the CPU has the instructions for them."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True  # There oneDNN's answer is the CPU's own; on x86 it includes emulation.
    in_use = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return in_use and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Updates:
    """Steps of RMSprop up the lower bound, averaged over the images (eq. 4), for models of one shape.

    Many models are updated by batched products: their weights become parts of shared tensors until `part`, and
    images are filled up to the largest number with rows that count nothing.

    Args:
        states: The trainings, all at one epoch; their tensors are changed in place.
        images: For each its images, intensities in [0, 1], `float32[N, D]`.
        noises: For each its draws of eps.
        training: The recipe.
    """

    def __init__(
        self,
        states: Sequence[TrainingState],
        images: Sequence[torch.Tensor],
        noises: Sequence[Noise],
        training: TrainingConfig,
    ) -> None:
        """See the class."""
        self._states, self._noises = states, noises
        self._counts = [len(vectors) for vectors in images]
        model = states[0].model
        dtype = resolve_precision(training.precision, model.device)
        self._gradients = gradients_for(model, dtype)
        if len(states) == 1:
            weights = {name: weight.detach() for name, weight in model.named_parameters()}
            averages, self._terms = states[0].square_averages, states[0].terms
            filled, share = images[0], torch.full((len(images[0]),), 1 / len(images[0]), device=model.device)
        else:
            self._gradients = torch.func.vmap(self._gradients)
            weights, averages = self._join()
            self._terms = torch.stack([state.terms for state in states], dim=1)
            for number, state in enumerate(states):
                state.terms = self._terms[:, number]
            filled = torch.nn.utils.rnn.pad_sequence(list(images), batch_first=True)
            shares = [torch.full((count,), 1 / count, device=model.device) for count in self._counts]
            share = torch.nn.utils.rnn.pad_sequence(shares, batch_first=True)
        low = low_precision_weights(model)
        self._copies = {name: weight.to(dtype) if name in low else weight for name, weight in weights.items()}
        self._batch = Batch(filled, filled.to(dtype), share)
        self._optimizer = RMSprop(
            weights.values(),
            averages.values(),
            self._copies.values(),
            learning_rate=training.learning_rate,
            alpha=training.alpha,
        )

    def advance(self) -> None:
        """Do one update of every model and enter its loss into the histories."""
        epoch = self._states[0].epoch
        gradients, terms = self._gradients(self._copies, self._batch, self._draws(epoch))
        self._optimizer.step(gradients[name] for name in self._copies)
        self._terms[epoch] = terms
        for state in self._states:
            state.epoch += 1
        if (epoch + 1) % _TIDY_EVERY == 0:
            self._optimizer.forget_the_smallest()

    def part(self) -> None:
        """Give every model memory of its own again."""
        if len(self._states) == 1:
            return
        for state in self._states:
            for name, weight in state.model.named_parameters():
                weight.data = weight.detach().clone()
                state.square_averages[name] = state.square_averages[name].clone()
            state.terms = state.terms.clone()

    def _join(self) -> tuple[Weights, Weights]:
        """Stack the weights and the averages of all models, and make the models' own parts of the stacks."""
        weights, averages = {}, {}
        parameters = [dict(state.model.named_parameters()) for state in self._states]
        for name in parameters[0]:
            weights[name] = torch.stack([own[name].detach() for own in parameters])
            averages[name] = torch.stack([state.square_averages[name] for state in self._states])
            for number, (own, state) in enumerate(zip(parameters, self._states, strict=True)):
                own[name].data = weights[name][number]
                state.square_averages[name] = averages[name][number]
        return weights, averages

    def _draws(self, epoch: int) -> torch.Tensor:
        """The noise of an epoch, `[L, N, J]`, or `[models, L, N, J]` with zeros for the rows that fill up."""
        draws = [noise(epoch) for noise in self._noises]
        if len(draws) == 1:
            return draws[0]
        most = max(self._counts)
        return torch.stack([torch.nn.functional.pad(draw, (0, 0, 0, most - draw.shape[1])) for draw in draws])
