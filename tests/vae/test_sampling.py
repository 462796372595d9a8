import numpy as np
import pytest

from vae import VAEError, interpolate, sample_posterior, sample_prior


def test_the_prior_is_a_standard_normal() -> None:
    codes = sample_prior(20_000, 3, np.random.default_rng(0))
    assert codes.shape == (20_000, 3)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(3), atol=0.03)


def test_the_aggregate_posterior_is_the_mixture() -> None:
    mu, sigma = [[-10.0, 0.0], [10.0, 5.0]], [[0.5, 1.0], [2.0, 0.0]]
    codes = sample_posterior(mu, sigma, 20_000, np.random.default_rng(0))
    assert codes.dtype == np.float32
    left = codes[:, 0] < 0
    assert left.mean() == pytest.approx(0.5, abs=0.02)
    for of_one, m, s in zip((codes[left], codes[~left]), mu, sigma, strict=True):
        np.testing.assert_allclose(of_one.mean(0), m, atol=0.1)
        np.testing.assert_allclose(of_one.std(0), s, atol=0.05)


def test_the_same_seed_gives_the_same_codes() -> None:
    def draw(seed: int) -> np.ndarray:
        return sample_posterior(np.eye(2), np.eye(2), 5, np.random.default_rng(seed))

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


def test_interpolation_passes_through_the_codes_in_even_steps() -> None:
    codes = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    path = interpolate(codes, 4)
    assert path.shape == (17, 2)
    assert path.dtype == np.float32
    np.testing.assert_array_equal(path[::4], codes)
    np.testing.assert_allclose(np.diff(path[:5], axis=0), np.tile((codes[1] - codes[0]) / 4, (4, 1)), rtol=1e-5)
    np.testing.assert_array_equal(interpolate(codes, 1), codes)
    np.testing.assert_array_equal(interpolate(codes[:1], 3), codes[:1])


def test_no_samples_are_an_empty_array() -> None:
    rng = np.random.default_rng(0)
    assert sample_prior(0, 2, rng).shape == (0, 2)
    assert sample_posterior([[0.0, 0.0]], [[1.0, 1.0]], 0, rng).shape == (0, 2)


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(VAEError, match="n must be at least 0"):
        sample_prior(-1, 2, rng)
    with pytest.raises(VAEError, match="latent at least 1"):
        sample_prior(1, 0, rng)
    with pytest.raises(VAEError, match="one shape"):
        sample_posterior(np.zeros((2, 2)), np.zeros((3, 2)), 1, rng)
    with pytest.raises(VAEError, match="one shape"):
        sample_posterior(np.zeros((0, 2)), np.zeros((0, 2)), 1, rng)
    with pytest.raises(VAEError, match="negative"):
        sample_posterior([[0.0]], [[-1.0]], 1, rng)
    with pytest.raises(VAEError, match="at least 1 code"):
        interpolate(np.zeros((0, 2)), 2)
    with pytest.raises(VAEError, match="1 step"):
        interpolate(np.zeros((2, 2)), 0)
