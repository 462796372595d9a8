from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlusion_env.scene.occluders import (
    OCCLUDERS,
    PATCH_SIZE,
    Occluder,
    background_box,
    choose_occluder,
    mean_patch,
    measure_contrast,
    occlude,
    occlude_image,
)
from occlusion_env.scene.targets import Source, Target, TargetSet
from tracker.data.boxes import iou
from tracker.data.images import crop
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError


def test_a_patch_of_the_regions_size_is_copied_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.uniform(0, 1, (1, 3, 8, 10))).float()
    patch = torch.from_numpy(rng.uniform(0, 1, (1, 3, 4, 5))).float()
    before = image.clone()
    found = occlude(image, patch, torch.tensor([[0.3, 0.25, 0.5, 0.5]]))
    assert torch.allclose(found[:, :, 2:6, 3:8], patch, atol=1e-5)
    outside = torch.ones(8, 10, dtype=torch.bool)
    outside[2:6, 3:8] = False
    assert (found[:, :, outside] == before[:, :, outside]).all() and (image == before).all()


@pytest.mark.parametrize(
    ("region", "columns", "rows"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0, 10), (0, 8)),
        ((0.24, 0.3, 0.2, 0.2), (2, 4), (2, 4)),  # centres 2.5 and 3.5 of 2.4 to 4.4; 2.5 and 3.5 of 2.4 to 4
        ((0.26, 0.3, 0.2, 0.2), (3, 5), (2, 4)),  # the centre 2.5 is out, 4.5 is in
        ((0.9, 0.875, 0.1, 0.125), (9, 10), (7, 8)),
        ((0.31, 0.3, 0.03, 0.5), (0, 0), (0, 0)),  # between two centres nothing is covered
    ],
)
def test_which_pixels_are_covered(region, columns: tuple[int, int], rows: tuple[int, int]) -> None:
    found = occlude(torch.zeros(1, 3, 8, 10), torch.ones(1, 3, 4, 4), torch.tensor([region]))
    expected = torch.zeros(8, 10)
    expected[rows[0] : rows[1], columns[0] : columns[1]] = 1
    assert (found[0] == expected).all()


def test_a_centre_on_the_left_edge_is_covered_and_one_on_the_right_edge_is_not() -> None:
    found = occlude(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 2, 2), torch.tensor([[1, 5, 4, 6]]) / 16)
    assert found[0, 0].nonzero().tolist() == [[row, column] for row in (2, 3, 4) for column in (0, 1)]


def test_the_patch_is_neither_turned_nor_mirrored() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)
    image = np.full((20, 40, 3), 9, np.uint8)
    found = occlude_image(image, np.kron(colours, np.ones((32, 32, 1), np.uint8)), np.array([0.25, 0.2, 0.5, 0.6]))
    assert found.dtype == np.uint8
    corners = found[[4, 4, 15, 15], [10, 29, 10, 29]].reshape(2, 2, 3)
    assert (corners == colours).all()
    assert (found != 9).any(axis=2).sum() == 20 * 12


def test_each_image_of_a_batch_gets_its_own_patch_and_region() -> None:
    images = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    patches = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    regions = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.2, 0.4, 0.4, 0.3], [0.5, 0.1, 0.3, 0.8]])
    together = occlude(images, patches, regions)
    for i in range(3):
        one = slice(i, i + 1)
        assert torch.allclose(together[one], occlude(images[one], patches[one], regions[one]), atol=1e-6)
    assert not torch.equal(together[0], together[1])


sides = st.integers(1, 60)


@settings(max_examples=200)
@given(sides, sides, st.data(), st.floats(0.01, 1), st.integers(0, 9))
def test_background_is_inside_the_image_and_beside_the_target(width, height, data, share, seed) -> None:
    corners = [data.draw(st.floats(-5, size + 5), label="corner") for size in (width, height)]
    extent = [data.draw(st.floats(0.1, 1.5 * size), label="extent") for size in (width, height)]
    target = np.array(corners + extent)
    box = background_box(width, height, target, share, np.random.default_rng(seed))
    if box is not None:
        assert (box[:2] >= 0).all() and (box[:2] + box[2:] <= [width, height]).all()
        assert (box == box.round()).all() and (box[2:] >= 4).all()
        assert iou(box, target) == 0
        assert (box[2:] <= np.maximum(target[2:] * share**0.5, 4)).all()


