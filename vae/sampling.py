"""Codes, the coordinates of images on a manifold: drawn from the prior, around real images, and between them.

`SAMPLERS` holds one function a way of drawing, all with one signature, so that a name picks the way:

>>> mu, sigma = np.zeros((3, 2)), np.ones((3, 2))
>>> {name: draw_codes(name, mu, sigma, 5, np.random.default_rng(0)).shape for name in SAMPLERS}["prior"]
(5, 2)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import VAEError
from .mixture import GaussianMixture

_GRID_EDGE = 0.05
_LARGEST_GRID = 62
_CHUNK = 4096


Codes = NDArray[np.float32]
"""`float32[N, latent]`."""

Sampler = Callable[[ArrayLike, ArrayLike, int, np.random.Generator], Codes]
"""Takes means and deviations of real images' codes, each `[N, J]`, n and a generator; returns `float32[n, J]`."""


def check_codes(codes: ArrayLike, latent: int | None = None) -> Codes:
    """Return codes as `float32[N, latent]`.

    Args:
        codes: Numbers `[N, J]`.
        latent: The J they must have; any of at least 1 where it is left out.

    Raises:
        VAEError: If they are not numbers, have another shape, or are not finite.
    """
    wanted = f"[N, {'J' if latent is None else latent}]"
    try:
        array = np.asarray(codes, dtype=np.float32)
    except (TypeError, ValueError):
        raise VAEError(f"Codes must be numbers {wanted}.") from None
    if array.ndim != 2 or array.shape[1] < 1 or (latent is not None and array.shape[1] != latent):
        raise VAEError(f"Codes must be {wanted}, got {list(array.shape)}.")
    if not np.isfinite(array).all():
        raise VAEError("Codes must be finite.")
    return array


def sample_prior(n: int, latent: int, rng: np.random.Generator) -> Codes:
    """Draw codes from the prior p(z) = N(0, I) of section 4.1.1.

    Args:
        n: How many, at least 0.
        latent: Their dimension, at least 1.
        rng: Where the randomness comes from.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If a number is too small.
    """
    if n < 0 or latent < 1:
        raise VAEError(f"n must be at least 0 and latent at least 1, got {n} and {latent}.")
    return rng.standard_normal((n, latent)).astype(np.float32)


def sample_posterior(mu: ArrayLike, sigma: ArrayLike, n: int, rng: np.random.Generator) -> Codes:
    """Draw codes from the mixture of all images' q(z|x): z = mu_i + sigma_i * eps, i uniform (eq. 4's z).

    The means of a long training lie well outside the prior's middle, so these codes decode to what the video
    shows more often than codes of `sample_prior` do.

    Args:
        mu: Means, `[N, latent]`, N of at least 1.
        sigma: Standard deviations, `[N, latent]`, at least 0.
        n: How many, at least 0.
        rng: Where the randomness comes from.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If the shapes differ, a standard deviation is negative, or there is nothing to draw from.
    """
    means, deviations = _check_posterior(mu, sigma, n)
    chosen = rng.integers(len(means), size=n)
    noise = rng.standard_normal((n, means.shape[1])).astype(np.float32)
    return means[chosen] + deviations[chosen] * noise


def sample_mixture(mu: ArrayLike, n: int, rng: np.random.Generator, components: int | None = None) -> Codes:
    """Draw codes from a mixture of Gaussians fitted to the images' codes (`GaussianMixture`).

    Unlike `sample_posterior` it also draws between codes that are close to each other, where images are few and
    sigma is small, and unlike a single Gaussian not between clusters.

    Args:
        mu: Means, `[N, latent]`, N of at least 1.
        n: How many, at least 0.
        rng: Where the randomness of the fit and of the draws comes from.
        components: Number of Gaussians, at most N; where left out it is chosen from 1 to 10 by the BIC.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If there are no codes, `n` is negative, or there are not as many codes as components.
    """
    if n < 0:
        raise VAEError(f"n must be at least 0, got {n}.")
    return GaussianMixture.fit(check_codes(mu), rng, components).sample(n, rng)


