from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from tracker.errors import InputError
from tracker.evaluation.intervals import (
    LEAST_TARGETS,
    Interval,
    holm,
    interval,
    paired_difference,
    ratio_difference,
    ratio_interval,
)
from tracker.evaluation.scoring import TargetScores, TrackerScores

Draw = Callable[[np.random.Generator, int], np.ndarray]


def overlaps(rng: np.random.Generator, n: int) -> np.ndarray:
    """Differences of the overlaps of two trackers on the same videos, each in [0, 1]."""
    level = rng.beta(2, 1.2, n)
    return np.clip(level + rng.normal(0.05, 0.08, n), 0, 1) - np.clip(level + rng.normal(0, 0.08, n), 0, 1)


VALUES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(0.02, 0.05, n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "beta(2, 5)": lambda rng, n: rng.beta(2, 5, n),
    "beta(1/2, 1/2)": lambda rng, n: rng.beta(0.5, 0.5, n),
    "differences of overlaps": overlaps,
}


def scores(tracker: str, values: dict[str, tuple[float, float]], **how) -> TrackerScores:
    curve = np.zeros(21)
    targets = tuple(
        TargetScores(name, auc, precision, curve, np.zeros(51), 1, None, None, np.zeros(1))
        for name, (auc, precision) in values.items()
    )
    return TrackerScores(tracker, how.get("protocol", "ope"), how.get("invalid", "otb"), targets)


def excludes_zero(found: Interval) -> bool:
    return found.bounds is not None and not holds(found, 0)


def holds(found: Interval, value: float) -> bool:
    assert found.bounds is not None
    return found.bounds[0] <= value <= found.bounds[1]


@pytest.mark.parametrize("n", [8, 15, 30])
@pytest.mark.parametrize("name", VALUES)
def test_the_interval_covers_the_mean_as_often_as_it_says(name: str, n: int) -> None:
    """A percentile bootstrap covers 88 % of these at 8 values and 92 % at 15."""
    rng = np.random.default_rng(0)
    mean = VALUES[name](rng, 2_000_000).mean()
    covered = np.mean([holds(interval(VALUES[name](rng, n)), mean) for _ in range(3000)])
    assert 0.93 <= covered <= 0.97


def test_heavy_skew_lowers_the_coverage_as_documented() -> None:
    rng = np.random.default_rng(0)
    exponential = np.mean([holds(interval(rng.exponential(1, 8)), 1) for _ in range(3000)])
    lognormal = np.mean([holds(interval(rng.lognormal(0, 1, 8)), np.exp(0.5)) for _ in range(3000)])
    assert exponential == pytest.approx(0.90, abs=0.02) and lognormal == pytest.approx(0.83, abs=0.02)
    near_one = np.mean([holds(interval(rng.beta(8, 1, 8)), 8 / 9) for _ in range(3000)])
    few = [np.where(rng.random(8) < 0.8, rng.normal(0, 0.02, 8), rng.normal(0.3, 0.1, 8)) for _ in range(3000)]
    mostly_zero = np.mean([holds(interval(values), 0.06) for values in few])
    assert near_one == pytest.approx(0.91, abs=0.02) and mostly_zero == pytest.approx(0.81, abs=0.02)


@pytest.mark.parametrize("videos", [8, 30])
def test_three_trainings_that_differ_most_lower_the_coverage_as_documented(videos: int) -> None:
    """Nine tenths of the variance of the mean are the trainings'; over all shares this is the least."""
    rng = np.random.default_rng(0)

    def draw() -> np.ndarray:
        own, training = rng.normal(0, np.sqrt(0.1 * videos), (videos, 1)), rng.normal(0, np.sqrt(2.7), (1, 3))
        return own + training + rng.normal(0, 0.3 * np.sqrt(0.1 * videos), (videos, 3))

    assert 0.915 <= np.mean([holds(interval(draw()), 0) for _ in range(3000)]) <= 0.94


@pytest.mark.parametrize(
    ("videos", "trainings", "rest"), [(0.05, 0.0, 0.03), (0.05, 0.01, 0.03), (0.02, 0.02, 0.02), (0.0, 0.03, 0.03)]
)
def test_trainings_are_a_second_random_factor(videos: float, trainings: float, rest: float) -> None:
    """Standard deviations over videos, over trainings, and of their interaction; 15 videos, 3 trainings."""
    rng = np.random.default_rng(0)

    def draw() -> np.ndarray:
        return (
            rng.normal(0, 1, (15, 1)) * videos
            + rng.normal(0, 1, (1, 3)) * trainings
            + rng.normal(0, rest, (15, 3))
        )

    drawn = [draw() for _ in range(3000)]
    assert 0.93 <= np.mean([holds(interval(values), 0) for values in drawn]) <= 0.97
    alone = np.mean([holds(interval(values.mean(axis=1)), 0) for values in drawn])
    assert alone < 0.7 if trainings >= 0.02 else alone > 0.9


