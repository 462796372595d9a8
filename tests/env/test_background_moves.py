from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlusion_env.mdp.actions import ACTIONS, RegionLimits
from occlusion_env.mdp.background_moves import BACKGROUND_MIN_SIDE, Background
from tracker.data.boxes import iou
from tracker.data.images import crop

LIMITS = RegionLimits()
MOVES = {name: np.array([number]) for number, name in enumerate(ACTIONS)}


def background(size, target, region=(0.25, 0.25, 0.5, 0.5), limits: RegionLimits = LIMITS) -> Background:
    return Background.around(*(np.array([each], np.float64) for each in (size, target, region)), limits)


def go(scene: Background, box, *names: str) -> list[float]:
    place = np.array([box], np.float64)
    for name in names:
        place = scene.move(place, MOVES[name])
    return place[0].round(3).tolist()


# The target covers x 40 to 60 and y 30 to 60 of 100 x 100 pixels; the region is 20 x 20.
SCENE = background((100, 100), (40, 30, 20, 30), (0, 0, 1, 2 / 3))


@pytest.mark.parametrize(
    ("box", "action", "expected"),
    [
        ((5, 5, 10, 10), "right", [7, 5, 10, 10]),
        ((5, 5, 10, 10), "left", [3, 5, 10, 10]),
        ((5, 5, 10, 10), "up", [5, 3, 10, 10]),
        ((5, 5, 10, 10), "down", [5, 7, 10, 10]),
        ((5, 5, 10, 10), "bigger", [4, 4, 12, 12]),
        ((5, 5, 10, 10), "smaller", [6, 6, 8, 8]),
        ((5, 5, 10, 10), "fatter", [4, 5, 12, 10]),
        ((5, 5, 10, 10), "taller", [5, 4, 10, 12]),
        ((5, 5, 10, 10), "trigger", [5, 5, 10, 10]),
        # At the border of the frame.
        ((1, 1, 10, 10), "left", [0, 1, 10, 10]),
        ((90, 90, 10, 10), "bigger", [88, 88, 12, 12]),
        # At the target: up to it, and no farther.
        ((29, 35, 10, 10), "right", [30, 35, 10, 10]),
        ((30, 35, 10, 10), "right", [30, 35, 10, 10]),
        ((61, 35, 10, 10), "left", [60, 35, 10, 10]),
        ((45, 19, 10, 10), "down", [45, 20, 10, 10]),
        ((45, 61, 10, 10), "up", [45, 60, 10, 10]),
        ((30, 35, 10, 10), "bigger", [28, 34, 12, 12]),
        ((30, 35, 10, 10), "fatter", [28, 35, 12, 10]),
        # Off a corner it may pass on either side, and goes where nothing is in the way.
        ((30, 20, 10, 10), "right", [32, 20, 10, 10]),
        ((30, 20, 10, 10), "down", [30, 22, 10, 10]),
        # At the largest area the other side gives way.
        ((5, 5, 20, 20), "fatter", [3, 5 + 20 * (1 - 1 / 1.2) / 2, 24, 20 / 1.2]),
        ((5, 5, 20, 20), "bigger", [5, 5, 20, 20]),
        ((5, 5, 6, 6), "smaller", [5, 5, 6, 6]),
    ],
)
def test_moves(box, action: str, expected) -> None:
    assert go(SCENE, box, action) == pytest.approx(expected, abs=2e-3)


def test_a_box_goes_round_the_target() -> None:
    """From the left of it, over the top, to the right: never through it."""
    box = go(SCENE, (30, 35, 10, 10), *["right"] * 20)
    assert box == pytest.approx([30, 35, 10, 10], abs=1e-3)
    box = go(SCENE, box, *["up"] * 10, *["right"] * 16, *["down"] * 10)
    assert box[0] >= 60 and box[1] > 20


def random_scene(draw) -> tuple[Background, int]:
    width, height = draw(st.integers(8, 300)), draw(st.integers(8, 300))
    size = np.array([width, height], np.float64)
    low = np.array([draw(st.floats(-0.3, 0.9)), draw(st.floats(-0.3, 0.9))]) * size
    extent = np.array([draw(st.floats(0.02, 1)), draw(st.floats(0.02, 1))]) * size
    limits = RegionLimits(max_aspect=draw(st.sampled_from([1.0, 2.0, 4.0])), step=draw(st.floats(0.05, 0.6)))
    seed = draw(st.integers(0, 99))
    region = limits.random(np.array([draw(st.floats(0.02, 0.25))]), np.random.default_rng(seed))[0]
    return background(size, [*low, *extent], region, limits), seed