def sample_prior_grid(n: int, latent: int, rng: np.random.Generator) -> Codes:
    """Draw different cells of the smallest prior grid that has `n` (Fig. 3's grid, in any dimension).

    The grid's axes are the inverse Gaussian CDF at even quantiles, 5 % to 95 %, as in `prior_grid`. Where `n`
    is a square and `latent` is 2, all of `prior_grid` comes, in random order.

    Args:
        n: How many, at least 0.
        latent: Their dimension J, 1 to 62.
        rng: Picks the cells.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If a number is out of its range.
    """
    if n < 0 or not 1 <= latent <= _LARGEST_GRID:
        raise VAEError(f"n must be at least 0 and latent 1 to {_LARGEST_GRID}, got {n} and {latent}.")
    side = 2
    while side**latent < n:
        side += 1
    axis = prior_axis(side)
    cells = rng.choice(side**latent, size=n, replace=False)
    return np.stack([axis[cells // side**j % side] for j in range(latent)], axis=1).astype(np.float32)


def prior_axis(n: int) -> NDArray[np.float64]:
    """Return the prior's quantiles at `n` even steps from 5 % to 95 %: one axis of the grid of Fig. 3."""
    return np.array([NormalDist().inv_cdf(q) for q in np.linspace(_GRID_EDGE, 1 - _GRID_EDGE, n)])


def sample_neighbours(mu: ArrayLike, n: int, rng: np.random.Generator, neighbours: int = 3) -> Codes:
    """Draw codes on the lines between an image's code and its nearest ones (the paper's "between frames").

    The image, which of its neighbours, and the place on the line are uniform, as in SMOTE (Chawla et al.,
    2002). Unlike the aggregate posterior this cannot leave the hull of the codes.

    Args:
        mu: Codes `[N, latent]`, N of at least 1; a single code has no neighbour and is returned itself.
        n: How many, at least 0.
        rng: Where the randomness comes from.
        neighbours: How many of the nearest codes are neighbours, at least 1.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If there are no codes, or a number is too small.
    """
    codes = check_codes(mu)
    if not len(codes) or n < 0 or neighbours < 1:
        raise VAEError(
            "There must be at least 1 code and 1 neighbour, and n not below 0,"
            f" got {len(codes)}, {neighbours} and {n}."
        )
    chosen = rng.integers(len(codes), size=n)
    rank = rng.integers(max(1, min(neighbours, len(codes) - 1)), size=n)
    share = rng.random((n, 1), dtype=np.float32)
    if len(codes) == 1:
        return codes[chosen]
    ends = np.empty(n, np.int64)
    for row, (i, place) in enumerate(zip(chosen, rank, strict=True)):
        distance = np.square(codes - codes[i]).sum(axis=1)
        distance[i] = np.inf
        ends[row] = np.argpartition(distance, place)[place]
    return codes[chosen] + share * (codes[ends] - codes[chosen])


def sample_around(
    mu: ArrayLike,
    sigma: ArrayLike,
    n: int,
    rng: np.random.Generator,
    index: int | None = None,
    spread: float = 1.0,
) -> Codes:
    """Draw codes around one image: z = mu_i + spread * sigma_i * eps.

    Args:
        mu: Means, `[N, latent]`, N of at least 1.
        sigma: Standard deviations, `[N, latent]`, at least 0.
        n: How many, at least 0.
        rng: Where the randomness comes from.
        index: Which image, i; one at random where left out.
        spread: How many of the image's standard deviations a draw's is, at least 0. After a long training
            sigma is small, and 1 gives next to nothing but the reconstruction.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If the shapes differ, there is no such image, or a number is negative.
    """
    means, deviations = _check_posterior(mu, sigma, n)
    if index is None:
        index = int(rng.integers(len(means)))
    if not -len(means) <= index < len(means):
        raise VAEError(f"There is no image {index} among {len(means)}.")
    if not (math.isfinite(spread) and spread >= 0):
        raise VAEError(f"spread must be a number of at least 0, got {spread}.")
    noise = rng.standard_normal((n, means.shape[1])).astype(np.float32)
    return means[index] + np.float32(spread) * deviations[index] * noise


SAMPLERS: Mapping[str, Sampler] = {
    "prior": lambda mu, sigma, n, rng: sample_prior(n, check_codes(mu).shape[1], rng),
    "prior_grid": lambda mu, sigma, n, rng: sample_prior_grid(n, check_codes(mu).shape[1], rng),
    "posterior": sample_posterior,
    "mixture": lambda mu, sigma, n, rng: sample_mixture(mu, n, rng),
    "neighbours": lambda mu, sigma, n, rng: sample_neighbours(mu, n, rng),
    "around": lambda mu, sigma, n, rng: sample_around(mu, sigma, n, rng),
}
"""The ways of drawing by name; `around` draws all codes around one image, taken at random."""


def draw_codes(name: str, mu: ArrayLike, sigma: ArrayLike, n: int, rng: np.random.Generator) -> Codes:
    """Draw codes by one of `SAMPLERS`.

    Args:
        name: Which.
        mu: Means of the real images' codes, `[N, latent]`.
        sigma: Their standard deviations, `[N, latent]`.
        n: How many, at least 0.
        rng: Where the randomness comes from.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If there is no such sampler, or it refuses its arguments.
    """
    if name not in SAMPLERS:
        raise VAEError(f"There is no sampler {name!r}; there are {', '.join(SAMPLERS)}.")
    return SAMPLERS[name](mu, sigma, n, rng)


def nearest_codes(codes: ArrayLike, among: ArrayLike) -> NDArray[np.int64]:
    """Return which real image each code is nearest to, by Euclidean distance; of equal ones the first.

    Args:
        codes: `[n, latent]`.
        among: Codes of the real images, `[N, latent]`, N of at least 1.

    Returns:
        `int64[n]`, indices into `among`.

    Raises:
        VAEError: If the dimensions differ or `among` is empty.

    >>> nearest_codes([[0.9, 0.0]], [[0.0, 0.0], [1.0, 0.0]]).tolist()
    [1]
    """
    known = check_codes(among)
    asked = check_codes(codes, known.shape[1])
    if not len(known):
        raise VAEError("There must be at least 1 code to be nearest to.")
    found = [np.empty(0, np.int64)]
    for start in range(0, len(asked), _CHUNK):
        part = asked[start : start + _CHUNK, None]
        found.append(np.linalg.norm(part - known[None], axis=2).argmin(axis=1))
    return np.concatenate(found)


def interpolate(codes: ArrayLike, steps: int) -> Codes:
    """Walk in straight lines from each code to the next: targets between video frames (section 4.1).

    Args:
        codes: `[N, latent]` in the order of the frames, N of at least 1.
        steps: Equal steps from one code to the next, at least 1; 1 adds nothing.

    Returns:
        `float32[(N - 1) * steps + 1, latent]`; every `steps`-th row is a given code.

    Raises:
        VAEError: If there are no codes or no steps.

    >>> interpolate([[0.0, 0.0], [1.0, 2.0]], steps=2).tolist()
    [[0.0, 0.0], [0.5, 1.0], [1.0, 2.0]]
    """
    given = check_codes(codes)
    if not len(given) or steps < 1:
        raise VAEError(f"There must be at least 1 code and 1 step, got {len(given)} and {steps}.")
    share = (np.arange(steps, dtype=np.float32) / np.float32(steps))[:, None]
    walks = given[:-1, None] + share * (given[1:] - given[:-1])[:, None]
    return np.concatenate([walks.reshape(-1, given.shape[1]), given[-1:]])


def traverse(codes: ArrayLike, n: int) -> Codes:
    """Walk along the path through codes at constant speed: even steps, however far apart the codes are.

    Args:
        codes: `[N, latent]`, the path's corners, N of at least 1.
        n: Codes to return, at least 2; the first and the last are the path's ends.

    Returns:
        `float32[n, latent]`; a path of no length gives the same code `n` times.

    Raises:
        VAEError: If there are no codes, or `n` is below 2.

    >>> traverse([[0.0], [1.0], [4.0]], 5).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    given = check_codes(codes)
    if not len(given) or n < 2:
        raise VAEError(f"A path has at least 1 code, and its walk at least 2, got {len(given)} and {n}.")
    lengths = np.linalg.norm(np.diff(given.astype(np.float64), axis=0), axis=1)
    moved = np.concatenate([[True], lengths > 0])
    corners, places = given[moved], np.concatenate([[0.0], np.cumsum(lengths)])[moved]
    steps = np.linspace(0, places[-1], n)
    return np.stack([np.interp(steps, places, axis) for axis in corners.T], axis=1).astype(np.float32)


def traverse_axis(code: ArrayLike, axis: int, low: float, high: float, n: int) -> Codes:
    """Walk along one latent dimension through a code, in even steps; the others stay.

    Args:
        code: Where the others stay, `[latent]`.
        axis: The dimension that changes.
        low: Where it starts.
        high: Where it ends.
        n: Codes to return, at least 2.

    Returns:
        `float32[n, latent]`.

    Raises:
        VAEError: If there is no such dimension, a number is not finite, or `n` is below 2.

    >>> traverse_axis([5.0, 7.0], axis=1, low=-1, high=1, n=3).tolist()
    [[5.0, -1.0], [5.0, 0.0], [5.0, 1.0]]
    """
    start = check_codes(np.asarray(code)[None])
    if not -start.shape[1] <= axis < start.shape[1]:
        raise VAEError(f"There is no dimension {axis} in codes of {start.shape[1]}.")
    if n < 2 or not (math.isfinite(low) and math.isfinite(high)):
        raise VAEError(f"A walk has at least 2 codes and finite ends, got {n} from {low} to {high}.")
    walk = np.repeat(start, n, axis=0)
    walk[:, axis] = np.linspace(low, high, n)
    return walk


def _check_posterior(mu: ArrayLike, sigma: ArrayLike, n: int) -> tuple[Codes, Codes]:
    means = check_codes(mu)
    deviations = check_codes(sigma, means.shape[1])
    if means.shape != deviations.shape or not len(means):
        shapes = f"{list(means.shape)} and {list(deviations.shape)}"
        raise VAEError(f"mu and sigma must have one shape [N, J] with N of at least 1, got {shapes}.")
    if (deviations < 0).any() or n < 0:
        raise VAEError("sigma must not be negative, and n neither.")
    return means, deviations