@settings(max_examples=50)
@given(sides, sides, st.floats(0.01, 1), st.integers(0, 255))
def test_a_target_that_fills_the_frame_leaves_the_mean_colour(width, height, share, value) -> None:
    frame = np.full((height, width, 3), value, np.uint8)
    frame[0, 0] = (255, 0, 7)
    target = np.array([0.0, 0.0, width, height])
    assert background_box(width, height, target, share, np.random.default_rng(0)) is None
    patch = mean_patch(frame)
    assert patch.shape == (PATCH_SIZE, PATCH_SIZE, 3) and patch.dtype == np.uint8
    assert np.abs(patch - frame.reshape(-1, 3).mean(axis=0)).max() <= 0.5 + 1e-9


def whole(frame, box) -> Target:
    """A target with this box in its frame."""
    return Target("video/0", frame, frame, frame, Source("video", 0, "0", tuple(box.tolist())))


def test_the_patch_shows_what_its_box_says() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (200, 260, 3), dtype=np.uint8)
    target = np.array([10.0, 20.0, 128.0, 128.0])
    chosen = choose_occluder("background", whole(frame, target), 0.25, np.random.default_rng(3))
    box, patch = np.array(chosen.box), chosen.patch(whole(frame, target))
    assert box[2:].tolist() == [64, 64]
    x, y = box[:2].astype(int)
    assert (patch == frame[y : y + 64, x : x + 64]).all()
    assert choose_occluder("background", whole(frame, target), 0.25, np.random.default_rng(3)) == chosen
    places = {tuple(background_box(260, 200, target, 0.25, np.random.default_rng(s))[:2]) for s in range(30)}
    assert len(places) > 20


def test_it_gets_smaller_where_the_background_is_narrow() -> None:
    target = np.array([0.0, 0.0, 100.0, 89.0])
    box = background_box(100, 100, target, 1.0, np.random.default_rng(0))
    assert box is not None and box[2:].tolist() == [12, 11] or box[2:].tolist() == [6, 5]
    assert box[1] >= 89


def test_a_box_outside_the_frame_is_refused() -> None:
    with pytest.raises(InputError, match="target's box"):
        beyond = whole(np.zeros((9, 9, 3), np.uint8), np.array([20.0, 0, 3, 3]))
        choose_occluder("background", beyond, 0.5, np.random.default_rng(0))


NAMES = ("background", "mean", "noise", "zero", "cutout", "contrast")


def videos() -> TargetSet:
    """Three targets of two videos; each target is of one colour, on noise."""
    sets = []
    for name, colour in (("red", (200, 10, 20)), ("green", (10, 200, 20))):
        frames = np.random.default_rng(len(name)).integers(0, 256, (3, 80, 100, 3), dtype=np.uint8)
        frames[:, 10:40, 20:60] = colour
        boxes = np.tile([20.0, 10.0, 40.0, 30.0], (3, 1))
        sets.append(TargetSet.from_sequence(Sequence(name, ArrayFrames(frames), boxes, np.ones(3), "x", "exact")))
    return TargetSet.join(sets)


