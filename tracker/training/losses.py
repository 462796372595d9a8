"""The losses: SINT's margin contrastive loss of descriptors, SiamFC's balanced logistic loss of responses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import check_choice


def contrastive_loss(
    first: Tensor,
    second: Tensor,
    same: Tensor,
    margin: float = 1.0,
    form: Literal["distance", "squared"] = "distance",
) -> Tensor:
    """Pull pairs of one target together, push others apart up to a margin.

    With the Euclidean distance d of two unit vectors:
    `distance`: mean of 1/2 [y d^2 + (1 - y) max(0, margin - d)^2] (Caffe's layer, which SINT trained with);
    `squared`: mean of 1/2 [y d^2 + (1 - y) max(0, margin - d^2)] (the form that the SINT paper prints).

    Args:
        first: `[N, D]`, unit vectors.
        second: `[N, D]`, unit vectors.
        same: `[N]`, y: 1 where both show one target, else 0.
        margin: Distance from which on other targets are not pushed further apart.
        form: `distance` or `squared`.

    Returns:
        The scalar loss.

    Raises:
        InputError: If the form is unknown.
    """
    check_choice(form, ("distance", "squared"), "form of the contrastive loss")
    squared = (first - second).square().sum(dim=1)
    if form == "squared":
        push = (margin - squared).clamp(min=0.0)
    else:
        push = (margin - squared.clamp(min=1e-12).sqrt()).clamp(min=0.0).square()
    same = same.to(squared)
    return 0.5 * (same * squared + (1.0 - same) * push).mean()


def balanced_logistic(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean logistic loss over responses `[N, H, W]`, in each of which positive and negative cells weigh the same.

    Each has at least one positive and one negative label, `bool[N, H, W]`.
    """
    each = functional.softplus(-torch.where(labels, 1.0, -1.0) * logits)
    weights = torch.where(
        labels, 0.5 / labels.sum((1, 2), keepdim=True), 0.5 / (~labels).sum((1, 2), keepdim=True)
    )
    return (each * weights).sum(dim=(1, 2)).mean()
