"""Drawing codes: from the prior, from the codes of real images, and between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .errors import VAEError
from .model import Codes, check_codes


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
    means = check_codes(mu)
    deviations = check_codes(sigma, means.shape[1])
    if means.shape != deviations.shape or not len(means):
        shapes = f"{list(means.shape)} and {list(deviations.shape)}"
        raise VAEError(f"mu and sigma must have one shape [N, J] with N of at least 1, got {shapes}.")
    if (deviations < 0).any() or n < 0:
        raise VAEError("sigma must not be negative, and n neither.")
    chosen = rng.integers(len(means), size=n)
    noise = rng.standard_normal((n, means.shape[1])).astype(np.float32)
    return means[chosen] + deviations[chosen] * noise


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
