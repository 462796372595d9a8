import pytest
import torch

from vae.rmsprop import RMSprop

LARGE = 2**20 + 7


@pytest.mark.parametrize("alpha", [0.0, 0.9])
def test_it_is_pytorchs(alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    theirs = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(5, 7), (3,)]]
    ours = [weight.detach().clone() for weight in theirs]
    averages = [torch.zeros_like(weight) for weight in ours]
    reference = torch.optim.RMSprop(theirs, lr=1e-2, alpha=alpha)
    optimizer = RMSprop(ours, averages, ours, learning_rate=1e-2, alpha=alpha)
    for step in range(20):
        gradients = [torch.randn(w.shape, generator=generator) * 10.0 ** (step % 5 - 4) for w in ours]
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient.clone()
        reference.step()
        optimizer.step(gradients)
    for weight, average, expected in zip(ours, averages, theirs, strict=True):
        torch.testing.assert_close(weight, expected.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(average, reference.state[expected]["square_avg"], rtol=1e-5, atol=0)


def test_the_copy_follows_and_the_blocks_join() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(LARGE, generator=generator)
    whole, average = weight.clone(), torch.zeros_like(weight)
    copy = torch.zeros(LARGE, dtype=torch.bfloat16)
    gradient = torch.randn(LARGE, generator=generator).bfloat16()
    optimizer = RMSprop([weight], [average], [copy], learning_rate=0.1, alpha=0.9)
    assert torch.equal(copy, weight.bfloat16())
    optimizer.step([gradient.clone()])
    assert torch.equal(copy, weight.bfloat16())
    exact = gradient.float()
    torch.testing.assert_close(average, 0.1 * exact.square(), rtol=1e-5, atol=0)
    expected = whole - 0.1 * exact / ((0.1 * exact.square()).sqrt() + 1e-8)
    torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-5)


def test_averages_of_dead_weights_leave_the_denormal_numbers() -> None:
    average = torch.tensor([1e-40, 1e-31, 1e-29, 1.0])
    RMSprop([torch.ones(4)], [average], [torch.ones(4)], learning_rate=0.1, alpha=0.9).forget_the_smallest()
    assert average.tolist() == pytest.approx([0.0, 0.0, 1e-29, 1.0], rel=1e-6, abs=0)
