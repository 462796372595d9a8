import pytest
import torch

from vae import VAE, VAEConfig
from vae.gradients import Batch, Weights, gradients_by_autograd, gradients_of_mlp, low_precision_weights
from vae.model import LOG_VARIANCE_RANGE

CONFIG = VAEConfig(image_size=8, hidden=24, latent=3)
COUNT, SAMPLES = 6, 2


@pytest.fixture
def weights() -> Weights:
    generator = torch.Generator().manual_seed(1)
    model = VAE(CONFIG, generator)
    found = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for name in found:
        if name.endswith("bias"):
            found[name].normal_(0, 0.3, generator=generator)
    return found


def batch(dtype: torch.dtype, share: torch.Tensor | None = None) -> Batch:
    images = torch.rand(COUNT, CONFIG.input_size, generator=torch.Generator().manual_seed(2))
    return Batch(images, images.to(dtype), torch.full((COUNT,), 1 / COUNT) if share is None else share)


def noise() -> torch.Tensor:
    return torch.randn(SAMPLES, COUNT, CONFIG.latent, generator=torch.Generator().manual_seed(3))


def difference(ours: torch.Tensor, reference: torch.Tensor) -> float:
    return ((ours.float() - reference).norm() / reference.norm()).item()


def test_the_written_out_gradients_are_autograds(weights: Weights) -> None:
    given = batch(torch.float32, torch.tensor([0.3, 0.1, 0.2, 0.2, 0.2, 0.0]))
    reference, terms = gradients_by_autograd(VAE(CONFIG))(weights, given, noise())
    ours, our_terms = gradients_of_mlp(weights, given, noise())
    torch.testing.assert_close(our_terms, terms)
    assert set(ours) == set(reference) == set(weights)
    for name in reference:
        assert difference(ours[name], reference[name]) < 1e-5, name


def test_bf16_gradients_are_near(weights: Weights) -> None:
    reference, terms = gradients_by_autograd(VAE(CONFIG))(weights, batch(torch.float32), noise())
    low = low_precision_weights(VAE(CONFIG))
    copies = {name: weight.bfloat16() if name in low else weight for name, weight in weights.items()}
    ours, our_terms = gradients_of_mlp(copies, batch(torch.bfloat16), noise())
    torch.testing.assert_close(our_terms, terms, rtol=2e-3, atol=0)
    for name in reference:
        assert difference(ours[name], reference[name]) < 0.03, name


@pytest.mark.parametrize(("bias", "bound"), [(1e3, LOG_VARIANCE_RANGE[1]), (-1e3, LOG_VARIANCE_RANGE[0])])
def test_a_clamped_log_variance_has_no_gradient(weights: Weights, bias: float, bound: float) -> None:
    weights["log_variance.bias"].fill_(bias)
    reference, _ = gradients_by_autograd(VAE(CONFIG))(weights, batch(torch.float32), noise())
    ours, _ = gradients_of_mlp(weights, batch(torch.float32), noise())
    assert not reference["log_variance.weight"].any()
    assert not ours["log_variance.weight"].any()
    torch.testing.assert_close(ours["mean.weight"], reference["mean.weight"], rtol=1e-4, atol=1e-3)


def test_logits_far_out_keep_the_loss_finite(weights: Weights) -> None:
    weights["output.bias"].fill_(1e6)
    gradients, terms = gradients_of_mlp(weights, batch(torch.float32), noise())
    assert torch.isfinite(terms).all()
    slope = (1 - batch(torch.float32).images).mean(0)
    torch.testing.assert_close(gradients["output.bias"], slope)


def test_the_gradients_are_those_of_differences(weights: Weights) -> None:
    given = batch(torch.float32)
    gradients, _ = gradients_of_mlp(weights, given, noise())
    step = 1e-2
    for name in ("mean.weight", "log_variance.weight", "decoder.weight"):
        losses = []
        for sign in (1, -1):
            moved = dict(weights)
            moved[name] = weights[name].clone()
            moved[name][0, 1] += sign * step
            losses.append(gradients_of_mlp(moved, given, noise())[1].sum().item())
        slope = (losses[0] - losses[1]) / (2 * step)
        assert gradients[name][0, 1].item() == pytest.approx(slope, rel=0.02, abs=0.02)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_rows_that_fill_up_count_nothing(architecture: str) -> None:
    config = VAEConfig.from_dict({**CONFIG.to_dict(), "architecture": architecture, "channels": [4, 8]})
    model = VAE(config)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    compute = gradients_of_mlp if architecture == "mlp" else gradients_by_autograd(model)
    few = batch(torch.float32)
    short = Batch(few.images[:4], few.operand[:4], torch.full((4,), 0.25))
    filled = Batch(few.images, few.operand, torch.tensor([0.25] * 4 + [0.0] * 2))
    ours, terms = compute(weights, filled, noise())
    reference, expected = compute(weights, short, noise()[:, :4])
    torch.testing.assert_close(terms, expected)
    for name in reference:
        torch.testing.assert_close(ours[name], reference[name], rtol=1e-4, atol=1e-4)
