from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracker.evaluation.annotations import Annotation
from tracker.evaluation.measures import (
    ERROR_THRESHOLDS,
    NORM_PRECISION_AT,
    NORM_THRESHOLDS,
    OVERLAP_THRESHOLDS,
    InvalidRule,
    average_overlap,
    got10k_overlaps,
    normalised_errors,
    overlaps_and_errors,
    precision_curve,
    success_curve,
)

NAN, INF = np.nan, np.inf


def truth(boxes, valid=None) -> Annotation:
    boxes = np.asarray(boxes, float)
    return Annotation("toy", boxes, np.ones(len(boxes), bool) if valid is None else np.asarray(valid))


def test_thresholds() -> None:
    assert OVERLAP_THRESHOLDS.tolist() == [float(f"{k * 5 / 100:.2f}") for k in range(21)]
    assert ERROR_THRESHOLDS.tolist() == list(range(51))
    assert NORM_THRESHOLDS.tolist() == [float(f"{k / 100:.2f}") for k in range(51)]
    assert NORM_THRESHOLDS[NORM_PRECISION_AT] == 0.2


def test_success_by_hand() -> None:
    curve = success_curve([1.0, 0.52, 0.5, 0.0, -1.0])
    assert curve.shape == (21,)
    assert curve[0] == 3 / 5  # 0 is not above 0
    assert curve[9] == 3 / 5  # above 0.45
    assert curve[10] == 2 / 5  # 0.5 is not above 0.5
    assert curve[11] == 1 / 5
    assert curve[19] == 1 / 5 and curve[20] == 0  # 1 is not above 1
    assert curve.mean() == pytest.approx((10 * 3 + 2 + 9 * 1) / 5 / 21)


def test_a_perfect_tracker_has_20_of_21() -> None:
    assert success_curve(np.ones(7)).mean() == pytest.approx(20 / 21)


@pytest.mark.parametrize("k", range(1, 21))
def test_an_overlap_on_a_threshold_is_not_above_it(k: int) -> None:
    """IoU k/20 of whole boxes, shifted by what reading 1-based decimals adds in rounding."""
    annotation = truth([[0, 0, 20, 1]] * 2)
    for offset in (0.0, 0.1, 1 / 3, 123.4567):
        given = np.array([[0, 0, 20, 1], [0, 0, k, 1]], float) + [offset, offset, 0, 0]
        moved = truth(annotation.boxes + [offset, offset, 0, 0])
        overlap, _ = overlaps_and_errors(given, moved)
        assert overlap[1] == pytest.approx(k / 20)
        curve = success_curve(overlap[1:])
        assert curve[k - 1] == 1 and curve[k] == 0


def test_precision_by_hand() -> None:
    curve = precision_curve([0.0, 20.0, 20.5, 50.0, 51.0, INF, NAN])
    assert curve.shape == (51,)
    assert curve[0] == curve[19] == 1 / 7
    assert curve[20] == 2 / 7 and curve[21] == 3 / 7 and curve[50] == 4 / 7


def test_an_error_on_a_threshold_is_a_hit() -> None:
    """12 and 16 pixels apart, whatever the rounding of the decimals adds."""
    start = np.random.default_rng(0).integers(0, 3_000_000, (200, 2)) / 10_000
    gold = np.concatenate([start, np.full((200, 2), 5.0)], axis=1)
    _, error = overlaps_and_errors(gold + [12, 16, 0, 0], truth(gold))
    assert (error > 20).any()  # some errors are a little above 20
    curve = precision_curve(error[1:])
    assert curve[20] == 1 and curve[19] == 0


def test_overlap_and_error_by_hand() -> None:
    annotation = truth([[0, 0, 4, 4], [10, 10, 4, 4], [10, 10, 4, 4], [10, 10, 4, 4]])
    given = [[99, 99, 1, 1], [12, 10, 4, 4], [10, 10, 8, 8], [10, 10, -4, 4]]
    overlap, error = overlaps_and_errors(given, annotation)
    assert overlap.tolist() == pytest.approx([1, 8 / 24, 16 / 64, 0])  # the first box is the truth
    assert error.tolist() == pytest.approx([0, 2, np.hypot(2, 2), 4])


@pytest.mark.parametrize("bad", [[NAN] * 4, [5, 5, NAN, 3], [INF, 0, 3, 3], [0, 0, 3, -INF]])
def test_not_a_number_is_a_failure_and_stays_in_the_count(bad: list[float]) -> None:
    overlap, error = overlaps_and_errors([[0, 0, 9, 9], bad, [0, 0, 9, 9]], truth([[0, 0, 9, 9]] * 3))
    assert overlap.tolist() == [1, 0, 1] and error.tolist() == [0, INF, 0]
    assert success_curve(overlap)[5] == pytest.approx(2 / 3)
    assert precision_curve(error)[50] == pytest.approx(2 / 3)


