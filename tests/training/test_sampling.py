from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tracker.data.boxes import inside, iou
from tracker.data.images import crop, paste, write_png
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError
from tracker.models.sint import SintConfig
from tracker.training import PairSampler, SintTraining, TrainingPositive, read_hard_positives, take_hard_positives
from tracker.training.frames import Views

SETTINGS = SintTraining(boxes_per_frame=8)


def positive(video: Sequence, t: int, value: int = 255) -> TrainingPositive:
    x, y, w, h = video.boxes[t].tolist()
    return TrainingPositive(np.full((int(h), int(w), 3), value, np.uint8), video.name, t, (x, y, w, h))


def test_a_pair_is_two_frames_of_one_video_with_sints_labels(videos) -> None:
    sampler = PairSampler(videos[0], SETTINGS)
    for step in range(30):
        (pair,) = sampler.draw(step)
        assert pair.first.video == pair.second.video and pair.first.frame < pair.second.frame
        for frame in (pair.first, pair.second):
            target = sampler.sequences[frame.video].boxes[frame.frame]
            assert frame.boxes.shape == (8, 4) and frame.same.shape == (8,) and frame.hard is None
            assert_array_equal(frame.boxes[0], target)
            overlap = iou(frame.boxes, target)
            assert (overlap[frame.same] > 0.7).all() and (overlap[~frame.same] < 0.5).all()
            assert len(np.unique(frame.boxes, axis=0)) == 8


def test_all_ordered_pairs_are_equally_likely(make_video: Callable) -> None:
    """Three frames give 3 pairs, five give 10: each of the 13 comes about as often."""
    sampler = PairSampler([make_video(3, 96, 72, 1), make_video(5, 96, 72, 2)], SETTINGS)
    count = Counter()
    for step in range(1300):
        (pair,) = sampler.draw(step)
        count[pair.first.video, pair.first.frame, pair.second.frame] += 1
    assert len(count) == 13 and min(count.values()) > 60 and max(count.values()) < 145


def test_a_step_is_drawn_by_its_number_alone(videos) -> None:
    sampler = PairSampler(videos[0], replace(SETTINGS, image_pairs=2, flip=0.5, jitter=0.2, shift=0.1))
    first = sampler.draw(5)
    for step in (0, 7):
        sampler.draw(step)
    again = PairSampler(videos[0], sampler.settings).draw(5)
    other = PairSampler(videos[0], replace(sampler.settings, seed=1)).draw(5)
    assert len(first) == 2
    assert str(first) == str(again) and str(first) != str(other) and str(first) != str(sampler.draw(6))


def test_frames_with_too_few_boxes_are_not_used(make_video: Callable) -> None:
    with pytest.raises(InputError, match="two frames with 199 boxes"):
        PairSampler([make_video(5, 96, 72, 1)], replace(SETTINGS, boxes_per_frame=200))
    small = make_video(2, 96, 72, 1)
    boxes = small.boxes.copy()
    boxes[1] = (0, 0, 96, 72)
    with pytest.raises(InputError, match="No training video"):
        PairSampler([replace(small, boxes=boxes)], SETTINGS)


def test_absent_targets_are_not_used(make_video: Callable) -> None:
    video = make_video(4, 96, 72, 1)
    hidden = replace(video, visibility=np.array([1, 0, 1, 1.0]))
    frames = {
        t
        for step in range(60)
        for p in PairSampler([hidden], SETTINGS).draw(step)
        for t in (p.first.frame, p.second.frame)
    }
    assert frames == {0, 2, 3}


def test_augmentation_is_drawn_in_its_range(videos) -> None:
    sampler = PairSampler(videos[0], replace(SETTINGS, flip=0.5, jitter=0.2, shift=0.1))
    pairs = [sampler.draw(step)[0] for step in range(200)]
    assert 60 < sum(pair.flip for pair in pairs) < 140
    factors = np.array([pair.colour for pair in pairs])
    assert factors.min() < 0.82 and factors.max() > 1.18 and np.abs(factors - 1).max() <= 0.2
    shifts = np.array([frame.shift for pair in pairs for frame in (pair.first, pair.second)])
    assert shifts.min() < -0.09 and shifts.max() > 0.09 and np.abs(shifts).max() <= 0.1
    plain = PairSampler(videos[0], SETTINGS).draw(0)[0]
    assert not plain.flip and plain.colour == ((1, 1, 1), (1, 1, 1)) and plain.first.shift == (0, 0)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_hard_positives_are_mixed_in_at_their_share(videos, share: float) -> None:
    """Only in the video that has one; the exemplar's frame stays as it is."""
    first, second = videos[0]
    sampler = PairSampler([first, second], replace(SETTINGS, hard_share=share), [positive(second, 2)])
    pairs = [sampler.draw(step)[0] for step in range(200)]
    hard = [pair for pair in pairs if pair.second.hard is not None]
    of_second = [pair for pair in pairs if pair.first.video == 1]
    assert all(pair.first.hard is None for pair in pairs) and all(pair.second.video == 1 for pair in hard)
    assert len(hard) / len(of_second) == pytest.approx(share, abs=0.12)
    for pair in hard:
        assert pair.second.frame == 2 and pair.second.same[0]
        assert_array_equal(pair.second.boxes[0], second.boxes[2])


