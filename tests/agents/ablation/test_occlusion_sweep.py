from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.ablation.arms import ARMS, ArmInputs
from agents.ablation.occlusion_sweep import SweepSettings, occlusion_sweep, start_box, sweep_frames
from agents.ablation.sweep_occluders import KINDS, UNSEEN_KINDS, cover
from occlusion_env.scene.shapes import OtherVideo, draw_texture, other_videos
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.models.shipped import shipped_sint
from tracker.trackers.sint.tracker import SintTracker


class Stays:
    """Says where it was put, and counts."""

    def __init__(self) -> None:
        self.box = np.zeros(4)
        self.images: list[np.ndarray] = []
        self.sizes: list[tuple[int, int]] = []

    def init(self, image, box) -> None:  # type: ignore[no-untyped-def]
        self.box = np.asarray(box, dtype=float)

    def place(self, box, size) -> None:  # type: ignore[no-untyped-def]
        self.sizes.append(size)
        self.box = np.asarray(box, dtype=float)

    def update(self, image):  # type: ignore[no-untyped-def]
        self.images.append(image)
        return self.box


@pytest.fixture(scope="module")
def video():  # type: ignore[no-untyped-def]
    return synthetic_sequence(0)


@pytest.fixture(scope="module")
def others():  # type: ignore[no-untyped-def]
    return other_videos([synthetic_sequence(seed) for seed in (1, 2)])


def test_the_share_that_is_covered_and_nothing_else(video, others) -> None:
    settings = SweepSettings(levels=(0.0, 0.2, 0.5))
    frame, (x, y, w, h) = video.frames[5], video.boxes[5].round().astype(int)
    found = sweep_frames(video, settings, 5, others)
    assert list(found) == list(KINDS)
    for kind, (plain, *covered) in found.items():
        assert np.array_equal(plain, frame)
        for shown, level in zip(covered, (0.2, 0.5), strict=True):
            changed = (shown != frame).any(axis=2)
            inside = changed[y : y + h, x : x + w]
            assert changed.sum() == inside.sum() and inside.mean() == pytest.approx(level, abs=0.08), kind
    start, box = start_box(video, settings, 5), video.boxes[5]
    offset = (start - box)[:2] / box[2:]
    assert (np.abs(offset) <= 0.3).all() and (offset != 0).any() and np.array_equal(start[2:], box[2:])


def test_no_occluder_is_cut_from_the_judged_video(video, others) -> None:
    """Another target of the same video is of the same video, whatever its name."""
    second = replace(video, name=f"{video.name}-2")
    settings = SweepSettings(kinds=("cutout", "side"), levels=(0.3,))
    with pytest.raises(InputError, match="there is none"):
        sweep_frames(second, settings, 5, other_videos([video, second]))
    alone, beside = (
        sweep_frames(second, settings, 5, found) for found in (others, [*other_videos([video]), *others])
    )
    assert all(np.array_equal(alone[kind][0], beside[kind][0]) for kind in settings.kinds)


@pytest.mark.parametrize("kind", UNSEEN_KINDS)
def test_every_kind_covers_the_level_and_no_more(kind: str) -> None:
    """On a black target with bright occluders every covered pixel is seen."""
    target = np.zeros((40, 30, 3), np.uint8)
    bright = [OtherVideo("bright", np.full((9, 9, 3), 200, np.uint8), np.full((5, 5, 3), 100, np.uint8))]
    for level in (0.1, 0.3, 0.5):
        areas, masks = [], []
        for seed in range(20):
            found = cover(kind, target, level, bright, np.random.default_rng(seed))
            masks.append((found > 0).any(axis=2))
            areas.append(masks[-1].mean())
        # The rectangle of a texture has its edges at whole pixels.
        assert np.abs(np.array(areas) - level).max() <= (0.06 if kind == "texture" else 0.5 / target[..., 0].size)
        assert np.mean(areas) == pytest.approx(level, abs=0.01)
        assert len({mask.tobytes() for mask in masks}) == 20


@pytest.mark.parametrize("kind", ["cutout", "side"])
def test_a_larger_level_covers_more_of_the_same(kind: str, others) -> None:
    target = np.zeros((40, 30, 3), np.uint8)
    shown = [cover(kind, target, level, others, np.random.default_rng(3)) > 0 for level in (0.2, 0.4)]
    assert (shown[0] <= shown[1]).all() and shown[1].sum() > shown[0].sum()


def test_the_side_occluder_touches_the_border_and_the_cutout_is_no_rectangle() -> None:
    target = np.zeros((40, 30, 3), np.uint8)
    bright = [OtherVideo("bright", np.full((9, 9, 3), 200, np.uint8), np.full((5, 5, 3), 100, np.uint8))]
    for seed in range(20):
        side = cover("side", target, 0.1, bright, np.random.default_rng(seed)).any(axis=2)
        assert side[[0, -1]].any() or side[:, [0, -1]].any()
        rows, columns = np.nonzero(cover("cutout", target, 0.2, bright, np.random.default_rng(seed)).any(axis=2))
        assert len(rows) < 0.95 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "a rectangle fills its bounding box"


