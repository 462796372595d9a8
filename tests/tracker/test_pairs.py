from __future__ import annotations

import numpy as np
import pytest

from tracker.data.boxes import iou
from tracker.training.sampling import NEGATIVE_IOU, POSITIVE_IOU, draw_boxes, labelled_boxes, radius_boxes


def test_rings_around_a_box() -> None:
    box = np.array([50.0, 40, 20, 30])
    boxes = radius_boxes(box)
    assert boxes.shape == (161, 4) and (boxes[0] == box).all() and (boxes[:, 2:] == [20, 30]).all()
    shift = (boxes[1:, :2] - box[:2]).reshape(10, 16, 2)
    assert np.hypot(*shift.T).T == pytest.approx(np.tile(np.arange(3.0, 31, 3)[:, None], (1, 16)))
    assert shift[9, [0, 4, 8, 12]] == pytest.approx(np.array([[30, 0], [0, 30], [-30, 0], [0, -30]]))
    assert shift.mean(axis=1) == pytest.approx(0, abs=1e-9)


def test_number_of_rings_and_angles() -> None:
    boxes = radius_boxes((0, 0, 4, 2), radii=2, angles=4)
    assert boxes[1:5, :2] == pytest.approx(np.array([[2, 0], [0, 2], [-2, 0], [0, -2]]))
    assert boxes[5:, :2] == pytest.approx(2 * boxes[1:5, :2])


@pytest.mark.parametrize("box", [(60, 50, 20, 30), (5.5, 3, 40, 11), (0, 0, 30, 30), (100, 70, 19.5, 30)])
def test_labels_follow_the_overlap(box: tuple[float, ...]) -> None:
    boxes, same = labelled_boxes(box, 120, 100)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= [120, 100]).all()
    overlap = iou(boxes, box)
    assert (overlap[same] > POSITIVE_IOU).all() and (overlap[~same] < NEGATIVE_IOU).all()
    assert same.any() and (~same).any() and same.dtype == bool
    everything = radius_boxes(box)[1:]
    inside = ((everything[:, :2] >= 0) & (everything[:, :2] + everything[:, 2:] <= [120, 100])).all(axis=1)
    between = (iou(everything, box) <= POSITIVE_IOU) & (iou(everything, box) >= NEGATIVE_IOU)
    assert between[inside].any() and len(boxes) == (inside & ~between).sum()
    assert not (boxes == np.array(box)).all(axis=1).any()


def test_a_shift_of_a_tenth_is_the_target_and_one_of_its_width_is_not() -> None:
    """Shifted by 2 of 20 pixels the IoU is 18 / 22 = 0.82; by 20 it is 0."""
    boxes, same = labelled_boxes((50, 50, 20, 20), 200, 200)
    labels = {tuple(box[:2].round(6)): bool(label) for box, label in zip(boxes, same, strict=True)}
    assert labels[52, 50] and labels[50, 48] and not labels[70, 50] and not labels[50, 30]
    assert (54, 50) not in labels  # 16 / 24 = 0.67 is neither
    assert not labels[58, 50]  # 12 / 28 = 0.43


def test_a_target_that_fills_the_image_has_no_candidates() -> None:
    boxes, same = labelled_boxes((0, 0, 30, 20), 30, 20)
    assert boxes.shape == (0, 4) and same.shape == (0,)


def test_boxes_of_several_sizes_stay_centred() -> None:
    box = np.array([50.0, 40, 20, 30])
    boxes = radius_boxes(box, radii=1, angles=4, scales=(1.0, 0.5))
    assert boxes.shape == (10, 4) and (boxes[:5] == radius_boxes(box, 1, 4)).all()
    assert (boxes[5:, 2:] == [10, 15]).all()
    assert boxes[5:, :2] + boxes[5:, 2:] / 2 == pytest.approx(boxes[:5, :2] + boxes[:5, 2:] / 2)
    found, same = labelled_boxes(box, 200, 200, scales=(1.0, 0.5, 0.9))
    overlap = iou(found, box)
    assert (overlap[same] > POSITIVE_IOU).all() and (overlap[~same] < NEGATIVE_IOU).all()
    assert not (found == box).all(axis=1).any()
    centred = (found[:, :2] + found[:, 2:] / 2 == [60, 55]).all(axis=1)
    assert {
        tuple(size): bool(label) for size, label in zip(found[centred, 2:].tolist(), same[centred], strict=True)
    } == {
        (10, 15): False,
        (18, 27): True,
    }


def test_drawn_boxes_are_the_target_and_candidates_of_both_kinds() -> None:
    box = (60, 50, 20, 30)
    rng = np.random.default_rng(0)
    drawn = draw_boxes(box, 200, 160, 64, rng)
    assert drawn is not None
    boxes, same = drawn
    assert boxes.shape == (64, 4) and (boxes[0] == box).all() and same[0] and same.sum() > 1 and (~same).any()
    everything, labels = labelled_boxes(box, 200, 160)
    known = {tuple(row): label for row, label in zip(everything.tolist(), labels, strict=True)}
    assert all(known[tuple(row)] == label for row, label in zip(boxes[1:].tolist(), same[1:], strict=True))
    assert len(np.unique(boxes, axis=0)) == 64
    other = draw_boxes(box, 200, 160, 64, rng)
    assert other is not None and (other[0] != boxes).any()
    assert draw_boxes(box, 200, 160, len(everything) + 1, rng) is not None
    assert draw_boxes(box, 200, 160, len(everything) + 2, rng) is None
