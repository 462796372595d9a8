"""RMSprop in as few passes over memory as PyTorch's own kernels allow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.optim.adam import adam

_EPSILON = 1e-8
_BLOCK = 2**20
_LATE = 1e9
_NEVER_SEEN = 1e-30


class RMSprop:
    """`torch.optim.RMSprop` without momentum, in place on given tensors; equal to it within rounding.

    With v the running average of g^2, decayed by `alpha`, a weight moves by -learning_rate * g / (sqrt(v) + 1e-8).
    PyTorch's RMSprop goes over memory once for each of these operations. Its Adam has a kernel that goes over it
    once, and Adam without a first moment and long after its start, when the bias corrections are 1, is RMSprop.

    Where the weights have a copy in another dtype, an update goes block by block, small enough that the
    gradient's conversion, the update and the copy's refreshment meet the block in the cache.

    Args:
        weights: What is trained, `float32`, contiguous.
        averages: v of each weight, of the same shape; changed in place.
        copies: The weights that the gradients are computed from: for each either the weight itself or a tensor of
            the same shape in another dtype, which is set to the weight now and after every update.
        learning_rate: The step size.
        alpha: The decay of v.

    >>> weight, average = torch.ones(1), torch.zeros(1)
    >>> RMSprop([weight], [average], [weight], learning_rate=0.1, alpha=0.75).step([torch.full((1,), 3.0)])
    >>> weight.item(), average.item()
    (0.800000011920929, 2.25)
    """

    def __init__(
        self,
        weights: Iterable[torch.Tensor],
        averages: Iterable[torch.Tensor],
        copies: Iterable[torch.Tensor],
        *,
        learning_rate: float,
        alpha: float,
    ) -> None:
        """See the class."""
        self._flat = [
            (weight.detach().view(-1), average.view(-1), None if copy.dtype == weight.dtype else copy.view(-1))
            for weight, average, copy in zip(weights, averages, copies, strict=True)
        ]
        self._learning_rate, self._alpha = learning_rate, alpha
        self._steps = {weight.device: torch.tensor(_LATE, device=weight.device) for weight, _, _ in self._flat}
        self._block = torch.empty(_BLOCK, device=self._flat[0][0].device)
        for weight, _, copy in self._flat:
            if copy is not None:
                copy.copy_(weight)

    @torch.no_grad()
    def step(self, gradients: Iterable[torch.Tensor]) -> None:
        """Update every weight; a gradient in the weight's own dtype may be overwritten."""
        weights, averages, steepest = [], [], []
        for (weight, average, copy), gradient in zip(self._flat, gradients, strict=True):
            flat = gradient.reshape(-1)
            if copy is None and flat.dtype == weight.dtype:
                weights.append(weight)
                averages.append(average)
                steepest.append(flat)
            else:
                self._step_by_blocks(weight, average, copy, flat)
        self._update(weights, averages, steepest)

    def forget_the_smallest(self) -> None:
        """Set averages below 1e-30 to 0, which no update can tell apart.

        The average of a weight whose gradient stays 0 would end among the denormal numbers, where arithmetic is
        several times slower.
        """
        for _, average, _ in self._flat:
            torch.threshold_(average, _NEVER_SEEN, 0.0)

    def _step_by_blocks(
        self, weight: torch.Tensor, average: torch.Tensor, copy: torch.Tensor | None, gradient: torch.Tensor
    ) -> None:
        for start in range(0, len(weight), _BLOCK):
            piece = slice(start, start + _BLOCK)
            block = self._block[: len(weight[piece])].copy_(gradient[piece])
            self._update([weight[piece]], [average[piece]], [block])
            if copy is not None:
                copy[piece].copy_(weight[piece])

    def _update(
        self, weights: list[torch.Tensor], averages: list[torch.Tensor], gradients: list[torch.Tensor]
    ) -> None:
        """Adam with beta1 = 0 writes its first moment, which is the gradient, over the gradient."""
        if not weights:
            return
        adam(
            weights, gradients, gradients, averages, [], [self._steps[weight.device] for weight in weights],
            fused=True, amsgrad=False, maximize=False, weight_decay=0.0,
            beta1=0.0, beta2=self._alpha, lr=self._learning_rate, eps=_EPSILON,
        )  # fmt: skip
