from __future__ import annotations

import numpy as np
import pytest

from tracker.errors import InputError
from tracker.judging.bootstrap import interval, paired_difference, ratio_difference, ratio_interval
from tracker.judging.scoring import Scores, TargetScore


def scores(tracker: str, values: dict[str, tuple[float, float]], **how) -> Scores:
    curve = np.zeros(21)
    targets = tuple(
        TargetScore(name, auc, precision, curve, np.zeros(51), 1, None, None, np.zeros(1))
        for name, (auc, precision) in values.items()
    )
    return Scores(tracker, how.get("protocol", "ope"), how.get("invalid", "otb"), targets)


def test_the_interval_of_a_mean_of_normal_numbers() -> None:
    """For many values the bootstrap's interval is the mean plus or minus 1.96 standard errors."""
    values = np.random.default_rng(1).normal(0.6, 0.2, 400)
    mean, low, high = interval(values, draws=20_000)
    error = values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - 1.96 * error, abs=0.04 * error * 1.96)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.04 * error * 1.96)


def test_a_case_that_can_be_counted() -> None:
    """Two of the values 0 and 1: the means are 0, 1/2, 1 with the chances 1/4, 1/2, 1/4."""
    assert interval([0, 1], level=0.95)[1:] == (0, 1)
    assert interval([0, 1], level=0.4)[1:] == (0.5, 0.5)
    assert interval([0.3]) == (0.3, 0.3, 0.3)


def test_seeds() -> None:
    values = np.random.default_rng(3).random(9)
    assert interval(values) == interval(values, seed=0) != interval(values, seed=1)


def test_no_values() -> None:
    with pytest.raises(InputError, match="at least one target"):
        interval([])


def test_paired_difference() -> None:
    """A tracker that is 0.02 better on every target is surely better, however much the targets differ."""
    rng = np.random.default_rng(0)
    base = {f"t{k}": (value, 1 - value) for k, value in enumerate(rng.random(40))}
    better = {name: (auc + 0.02, precision) for name, (auc, precision) in base.items()}
    a, b = scores("A", {**better, "only A": (0.0, 0.0)}), scores("B", {**base, "only B": (1.0, 1.0)})
    mean, low, high, targets = paired_difference(a, b)
    assert (mean, low, high, targets) == (*[pytest.approx(0.02)] * 3, 40)
    assert paired_difference(b, a).mean == pytest.approx(-0.02)
    assert paired_difference(a, b, "precision") == (0, 0, 0, 40)
    alone = interval([auc for auc, _ in base.values()])
    assert alone.high - alone.low > 0.1  # unpaired, the targets' differences would drown it


def test_the_interval_of_a_difference() -> None:
    a = scores("A", {f"t{k}": (1.0 * (k % 2), 0.0) for k in range(100)})
    b = scores("B", {f"t{k}": (0.5, 0.0) for k in range(100)})
    mean, low, high, _ = paired_difference(a, b)
    assert mean == 0 and low == pytest.approx(-0.098, abs=0.011) and high == pytest.approx(0.098, abs=0.011)


def test_what_cannot_be_compared() -> None:
    a = scores("A", {"x": (1, 1)})
    with pytest.raises(InputError, match="A and B were judged on no target in common"):
        paired_difference(a, scores("B", {"y": (1, 1)}))
    with pytest.raises(InputError, match=r"A was judged by ope \(otb\) and B by tre \(otb\)"):
        paired_difference(a, scores("B", {"x": (1, 1)}, protocol="tre"))
    with pytest.raises(InputError, match="strict"):
        paired_difference(a, scores("B", {"x": (1, 1)}, invalid="strict"))


def test_the_ratio_of_two_means() -> None:
    """Numerator and denominator are drawn together: of (1, 2) and (3, 4) there are 1/2, 4/6 and 3/4."""
    found = ratio_interval([1, 3], [2, 4])
    assert found == (pytest.approx(4 / 6), pytest.approx(0.5), pytest.approx(0.75))
    assert ratio_interval([1, 3], [2, 4], level=0.4)[1:] == (pytest.approx(4 / 6), pytest.approx(4 / 6))
    denominators = np.random.default_rng(0).uniform(0.5, 2, 30)
    same = ratio_interval(0.3 * denominators, denominators)
    assert same == (pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0.3))


def test_a_target_with_a_small_denominator_weighs_little() -> None:
    mean, low, high = ratio_interval([0.001, 0.5, 0.5], [1e-9, 1.0, 1.0], draws=2000)
    assert mean == pytest.approx(0.5005, abs=1e-3) and low >= 0.5 - 1e-9


def test_the_difference_of_two_ratios_is_paired() -> None:
    """A method that closes a tenth of each gap more surely does, however much the targets differ."""
    rng = np.random.default_rng(0)
    gaps, closed = rng.uniform(0.5, 2, 30), rng.uniform(-1, 1, 30)
    found = ratio_difference((closed + 0.1 * gaps, gaps), (closed, gaps))
    assert found == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    other = ratio_difference((closed, gaps), (closed[::-1], gaps))
    first, second = ratio_interval(closed, gaps), ratio_interval(closed[::-1], gaps)
    assert other.mean == pytest.approx(first.mean - second.mean) and other.low < other.mean < other.high
    with pytest.raises(InputError, match="30 and 29 targets"):
        ratio_difference((closed, gaps), (closed[:29], gaps[:29]))


@pytest.mark.parametrize(("above", "below"), [([], []), ([1], [1, 2]), ([1, 2], [1, 0])])
def test_a_ratio_that_is_none(above: list, below: list) -> None:
    with pytest.raises(InputError):
        ratio_interval(above, below)
