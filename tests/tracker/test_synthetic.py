from __future__ import annotations

import hashlib
import socket
from typing import Any

import numpy as np
import pytest

from tracker.data.boxes import iou
from tracker.data.drawings import DRAWINGS
from tracker.data.sequences import Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.trackers.following import follow


def digest(sequence: Sequence) -> str:
    total = hashlib.sha256(sequence.boxes.tobytes() + sequence.visibility.tobytes())
    for t in range(len(sequence)):
        total.update(sequence.frames[t].tobytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def video() -> Sequence:
    return synthetic_sequence(seed=1, frames=50)


def test_what_it_promises(video: Sequence) -> None:
    assert len(video) == 50 and video.frames[0].shape == (240, 320, 3)
    assert video.name == "synthetic-1" and video.origin == "synthetic:1" and video.box_source == "exact"
    assert video.visibility[0] == 1
    assert 0.2 <= video.visibility.min() < 0.75
    assert (video.visibility == 1).mean() > 0.3
    assert (video.boxes[:, :2] >= 0).all() and (video.boxes[:, :2] + video.boxes[:, 2:] <= [320, 240]).all()
    assert np.ptp(video.boxes[:, 2]) > 5


@pytest.mark.parametrize("seed", range(12))
def test_the_target_is_there_whatever_the_seed(seed: int) -> None:
    video = synthetic_sequence(seed, frames=36, width=96, height=80)
    assert video.visibility[0] == 1 and video.visibility.min() >= 0.2
    assert (video.boxes[:, :2] >= 0).all() and (video.boxes[:, :2] + video.boxes[:, 2:] <= [96, 80]).all()


def test_a_seed_is_a_video(video: Sequence) -> None:
    again = synthetic_sequence(seed=1, frames=50)
    assert digest(again) == digest(video)
    assert digest(synthetic_sequence(seed=2, frames=50)) != digest(video)


def test_a_shorter_video_is_the_beginning_of_a_longer_one(video: Sequence) -> None:
    assert digest(synthetic_sequence(seed=1, frames=20)) == digest(video.subset(range(20)))


@pytest.mark.parametrize("material", ["photographs", "drawings"])
def test_the_box_is_exact(material: str) -> None:
    """What differs between two videos with the same scene but another target lies in the target's box."""
    import dataclasses

    from tracker.data.synthetic import MATERIALS, _Scene

    scene = _Scene.make(3, 1, 320, 240, MATERIALS[material])
    painted = dataclasses.replace(scene.target, picture=255 - scene.target.picture)
    first, _ = scene.render(0)
    second, _ = dataclasses.replace(scene, target=painted).render(0)
    rows, columns = np.nonzero((first != second).any(axis=2))
    x, y, w, h = scene.target.bounds(0)
    assert x - 1 <= columns.min() <= x + 4 and x + w - 4 <= columns.max() + 1 <= x + w + 1
    assert y - 1 <= rows.min() <= y + 4 and y + h - 4 <= rows.max() + 1 <= y + h + 1


def test_a_drawn_video_shows_no_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as any other, of pictures that are drawn here; the target is textured and unlike what is around it."""
    monkeypatch.setattr("tracker.data.synthetic._photograph", None)
    for seed in range(4):
        video = synthetic_sequence(seed, frames=33, material="drawings")
        assert video.name == f"drawn-{seed}" and video.origin == f"drawn:{seed}"
        assert (video.boxes[:, :2] >= 0).all() and (video.boxes[:, :2] + video.boxes[:, 2:] <= [320, 240]).all()
        assert video.visibility[0] == 1 and 0.15 <= video.visibility.min() < 0.9
        assert video.exemplar(64).std() > 35
        assert digest(video.subset(range(2))) == digest(synthetic_sequence(seed, frames=2, material="drawings"))


def test_drawings_are_drawn_anew_and_alike() -> None:
    for name in DRAWINGS:
        picture = DRAWINGS[name]()
        assert picture.dtype == np.uint8 and picture.shape[2] == 3 and min(picture.shape[:2]) >= 360
        assert picture.std() > 20 and np.array_equal(picture, DRAWINGS[name]())
    assert not np.array_equal(DRAWINGS["bus"]()[:360, :360], DRAWINGS["owl"]()[:360, :360])


def test_it_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for seed in range(6):
        synthetic_sequence(seed, frames=1, width=64, height=64)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"frames": 0}, "number of frames is 0"),
        ({"width": 63}, "63 x 240 pixels is too small"),
        ({"material": "oil"}, "'oil' is no material; choose photographs, drawings"),
    ],
)
def test_refuses(arguments: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        synthetic_sequence(**arguments)


def test_mil_can_follow_it_and_is_reproducible(video: Sequence) -> None:
    short = video.subset(range(14))
    boxes = follow(short.frames, short.exemplar_box, progress=False)
    assert boxes.shape == (14, 4) and (boxes[0] == short.exemplar_box).all()
    assert iou(boxes, short.boxes).mean() > 0.5
    assert (follow(short.frames, short.exemplar_box, progress=False) == boxes).all()


@pytest.mark.parametrize("box", [(-5, -5, 20, 20), (300, 220, 40, 40), (100, 100, 5, 5), (0, 0, 310, 230)])
def test_follow_copes_with_odd_boxes(video: Sequence, box: tuple[float, ...]) -> None:
    boxes = follow(video.subset(range(3)).frames, box, progress=False)
    assert boxes.shape == (3, 4) and np.isfinite(boxes).all()
    assert (boxes[0] == box).all()


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((100, 100, 4, 4), "box 100,100,4,4 is too small to be followed"),
        ((318, 238, 50, 50), "too small to be followed; .* inside the frame"),
        ((0, 0, 320, 240), "MIL cannot follow the box 0,0,320,240 .* give a smaller one"),
        ((320, 0, 20, 20), "lies outside the image"),
    ],
)
def test_follow_refuses(video: Sequence, box: tuple[float, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        follow(video.subset(range(3)).frames, box, progress=False)
