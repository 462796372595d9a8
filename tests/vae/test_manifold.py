import numpy as np
import pytest

from vae import VAE, VAEConfig, VAEError, codes_grid, manifold_image, prior_grid, tile_images


def test_the_prior_grid_is_the_inverse_gaussian_cdf() -> None:
    grid = prior_grid(5)
    axis = [-1.6448536, -0.5977601, 0.0, 0.5977601, 1.6448536]
    assert grid.shape == (25, 2)
    assert grid.dtype == np.float32
    np.testing.assert_allclose(grid[:5, 0], axis, atol=1e-6)
    np.testing.assert_allclose(grid[:5, 1], -1.6448536, atol=1e-6)
    np.testing.assert_allclose(grid[::5, 1], axis, atol=1e-6)


def test_the_codes_grid_spans_the_codes() -> None:
    grid = codes_grid([[-4.0, 1.0], [0.0, 7.0], [2.0, 2.0]], 4)
    np.testing.assert_allclose(grid[:4], [[-4, 1], [-2, 1], [0, 1], [2, 1]])
    np.testing.assert_allclose(grid[-1], [2, 7])


def test_tiles_lie_row_by_row() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    picture = tile_images(images, 2)
    assert picture.shape == (4, 6, 3)
    assert picture[:2, :3].max() == 0
    assert (picture[:2, 3:] == 1).all()
    assert (picture[2:, :3] == 2).all()
    assert (picture[2:, 3:] == 3).all()


def test_a_manifold_shows_what_the_codes_decode_to(model: VAE) -> None:
    picture = manifold_image(model, 3)
    assert picture.shape == (24, 24, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[8:16, 16:24], model.generate(prior_grid(3))[5])
    wide = codes_grid([[-9.0, -9.0], [9.0, 9.0]], 3)
    np.testing.assert_array_equal(manifold_image(model, 3, wide)[:8, :8], model.generate(wide)[0])


def test_bad_input_is_refused(model: VAE) -> None:
    with pytest.raises(VAEError, match="2 to 1000 codes along a side"):
        prior_grid(1)
    with pytest.raises(VAEError, match="at least 1 code"):
        codes_grid(np.zeros((0, 2)), 3)
    with pytest.raises(VAEError, match="Codes must be"):
        codes_grid(np.zeros((4, 3)), 3)
    with pytest.raises(VAEError, match="needs 9 images, got 4"):
        manifold_image(model, 3, np.zeros((4, 2)))
    with pytest.raises(VAEError, match="2 latent dimensions, the model has 3"):
        manifold_image(VAE(VAEConfig(image_size=8, hidden=4, latent=3)))
