import gc
import weakref

import pytest
import torch

from vae import VAE, TrainingConfig, VAEConfig, log_likelihood
from vae.config import Precision
from vae.loss import lower_bound_at
from vae.model import LOG_VARIANCE_RANGE
from vae.training.state import TrainingState, start
from vae.training.updates import Updates

CONFIG = VAEConfig(image_size=8, hidden=24, latent=3)
COUNT, SAMPLES = 6, 2


def images() -> torch.Tensor:
    return torch.rand(COUNT, CONFIG.input_size, generator=torch.Generator().manual_seed(2))


def updated(precision: str, steps: int = 3) -> TrainingState:
    """A training after some updates."""
    recipe = TrainingConfig.from_dict({"epochs": steps, "samples": SAMPLES, "precision": precision})
    state = start(CONFIG, recipe, torch.device("cpu"))
    updates = Updates(state, images(), recipe)
    for _ in range(steps):
        updates.advance()
    return state


def test_the_gradient_of_the_likelihood_is_the_difference_of_intensities() -> None:
    logits = torch.tensor([[0.0, 1e6, -1e6, 3.0, -40.0]], requires_grad=True)
    x = torch.tensor([[0.2, 0.3, 0.3, 1.0, 0.0]])
    value = log_likelihood(logits, x)
    assert torch.isfinite(value).all()
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(gradient, x - logits.detach().sigmoid())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_memory_of_a_training_is_free_when_it_ends(precision: Precision) -> None:
    recipe = TrainingConfig(epochs=1, precision=precision)
    state = start(CONFIG, recipe, torch.device("cpu"))
    updates = Updates(state, images(), recipe)
    updates.advance()
    average = weakref.ref(state.square_averages["encoder.weight"])
    gc.disable()
    try:
        del state, updates
        assert average() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("bias", "bound"), [(1e3, LOG_VARIANCE_RANGE[1]), (-1e3, LOG_VARIANCE_RANGE[0])])
def test_a_clamped_log_variance_has_no_gradient(bias: float, bound: float) -> None:
    model = VAE(CONFIG)
    torch.nn.init.constant_(model.log_variance.bias, bias)
    assert (model.encode(images())[1] == bound).all()
    noise = torch.randn(SAMPLES, COUNT, CONFIG.latent, generator=torch.Generator().manual_seed(3))
    lower_bound_at(model, images(), *model.encode(images()), noise).value.sum().backward()
    assert not model.log_variance.weight.grad.any()
    assert model.mean.weight.grad.any()


def test_bf16_losses_are_near_and_weights_stay_fp32() -> None:
    full, half = (updated(precision) for precision in ("fp32", "bf16"))
    torch.testing.assert_close(half.terms[0], full.terms[0], rtol=5e-3, atol=0)
    assert not torch.equal(half.terms, full.terms)
    assert not torch.equal(half.terms, half.terms.bfloat16().float())
    assert {weight.dtype for weight in half.model.parameters()} == {torch.float32}


def test_the_averages_of_dead_weights_leave_the_denormal_numbers() -> None:
    recipe = TrainingConfig(epochs=100, precision="fp32")
    state = start(CONFIG, recipe, torch.device("cpu"))
    black = torch.zeros(2, CONFIG.input_size)
    updates = Updates(state, black, recipe)
    state.square_averages["encoder.weight"].fill_(1e-31)
    for _ in range(100):
        updates.advance()
    assert not state.square_averages["encoder.weight"].any()
