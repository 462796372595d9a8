from __future__ import annotations

import pytest
import torch

from tracker.training.losses import contrastive_loss

# Distances 0, 0.6, 1 and 1.2; the margin is 1.
FIRST = torch.tensor([[1.0, 0.0], [0.6, 0.0], [0.0, 1.0], [1.2, 0.0]], dtype=torch.float64)
SECOND = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("row", "same", "distance", "squared"),
    [
        (0, 1, 0.0, 0.0),
        (1, 1, 0.18, 0.18),
        (3, 1, 0.72, 0.72),
        (0, 0, 0.5, 0.5),
        (1, 0, 0.08, 0.32),
        (2, 0, 0.0, 0.0),
        (3, 0, 0.0, 0.0),
    ],
)
def test_one_pair_by_hand(row: int, same: int, distance: float, squared: float) -> None:
    pair = FIRST[row : row + 1], SECOND[row : row + 1], torch.tensor([same])
    assert contrastive_loss(*pair).item() == pytest.approx(distance, abs=2e-6)
    assert contrastive_loss(*pair, form="squared").item() == pytest.approx(squared, abs=1e-9)


def test_a_batch_is_the_mean() -> None:
    same = torch.tensor([False, True, False, False])
    assert contrastive_loss(FIRST, SECOND, same).item() == pytest.approx((0.5 + 0.18) / 4, abs=1e-6)
    assert contrastive_loss(FIRST, SECOND, same, form="squared").item() == pytest.approx((0.5 + 0.18) / 4)


@pytest.mark.parametrize(("form", "loss"), [("distance", 0.5 * 1.4**2), ("squared", 0.5 * (2 - 0.36))])
def test_another_margin(form, loss: float) -> None:
    found = contrastive_loss(FIRST[1:2], SECOND[1:2], torch.tensor([0.0]), margin=2.0, form=form)
    assert found.item() == pytest.approx(loss)


@pytest.mark.parametrize("form", ["distance", "squared"])
def test_others_are_pushed_up_to_the_margin_only(form) -> None:
    near, far = torch.tensor([[0.9, 0.0]]), torch.tensor([[1.1, 0.0]])
    gradients = []
    for point in (near, far):
        point.requires_grad_()
        contrastive_loss(point, torch.zeros(1, 2), torch.tensor([0]), form=form).backward()
        gradients.append(point.grad[0, 0].item())
    assert gradients[0] < 0 and gradients[1] == 0


@pytest.mark.parametrize("form", ["distance", "squared"])
def test_equal_vectors_have_a_finite_gradient(form) -> None:
    first = torch.ones(2, 3, requires_grad=True)
    contrastive_loss(first, torch.ones(2, 3), torch.tensor([0, 1]), form=form).backward()
    assert (first.grad == 0).all()


@pytest.mark.parametrize("form", ["distance", "squared"])
def test_gradients(form) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (
        (0.3 * torch.randn(6, 3, generator=generator, dtype=torch.float64)).requires_grad_() for _ in range(2)
    )
    same = torch.tensor([1, 0, 1, 0, 0, 0])
    distance = (first - second).norm(dim=1)[same == 0]
    assert (distance < 1).any() and (distance > 1).any() and ((distance - 1).abs() > 0.01).all()
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, same, form=form), (first, second))