def test_huge_numbers_are_failures() -> None:
    overlap, error = overlaps_and_errors([[0, 0, 9, 9], [-1e308, 0, 1e308, 1e308]], truth([[0, 0, 9, 9]] * 2))
    assert overlap[1] == 0 and error[1] > 50


def test_missing_frames_at_the_end_are_failures() -> None:
    overlap, error = overlaps_and_errors([[0, 0, 9, 9]] * 2, truth([[0, 0, 9, 9]] * 5))
    assert overlap.tolist() == [1, 1, 0, 0, 0] and error.tolist() == [0, 0, INF, INF, INF]


def test_more_boxes_than_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="3 boxes for 2 frames"):
        overlaps_and_errors(np.ones((3, 4)), truth(np.ones((2, 4))))


def test_both_conventions_for_invalid_annotations() -> None:
    annotation = truth([[0, 0, 9, 9], [-2, 0, 9, 9], [0, 0, 9, 9], [0, 0, 0, 0]], [True, False, True, False])
    given = [[0, 0, 9, 9], [-2, 0, 9, 9], [0, 0, 9, 9], [NAN] * 4]
    overlap, error = overlaps_and_errors(given, annotation, "otb")
    assert overlap.tolist() == [1, -1, 1, -1] and error.tolist() == [0, -1, 0, -1]
    assert success_curve(overlap)[0] == 0.5  # they stay in the count, as failures
    assert precision_curve(error)[0] == 1.0  # and as hits
    overlap, error = overlaps_and_errors(given, annotation, "strict")
    assert overlap.tolist() == [1, -1, 1, -1] and error.tolist() == [0, INF, 0, INF]
    assert precision_curve(error)[50] == 0.5


def test_average_overlap_by_hand() -> None:
    assert average_overlap([1.0, 0.76, 0.75, 0.51, 0.5, 0.0]) == pytest.approx((3.52 / 6, 4 / 6, 2 / 6))
    assert average_overlap([]) == (None, None, None)


def test_the_frames_of_got10k() -> None:
    """Not the first, not the absent ones, not the wholly covered ones; one without a box is a failure."""
    visibility = np.array([1, 1, 1 / 8, 1 / 16, 0, 1, 1])  # cover.label 8, 8, 1, 0 (present), absent, 8, 8
    boxes = np.tile([10.0, 10, 20, 20], (7, 1))
    annotation = Annotation("toy", boxes, np.ones(7, bool), visibility=visibility)
    given = boxes.copy()
    given[:, 0] += [99, 0, 10, 0, 0, 20, 0]
    given[6] = NAN
    assert got10k_overlaps(given, annotation) == pytest.approx([1, 1 / 3, 0, 0])
    assert got10k_overlaps(given[:2], annotation) == pytest.approx([1, 0, 0, 0])
    assert got10k_overlaps(given[:1], truth(boxes[:1])).size == 0
    assert got10k_overlaps(given, truth(boxes)).size == 6  # nothing is known but the boxes
    zeros = truth([[0, 0, 4, 4], [0, 0, 0, 0], [0, 0, 4, 4]])
    assert got10k_overlaps([[0, 0, 4, 4]] * 3, zeros).tolist() == [1]


def test_boxes_are_cut_to_the_image_as_got10k_does() -> None:
    """1-based: (-4, 1, 20, 10) begins at 0 and keeps its width; (45, 1, 20, 10) ends at 50."""
    annotation = Annotation("toy", np.array([[0.0, 0, 9, 9], [0, 0, 20, 10], [44, 0, 5, 10]]), np.ones(3, bool))
    given = [[0, 0, 9, 9], [-5, 0, 20, 10], [44, 0, 20, 10]]
    assert got10k_overlaps(given, annotation) == pytest.approx([15 / 25, 5 / 20])
    annotation = dataclasses.replace(annotation, size=(50, 40))
    assert got10k_overlaps(given, annotation) == pytest.approx([19 / 21, 5 / 5])


