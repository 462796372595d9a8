"""SINT as a tracker: it follows, it is what it says, and it survives odd input."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tracker.data.boxes import iou
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.models.shipped import shipped_sint
from tracker.models.sint import Sint, SintConfig
from tracker.trackers.check import check_tracker
from tracker.trackers.protocol import Tracker
from tracker.trackers.sint.tracker import SintTracker, TrackingSettings


@pytest.fixture(scope="module")
def video():
    return synthetic_sequence(0, 24, 240, 180)


def follow(tracker, video):
    tracker.init(video.frames[0], video.boxes[0])
    return np.array([tracker.update(video.frames[t]) for t in range(1, len(video))])


def small(**settings):
    sint = Sint.load(SintConfig("slim", side=160)).eval()
    return SintTracker(sint, TrackingSettings(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"motion": "flow"},
        {"regression": "ridge"},
        {"candidates": "rings", "scales": (0.8, 1.0, 1.25)},
    ],
    ids=["lattice", "flow", "regression", "rings"],
)
def test_it_follows_the_target(video, settings):
    boxes = follow(small(**settings), video)
    stays = iou(video.boxes[1:], video.boxes[0])
    found = iou(video.boxes[1:], boxes)
    assert found.mean() > 0.5
    assert found.mean() > stays.mean() + 0.1
    assert found.min() > 0.1


def test_the_paper_configuration_runs(video):
    """Whole frames warped to a square, no pooling after the second, fc6: on the slim net, which has few."""
    config = SintConfig("slim", "frame", 256)
    tracker = SintTracker(Sint.load(config).eval(), TrackingSettings.paper())
    beginning = video.subset(range(4))
    boxes = follow(tracker, beginning)
    assert iou(beginning.boxes[1:], boxes).min() > 0.3


def test_the_default_tracker_passes_the_check():
    tracker = SintTracker.load()
    assert isinstance(tracker, Tracker)
    assert tracker.name == "sint-slim"
    assert check_tracker(tracker) == []


def test_it_starts_anew_at_every_init(video):
    tracker = small(motion="flow", regression="ridge")
    first = follow(tracker, video.limit(5))
    follow(tracker, synthetic_sequence(1, 4, 240, 180))
    assert (follow(tracker, video.limit(5)) == first).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_init_reads_the_weights_as_they_are_then(video, precision):
    sint = Sint.load(SintConfig("slim", side=96)).eval()
    tracker = SintTracker(sint, precision=precision)
    before = follow(tracker, video.limit(3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in sint.backbone.parameters():
            parameter.add_(0.1 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    after = follow(tracker, video.limit(3))
    assert (after == follow(SintTracker(sint, precision=precision), video.limit(3))).all()
    assert (after != before).any()


def test_the_score_falls_when_the_target_is_gone(video):
    tracker = small()
    tracker.init(video.frames[0], video.boxes[0])
    tracker.update(video.frames[1])
    seen = tracker.score
    gone = np.full_like(video.frames[0], 90)
    box = tracker.update(gone)
    assert np.isfinite(box).all()
    assert tracker.score < seen - 0.2


def test_every_kind_of_image_is_taken(video):
    expected = follow(small(), video.limit(3))
    images = [Image.fromarray(video.frames[t]) for t in (0, 12, 23)]
    tracker = small()
    tracker.init(images[0], video.boxes[0])
    assert np.array_equal([tracker.update(image) for image in images[1:]], expected)
    alpha = [np.dstack([np.asarray(image), np.zeros(image.size[::-1], np.uint8)]) for image in images]
    tracker.init(alpha[0], video.boxes[0])
    assert np.array_equal([tracker.update(image) for image in alpha[1:]], expected)
    grey = [np.asarray(image.convert("L")) for image in images]
    deep = [image.astype(np.uint16) * 257 for image in grey]
    found = []
    for kind in (grey, deep):
        tracker.init(kind[0], video.boxes[0])
        found.append([tracker.update(image) for image in kind[1:]])
    assert np.array_equal(*found)
    assert iou(found[0][0], expected[0]) > 0.3


@pytest.mark.parametrize("candidates", ["lattice", "rings"])
@pytest.mark.parametrize(
    "box",
    [(50, 40, 1, 1), (0, 0, 96, 64), (-10, -10, 300, 200), (90, 60, 20, 20), (-8, 20, 9, 9), (10, 10, 80, 1)],
    ids=["one pixel", "frame", "beyond", "corner", "nearly out", "sliver"],
)
def test_odd_boxes_give_finite_boxes(make_video, candidates, box):
    video = make_video(4, 96, 64)
    tracker = small(candidates=candidates, motion="flow")
    tracker.init(video.frames[0], box)
    for t in range(1, 4):
        found = tracker.update(video.frames[t])
        assert np.isfinite(found).all()
        assert (found[2:] > 0).all()


def test_without_candidates_the_last_box_is_repeated(make_video):
    video = make_video(3, 96, 64)
    tracker = small(candidates="rings")
    tracker.init(video.frames[0], (-10, -10, 300, 200))
    assert tracker.update(video.frames[1]).tolist() == [-10, -10, 300, 200]
    assert tracker.candidate_count == 0


def test_the_centre_stays_in_the_frame_when_the_target_leaves(make_video):
    rng = np.random.default_rng(0)
    background = rng.integers(0, 90, (64, 96, 3), dtype=np.uint8)
    target = rng.integers(130, 255, (16, 16, 3), dtype=np.uint8)
    tracker = small()
    for t in range(30):
        image = background.copy()
        x = 60 + 2 * t
        if x < 96:
            image[24:40, x : x + 16] = target[:, : 96 - x]
        if t == 0:
            tracker.init(image, (x, 24, 16, 16))
        else:
            box = tracker.update(image)
            assert 0 <= box[0] + box[2] / 2 <= 96
            assert 0 <= box[1] + box[3] / 2 <= 64


def test_a_small_target_may_go_as_far_as_sints_rings():
    rng = np.random.default_rng(0)
    background = cv2.GaussianBlur(rng.integers(0, 255, (120, 480, 3), dtype=np.uint8), (0, 0), 6.0)
    target = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)

    def frame(x):
        image = background.copy()
        image[50:62, x : x + 12] = target
        return image

    overlaps = []
    for settings in ({}, {"least_reach": 0.0}):
        tracker = small(**settings)
        tracker.init(frame(200), (200, 50, 12, 12))
        overlaps.append(iou(tracker.update(frame(224)), (224, 50, 12, 12)))
    assert overlaps[0] > 0.6
    assert overlaps[1] < 0.1


def test_the_filter_goes_with_the_network(vgg_file):
    assert SintTracker.load().settings.motion == "none"
    tracker = SintTracker.load("vgg16", vgg_file)
    assert tracker.settings.motion == "flow"
    assert tracker.sint.backbone.fully_connected == ()


@pytest.mark.data
def test_the_shipped_fc6_goes_with_the_convolutions_it_was_trained_on(data_root):
    weights = data_root.parent / "weights" / "vgg16_conv_imagenet_fp16.safetensors"
    if not weights.is_file():
        pytest.skip("VGG-16's weights are not there")
    backbone = shipped_sint("vgg16", weights).backbone
    assert backbone.fully_connected == ("fc6",)
    pooled = torch.rand(2, 512, 7, 7, generator=torch.Generator().manual_seed(0))
    assert backbone.fc_outputs(pooled, ["fc6"])["fc6"].shape == (2, 512)


@pytest.mark.parametrize("motion", ["none", "flow"])
def test_frames_that_change_their_size_are_tracked(video, motion):
    plain, changing = small(motion=motion), small(motion=motion)
    for tracker in (plain, changing):
        tracker.init(video.frames[0], video.boxes[0])
    for t in range(1, 4):
        frame = np.repeat(np.repeat(video.frames[t], t, axis=0), t, axis=1)
        found = changing.update(frame)
        np.testing.assert_allclose(found, plain.update(video.frames[t]) * t, atol=1e-6)


def test_misuse_is_one_sentence(video):
    tracker = small()
    with pytest.raises(InputError, match="call init"):
        tracker.update(video.frames[0])
    with pytest.raises(InputError, match="outside"):
        tracker.init(video.frames[0], (1000, 0, 5, 5))
    tracker.init(video.frames[0], video.boxes[0])
    with pytest.raises(InputError, match="Base weights"):
        SintTracker.load("vgg16", base_weights="somewhere.safetensors")
    for bad in (
        {"candidates": "grid"},
        {"motion": "kalman"},
        {"regression": "lasso"},
        {"scales": ()},
        {"inertia": 1.0},
    ):
        with pytest.raises(InputError):
            TrackingSettings(**bad)
