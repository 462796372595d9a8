"""Rings, flow and box regression."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.data.boxes import iou
from tracker.trackers.sint.flow import carried_share, moved_pixels
from tracker.trackers.sint.regression import BoxRegression, regression_boxes
from tracker.trackers.sint.rings import RING_SCALES, ring_boxes


@pytest.mark.parametrize(("width", "count"), [(320, 183), (512, 303), (640, 363), (1280, 753)])
def test_rings_step_three_pixels_in_any_frame(width, count):
    """The counts of SINT's released code: rings of ten every 3 pixels, and the centre, in three sizes."""
    boxes = ring_boxes((width / 2, 200), (20, 20), (width, 400))
    assert len(boxes) == count
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    distances = np.hypot(*(centres - [width / 2, 200]).T)
    assert sorted(set(distances.round(6))) == list(range(0, int(30 / 512 * width) + 1, 3))
    assert sorted(set(boxes[:, 2].round(6))) == [round(20 * scale, 6) for scale in RING_SCALES]


@given(st.tuples(st.floats(0, 100), st.floats(0, 80)), st.tuples(st.floats(1, 100), st.floats(1, 80)))
def test_ring_boxes_lie_inside_the_frame(centre, size):
    boxes = ring_boxes(centre, size, (100, 80))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= [100, 80]).all()


def test_flow_carries_the_pixels_along():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8), (0, 0), 4.0)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    moved = np.roll(image, (4, 6), axis=(0, 1))
    points = moved_pixels(image, moved, (60, 40, 30, 30), 30.0)
    assert len(points) == pytest.approx(900, rel=0.1)
    assert np.median(points, axis=0) == pytest.approx([60 + 15 + 6, 40 + 15 + 4], abs=1.0)
    share = carried_share([[66, 44, 30, 30], [60, 40, 30, 30], [10, 10, 20, 20]], points)
    assert share[0] > 0.85
    assert share[0] > share[1] > share[2]
    assert share[2] == 0


def test_flow_of_a_box_outside_says_nothing():
    image = np.zeros((20, 20, 3), np.uint8)
    points = moved_pixels(image, image, (50, 50, 10, 10), 5.0)
    assert carried_share([[0, 0, 5, 5]], points).tolist() == [1.0]


def test_regression_boxes_overlap_the_target():
    rng = np.random.default_rng(0)
    boxes = regression_boxes((30, 20, 20, 40), (100, 80), 200, rng)
    assert len(boxes) == 200
    assert boxes[0].tolist() == [30, 20, 20, 40]
    assert (iou(boxes[1:], (30, 20, 20, 40)) > 0.6).all()
    assert len(regression_boxes((0, 0, 100, 80), (100, 80), 200, rng)) >= 1


def test_regression_undoes_what_the_features_tell():
    """The features are the four numbers that the regressors should give, in a random basis."""
    rng = np.random.default_rng(1)
    target = np.array([30.0, 20.0, 20.0, 40.0])
    boxes = regression_boxes(target, (100, 80), 400, rng)
    shift = (target[:2] + target[2:] / 2 - boxes[:, :2] - boxes[:, 2:] / 2) / boxes[:, 2:]
    told = torch.from_numpy(np.concatenate([shift, np.log(target[2:] / boxes[:, 2:])], axis=1)).float()
    features = told @ torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    learner, unseen = BoxRegression(features[:300], boxes[:300], target, alpha=1e-3), slice(300, 400)
    before = iou(boxes[unseen], target).mean()
    after = iou(learner.refine(features[unseen], boxes[unseen]), target).mean()
    assert after > 0.98 > before