def test_normalised_errors_of_frames_without_a_target_or_a_box() -> None:
    boxes = [[10, 10, 20, 40], [10, 10, 20, 40], [0, 0, 0, 0], [10, 10, 20, 40], [-3, 10, 20, 40]]
    annotation = truth(boxes, [True, True, False, True, False])
    given = [[0, 0, 1, 1], [14, 10, 20, 40], [0, 0, 1, 1], [NAN] * 4, [-3, 14, 20, 40]]
    assert normalised_errors(given, annotation) == pytest.approx([0, 0.2, INF, INF, 0.1])  # a box at x = -3 counts
    assert normalised_errors(given[:2], annotation) == pytest.approx([0, 0.2, INF, INF, INF])
    curve = precision_curve(normalised_errors(given, annotation), NORM_THRESHOLDS)
    assert curve[[9, 10, 19, 20, 50]].tolist() == [0.2, 0.4, 0.4, 0.6, 0.6]  # 4 / 20 is at most 0.2


def test_a_labelled_absence_is_no_success() -> None:
    annotation = Annotation(
        "toy", np.tile([5.0, 5, 9, 9], (3, 1)), np.ones(3, bool), visibility=np.array([1.0, 0, 0.5])
    )
    overlap, error = overlaps_and_errors(annotation.boxes, annotation)
    assert overlap.tolist() == [1, -1, 1] and error.tolist() == [0, -1, 0]
    assert overlaps_and_errors(annotation.boxes, annotation, "strict")[1].tolist() == [0, INF, 0]


def naive(results, annotation, invalid):
    """OTB's rules frame by frame, in plain Python, in 1-based pixels as the authors' toolkit counts them."""
    overlap, error = [], []
    for t, (gx, gy, gw, gh) in enumerate(annotation.boxes + [1, 1, 0, 0]):
        box = (gx, gy, gw, gh) if t == 0 else tuple(np.add(results[t], [1, 1, 0, 0])) if t < len(results) else None
        if not annotation.valid[t]:
            overlap.append(-1.0)
            error.append(-1.0 if invalid == "otb" else INF)
        elif box is None or not all(np.isfinite(box)):
            overlap.append(0.0)
            error.append(INF)
        else:
            x, y, w, h = box
            wide = max(0.0, min(x + w - 1, gx + gw - 1) - max(x, gx) + 1)
            high = max(0.0, min(y + h - 1, gy + gh - 1) - max(y, gy) + 1)
            overlap.append(wide * high / (w * h + gw * gh - wide * high))
            error.append(np.hypot(x + (w - 1) / 2 - gx - (gw - 1) / 2, y + (h - 1) / 2 - gy - (gh - 1) / 2))
    return overlap, error


whole_boxes = st.integers(2, 12).flatmap(lambda n: arrays(float, (n, 4), elements=st.integers(1, 60).map(float)))


@given(whole_boxes, st.integers(0, 5), st.sampled_from(["otb", "strict"]), st.randoms(use_true_random=False))
def test_the_measures_follow_the_rules(boxes, cut: int, invalid: InvalidRule, random) -> None:
    results = np.array([[v + random.randint(-9, 9) for v in row] for row in boxes], float)
    results[:, 2:] = np.maximum(results[:, 2:], 1)
    if len(results) > 3:
        results[2, random.randrange(4)] = random.choice([NAN, INF, 7.0])
    valid = np.array([random.random() > 0.2 for _ in boxes])
    annotation = truth(boxes, valid)
    kept = results[: max(len(results) - cut, 1)]
    overlap, error = overlaps_and_errors(kept, annotation, invalid)
    expected = naive(kept, annotation, invalid)
    assert overlap == pytest.approx(expected[0]) and error == pytest.approx(expected[1])
    success, precision = success_curve(overlap), precision_curve(error)
    assert ((0 <= success) & (success <= 1)).all() and (np.diff(success) <= 0).all()
    assert ((0 <= precision) & (precision <= 1)).all() and (np.diff(precision) >= 0).all()
    assert success[0] <= valid.mean()


@given(arrays(float, (6, 4), elements=st.floats(width=64)))
def test_no_number_breaks_the_measures(results) -> None:
    overlap, error = overlaps_and_errors(results, truth([[3, 4, 10, 12]] * 6))
    assert ((0 <= overlap) & (overlap <= 1)).all() and (error >= 0).all()
    annotation = dataclasses.replace(truth([[3, 4, 10, 12]] * 6), size=(40, 30))
    overlap, error = got10k_overlaps(results, annotation), normalised_errors(results, annotation)
    assert ((0 <= overlap) & (overlap <= 1)).all() and (error >= 0).all()


@given(whole_boxes)
def test_a_bad_box_scores_no_better_than_a_good_one(boxes) -> None:
    annotation = truth(boxes)
    perfect, _ = overlaps_and_errors(boxes, annotation)
    broken = boxes.copy()
    broken[-1] = NAN
    worse, error = overlaps_and_errors(broken, annotation)
    assert (success_curve(worse) <= success_curve(perfect)).all() and error[-1] == INF