@pytest.mark.parametrize("n", [8, 15])
@pytest.mark.parametrize("shape", ["even gaps", "skewed gaps"])
def test_the_interval_of_a_ratio_covers_it(n: int, shape: str) -> None:
    """Closures that do not depend on the gap."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        gaps = rng.uniform(0.05, 0.2, count) if shape == "even gaps" else rng.beta(2, 10, count)
        return gaps * np.clip(rng.normal(0.6, 0.15, count), -1, 1), gaps

    above, below = draw(2_000_000)
    ratio = above.mean() / below.mean()
    drawn = [ratio_interval(*draw(n)) for _ in range(1200)]
    # The interval without ends, which a few draws of 8 very unequal gaps have, holds every ratio.
    assert 0.93 <= np.mean([found.bounds is None or holds(found, ratio) for found in drawn]) <= 0.97
    assert np.mean([found.bounds is None for found in drawn]) < 0.02


def test_the_interval_of_a_difference_of_ratios_covers_it() -> None:
    rng = np.random.default_rng(0)

    def draw() -> Interval:
        gaps, hard = rng.uniform(0.05, 0.2, 10), rng.normal(0, 0.1, 10)
        first, second = (gaps * (level + hard + rng.normal(0, 0.1, 10)) for level in (0.7, 0.5))
        return ratio_difference((first, gaps), (second, gaps))

    assert 0.93 <= np.mean([holds(draw(), 0.2) for _ in range(3000)]) <= 0.97


def test_the_interval_of_a_mean_is_that_of_scipys_t_test() -> None:
    values = np.random.default_rng(1).normal(0.6, 0.2, 9)
    found, expected = interval(values), stats.ttest_1samp(values, 0)
    assert found.bounds == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p == pytest.approx(expected.pvalue) and found.mean == pytest.approx(values.mean())


def test_too_few_targets_have_a_figure_and_no_verdict() -> None:
    few = np.linspace(0.5, 0.6, LEAST_TARGETS - 1)
    assert interval(few) == (pytest.approx(0.55), None, None, 7) and not excludes_zero(interval(few))
    assert ratio_interval(few, few)[1:] == (None, None, 7)
    assert ratio_difference((few, few), (few / 2, few))[1:] == (None, None, 7)
    assert excludes_zero(interval([*few, 0.6]))


def test_two_trainings_are_averaged() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.1, (9, 3))
    assert interval(values[:, :2]).bounds == pytest.approx(interval(values[:, :2].mean(axis=1)).bounds)
    assert interval(values) != interval(values.mean(axis=1))


def test_no_values() -> None:
    with pytest.raises(InputError, match="at least one target"):
        interval([])


def test_paired_difference() -> None:
    """A tracker that is 0.02 better on every target is surely better, however much the targets differ."""
    rng = np.random.default_rng(0)
    base = {f"t{k}": (value, 1 - value) for k, value in enumerate(rng.random(40))}
    better = {name: (auc + 0.02, precision) for name, (auc, precision) in base.items()}
    a, b = scores("A", {**better, "only A": (0.0, 0.0)}), scores("B", {**base, "only B": (1.0, 1.0)})
    mean, bounds, p, targets = paired_difference(a, b)
    assert (mean, bounds, targets) == (pytest.approx(0.02), pytest.approx((0.02, 0.02)), 40) and p < 1e-9
    assert paired_difference(b, a).mean == pytest.approx(-0.02)
    assert paired_difference(a, b, "precision") == (0, (0, 0), 1, 40)
    low, high = interval([auc for auc, _ in base.values()]).bounds
    assert high - low > 0.1  # unpaired, the targets' differences would hide it


def test_what_cannot_be_compared() -> None:
    a = scores("A", {"x": (1, 1)})
    with pytest.raises(InputError, match="A and B were judged on no target in common"):
        paired_difference(a, scores("B", {"y": (1, 1)}))
    with pytest.raises(InputError, match=r"A was judged by ope \(otb\) and B by tre \(otb\)"):
        paired_difference(a, scores("B", {"x": (1, 1)}, protocol="tre"))
    with pytest.raises(InputError, match="strict"):
        paired_difference(a, scores("B", {"x": (1, 1)}, invalid="strict"))


def test_the_ends_of_a_ratio_are_where_the_t_test_turns() -> None:
    rng = np.random.default_rng(0)
    above, below = rng.uniform(0, 1, 12), rng.uniform(0.5, 2, 12)
    found = ratio_interval(above, below)
    for end in found.bounds:
        assert stats.ttest_1samp(above - end * below, 0).pvalue == pytest.approx(0.05, abs=1e-6)
    assert found.mean == pytest.approx(above.sum() / below.sum())
    same = ratio_interval(0.3 * below, below)
    assert (same.mean, same.bounds) == (pytest.approx(0.3), pytest.approx((0.3, 0.3)))


def test_a_ratio_whose_denominators_do_not_tell_their_mean_has_no_interval() -> None:
    above, below = np.full(8, 1e-9), np.full(8, 1e-9)
    above[0], below[0] = 1.0, 2.0
    assert ratio_interval(above, below).bounds is None


def test_trainings_of_a_ratio() -> None:
    """Three trainings that differ by more than their videos do: the interval is wider than over videos alone."""
    rng = np.random.default_rng(0)
    gaps = rng.uniform(0.05, 0.2, (15, 3))
    closed = gaps * (0.6 + np.array([-0.2, 0.0, 0.2]) + rng.normal(0, 0.02, (15, 3)))
    (low, high), (inner, outer) = (
        ratio_interval(closed, gaps).bounds,
        ratio_interval(closed.mean(axis=1), gaps.mean(axis=1)).bounds,
    )
    assert high - low > 5 * (outer - inner) and low < 0.4 < 0.8 < high


def test_the_interval_of_a_ratio_covers_it_with_trainings() -> None:
    rng = np.random.default_rng(0)

    def draw() -> Interval:
        gaps = rng.beta(2, 10, (15, 1)) * rng.uniform(0.9, 1.1, (15, 3))
        effects = rng.normal(0, 0.1, (15, 1)) + rng.normal(0, 0.05, (1, 3)) + rng.normal(0, 0.1, (15, 3))
        return ratio_interval(gaps * (0.6 + effects), gaps)

    assert 0.93 <= np.mean([holds(draw(), 0.6) for _ in range(2000)]) <= 0.97


def test_the_difference_of_two_ratios_is_paired() -> None:
    """A method that closes a tenth of each gap more surely does, however much the targets differ."""
    rng = np.random.default_rng(0)
    gaps, closed = rng.uniform(0.5, 2, 30), rng.uniform(-1, 1, 30)
    found = ratio_difference((closed + 0.1 * gaps, gaps), (closed, gaps))
    assert (found.mean, found.bounds) == (pytest.approx(0.1), pytest.approx((0.1, 0.1)))
    other = ratio_difference((closed, gaps), (closed[::-1], gaps))
    first, second = ratio_interval(closed, gaps), ratio_interval(closed[::-1], gaps)
    assert other.mean == pytest.approx(first.mean - second.mean) and holds(other, other.mean)
    with pytest.raises(InputError, match="30 and 29 targets"):
        ratio_difference((closed, gaps), (closed[:29], gaps[:29]))


@pytest.mark.parametrize(("above", "below"), [([], []), ([1], [1, 2]), ([1, 2], [1, 0])])
def test_a_ratio_that_is_none(above: list, below: list) -> None:
    with pytest.raises(InputError):
        ratio_interval(above, below)


def test_holm_corrects_the_smallest_most() -> None:
    assert holm([0.01, 0.5, 0.02, 0.9]) == pytest.approx([0.04, 1.0, 0.06, 1.0])
    assert holm([]) == []
    rng = np.random.default_rng(0)
    false = [min(holm(rng.random(20))) < 0.05 for _ in range(2000)]
    assert np.mean(false) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_gives_no_verdict(wrong: float) -> None:
    """NaN came out as an interval of NaN with p = 0."""
    values, ones = np.r_[np.full(8, 0.1), wrong], np.ones(9)
    for call in (
        lambda: interval(values),
        lambda: interval(np.stack([values] * 3, axis=1)),
        lambda: ratio_interval(values, ones),
        lambda: ratio_interval(ones, np.abs(values)),
        lambda: ratio_difference((ones, ones), (values, ones)),
    ):
        with pytest.raises(InputError, match=r"1 of the 9 \w+ are not finite|3 of the 27 values are not finite"):
            call()


def test_shapes_that_have_no_interval() -> None:
    with pytest.raises(InputError, match=r"shape \[9, 3, 2\]"):
        interval(np.zeros((9, 3, 2)))
    with pytest.raises(InputError, match=r"shape \[\]"):
        interval(0.3)


def test_differences_of_rounding_are_none() -> None:
    assert interval(np.full(9, 1e-17)) == (0, (0, 0), 1, 9)
    assert interval(np.full((9, 3), 0.1)).p == 0 and interval(np.full(9, 0.1)).bounds == pytest.approx((0.1, 0.1))


def test_a_p_value_agrees_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(1500):
        gaps, values = rng.uniform(0.05, 0.2, (10, 3)), rng.normal(0.3, 0.5, (10, 3))
        one = values[:, 0] * gaps[:, 0], gaps[:, 0]
        for found in (interval(values), ratio_interval(gaps * values, gaps), ratio_interval(*one)):
            assert found.p is not None and (found.p < 0.05) == excludes_zero(found)
            verdicts.append(excludes_zero(found))
    assert 0.1 < np.mean(verdicts) < 0.9


def test_holm_of_equal_p_values_keeps_their_order() -> None:
    assert holm([0.02] * 5) == pytest.approx([0.1] * 5)
    p_values = np.sort(np.random.default_rng(0).random(30))
    adjusted = holm(list(p_values))
    assert adjusted == sorted(adjusted) and all(a >= p for a, p in zip(adjusted, p_values, strict=True))
