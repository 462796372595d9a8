import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as reference_kl

from vae import evidence_lower_bound, kl_divergence, log_likelihood


def test_eq_3_by_hand() -> None:
    mu = torch.tensor([[0.0, 0.0], [1.0, -2.0], [0.0, 0.0]])
    log_variance = torch.tensor([[0.0, 0.0], [0.0, 0.0], [math.log(4.0), 0.0]])
    by_hand = [0.0, (1 + 4) / 2, -0.5 * (1 + math.log(4) - 4)]
    assert kl_divergence(mu, log_variance).tolist() == pytest.approx(by_hand, abs=1e-6)


def test_eq_3_against_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    mu, log_variance = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    posterior = Normal(mu, (0.5 * log_variance).exp())
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    torch.testing.assert_close(kl_divergence(mu, log_variance), reference_kl(posterior, prior).sum(-1))


def test_eq_3_against_a_monte_carlo_estimate() -> None:
    """The divergence is the mean of log q(z) - log p(z) over draws of z from q."""
    mu, log_variance = torch.tensor([[0.7, -1.5]]), torch.tensor([[-1.0, 0.6]])
    posterior, prior = Normal(mu, (0.5 * log_variance).exp()), Normal(0.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    z = mu + (0.5 * log_variance).exp() * torch.randn(400_000, 2, generator=generator)
    logs = (posterior.log_prob(z) - prior.log_prob(z)).sum(-1)
    assert logs.mean().item() == pytest.approx(kl_divergence(mu, log_variance).item(), abs=0.01)


def test_the_likelihood_is_a_sum_over_the_pixels() -> None:
    images = torch.tensor([[1.0, 0.0, 0.5, 0.25]])
    logits = torch.tensor([[0.0, 0.0, 0.0, math.log(3.0)]])
    by_hand = -3 * math.log(2) + 0.25 * math.log(0.75) + 0.75 * math.log(0.25)
    assert log_likelihood(logits, images).tolist() == pytest.approx([by_hand])
    assert log_likelihood(logits.repeat(1, 10), images.repeat(1, 10)).item() == pytest.approx(10 * by_hand)


def test_the_likelihood_against_torch_and_over_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 20, generator=generator, dtype=torch.float64)
    images = (torch.rand(2, 20, generator=generator) > 0.5).double()
    expected = Bernoulli(logits=logits).log_prob(images).sum(-1)
    torch.testing.assert_close(log_likelihood(logits, images), expected)


def test_the_likelihood_of_extreme_logits_is_finite() -> None:
    logits = torch.tensor([[1e4, -1e4]])
    assert log_likelihood(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(0.0)
    assert log_likelihood(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(-2e4)


class LinearModel:
    """q(z|x) = N(x_1, 1.5^2) on one latent dimension; the logits are z and -z."""

    sigma = 1.5

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu = x[:, :1]
        return mu, torch.full_like(mu, 2 * math.log(self.sigma))

    def log_prob(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return log_likelihood(torch.cat([z, -z], dim=-1), x)


def test_eq_4_approaches_the_integral() -> None:
    images = torch.tensor([[0.2, 0.9], [1.0, 0.0]], dtype=torch.float64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z = images.numpy()[:, :1] + LinearModel.sigma * nodes
    x, y = images.numpy()[:, :1], images.numpy()[:, 1:]
    log_p = x * z - np.logaddexp(0, z) - y * z - np.logaddexp(0, -z)
    expected = log_p @ (weights / weights.sum())

    bound = evidence_lower_bound(LinearModel(), images, 200_000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(bound.log_likelihood, expected, atol=0.02)
    kl = 0.5 * (images[:, 0] ** 2 + 1.5**2 - 1 - 2 * math.log(1.5))
    torch.testing.assert_close(bound.kl, kl)
    torch.testing.assert_close(bound.value, bound.log_likelihood - kl)


def test_more_samples_scatter_less() -> None:
    images = torch.tensor([[0.2, 0.9]])
    generator = torch.Generator().manual_seed(0)

    def scatter(samples: int) -> float:
        draws = [evidence_lower_bound(LinearModel(), images, samples, generator).value for _ in range(200)]
        return torch.cat(draws).std().item()

    assert scatter(16) == pytest.approx(scatter(1) / 4, rel=0.3)


def test_eq_4_has_gradients_for_the_encoder() -> None:
    images = torch.tensor([[0.2, 0.9]], requires_grad=True)
    bound = evidence_lower_bound(LinearModel(), images, 1, torch.Generator().manual_seed(0))
    (through_z,) = torch.autograd.grad(bound.log_likelihood.sum(), images)
    z = LinearModel.sigma * torch.randn(1, generator=torch.Generator().manual_seed(0)) + 0.2
    x, y = 0.2, 0.9
    slope = x - torch.sigmoid(z) - y + torch.sigmoid(-z)
    assert through_z[0, 0].item() == pytest.approx((z + slope).item(), rel=1e-4)
