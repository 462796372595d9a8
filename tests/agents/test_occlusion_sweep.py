from __future__ import annotations

import numpy as np
import pytest

from agents.occlusion_sweep import SweepSettings, occlusion_sweep, sweep_frames
from tracker.errors import InputError
from tracker.synthetic import synthetic_sequence
from tracker.tracking.sint import SintTracker


class Stays:
    """Says where it was put, and counts."""

    def __init__(self) -> None:
        self.box = np.zeros(4)
        self.images: list[np.ndarray] = []

    def init(self, image, box) -> None:  # type: ignore[no-untyped-def]
        self.box = np.asarray(box, dtype=float)

    def place(self, box) -> None:  # type: ignore[no-untyped-def]
        self.box = np.asarray(box, dtype=float)

    def update(self, image):  # type: ignore[no-untyped-def]
        self.images.append(image)
        return self.box


@pytest.fixture(scope="module")
def video():  # type: ignore[no-untyped-def]
    return synthetic_sequence(0)


def test_the_share_that_is_covered_and_nothing_else(video) -> None:
    settings = SweepSettings(levels=(0.0, 0.2, 0.5))
    plain, some, half = sweep_frames(video, settings, 5)
    frame, (x, y, w, h) = video.frames[5], video.boxes[5].round().astype(int)
    assert np.array_equal(plain.image, frame)
    for shown, level in ((some, 0.2), (half, 0.5)):
        changed = (shown.image != frame).any(axis=2)
        inside = changed[y : y + h, x : x + w]
        assert changed.sum() == inside.sum() and inside.mean() == pytest.approx(level, abs=0.08)
        assert np.array_equal(shown.start, plain.start)
    offset = (plain.start - plain.box)[:2] / plain.box[2:]
    assert (np.abs(offset) <= 0.3).all() and (offset != 0).any()


def test_the_same_frames_whoever_looks(video) -> None:
    one, other = Stays(), Stays()
    settings = SweepSettings(levels=(0.0, 0.3), frames=3)
    assert occlusion_sweep(one, [video], settings) == occlusion_sweep(other, [video], settings)
    assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))
    assert len(one.images) == 6
    moved = occlusion_sweep(Stays(), [video], SweepSettings(levels=(0.0, 0.3), frames=3, seed=1))
    assert moved != occlusion_sweep(one, [video], settings)


def test_a_tracker_that_looks_beats_one_that_stays_and_suffers_from_occlusion(video) -> None:
    settings = SweepSettings(levels=(0.0, 0.5), frames=8)
    (stays,) = occlusion_sweep(Stays(), [video], settings)
    (looks,) = occlusion_sweep(SintTracker.load("slim", device="cpu"), [video], settings)
    assert looks.overlap[0] > stays.overlap[0] + 0.1
    assert looks.overlap[1] < looks.overlap[0]
    assert looks.frames == 8


def test_what_cannot_be_shown(video) -> None:
    with pytest.raises(InputError, match="levels"):
        SweepSettings(levels=(0.0, 1.5))
    with pytest.raises(InputError, match="frames is 0"):
        SweepSettings(frames=0)
    with pytest.raises(InputError, match="no frame after the first"):
        occlusion_sweep(Stays(), [video.subset([0])])


def test_a_tracker_must_have_begun_and_looks_inside_the_frame(video) -> None:
    tracker = SintTracker.load("slim", device="cpu")
    with pytest.raises(InputError, match="no target yet"):
        tracker.place((0, 0, 5, 5))
    tracker.init(video.frames[0], video.boxes[0])
    with pytest.raises(InputError, match="The box to look at"):
        tracker.place((-50, -50, 10, 10))
