"""A Gaussian belief over the score drops of a target's candidate regions.

Before the first scorer query the drops d of R candidate regions are normal, with a mean m and a covariance C that
were learned from other targets (`Prior`). K answers y about weighted means W d of the candidates condition it
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.23 and 2.24):

    m' = m + C W' (W C W' + s)^-1 (y - W m),    C' = C - C W' (W C W' + s)^-1 W C

The next query goes where the expected improvement over the best answer is largest (Jones, Schonlau and Welch 1998,
eq. 15), the first one where the mean is highest. This is Bayesian optimisation over a finite set of candidates,
with a kernel that is estimated from data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tracker.data.boxes import iou
from tracker.errors import InputError

Values = NDArray[np.float64]

_NOISE = 0.01
"""Variance of the noise s of an answer, as a share of the candidates' mean variance: it keeps the inverse stable
where two candidates nearly coincide."""

_SHARPNESS = 8
"""Power of the IoU in the weights of `Prior.weights`."""


@dataclass(frozen=True)
class Prior:
    """Mean and covariance of the score drops of a target that has not been queried.

    Attributes:
        regions: `float64[R, 4]`, the candidate regions, relative to the target.
        mean: `float64[R]`, the average drop of each candidate over the training targets.
        offset: `float64[R]`, added to predicted drops; equal to `mean` where there is no predictor.
        covariance: `float64[R, R]`, of the drops about their expected values, on left-out videos.

    Raises:
        InputError: If the arrays do not fit one another, or a number is not finite.
    """

    regions: Values
    mean: Values
    offset: Values
    covariance: Values

    def __post_init__(self) -> None:
        count = len(self.regions) if self.regions.ndim else 0
        shapes = {"regions": (count, 4), "mean": (count,), "offset": (count,), "covariance": (count, count)}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if not count or values.shape != shape or not np.isfinite(values).all():
                raise InputError(
                    f"The prior's {name} must be finite numbers of shape {list(shape)}; fit it again."
                )
        eigenvalues = np.linalg.eigvalsh(self.covariance)
        symmetric = np.allclose(self.covariance, self.covariance.T, rtol=1e-3, atol=1e-3 * eigenvalues[-1])
        if not (eigenvalues[-1] > 0 and eigenvalues[0] > -1e-3 * eigenvalues[-1] and symmetric):
            raise InputError("The prior's covariance is not symmetric and positive; fit it again.")

    @property
    def best(self) -> int:
        """Index of the best constant region: the candidate with the largest average drop."""
        return int(self.mean.argmax())

    @property
    def variance(self) -> float:
        """Mean variance of the candidates' drops."""
        return float(self.covariance.diagonal().mean())

    def weights(self, regions: Values) -> Values:
        """Weights `[..., R]` of sum 1 that interpolate the candidates' drops at regions `[..., 4]` by the IoU."""
        return self.interpolate(regions)[0]

    def interpolate(self, regions: Values) -> tuple[Values, Values]:
        """`weights`, and the IoU of each region with the candidate nearest to it, `[...]`."""
        # A region that no candidate overlaps is the mean of all.
        overlap = np.maximum(iou(regions[..., None, :], self.regions), 1e-12)
        nearest = overlap.max(axis=-1, keepdims=True)
        weights = (overlap / nearest) ** _SHARPNESS
        return weights / weights.sum(axis=-1, keepdims=True), nearest[..., 0]


