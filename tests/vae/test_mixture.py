import numpy as np
import pytest
from scipy.stats import multivariate_normal

from vae import GaussianMixture, VAEError, sample_mixture
from vae.sampling import Codes


@pytest.fixture(scope="module")
def clusters() -> Codes:
    """Two narrow, tilted clusters, a quarter and three quarters of the codes."""
    rng = np.random.default_rng(0)
    offsets = rng.standard_normal((200, 2)) @ np.array([[0.3, 0.1], [0.0, 0.1]])
    centres = np.repeat([[-4.0, 0.0], [4.0, 2.0]], [50, 150], axis=0)
    return (centres + offsets).astype(np.float32)


def in_the_gap(codes: Codes) -> float:
    return float((np.abs(codes[:, 0]) < 2).mean())


def test_two_clusters_are_recovered_that_one_gaussian_misses(clusters: Codes) -> None:
    rng = np.random.default_rng(1)
    fitted = GaussianMixture.fit(clusters, rng)
    order = np.argsort(fitted.means[:, 0])
    np.testing.assert_allclose(fitted.weights[order], [0.25, 0.75], atol=1e-3)
    np.testing.assert_allclose(fitted.means[order], [[-4, 0], [4, 2]], atol=0.1)
    np.testing.assert_allclose(fitted.covariances[order[1]], np.cov(clusters[50:].T), rtol=0.3, atol=0.01)
    assert in_the_gap(sample_mixture(clusters, 1000, rng)) == 0
    assert in_the_gap(sample_mixture(clusters, 1000, rng, components=1)) > 0.2


def test_the_density_is_scipys(clusters: Codes) -> None:
    fitted = GaussianMixture.fit(clusters, np.random.default_rng(0), components=3)
    parts = zip(fitted.weights, fitted.means, fitted.covariances, strict=True)
    expected = sum(weight * multivariate_normal(mean, cov).pdf(clusters) for weight, mean, cov in parts)
    np.testing.assert_allclose(np.exp(fitted.log_prob(clusters)), expected, rtol=1e-6)


def test_steps_of_em_raise_the_likelihood(clusters: Codes) -> None:
    x = clusters.astype(np.float64)
    more = [GaussianMixture.fit(x, np.random.default_rng(0), components=k).log_prob(x).sum() for k in (1, 2)]
    assert more[1] > more[0] + 100
    one = multivariate_normal(x.mean(axis=0), np.cov(x.T, bias=True)).logpdf(x).sum()
    assert more[0] == pytest.approx(one, abs=1)


def test_samples_have_the_mixtures_moments(clusters: Codes) -> None:
    fitted = GaussianMixture.fit(clusters, np.random.default_rng(0))
    drawn = fitted.sample(20_000, np.random.default_rng(1))
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), clusters.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(clusters.T), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_codes_and_equal_codes_have_a_mixture(count: int) -> None:
    rng = np.random.default_rng(0)
    assert np.isfinite(sample_mixture(np.zeros((count, 3)), 4, rng)).all()
    drawn = sample_mixture(rng.standard_normal((count, 3)), 4, rng)
    assert drawn.shape == (4, 3) and np.isfinite(drawn).all()


def test_bad_numbers_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(VAEError, match="got 3 and 2 codes"):
        sample_mixture(np.zeros((2, 2)), 1, rng, components=3)
    with pytest.raises(VAEError, match="got 0 and 0 codes"):
        sample_mixture(np.zeros((0, 2)), 1, rng)
    with pytest.raises(VAEError, match="n must be at least 0"):
        sample_mixture(np.zeros((2, 2)), -1, rng)
