r"""Student's t intervals of means over videos, and Holm's correction of their p-values.

Videos are the sampling unit: an interval says how far a mean would move with other videos of the same kind. Where
a way of training is judged, its trainings (seeds) are a second random factor: with n videos, m trainings and the
model :math:`x_{ij} = \mu + a_i + b_j + e_{ij}`, the variance of the mean is
:math:`\sigma_a^2/n + \sigma_b^2/m + \sigma_e^2/nm`, estimated by (MSA + MSB - MSE) / nm from the mean squares of
the two-way layout, with Satterthwaite's (1946) degrees of freedom. A component estimated below 0 is left out.

Simulated coverage of the 95 % intervals over 8, 15 and 30 videos (`tests/judging/test_intervals.py`): 93 to 97 %
for normal, uniform, beta(2, 5) and beta(1/2, 1/2) values and for differences of overlaps. Over 8 videos it is 91 %
for beta(8, 1) values (most close to 1), 90 % for exponential and 83 % for lognormal ones (sigma 1), and 81 % where
four values in five are close to 0 and the others are not. With 3 trainings and normal effects it is 92 to 97 %,
lowest where the trainings differ most; with 2 it falls to 88 %, so the second factor takes 3. A percentile
bootstrap covers 88 % of normal values over 8 videos and 92 % over 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from ..errors import InputError

if TYPE_CHECKING:
    from .measures import Measure
    from .scoring import TrackerScores


LEVEL = 0.95
"""Confidence level of all intervals."""

LEAST_TARGETS = 8
"""From fewer targets a mean has no interval and no p-value."""

LEAST_TRAININGS = 3
"""From fewer trainings the interval is over targets alone: it holds for these trained networks."""

_ROUNDING = 1e-12
"""A mean and a half-width below this are rounding."""


class Interval(NamedTuple):
    """A mean (or a ratio of means, or a difference of either) and its confidence interval.

    Attributes:
        mean: The estimate.
        bounds: The ends of the interval; `None` from fewer than `LEAST_TARGETS` targets.
        p: Two-sided p-value of the hypothesis that the mean is 0; `None` where `bounds` is.
        targets: Number of targets.
    """

    mean: float
    bounds: tuple[float, float] | None
    p: float | None
    targets: int

    def ends(self, digits: int) -> list[float] | None:
        """The rounded bounds as plain data.

        >>> Interval(0.5, (0.251, 0.749), 0.01, 9).ends(2), Interval(0.5, None, None, 3).ends(2)
        ([0.25, 0.75], None)
        """
        return None if self.bounds is None else [round(end, digits) for end in self.bounds]

    def format(self, digits: int = 3, sign: bool = False) -> str:
        """Return the mean and its bounds as text.

        >>> Interval(0.5, (0.25, 0.75), 0.01, 9).format()
        '0.500 [0.250, 0.750]'
        >>> Interval(0.5, None, None, 3).format(2, sign=True)
        '+0.50'
        """
        form = f"{'+' if sign else ''}.{digits}f"
        ends = "" if self.bounds is None else f" [{self.bounds[0]:{form}}, {self.bounds[1]:{form}}]"
        return f"{self.mean:{form}}{ends}"


def format_p(p: float) -> str:
    """Return a p-value as text.

    >>> format_p(0.0421), format_p(0.0004)
    ('p = 0.042', 'p < 0.001')
    """
    return f"p = {p:.3f}" if p >= 0.0005 else "p < 0.001"


def method_record(what: str = "targets") -> dict[str, Any]:
    """Return how the intervals are computed, as plain data for result files.

    Args:
        what: The sampling unit in the file's words: `targets`, `sequences` or `videos`.
    """
    return {"method": f"Student's t over {what}", "level": LEVEL, f"least_{what}": LEAST_TARGETS}


def interval(values: ArrayLike) -> Interval:
    """Mean over targets, with its Student's t interval.

    Args:
        values: `[targets]`, or `[targets, trainings]`. From `LEAST_TRAININGS` trainings on they are a random
            factor as well, so that the interval holds for a way of training; fewer are averaged.

    Raises:
        InputError: If there is no value, or one is not finite.

    >>> interval([0.25] * 8)
    Interval(mean=0.25, bounds=(0.25, 0.25), p=0.0, targets=8)
    >>> interval([0.25, 0.75]).bounds is None
    True
    """
    given = _finite(values, "values")
    mean = float(given.mean())
    if len(given) < LEAST_TARGETS:
        return Interval(mean, None, None, len(given))
    return _student(mean, given)


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike) -> Interval:
    """Ratio of two means over the same targets, with Fieller's (1954) interval, or with trainings the jackknife's.

    Fieller's interval holds every ratio R for which the t interval of `numerators - R * denominators` holds 0. The
    ratio of means weighs each target by its denominator, so that one whose denominator is close to 0 cannot
    outweigh the others, as it would in a mean of ratios. Simulated coverage over 8 to 30 targets: 93 to 97 %
    where the targets' ratios do not depend on their denominators; 80 to 95 % where they grow with them, the
    less the more unequal the denominators are.

    Args:
        numerators: `[targets]` or `[targets, trainings]`; see `interval`.
        denominators: Same shape as the numerators, above 0.

    Raises:
        InputError: If there is no target, a number is not finite, or a denominator is not above 0.

    Where the mean of the denominators does not differ from 0 by their own t interval, Fieller's interval is
    unbounded, and `bounds` and `p` are `None`.

    >>> ratio_interval([1.0] * 8, [2.0] * 8)
    Interval(mean=0.5, bounds=(0.5, 0.5), p=0.0, targets=8)
    """
    above, below = _checked(numerators, denominators)
    ratio = float(above.mean() / below.mean())
    if len(above) < LEAST_TARGETS:
        return Interval(ratio, None, None, len(above))
    if above.ndim == 2 and above.shape[1] >= LEAST_TRAININGS:
        return _student(ratio, _jackknife(above, below)[1])
    above, below = (each.reshape(len(each), -1).mean(axis=1) for each in (above, below))
    quantile = float(stdtrit(len(above) - 1.0, (1 + LEVEL) / 2))
    rest, scaled = (above - ratio * below) / below.mean(), below / below.mean()
    (rr, rb), (_, bb) = np.cov(rest, scaled) * quantile**2 / len(rest)
    # The ends are ratio + d with d^2 = rr - 2 d rb + d^2 bb.
    if bb >= 1:
        return Interval(ratio, None, None, len(above))
    middle = ratio - float(rb / (1 - bb))
    half = float(np.sqrt(rr * (1 - bb) + rb**2) / (1 - bb))
    return Interval(ratio, (middle - half, middle + half), interval(above).p, len(above))


def ratio_difference(first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike]) -> Interval:
    """A ratio of two means less another one over the same targets, with the jackknife's t interval.

    Simulated coverage over 8 to 30 targets: 93 to 97 % for uniform denominators, 91 to 97 % for exponential ones.

    Args:
        first: Numerators and denominators, `[targets]` or `[targets, trainings]` each.
        second: The same of the ratio that is subtracted.

    Raises:
        InputError: As `ratio_interval`, and if the two are not of the same shape.

    >>> ratio_difference(([1.0] * 8, [2.0] * 8), ([1.0] * 8, [4.0] * 8)).mean
    0.25
    """
    pairs = [_checked(*pair) for pair in (first, second)]
    if len(pairs[0][0]) != len(pairs[1][0]):
        raise InputError(f"Ratios over {len(pairs[0][0])} and {len(pairs[1][0])} targets cannot be paired.")
    (ratio, deviations), (other, others) = (_jackknife(*pair) for pair in pairs)
    if deviations.shape != others.shape:  # Unequal numbers of trainings have no pairs.
        deviations, others = (each.reshape(len(each), -1).mean(axis=1) for each in (deviations, others))
    apart = ratio - other
    if len(deviations) < LEAST_TARGETS:
        return Interval(apart, None, None, len(deviations))
    return _student(apart, deviations - others)


def paired_difference(a: TrackerScores, b: TrackerScores, measure: Measure = "auc") -> Interval:
    """Mean of a tracker's score less another's, target by target, with its t interval.

    Pairing takes out what makes a target hard for every tracker, so that the interval is much narrower than
    those of the two means. Targets that only one has are left out.

    Raises:
        InputError: If they have no target in common, or were judged by different protocols or conventions.
    """
    if (a.protocol, a.invalid) != (b.protocol, b.invalid):
        raise InputError(
            f"{a.tracker} was judged by {a.protocol} ({a.invalid}) and {b.tracker} by {b.protocol} ({b.invalid}); "
            "judge both in the same way."
        )
    first = {target.name: float(getattr(target, measure)) for target in a.targets}
    second = {target.name: float(getattr(target, measure)) for target in b.targets}
    common = sorted(first.keys() & second.keys())
    if not common:
        raise InputError(f"{a.tracker} and {b.tracker} were judged on no target in common.")
    return interval([first[name] - second[name] for name in common])


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjusted p-values of a family of hypotheses, in the order given; `None` stays `None`.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((float(p), index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        adjusted[index] = largest = max(largest, min(1.0, (len(known) - rank) * p))
    return adjusted


def _standard_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """Standard error of the mean of `[targets]` or `[targets, trainings]`, and its degrees of freedom."""
    if values.ndim == 2 and values.shape[1] < LEAST_TRAININGS:
        values = values.mean(axis=1)
    if values.ndim == 1:
        return float(values.std(ddof=1) / np.sqrt(len(values))), len(values) - 1.0
    n, m = values.shape
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = values - rows - columns + values.mean()
    by_target, by_training = m * float(rows.var(ddof=1)), n * float(columns.var(ddof=1))
    residual = float(np.square(rest).sum()) / ((n - 1) * (m - 1))
    if by_training <= residual:
        return float(np.sqrt(by_target / (n * m))), n - 1.0
    if by_target <= residual:
        return float(np.sqrt(by_training / (n * m))), m - 1.0
    total = by_target + by_training - residual
    freedom = total**2 / (by_target**2 / (n - 1) + by_training**2 / (m - 1) + residual**2 / ((n - 1) * (m - 1)))
    return float(np.sqrt(total / (n * m))), freedom


def _student(mean: float, values: NDArray[np.float64]) -> Interval:
    """The t interval of a mean with the standard error of `values`."""
    error, freedom = _standard_error(values)
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    if max(abs(mean), half) < _ROUNDING:
        return Interval(0.0, (0.0, 0.0), 1.0, len(values))
    p = 2 * float(stdtr(freedom, -abs(mean) / error)) if error > 0 else 0.0
    return Interval(mean, (mean - half, mean + half), p, len(values))


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """`[targets]` or `[targets, trainings]`, checked; a NaN would otherwise come out as a verdict."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise InputError(f"The {name} have the shape {list(array.shape)}; give [targets] or [targets, trainings].")
    if array.size == 0:
        raise InputError("An interval needs at least one target; there is none.")
    if wrong := int((~np.isfinite(array)).sum()):
        raise InputError(f"{wrong} of the {array.size} {name} are not finite; leave those targets out.")
    return array


def _checked(numerators: ArrayLike, denominators: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    above, below = _finite(numerators, "numerators"), _finite(denominators, "denominators")
    if above.shape != below.shape:
        raise InputError(
            f"A ratio needs as many numerators as denominators; there are {above.size} and {below.size}."
        )
    if not (below > 0).all():
        raise InputError("A ratio of means needs denominators above 0.")
    return above, below


def _jackknife(above: NDArray[np.float64], below: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """A ratio of means, and how far the jackknife's pseudo-values (one target left out) lie from it."""
    ratio = float(above.mean() / below.mean())
    if len(below) == 1:
        return ratio, np.zeros_like(above)
    means = below.reshape(len(below), -1).mean(axis=1)
    others = (means.sum() - means) / (len(means) - 1)
    return ratio, (above - ratio * below) / others.reshape(-1, *[1] * (above.ndim - 1))