def test_hard_positives_of_other_videos_are_counted_and_left_out(videos) -> None:
    foreign = replace(positive(videos[0][0], 1), video="elsewhere")
    sampler = PairSampler(videos[0], SETTINGS, [foreign, positive(videos[0][0], 1)])
    assert len(sampler.hard_positives) == 1 and sampler.unused == 1
    with pytest.raises(InputError, match="frame 77 of 'noise-1'.*5 frames"):
        PairSampler(videos[0], SETTINGS, [replace(positive(videos[0][0], 1), frame=77)])


def test_a_hard_positive_carries_the_box_of_its_frame(videos) -> None:
    video = videos[0][0]
    rounded = replace(positive(video, 3), box=tuple(video.boxes[3] + 0.5))
    assert len(PairSampler([video], SETTINGS, [rounded]).hard_positives) == 1
    with pytest.raises(
        InputError, match="frame 3 of 'noise-1' and carries the box 30,24,24,18, but the box is 39,27"
    ):
        PairSampler([video], SETTINGS, [replace(positive(video, 0), frame=3)])
    hidden = replace(video, visibility=np.array([1, 1, 1, 0, 1.0]))
    with pytest.raises(InputError, match="frame 3 of 'noise-1', which does not show its target"):
        PairSampler([hidden], SETTINGS, [positive(video, 3)])


def test_each_frame_has_its_own_size(make_video: Callable) -> None:
    """Boxes are drawn inside their own frame; the target of the large frames lies outside the small ones."""
    small, large = make_video(3, 96, 72, 1), make_video(2, 192, 144, 2)
    frames = ArrayFrames([small.frames[0], small.frames[1], large.frames[0], large.frames[1]])
    boxes = np.array([small.boxes[0], small.boxes[1], (100, 80, 24, 18), (100, 80, 24, 18)])
    grown = Sequence("grown", frames, boxes, np.ones(4), "test", "exact")
    drawn = [frame for step in range(40) for pair in PairSampler([grown], SETTINGS).draw(step)
             for frame in (pair.first, pair.second)]  # fmt: skip
    assert {frame.frame for frame in drawn} == {0, 1, 2, 3}
    for frame in drawn:
        assert inside(frame.boxes, *grown.frames.size(frame.frame)).all()


def test_a_hard_positive_is_seen_in_place_of_the_target_and_nowhere_else(videos) -> None:
    video = videos[0][0]
    sampler = PairSampler([video], replace(SETTINGS, hard_share=1.0), [positive(video, 2)])
    (pair,) = sampler.draw(0)
    views = Views(SintConfig(side=72), [video], sampler.hard_positives)
    hard, clean = views(pair.second).image, views(replace(pair.second, hard=None)).image
    x1, y1, x2, y2 = views(pair.second).corners(pair.second.boxes[:1])[0].round().astype(int)
    assert hard[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].min() == 255
    outside = np.ones(hard.shape[:2], bool)
    outside[y1 - 1 : y2 + 1, x1 - 1 : x2 + 1] = False
    assert_array_equal(hard[outside], clean[outside])


@pytest.mark.parametrize("box", [(10.4, 5.5, 8, 6.2), (-3, -2, 8, 8), (35, 25, 9, 9)])
def test_pasting_a_crop_back_changes_nothing(box: tuple[float, ...]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert_array_equal(paste(frame, crop(frame, box), box), frame)
    changed = paste(frame, 255 - crop(frame, box), box)
    assert (changed != frame).any() and changed is not frame
    assert_array_equal(255 - crop(changed, box), crop(frame, box))


def test_what_a_demo_writes_is_read(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    source = {"video": "a", "frame": 3, "frame_name": "0004.jpg", "box": [1, 2, 10, 12], "code": None}
    write_png(tmp_path / "000001.png", image)
    record = {"file_name": "000001.png", "target": "a/3", "source": source, "score_after": 0.4}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(record) + "\n")
    (found,) = read_hard_positives(tmp_path)
    (taken,) = take_hard_positives([(image, record)])
    for one in (found, taken):
        assert (one.video, one.frame, one.box) == ("a", 3, (1, 2, 10, 12))
        assert_array_equal(one.load(), image)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("nonsense", "Line 1.*no record"),
        ('{"source": 1}', "no record"),
        ('{"file_name": "b.png"}', "b.png.*does not exist"),
        ('{"file_name": "a.png"}', "Line 1.*source"),
        ('{"file_name": "a.png", "source": {"video": "a", "frame": 0, "box": [1, 2, 3]}}', "source"),
        ('{"file_name": "a.png", "source": {"video": "a", "frame": 0, "box": [1, 2, 0, 3]}}', "1,2,0,3"),
        ("", "names no image"),
    ],
)
def test_broken_hard_positives_are_told(tmp_path: Path, line: str, match: str) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(InputError, match=match):
        read_hard_positives(tmp_path)
    with pytest.raises(InputError, match="metadata.jsonl"):
        read_hard_positives(tmp_path / "nowhere")
