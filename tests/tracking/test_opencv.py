from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.data.boxes import iou
from tracker.data.images import resize
from tracker.data.sequences import Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.trackers.opencv import (
    CONTRIB,
    ContribTracker,
    CSRTTracker,
    KCFTracker,
    MILTracker,
    NanoTracker,
    OpenCVTracker,
    starting_box,
)
from tracker.trackers.protocol import Tracker

RED = np.full((40, 60, 3), (255, 0, 0), np.uint8)


class FakeCV:
    """Stands for OpenCV's object: keeps what it is given, answers what it is told to."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.frames, self.start = answers, [], None

    def init(self, frame: np.ndarray, box: tuple[int, ...]) -> None:
        self.frames.append(frame)
        self.start = box

    def update(self, frame: np.ndarray) -> tuple[bool, tuple[float, ...]]:
        self.frames.append(frame)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeTracker(OpenCVTracker):
    name = "fake"

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.inner = FakeCV(list(answers))

    def _create(self) -> Any:
        return self.inner


@pytest.fixture(scope="module")
def video() -> Sequence:
    return synthetic_sequence(seed=1, frames=8, width=161, height=121)


def run(tracker: Tracker, video: Sequence) -> np.ndarray:
    tracker.init(video.frames[0], video.exemplar_box)
    return np.array([video.exemplar_box] + [tracker.update(video.frames[t]) for t in range(1, len(video))])


@pytest.mark.parametrize(
    ("box", "least", "start"),
    [
        ((10, 8, 5, 6), 1, (10, 8, 5, 6)),
        ((10.5, 8.49, 5, 6), 1, (11, 8, 5, 6)),
        ((-4, -4, 10, 10), 1, (0, 0, 6, 6)),
        ((55, 35, 10, 10), 1, (55, 35, 5, 5)),
        ((10, 8, 0.2, 0.2), 1, (10, 8, 1, 1)),
        ((10, 8, 1, 30), 5, (8, 8, 5, 30)),
        ((59, 39, 1, 1), 5, (55, 35, 5, 5)),
        ((0, 0, 60, 40), 5, (0, 0, 60, 40)),
        ((0, 0, 1, 1), 50, (0, 0, 50, 40)),
    ],
)
def test_starting_box(box: tuple[float, ...], least: int, start: tuple[int, ...]) -> None:
    assert tuple(starting_box(box, 60, 40, least)) == start


def test_opencv_gets_bgr_and_whole_numbers() -> None:
    tracker = FakeTracker((True, (1, 2, 3, 4)))
    tracker.init(RED, [10.4, 8.6, 5, 6])
    tracker.update(RED)
    assert [frame[0, 0].tolist() for frame in tracker.inner.frames] == [[0, 0, 255]] * 2
    assert tracker.inner.start == (10, 9, 5, 6) and all(type(value) is int for value in tracker.inner.start)


@pytest.mark.parametrize(
    "failure",
    [
        (False, (0, 0, 0, 0)),
        (False, (20, 20, 5, 5)),
        (True, (0, 0, 0, 0)),
        (True, (60, 0, 9, 9)),
        (True, (float("nan"), 0, 9, 9)),
        cv2.error("no"),
    ],
)
def test_a_failed_update_repeats_the_last_box(failure: Any) -> None:
    tracker = FakeTracker(failure, (True, (7, 8, 5, 5)), failure, (True, (9, 8, 5, 5)))
    tracker.init(RED, [10.25, 8, 5, 6])
    found, boxes = [], []
    for _ in range(4):
        boxes.append(tracker.update(RED).tolist())
        found.append(tracker.found)
    assert boxes == [[10.25, 8, 5, 6], [7, 8, 5, 5], [7, 8, 5, 5], [9, 8, 5, 5]]
    assert found == [False, True, False, True]


def test_a_returned_box_is_the_callers_own() -> None:
    tracker = FakeTracker((False, (0, 0, 0, 0)), (False, (0, 0, 0, 0)))
    given = np.array([10.0, 8, 5, 6])
    tracker.init(RED, given)
    given[:] = -1
    tracker.update(RED)[:] = -1
    assert tracker.update(RED).tolist() == [10, 8, 5, 6]


def test_frames_of_another_size_are_scaled() -> None:
    """The box that OpenCV finds in the scaled frame is given in pixels of the frame as it came."""
    tracker = FakeTracker((True, (11, 9, 5, 6)), (True, (12, 10, 5, 6)))
    tracker.init(RED, [10, 8, 5, 6])
    assert tracker.update(np.repeat(RED, 2, axis=1)).tolist() == [22, 9, 10, 6]
    assert tracker.update(RED).tolist() == [12, 10, 5, 6]


def test_a_target_is_followed_through_frames_of_other_sizes() -> None:
    exact = synthetic_sequence(seed=1, frames=6)
    tracker = MILTracker()
    tracker.init(exact.frames[0], exact.boxes[0])
    for t in range(1, 6):
        scale = (1, 2, 0.5)[t % 3]
        frame = exact.frames[t]
        height, width = frame.shape[:2]
        found = tracker.update(resize(frame, int(width * scale), int(height * scale)))
        assert iou(found, exact.boxes[t] * scale) > 0.5


@pytest.mark.parametrize("box", [(60, 0, 9, 9), (1, 1, 0, 9), (1, 1, 9), (1, 1, float("nan"), 9)])
def test_bad_boxes_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="The box of the first frame"):
        FakeTracker().init(RED, box)


def test_what_opencv_refuses_is_one_sentence() -> None:
    class Refusing(FakeTracker):
        def _create(self) -> Any:
            raise cv2.error("assertion failed")

    with pytest.raises(InputError, match="OpenCV's FAKE cannot follow the box 1,1,9,9 in a frame of 60 x 40"):
        Refusing().init(RED, (1, 1, 9, 9))


def test_mil_keeps_the_size_and_the_fractions(video: Sequence) -> None:
    tracker = MILTracker()
    assert isinstance(tracker, Tracker)
    boxes = run(tracker, video)
    assert boxes.dtype == np.float64 and (boxes[:, 2:] == boxes[0, 2:]).all()
    moved = boxes[:, :2] - boxes[0, :2]
    assert moved == pytest.approx(np.rint(moved))
    assert iou(boxes, video.boxes).mean() > 0.4


def test_mil_gives_the_same_boxes_again(video: Sequence) -> None:
    tracker = MILTracker()
    boxes = run(tracker, video)
    cv2.randu(np.zeros(99), 0, 1)
    assert (run(tracker, video) == boxes).all() and (run(MILTracker(), video) == boxes).all()


@pytest.mark.parametrize("box", [(80, 60, 1, 1), (160, 120, 1, 1), (-10, -10, 30, 30), (40, 30, 3, 50)])
def test_mil_takes_small_boxes(video: Sequence, box: tuple[float, ...]) -> None:
    tracker = MILTracker()
    tracker.init(video.frames[0], box)
    assert tracker.update(video.frames[1])[2:].tolist() == list(box[2:])


def test_mil_refuses_to_fill_the_frame(video: Sequence) -> None:
    with pytest.raises(InputError, match="OpenCV's MIL cannot follow the box 0,0,161,121 .* give a smaller one"):
        MILTracker().init(video.frames[0], (0, 0, 161, 121))


def test_grey_and_sixteen_bits_are_taken(video: Sequence) -> None:
    tracker = MILTracker()
    grey = [video.frames[t][..., 1] for t in range(4)]
    boxes = []
    for frames in (
        grey,
        [frame.astype(np.uint16) << 8 for frame in grey],
        [np.dstack([f, f, f, f]) for f in grey],
    ):
        tracker.init(frames[0], video.exemplar_box)
        boxes.append([tracker.update(frame).tolist() for frame in frames[1:]])
    assert boxes[0] == boxes[1] == boxes[2]


@pytest.mark.parametrize("name", CONTRIB)
def test_without_contrib_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    in_opencv = CONTRIB[name][0]
    monkeypatch.delattr(cv2, f"Tracker{in_opencv}_create", raising=False)
    monkeypatch.delattr(cv2, "legacy", raising=False)
    says = f"no {in_opencv}, .*uninstall opencv-python and install opencv-contrib-python in its place"
    with pytest.raises(InputError, match=says):
        ContribTracker(name)


@pytest.mark.parametrize("place", ["cv2", "legacy"])
def test_contrib_is_found_in_both_places(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    inner = FakeCV([(True, (4, 5, 6, 7))])
    monkeypatch.delattr(cv2, "TrackerKCF_create", raising=False)
    where = cv2 if place == "cv2" else types.SimpleNamespace()
    if place == "legacy":
        monkeypatch.setattr(cv2, "legacy", where, raising=False)
    monkeypatch.setattr(where, "TrackerKCF_create", lambda: inner, raising=False)
    tracker = KCFTracker()
    tracker.init(RED, (10, 8, 5, 6))
    assert tracker.update(RED).tolist() == [4, 5, 6, 7] and inner.start == (10, 8, 5, 6)


needs_contrib = pytest.mark.skipif(not hasattr(cv2, "legacy"), reason="opencv-contrib-python is not installed")


@needs_contrib
@pytest.mark.parametrize("name", CONTRIB)
def test_contrib_follows(video: Sequence, name: str) -> None:
    tracker = ContribTracker(name)
    assert isinstance(tracker, Tracker) and tracker.name == name
    boxes = run(tracker, video)
    assert iou(boxes, video.boxes).mean() > 0.3
    cv2.randu(np.zeros(99), 0, 1)
    assert (run(ContribTracker(name), video) == boxes).all()
    for box in ((80, 60, 1, 1), (40, 30, 3, 50), (0, 0, 161, 121), (-10, -10, 30, 30)):
        tracker.init(video.frames[0], box)
        assert np.isfinite(tracker.update(video.frames[1])).all()


@needs_contrib
@pytest.mark.parametrize("name", ["kcf", "medianflow", "mosse"])
def test_contrib_repeats_the_box_of_a_lost_target(video: Sequence, name: str) -> None:
    tracker = ContribTracker(name)
    tracker.init(video.frames[0], video.exemplar_box)
    last = tracker.update(video.frames[1])
    noise = np.random.default_rng(0).integers(0, 256, video.frames[0].shape, dtype=np.uint8)
    assert tracker.update(noise).tolist() == last.tolist() and not tracker.found


@needs_contrib
@pytest.mark.parametrize(("kind", "name"), [(CSRTTracker, "csrt"), (KCFTracker, "kcf")])
def test_named_classes_are_the_table(video: Sequence, kind: type[OpenCVTracker], name: str) -> None:
    assert kind().name == name and (run(kind(), video) == run(ContribTracker(name), video)).all()


def test_nano_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no nanotrack_backbone_sim.onnx and no nanotrack_head_sim.onnx"):
        NanoTracker(tmp_path)
    (tmp_path / "nanotrack_backbone_sim.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="has no nanotrack_head_sim.onnx; give nano's folder"):
        NanoTracker(tmp_path)
    (tmp_path / "nanotrack_head_sim.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="cannot read the networks"):
        NanoTracker(tmp_path)


@pytest.mark.data
def test_nano_follows(video: Sequence, data_root: Path) -> None:
    folder = data_root.parent / "weights" / "nanotrackv2"
    if not folder.is_dir():
        pytest.skip("nano's networks are not beside the data")
    tracker = NanoTracker(folder)
    assert tracker.score == 0
    boxes = run(tracker, video)
    assert iou(boxes, video.boxes).mean() > 0.6 and 0.5 < tracker.score <= 1
    tracker.init(video.frames[0], (80, 60, 1, 1))
    assert (tracker.update(video.frames[1])[2:] >= 10).all()
