r"""Student's t intervals of means over videos, and Holm's correction of their p-values.

Videos are the sampling unit: an interval says how far a mean would move with other videos of the same kind. Where
a way of training is judged, its trainings (seeds) are a second random factor: with n videos, m trainings and the
model :math:`x_{ij} = \mu + a_i + b_j + e_{ij}`, the variance of the mean is
:math:`\sigma_a^2/n + \sigma_b^2/m + \sigma_e^2/nm`, estimated by (MSA + MSB - MSE) / nm from the mean squares of
the two-way layout, with Satterthwaite's (1946) degrees of freedom. A component estimated below 0 is left out.

Simulated coverage of the 95 % intervals (`tests/judging/test_intervals.py`): 93 to 97 % from 8 videos on where
values are normal, uniform, beta-distributed or differences of overlaps, and with 3 trainings or more. Heavy skew
lowers it: 90 % for exponential values and 83 % for lognormal ones (sigma 1) over 8 videos. With 2 trainings the
two-way interval covers down to 88 %, so it takes 3. A percentile bootstrap covers 88 % of normal values over 8
videos and 92 % over 15.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from ..errors import InputError

if TYPE_CHECKING:
    from .scoring import Scores

__all__ = [
    "LEAST_TARGETS",
    "LEAST_TRAININGS",
    "LEVEL",
    "Interval",
    "holm",
    "interval",
    "method_record",
    "paired_difference",
    "ratio_difference",
    "ratio_interval",
]

LEVEL = 0.95

LEAST_TARGETS = 8
"""From fewer targets a mean has no interval and no p-value."""

LEAST_TRAININGS = 3
"""From fewer trainings the interval is over targets alone: it holds for these trained networks."""

_ROUNDING = 1e-12
"""Half-widths below this, relative to the estimate, are rounding."""

_DOUBLINGS = 60
"""Doublings of the step in the search for an end of a ratio's interval; beyond them it has no end."""


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

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and 0 lies outside it."""
        return self.bounds is not None and (self.bounds[0] > 0 or self.bounds[1] < 0)

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


def method_record(what: str = "targets") -> dict[str, Any]:
    """Return how the intervals are computed, as plain data for result files.

    Args:
        what: The sampling unit in the file's words: `targets`, `sequences` or `videos`.
    """
    return {"method": f"Student's t over {what}", "level": LEVEL, f"least_{what}": LEAST_TARGETS}


def interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Mean over targets, with its Student's t interval.

    Args:
        values: `[targets]`, or `[targets, trainings]`. From `LEAST_TRAININGS` trainings on they are a random
            factor as well, so that the interval holds for a way of training; fewer are averaged.
        level: Confidence level, above 0 and below 1.

    Raises:
        InputError: If there is no value.

    >>> interval([0.25] * 8)
    Interval(mean=0.25, bounds=(0.25, 0.25), p=0.0, targets=8)
    >>> interval([0.25, 0.75]).bounds is None
    True
    """
    given = np.asarray(values, dtype=np.float64)
    if given.size == 0:
        raise InputError("An interval needs at least one target; there is none.")
    mean = float(given.mean())
    if len(given) < LEAST_TARGETS:
        return Interval(mean, None, None, len(given))
    error, freedom = _standard_error(given)
    return _student(mean, error, freedom, level, len(given))


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike, level: float = LEVEL) -> Interval:
    """Ratio of two means over the same targets, with Fieller's (1954) interval.

    The interval holds every ratio R for which the t interval of `numerators - R * denominators` holds 0. The ratio
    of means weighs each target by its denominator, so that one whose denominator is close to 0 cannot outweigh the
    others, as it would in a mean of ratios. Simulated coverage over 8 to 30 targets: 93 to 97 % where the targets'
    ratios do not depend on their denominators, 88 to 93 % where they grow with them.

    Args:
        numerators: `[targets]` or `[targets, trainings]`; see `interval`.
        denominators: Of the same shape, above 0.
        level: Confidence level.

    Raises:
        InputError: If there is no target, or a denominator is not above 0.

    Where the denominators are too unequal for their mean to be told from 0, the interval has no ends and `bounds`
    is `None`.

    >>> ratio_interval([1.0] * 8, [2.0] * 8)
    Interval(mean=0.5, bounds=(0.5, 0.5), p=0.0, targets=8)
    """
    above, below = _checked(numerators, denominators)
    ratio = float(above.mean() / below.mean())
    if len(above) < LEAST_TARGETS:
        return Interval(ratio, None, None, len(above))

    def outside(value: float) -> float:
        rest = above - value * below
        error, freedom = _standard_error(rest)
        return abs(float(rest.mean())) - float(stdtrit(freedom, (1 + level) / 2)) * error

    error, freedom = _standard_error(above - ratio * below)
    step = float(stdtrit(freedom, (1 + level) / 2)) * error / float(below.mean())
    ends = [ratio, ratio]
    if step > _ROUNDING * max(1.0, abs(ratio)):
        for end, way in enumerate((-step, step)):
            for _ in range(_DOUBLINGS):
                if outside(ratio + way) > 0:
                    break
                way *= 2
            else:
                return Interval(ratio, None, None, len(above))
            ends[end] = float(brentq(outside, ratio, ratio + way))
    return Interval(ratio, (ends[0], ends[1]), interval(above).p, len(above))


def ratio_difference(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], level: float = LEVEL
) -> Interval:
    """A ratio of two means less another one over the same targets, with the jackknife's t interval.

    Args:
        first: Numerators and denominators, `[targets]` or `[targets, trainings]` each.
        second: Those of the ratio that is subtracted.
        level: Confidence level.

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
    error, freedom = _standard_error(deviations - others)
    return _student(apart, error, freedom, level, len(deviations))


def paired_difference(
    a: Scores, b: Scores, measure: Literal["auc", "precision"] = "auc", *, level: float = LEVEL
) -> Interval:
    """Mean of a tracker's score less another's, target by target, with its t interval.

    Pairing takes out what makes a target hard for every tracker, so that the interval is much narrower than
    those of the two means.

    Args:
        a: Scores of one tracker.
        b: Scores of the other; targets that only one has are left out.
        measure: `auc` or `precision`.
        level: Confidence level.

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
    return interval([first[name] - second[name] for name in common], level)


def holm(p_values: Many[float]) -> list[float]:
    """Holm's (1979) adjusted p-values of a family of hypotheses, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = np.empty(len(p_values))
    largest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted.tolist()


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


def _student(mean: float, error: float, freedom: float, level: float, targets: int) -> Interval:
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    if error > 0:
        p = 2 * float(stdtr(freedom, -abs(mean) / error))
    else:
        p = 1.0 if mean == 0 else 0.0
    return Interval(mean, (mean - half, mean + half), p, targets)


def _checked(numerators: ArrayLike, denominators: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if above.size == 0 or above.shape != below.shape:
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
