import numpy as np
import pytest

from vae import (
    SAMPLERS,
    VAEError,
    draw_codes,
    interpolate,
    nearest_codes,
    prior_grid,
    sample_around,
    sample_neighbours,
    sample_posterior,
    sample_prior,
    sample_prior_grid,
    traverse,
    traverse_axis,
)


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


def test_the_prior_grid_sampler_gives_different_cells_of_the_grid() -> None:
    whole = sample_prior_grid(9, 2, np.random.default_rng(0))
    assert whole.dtype == np.float32
    order = np.lexsort((whole[:, 0], whole[:, 1]))
    np.testing.assert_allclose(whole[order], prior_grid(3), atol=1e-6)
    assert (whole != whole[order]).any()
    part = sample_prior_grid(7, 3, np.random.default_rng(0))
    assert len(np.unique(part, axis=0)) == 7
    assert set(np.abs(part).round(4).ravel()) == {np.float32(1.6449)}
    assert sample_prior_grid(5, 62, np.random.default_rng(0)).shape == (5, 62)


def test_neighbours_lie_between_a_code_and_a_near_one() -> None:
    codes = np.array([[0.0, 0], [1, 0], [2, 0], [100, 0], [101, 0], [102, 0]], np.float32)
    drawn = sample_neighbours(codes, 500, np.random.default_rng(0), neighbours=2)
    assert drawn.dtype == np.float32
    assert (drawn[:, 1] == 0).all()
    x = drawn[:, 0]
    assert (((x >= 0) & (x <= 2)) | ((x >= 100) & (x <= 102))).all()
    assert (x < 50).mean() == pytest.approx(0.5, abs=0.1)
    assert len(np.unique(x)) > 400
    nearest = sample_neighbours([[0.0], [1.0], [10.0]], 500, np.random.default_rng(0), neighbours=1).ravel()
    assert (nearest[nearest > 1]).min() < 2 and 0 <= nearest.min()
    assert ((nearest <= 1).mean()) == pytest.approx(2 / 3, abs=0.1)


def test_a_single_code_is_its_own_neighbour() -> None:
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(sample_neighbours([[3.0, 4.0]], 4, rng), np.tile([3.0, 4.0], (4, 1)))
    np.testing.assert_array_equal(sample_neighbours([[3.0]] * 5, 4, rng), np.full((4, 1), 3.0))


def test_around_one_image() -> None:
    mu, sigma = [[0.0, 0.0], [5.0, -5.0]], [[1.0, 1.0], [0.5, 2.0]]
    codes = sample_around(mu, sigma, 20_000, np.random.default_rng(0), index=1, spread=2)
    np.testing.assert_allclose(codes.mean(0), mu[1], atol=0.1)
    np.testing.assert_allclose(codes.std(0), [1.0, 4.0], atol=0.1)
    still = sample_around(mu, sigma, 3, np.random.default_rng(0), index=0, spread=0)
    np.testing.assert_array_equal(still, np.zeros((3, 2)))


def test_every_sampler_has_one_signature_and_draws_from_the_generator() -> None:
    rng = np.random.default_rng(5)
    mu, sigma = rng.normal(size=(6, 3)), np.abs(rng.normal(size=(6, 3))) + 0.1
    assert list(SAMPLERS) == ["prior", "prior_grid", "posterior", "mixture", "neighbours", "around"]
    for name in SAMPLERS:
        one, same, other = (draw_codes(name, mu, sigma, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert one.shape == (20, 3) and one.dtype == np.float32
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()
        assert draw_codes(name, mu, sigma, 0, np.random.default_rng(0)).shape == (0, 3)
    with pytest.raises(VAEError, match="no sampler 'flow'; there are prior, prior_grid"):
        draw_codes("flow", mu, sigma, 1, rng)


def test_around_takes_one_image_for_all_codes() -> None:
    mu, sigma = [[-50.0], [0.0], [50.0]], [[0.1]] * 3
    means = {round(float(draw_codes("around", mu, sigma, 9, np.random.default_rng(s)).mean())) for s in range(20)}
    assert means == {-50, 0, 50}
    assert draw_codes("around", mu, sigma, 9, np.random.default_rng(0)).std() < 1


def test_the_nearest_code_is_by_distance_in_all_dimensions() -> None:
    among = [[0.0, 0.0], [3.0, 0.0], [0.0, 10.0]]
    assert nearest_codes([[2.0, 0.0], [2.0, 9.0], [1.5, 0.0]], among).tolist() == [1, 2, 0]
    some = np.random.default_rng(0).normal(size=(50, 2))
    assert (nearest_codes(np.tile(some, (100, 1)), some) == np.tile(np.arange(50), 100)).all()


def test_a_traversal_has_constant_speed() -> None:
    walk = traverse([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [3.0, 14.0]], 31)
    assert walk.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.diff(walk, axis=0), axis=1), 0.5, rtol=1e-5)
    np.testing.assert_allclose(walk[[0, 10, 30]], [[0, 0], [3, 4], [3, 14]], atol=1e-6)
    np.testing.assert_array_equal(traverse([[1.0, 2.0]] * 3, 4), np.tile([1.0, 2.0], (4, 1)))


def test_a_walk_along_an_axis_leaves_the_others() -> None:
    walk = traverse_axis([5.0, 6.0, 7.0], axis=1, low=-2, high=2, n=5)
    assert walk[:, 1].tolist() == [-2, -1, 0, 1, 2]
    assert (walk[:, [0, 2]] == [5, 7]).all()


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
    with pytest.raises(VAEError, match="latent 1 to 62"):
        sample_prior_grid(1, 63, rng)
    with pytest.raises(VAEError, match="at least 1 code and 1 neighbour"):
        sample_neighbours(np.zeros((0, 2)), 1, rng)
    with pytest.raises(VAEError, match="at least 1 code and 1 neighbour"):
        sample_neighbours(np.zeros((2, 2)), 1, rng, neighbours=0)
    with pytest.raises(VAEError, match="no image 2 among 2"):
        sample_around(np.zeros((2, 2)), np.ones((2, 2)), 1, rng, index=2)
    with pytest.raises(VAEError, match="spread"):
        sample_around(np.zeros((2, 2)), np.ones((2, 2)), 1, rng, index=0, spread=float("nan"))
    with pytest.raises(VAEError, match="nearest to"):
        nearest_codes(np.zeros((1, 2)), np.zeros((0, 2)))
    with pytest.raises(VAEError, match=r"\[N, 2\]"):
        nearest_codes(np.zeros((1, 3)), np.zeros((1, 2)))
    with pytest.raises(VAEError, match="at least 2"):
        traverse(np.zeros((2, 2)), 1)
    with pytest.raises(VAEError, match="no dimension 2"):
        traverse_axis([0.0, 0.0], 2, 0, 1, 3)
    with pytest.raises(VAEError, match="finite"):
        traverse_axis([0.0, 0.0], 0, 0, float("inf"), 3)