class Belief:
    """The belief about N targets.

    Args:
        prior: The prior.
        expected: `float64[N, R]`, the expected drops of the candidates before any answer.

    Attributes:
        mean: `float64[N, R]`, the expected drops, given the answers.
        deviation: `float64[N, R]`, standard deviation of each drop, given the answers.
        best: `float64[N]`, the largest answer so far; -inf before the first.

    >>> covariance = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1.0]])
    >>> prior = Prior(np.tile([0, 0, 0.5, 0.5], (3, 1)), np.array([0.1, 0.2, 0.1]), np.zeros(3), covariance)
    >>> belief = Belief(prior, prior.mean[None])
    >>> belief.propose().tolist()
    [1]
    >>> belief.observe(np.array([1]), np.array([-2.0]))
    >>> belief.mean.round(1).tolist(), belief.propose().tolist()
    ([[-1.9, -2.0, 0.1]], [2])
    """

    def __init__(self, prior: Prior, expected: Values) -> None:
        self.prior = prior
        self.mean = np.array(expected, dtype=np.float64)
        self.deviation = np.tile(np.sqrt(prior.covariance.diagonal()), (len(self.mean), 1))
        self.best = np.full(len(self.mean), -np.inf)
        self._expected = self.mean
        self._queried = np.zeros(self.mean.shape, dtype=bool)
        self._chosen = np.empty((len(self.mean), 0), dtype=np.int64)
        self._drops = np.empty((len(self.mean), 0))

    def __len__(self) -> int:
        return len(self.mean)

    def propose(self, wanted: float | None = None) -> NDArray[np.int64]:
        """Choose each target's next query among the candidates that were not queried.

        Args:
            wanted: A drop to come near to, in place of the largest: the candidate whose expected distance from it,
                the root of the mean square, is least.

        Returns:
            `int64[N]`, indices of candidates; a queried one only where none is left.
        """
        if wanted is not None:
            value = -((self.mean - wanted) ** 2) - self.deviation**2
        elif not self._drops.shape[1]:
            value = self.mean
        else:
            value = expected_improvement(self.mean, self.deviation, self.best[:, None])
        return np.where(self._queried, -np.inf, value).argmax(axis=1)

    def improvement(self, chosen: NDArray[np.int64]) -> Values:
        """Expected improvement of one candidate of each target, `chosen`, `int64[N]`, over the best answer."""
        rows = np.arange(len(self))
        return expected_improvement(self.mean[rows, chosen], self.deviation[rows, chosen], self.best)

    def observe(self, chosen: NDArray[np.int64], drops: Values) -> None:
        """Condition every target on the drop `float64[N]` of one queried candidate, `chosen`, `int64[N]`."""
        rows = np.arange(len(self))
        self._queried[rows, chosen] = True
        self._chosen = np.concatenate([self._chosen, chosen[:, None]], axis=1)
        self._drops = np.concatenate([self._drops, drops[:, None]], axis=1)
        self.best = np.maximum(self.best, drops)
        covariance = self.prior.covariance
        inner = covariance[self._chosen[:, :, None], self._chosen[:, None]]
        errors = self._drops - np.take_along_axis(self._expected, self._chosen, axis=1)
        self._condition(covariance[self._chosen], inner, errors, np.zeros(self._drops.shape))

    def observe_regions(self, regions: Values, drops: Values, valid: NDArray[np.bool_]) -> None:
        """Condition every target on answers about any regions, in place of all answers so far.

        A region counts as the weighted mean of the candidates (`Prior.weights`); its noise grows with what its
        nearest candidate does not cover.

        Args:
            regions: `float64[N, K, 4]`, relative to each target.
            drops: `float64[N, K]`, how far the scores fell.
            valid: `bool[N, K]`, which of them are answers; the others are padding.
        """
        covariance = self.prior.covariance
        weights, nearest = self.prior.interpolate(regions)
        weights *= valid[..., None]
        errors = np.where(valid, drops - np.einsum("nkr,nr->nk", weights, self._expected), 0.0)
        cross = weights @ covariance
        self.best = np.where(valid, drops, -np.inf).max(axis=1)
        self._condition(cross, cross @ weights.transpose(0, 2, 1), errors, self.prior.variance * (1 - nearest))

    def _condition(self, cross: Values, inner: Values, errors: Values, noise: Values) -> None:
        """Eq. 2.23 and 2.24: `cross` is W C `[N, K, R]`, `inner` W C W' `[N, K, K]`, `noise` beyond `_NOISE`."""
        diagonal = (noise + _NOISE * self.prior.variance)[:, :, None] * np.eye(errors.shape[1])
        gain = np.linalg.solve(inner + diagonal, cross)
        self.mean = self._expected + np.einsum("nk,nkr->nr", errors, gain)
        variance = self.prior.covariance.diagonal() - (cross * gain).sum(axis=1)
        self.deviation = np.sqrt(np.maximum(variance, 0.0))


def expected_improvement(mean: Values, deviation: Values, best: Values) -> Values:
    """Expected improvement of normal drops over the best ones so far, where they are above (Jones et al., eq. 15).

    All are `[...]`, broadcast; the improvement is not negative.

    >>> expected_improvement(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.0])).round(3).tolist()
    [0.5, 0.399]
    """
    deviation = np.maximum(deviation, 1e-12)
    gain = mean - best
    ratio = gain / deviation
    return gain * norm.cdf(ratio) + deviation * norm.pdf(ratio)
