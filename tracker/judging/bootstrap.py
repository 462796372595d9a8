"""How sure a mean over targets is: bootstrap intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

if TYPE_CHECKING:
    from .scoring import Scores

__all__ = ["Difference", "Interval", "interval", "paired_difference", "ratio_difference", "ratio_interval"]

DRAWS = 10_000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and its bootstrap interval."""

    mean: float
    low: float
    high: float


class Difference(NamedTuple):
    """The mean difference of two trackers over the targets that both were judged on, and its interval."""

    mean: float
    low: float
    high: float
    targets: int


def interval(values: ArrayLike, seed: int = 0, draws: int = DRAWS, level: float = LEVEL) -> Interval:
    """Mean over targets, with the percentile interval of the bootstrap (Efron 1979).

    As many targets as there are, are drawn with replacement; the interval holds the middle `level` of the means
    of `draws` such draws. It says how far the mean would move with other videos of the same kind, not how far it
    moves if the tracker is run again.

    Args:
        values: `[targets]`, one number a target.
        seed: Of the draws.
        draws: How many.
        level: Share of the means inside, above 0 and below 1.

    Raises:
        InputError: If there is no value.

    >>> interval([0.25, 0.25, 0.25])
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    given = np.asarray(values, dtype=np.float64)
    if given.size == 0:
        raise InputError("An interval needs at least one target; there is none.")
    low, high = np.quantile(_means(given, seed, draws), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(given.mean()), float(low), float(high))


def ratio_interval(
    numerators: ArrayLike, denominators: ArrayLike, seed: int = 0, draws: int = DRAWS, level: float = LEVEL
) -> Interval:
    """Ratio of two means over the same targets, with its percentile interval.

    Numerator and denominator of a target are drawn together. The ratio of means weighs each target by its
    denominator, so that one whose denominator is next to nothing cannot outweigh the others, as it would in a mean
    of ratios.

    Args:
        numerators: `[targets]`.
        denominators: `[targets]`, above 0.
        seed: Of the draws.
        draws: How many.
        level: Share of the ratios inside.

    Raises:
        InputError: If there is no target, or a denominator is not above 0.

    >>> ratio_interval([1.0, 2.0], [2.0, 4.0])
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    ratio, ratios = _ratios(numerators, denominators, seed, draws)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Interval(ratio, float(low), float(high))


def ratio_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    seed: int = 0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval:
    """A ratio of two means less another one over the same targets, with its percentile interval.

    The same targets are drawn for both; see `ratio_interval` and `paired_difference`.

    Args:
        first: Numerators and denominators, `[targets]` each.
        second: Those of the ratio that is taken away.
        seed: Of the draws.
        draws: How many.
        level: Share of the differences inside.

    Raises:
        InputError: As `ratio_interval`, and if the two are not over as many targets.

    >>> ratio_difference(([1.0, 2.0], [2.0, 4.0]), ([1.0, 1.0], [4.0, 4.0]))
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    (ratio, ratios), (other, others) = (_ratios(*pair, seed, draws) for pair in (first, second))
    if np.size(first[0]) != np.size(second[0]):
        raise InputError(f"Ratios over {np.size(first[0])} and {np.size(second[0])} targets cannot be paired.")
    low, high = np.quantile(ratios - others, [(1 - level) / 2, (1 + level) / 2])
    return Interval(ratio - other, float(low), float(high))


def paired_difference(
    a: Scores,
    b: Scores,
    measure: Literal["auc", "precision"] = "auc",
    *,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Difference:
    """Mean of a tracker's score less another's, target by target, with its bootstrap interval.

    Pairing takes out what makes a target hard for every tracker, so that the interval is much narrower than
    those of the two means.

    Args:
        a: Scores of one tracker.
        b: Scores of the other; targets that only one has are left out.
        measure: `auc` or `precision`.
        seed: Of the draws.
        draws: How many.
        level: Share of the means inside.

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
    apart = np.array([first[name] - second[name] for name in common])
    return Difference(*interval(apart, seed, draws, level), len(common))


def _ratios(
    numerators: ArrayLike, denominators: ArrayLike, seed: int, draws: int
) -> tuple[float, NDArray[np.float64]]:
    """The ratio of two means, and that of each draw."""
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if above.size == 0 or above.shape != below.shape:
        raise InputError(
            f"A ratio needs as many numerators as denominators; there are {above.size} and {below.size}."
        )
    if not (below > 0).all():
        raise InputError("A ratio of means needs denominators above 0.")
    # The same seed draws the same targets for both.
    return float(above.mean() / below.mean()), _means(above, seed, draws) / _means(below, seed, draws)


def _means(values: NDArray[np.float64], seed: int, draws: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