def test_no_arm_trains_with_an_unseen_occluder() -> None:
    """Every occluding arm fills a rectangle; on a flat frame it is flat, where textures are not."""
    sint = shipped_sint()
    tools = ArmInputs(1.0, None, lambda: np.full((2, 64, 64, 3), 200, np.uint8))  # type: ignore[arg-type]
    box = torch.tensor([[60.0, 80.0, 70.0, 50.0]])
    flat = torch.full((1, 3, 224, 224), 0.25)
    flat[..., 80:130, 60:130] = 0.75
    occluding = [
        arm
        for arm in ARMS.values()
        if arm.harden is not None and arm.needs != "adversary" and arm.name not in ("roi-holes", "blur")
    ]
    assert len(occluding) >= 8
    for arm in occluding:
        generator = torch.Generator().manual_seed(0)
        shown = arm.harden(sint, tools).at(0.5).on_frames(flat, box, flat[..., 80:130, 60:130], generator)
        rows, columns = np.nonzero((shown != flat).any(dim=1)[0].numpy())
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert len(rows) == area, f"{arm.name} covers a shape that is no rectangle"
        covered = shown[0, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert covered.std(dim=(1, 2)).max() < 0.01, f"{arm.name} draws a texture"
    assert all(draw_texture(np.random.default_rng(seed)).std(axis=(0, 1)).max() > 20 for seed in range(20))


def test_the_same_frames_whoever_looks(video, others) -> None:
    one, other = Stays(), Stays()
    settings = SweepSettings(levels=(0.0, 0.3), frames=3)
    assert occlusion_sweep(one, [video], settings, others) == occlusion_sweep(other, [video], settings, others)
    assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))
    assert len(one.images) == 3 * (1 + len(KINDS))  # the uncovered frame once
    moved = occlusion_sweep(Stays(), [video], SweepSettings(levels=(0.0, 0.3), frames=3, seed=1), others)
    assert moved != occlusion_sweep(one, [video], settings, others)


def test_a_tracker_that_looks_beats_one_that_stays_and_suffers_from_occlusion(video, others) -> None:
    settings = SweepSettings(levels=(0.0, 0.5), frames=8)
    (stays,) = occlusion_sweep(Stays(), [video], settings, others)
    (looks,) = occlusion_sweep(SintTracker.load("slim", device="cpu"), [video], settings, others)
    assert looks.frames == 8 and looks.overlap["side"][0] == looks.overlap["background"][0]
    for kind in KINDS:
        assert looks.overlap[kind][0] > stays.overlap[kind][0] + 0.1
        assert looks.overlap[kind][1] < looks.overlap[kind][0]


def test_what_cannot_be_shown(video, others) -> None:
    with pytest.raises(InputError, match="levels"):
        SweepSettings(levels=(0.0, 1.5))
    with pytest.raises(InputError, match="frames is 0"):
        SweepSettings(frames=0)
    with pytest.raises(InputError, match="'fog' is no occluder of the sweep; choose background, cutout"):
        SweepSettings(kinds=("fog",))
    with pytest.raises(InputError, match="no frame after the first"):
        occlusion_sweep(Stays(), [video.subset([0])])
    own = other_videos([video])
    with pytest.raises(InputError, match="cut from other videos, and there is none"):
        occlusion_sweep(Stays(), [video], others=own)


def test_a_tracker_must_have_begun_and_looks_inside_the_frame(video) -> None:
    tracker = SintTracker.load("slim", device="cpu")
    with pytest.raises(InputError, match="no target yet"):
        tracker.place((0, 0, 5, 5))
    tracker.init(video.frames[0], video.boxes[0])
    with pytest.raises(InputError, match="The box to look at"):
        tracker.place((-50, -50, 10, 10))


def test_a_place_in_a_frame_of_another_size(video, others) -> None:
    """Trackers scale such a frame to the first one's size; a frame of doubled pixels scales back to itself."""
    tracker = SintTracker.load("slim", device="cpu", precision="fp32")
    tracker.init(video.frames[0], video.boxes[0])
    frame, start = video.frames[5], video.boxes[5] + [2.0, -2.0, 0.0, 0.0]
    doubled = frame.repeat(2, axis=0).repeat(2, axis=1)
    tracker.place(start)
    found = tracker.update(frame)
    tracker.place(2 * start, doubled.shape[1::-1])
    assert tracker.update(doubled) == pytest.approx(2 * found, abs=1e-3)
    boxes = np.stack([video.boxes[0], 2 * video.boxes[5]])
    mixed = Sequence("mixed", ArrayFrames([video.frames[0], doubled]), boxes, np.ones(2), "memory", "exact")
    shown = Stays()
    occlusion_sweep(shown, [mixed], SweepSettings(levels=(0.0, 0.2), kinds=("background",)), others)
    assert set(shown.sizes) == {doubled.shape[1::-1]}