def test_every_occluder_is_what_its_name_says() -> None:
    targets = videos()
    assert OCCLUDERS == NAMES and targets.videos == ("red", "red", "green", "green")
    chosen = {
        name: choose_occluder(name, targets[0], 0.25, np.random.default_rng(0), targets) for name in OCCLUDERS
    }
    found = {name: occluder.patch(targets[0], targets) for name, occluder in chosen.items()}
    for patch in found.values():
        assert patch.shape == (PATCH_SIZE, PATCH_SIZE, 3) and patch.dtype == np.uint8
    assert [name for name, occluder in chosen.items() if occluder.box is not None] == [
        "background", "contrast",
    ]  # fmt: skip
    patch, box = found["background"], np.array(chosen["background"].box)
    assert (patch == crop(targets[0].frame, box, PATCH_SIZE)).all() and iou(box, targets[0].box) == 0
    assert (found["mean"] == targets[0].frame.reshape(-1, 3).mean(axis=0).round()).all()
    assert not found["zero"].any()
    assert (found["cutout"] == (10, 200, 20)).all()
    box = np.array(chosen["contrast"].box)
    assert chosen["contrast"].kind == "background" and box[2:].tolist() == [7, 5] and iou(box, targets[0].box) == 0
    noise = found["noise"]
    assert noise.std() > 65 and noise.min() < 3 and noise.max() > 252 and abs(noise.mean() - 127.5) < 3


@pytest.mark.parametrize("name", NAMES)
def test_draws_come_from_the_generator(name: str) -> None:
    targets = videos()

    def draw(seed: int) -> Occluder:
        return choose_occluder(name, targets[2], 0.25, np.random.default_rng(seed), targets)

    assert draw(3) == draw(3) and (draw(3).patch(targets[2], targets) == draw(3).patch(targets[2], targets)).all()
    assert len({draw(seed) for seed in range(12)}) == {"mean": 1, "zero": 1, "cutout": 2, "contrast": 10}.get(
        name, 12
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_occluder_is_made_again_from_its_record(name: str) -> None:
    targets = videos()
    chosen = choose_occluder(name, targets[1], 0.25, np.random.default_rng(8), targets)
    again = Occluder.from_record(json.loads(json.dumps(chosen.record())))
    assert again == chosen and (again.patch(targets[1], targets) == chosen.patch(targets[1], targets)).all()


def test_a_target_that_fills_its_frame_gets_its_mean_colour() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    sequence = Sequence("full", ArrayFrames(frames), [[0, 0, 50, 40]] * 2, np.ones(2), "x", "exact")
    target = TargetSet.from_sequence(sequence)[0]
    occluder = choose_occluder("background", target, 0.25, np.random.default_rng(0))
    assert (
        occluder == Occluder("mean")
        and (occluder.patch(target) == frames[1].reshape(-1, 3).mean(axis=0).round()).all()
    )


def test_contrast_is_the_mean_difference_from_what_is_covered() -> None:
    """By hand: on a frame of two halves, and as the choice of an occluder."""
    frame = np.full((40, 60, 3), 100, np.uint8)
    frame[:, 30:] = (100, 130, 160)
    boxes = np.array([[0, 0, 20, 20], [40, 0, 10, 30], [20.0, 0, 20, 16]])
    covered = np.full((9, 5, 3), (100, 100, 100), np.uint8)
    assert measure_contrast(frame, boxes, covered) == pytest.approx([0, 30, 15], abs=0.5)
    frame[10:30, 5:25] = 90
    sequence = Sequence("halves", ArrayFrames([frame] * 2), [[5, 10, 20, 20]] * 2, np.ones(2), "x", "exact")
    target = TargetSet.from_sequence(sequence)[0]
    for seed in range(5):
        box = choose_occluder("contrast", target, 0.25, np.random.default_rng(seed)).box
        assert box is not None and box[0] >= 30


def test_what_cannot_be_drawn_is_told() -> None:
    targets, rng = videos(), np.random.default_rng(0)
    with pytest.raises(InputError, match="'smoke' is no occluder; choose background"):
        choose_occluder("smoke", targets[0], 0.25, rng, targets)
    for others in (None, targets.subset([0, 1])):
        with pytest.raises(InputError, match="another video than 'red'"):
            choose_occluder("cutout", targets[0], 0.25, rng, others)
    with pytest.raises(InputError, match=r"green/000001"):
        Occluder("cutout", target="green/000001").patch(targets[0], targets.subset([0, 1]))
