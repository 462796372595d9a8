"""The picture of a manifold: a square grid of codes, decoded (Fig. 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import VAEError
from .images import Images
from .model import VAE
from .sampling import Codes, check_codes, prior_axis

_MOST_CODES = 1000


def prior_grid(n: int) -> Codes:
    """Return a square grid of codes at even quantiles of the prior, 5 % to 95 % (Fig. 3).

    Each axis is the inverse Gaussian CDF at `linspace(0.05, 0.95, n)`, so it spans +-1.645; the codes of real
    images often reach further, see `codes_grid`.

    Args:
        n: Codes along a side, at least 2.

    Returns:
        `float32[n * n, 2]`, row by row: the first number grows along a row, the second down the rows.

    Raises:
        VAEError: If `n` is below 2.

    >>> prior_grid(2).round(4).tolist()[1]
    [1.6448999643325806, -1.6448999643325806]
    """
    _check_side(n)
    return _grid(prior_axis(n), prior_axis(n))


def codes_grid(codes: ArrayLike, n: int) -> Codes:
    """Return a square grid of codes that spans given ones, in even steps from least to greatest on each axis.

    Args:
        codes: `[N, 2]`, such as `VAE.embed` returns, N of at least 1.
        n: Codes along a side, at least 2.

    Returns:
        `float32[n * n, 2]`, in the order of `prior_grid`.

    Raises:
        VAEError: If there are no codes, they are not of dimension 2, or `n` is below 2.
    """
    _check_side(n)
    given = check_codes(codes, latent=2)
    if not len(given):
        raise VAEError("There must be at least 1 code to take the range of.")
    return _grid(*np.linspace(given.min(0), given.max(0), n).T)


def manifold_image(model: VAE, n: int = 12, codes: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Decode a grid of codes into one picture, as Fig. 3 shows it.

    Args:
        model: A model of two latent dimensions.
        n: Images along a side, at least 2.
        codes: The grid's codes `[n * n, 2]`, such as `codes_grid` returns; `prior_grid(n)` where left out.

    Returns:
        `uint8[n * H, n * W, C]`.

    Raises:
        VAEError: If the model has another latent dimension, or the codes do not fill the grid.
    """
    if model.config.latent != 2:
        raise VAEError(f"A manifold is drawn for 2 latent dimensions, the model has {model.config.latent}.")
    return tile_images(model.generate(prior_grid(n) if codes is None else codes), n)


def tile_images(images: Images, n: int) -> NDArray[np.uint8]:
    """Lay `n * n` images out in a square, row by row.

    Args:
        images: `uint8[n * n, H, W, C]`.
        n: Images along a side, at least 2.

    Returns:
        `uint8[n * H, n * W, C]`.

    Raises:
        VAEError: If there are not `n * n` images.
    """
    _check_side(n)
    if len(images) != n * n:
        raise VAEError(f"A grid of {n} by {n} needs {n * n} images, got {len(images)}.")
    _, height, width, channels = images.shape
    rows = images.reshape(n, n, height, width, channels).swapaxes(1, 2)
    return rows.reshape(n * height, n * width, channels)


def _check_side(n: int) -> None:
    if not 2 <= n <= _MOST_CODES:
        raise VAEError(f"A grid has 2 to {_MOST_CODES} codes along a side, got {n}.")


def _grid(across: NDArray[np.floating], down: NDArray[np.floating]) -> Codes:
    x, y = np.meshgrid(across, down)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