@settings(max_examples=150)
@given(st.data())
def test_a_box_never_touches_the_target_nor_leaves_the_frame_nor_its_limits(data) -> None:
    scene, seed = random_scene(data.draw)
    if not scene.fits[0]:
        return
    rng = np.random.default_rng(seed)
    box = scene.start([rng])
    width, height = scene.size[0]
    frame = np.zeros((int(height), int(width), 3), np.uint8)
    left, top, right, bottom = np.floor(
        np.concatenate([scene.target[0, :2], scene.target[0, :2] + scene.target[0, 2:]]) + 0.5
    )
    frame[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)] = 255
    for action in (None, *rng.integers(0, 9, 40)):
        if action is not None:
            box = scene.move(box, np.array([action]))
        assert iou(box[0], scene.target[0]) == 0
        assert (box[0, :2] >= -1e-9).all() and (box[0, :2] + box[0, 2:] <= [width + 1e-9, height + 1e-9]).all()
        w, h = box[0, 2:] / scene.region[0]
        assert w * h <= 1 + 1e-9 and min(w, h) >= BACKGROUND_MIN_SIDE - 1e-9
        assert max(w, h) / min(w, h) <= scene.limits.max_aspect + 1e-6
        assert scene.holds(box)[0]
        assert not crop(frame, box[0]).any()  # not even a pixel that is the target's after rounding


@settings(max_examples=100)
@given(st.data())
def test_nothing_fits_only_where_no_strip_is_wide_enough(data) -> None:
    scene, seed = random_scene(data.draw)
    x, y, w, h = scene.target[0]
    width, height = scene.size[0]
    least = BACKGROUND_MIN_SIDE * scene.region[0]
    widest, tallest = max(x, width - x - w), max(y, height - y - h)
    roomy = (widest >= least[0] + 1e-3 and height >= least[1]) or (
        tallest >= least[1] + 1e-3 and width >= least[0]
    )
    cramped = (widest < least[0] or height < least[1]) and (tallest < least[1] or width < least[0])
    if roomy:
        assert scene.fits[0]
    if cramped:
        assert not scene.fits[0]


def test_the_first_box_has_the_regions_size_and_is_uniform_over_the_background() -> None:
    scene = background((100, 100), (40, 30, 20, 30), (0, 0, 1, 2 / 3))
    boxes = np.concatenate([scene.start([np.random.default_rng(seed)]) for seed in range(4000)])
    assert (boxes[:, 2:] == 20).all() and (iou(boxes, scene.target[0]) == 0).all()
    # Corners may lie in 80 x 80 pixels less 40 x 50 around the target.
    free = 80 * 80 - 40 * 50
    left = (boxes[:, 0] <= 20).mean()
    above = ((boxes[:, 0] > 20) & (boxes[:, 0] < 60) & (boxes[:, 1] <= 10)).mean()
    right = (boxes[:, 0] >= 60).mean()
    assert left == pytest.approx(20 * 80 / free, abs=0.03) and right == pytest.approx(20 * 80 / free, abs=0.03)
    assert above == pytest.approx(40 * 10 / free, abs=0.03)
    assert boxes[boxes[:, 0] <= 20][:, 1].mean() == pytest.approx(40, abs=2)


def test_a_narrow_strip_gets_the_largest_box_that_fits() -> None:
    scene = background((100, 100), (0, 0, 100, 90))  # 10 pixels below; the region is 50 x 45
    assert not scene.fits[0]
    scene = background((100, 100), (0, 0, 100, 80))  # 20 below; the region is 50 x 40
    box = scene.start([np.random.default_rng(0)])[0]
    assert scene.fits[0] and box[2:] == pytest.approx([25, 20], abs=1e-3) and box[1] == pytest.approx(80, abs=1e-3)
    places = {float(scene.start([np.random.default_rng(seed)])[0, 0]) for seed in range(20)}
    assert len(places) == 20 and max(places) > 50


def test_many_at_once_are_each_alone() -> None:
    rng = np.random.default_rng(0)
    count = 40
    size = rng.uniform(80, 300, (count, 2))
    target = np.concatenate([rng.uniform(0, 0.5, (count, 2)) * size, rng.uniform(0.1, 0.4, (count, 2)) * size], 1)
    region = LIMITS.random(rng.uniform(0.05, 0.25, count), rng)
    scene = Background.around(size, target, region, LIMITS)
    assert scene.fits.all() and len(scene) == count
    boxes = scene.start([np.random.default_rng(seed) for seed in range(count)])
    alone = [scene.rows(np.array([n])) for n in range(count)]
    singles = np.concatenate([one.start([np.random.default_rng(n)]) for n, one in enumerate(alone)])
    assert (boxes == singles).all()
    for _ in range(15):
        actions = rng.integers(0, 9, count)
        boxes = scene.move(boxes, actions)
        singles = np.concatenate([one.move(singles[n : n + 1], actions[n : n + 1]) for n, one in enumerate(alone)])
        assert (boxes == singles).all()


def test_rows_can_be_replaced() -> None:
    first = Background.around(
        *(np.repeat(part, 3, axis=0) for part in (SCENE.size, SCENE.target, [[0, 0, 0.5, 0.5]])), LIMITS
    )
    other = background((50, 60), (1, 2, 3, 4))
    joined = first.replace(np.array([1]), other)
    assert joined.size.tolist() == [[100, 100], [50, 60], [100, 100]]
    assert joined.target[1].tolist() == [1, 2, 3, 4] and (joined.region[1] == other.region[0]).all()
    assert first.size[1].tolist() == [100, 100]
