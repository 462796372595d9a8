"""A mixture of Gaussians, fitted to codes by expectation-maximisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from .errors import VAEError

MOST_COMPONENTS = 10
_MOST_STEPS = 200
_LEAST_GAIN = 1e-4
"""Nats a code that another step of EM must gain."""
_LEAST_VARIANCE, _LEAST_SHARE = 1e-6, 1e-3
"""Added to a component's variances, the second as a share of the codes' own: one code alone has a width."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of K Gaussians in J dimensions.

    Attributes:
        weights: `float64[K]`, of sum 1.
        means: `float64[K, J]`.
        covariances: `float64[K, J, J]`.
    """

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def fit(
        cls, codes: NDArray[np.floating], rng: np.random.Generator, components: int | None = None
    ) -> GaussianMixture:
        """Fit a mixture to codes by expectation-maximisation, which starts at the centres of k-means++.

        Args:
            codes: `[N, J]`, N of at least 1.
            rng: Draws the centres.
            components: Number of Gaussians K, at most N; where left out that of 1 to 10 with the lowest Bayesian
                information criterion (BIC).

        Raises:
            VAEError: If there are no codes, or not as many codes as components.
        """
        x = np.asarray(codes, dtype=np.float64)
        most = min(MOST_COMPONENTS, len(x)) if components is None else components
        if not 1 <= most <= len(x):
            raise VAEError(
                f"A mixture has 1 component to as many as there are codes, got {most} and {len(x)} codes."
            )
        if components is not None:
            return cls._fit(x, components, rng)
        return min((cls._fit(x, k, rng) for k in range(1, most + 1)), key=lambda fitted: fitted.bic(x))

    @classmethod
    def _fit(cls, x: Array, components: int, rng: np.random.Generator) -> GaussianMixture:
        nearest = np.square(x[:, None] - _draw_centres(x, components, rng)).sum(axis=2).argmin(axis=1)
        fitted = cls._maximise(x, np.eye(components)[nearest])
        last = -np.inf
        for _ in range(_MOST_STEPS):
            joint = fitted._log_joint(x)
            evidence = logsumexp(joint, axis=1, keepdims=True)
            if evidence.mean() - last < _LEAST_GAIN:
                break
            last = evidence.mean()
            fitted = cls._maximise(x, np.exp(joint - evidence))
        return fitted

    @classmethod
    def _maximise(cls, x: Array, responsibilities: Array) -> GaussianMixture:
        mass = responsibilities.sum(axis=0) + np.finfo(np.float64).tiny
        means = responsibilities.T @ x / mass[:, None]
        offsets = x[:, None] - means
        scatter = np.einsum("nk,nki,nkj->kij", responsibilities, offsets, offsets) / mass[:, None, None]
        return cls(mass / mass.sum(), means, scatter + np.diag(_LEAST_VARIANCE + _LEAST_SHARE * x.var(axis=0)))

    def log_prob(self, codes: NDArray[np.floating]) -> Array:
        """Return the log density of codes `[N, J]`, `float64[N]`."""
        density: Array = logsumexp(self._log_joint(np.asarray(codes, dtype=np.float64)), axis=1)
        return density

    def bic(self, codes: NDArray[np.floating]) -> float:
        """Return the Bayesian information criterion for codes `[N, J]`; lower is better."""
        components, latent = self.means.shape
        parameters = components * (1 + latent + latent * (latent + 1) / 2) - 1
        return float(parameters * np.log(len(codes)) - 2 * self.log_prob(codes).sum())

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw `float32[n, J]`."""
        chosen = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))
        roots = np.linalg.cholesky(self.covariances)
        return (self.means[chosen] + np.einsum("nij,nj->ni", roots[chosen], noise)).astype(np.float32)

    def _log_joint(self, x: Array) -> Array:
        """Log of weight times density of each component, `[N, K]`."""
        roots = np.linalg.cholesky(self.covariances)
        offsets = np.linalg.solve(roots, (x[:, None] - self.means).transpose(1, 2, 0))
        log_root = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        constant = 0.5 * x.shape[1] * np.log(2 * np.pi)
        return np.log(self.weights) - 0.5 * np.square(offsets).sum(axis=1).T - log_root - constant


def _draw_centres(x: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw codes far from each other (k-means++, Arthur and Vassilvitskii, 2007)."""
    centres = x[rng.integers(len(x), size=1)]
    for _ in range(count - 1):
        distance = np.square(x[:, None] - centres).sum(axis=2).min(axis=1)
        total = distance.sum()
        chosen = rng.choice(len(x), p=distance / total if total > 0 else None)
        centres = np.concatenate([centres, x[chosen][None]])
    return centres
