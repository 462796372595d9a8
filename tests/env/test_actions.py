from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from occlusion_env.mdp.actions import ACTIONS, MOVES, TRIGGER, RegionLimits
from tracker.errors import InputError

RIGHT, LEFT, UP, DOWN, BIGGER, SMALLER, FATTER, TALLER = range(8)
AMPLE = RegionLimits(max_area=1.0, min_side=0.01, max_aspect=100.0)


@st.composite
def all_limits(draw: st.DrawFn) -> RegionLimits:
    step = draw(st.sampled_from([0.2, 0.01, 0.5, 0.99]) | st.floats(0.01, 0.99))
    max_area = draw(st.sampled_from([0.25, 1.0, 0.0101]) | st.floats(0.01, 1.0))
    widest = math.sqrt(max_area)
    min_side = draw(st.sampled_from([widest, widest / 2, 0.005]) | st.floats(0.005, widest))
    max_aspect = draw(st.sampled_from([1.0, 1.5, 4.0, math.inf]) | st.floats(1.0, 50.0))
    return RegionLimits(step, max_area, min(min_side, widest), max_aspect)


@st.composite
def limits_and_region(draw: st.DrawFn) -> tuple[RegionLimits, np.ndarray]:
    """Limits and one allowed region, which often touches a border or a limit."""
    limits = draw(all_limits())
    share = draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
    area = limits.min_side**2 + share * (limits.max_area - limits.min_side**2)
    region = limits.random(np.array([area]), np.random.default_rng(draw(st.integers(0, 99))))
    for axis in (0, 1):
        place = draw(st.none() | st.sampled_from([0.0, 0.5, 1.0]))
        if place is not None:
            region[0, axis] = place * (1 - region[0, axis + 2])
    return limits, region


def go(limits: RegionLimits, region: np.ndarray, *actions: int) -> np.ndarray:
    for action in actions:
        region = limits.move(region, np.array([action]))
    return region


@settings(max_examples=200)
@given(limits_and_region(), st.lists(st.integers(0, 8), min_size=1, max_size=30))
def test_no_walk_leaves_the_limits(case, actions: list[int]) -> None:
    limits, region = case
    assert limits.holds(region).all()
    for action in actions:
        region = go(limits, region, action)
        assert limits.holds(region).all(), ACTIONS[action]
        assert region[0, 2] * region[0, 3] <= limits.max_area * (1 + 1e-12)


@settings(max_examples=100)
@given(limits_and_region())
def test_what_each_move_may_change(case) -> None:
    limits, region = case
    x, y, w, h = region[0]
    found = {name: go(limits, region, number)[0] for number, name in enumerate(ACTIONS)}
    assert (found["trigger"] == region[0]).all()
    for name, axis, sign in (("right", 0, 1), ("left", 0, -1), ("down", 1, 1), ("up", 1, -1)):
        moved = found[name] - region[0]
        assert (np.delete(moved, axis) == 0).all() and moved[axis] * sign >= 0, name
        assert abs(moved[axis]) <= limits.step * region[0, axis + 2] + 1e-12
    for name, sign in (("bigger", 1), ("smaller", -1)):
        assert found[name][2] / found[name][3] == pytest.approx(w / h), name
        assert (found[name][2] - w) * sign >= 0
        assert np.abs(found[name][2:] / [w, h] - 1).max() <= limits.step + 1e-9
    for name, along, across in (("fatter", 2, 3), ("taller", 3, 2)):
        assert 1 <= found[name][along] / region[0, along] <= 1 + limits.step + 1e-9, name
        if not np.isclose(found[name][across], region[0, across]):
            assert found[name][across] < region[0, across]
            assert found[name][2] * found[name][3] == pytest.approx(limits.max_area)


@settings(max_examples=100)
@given(limits_and_region(), st.integers(0, 8))
def test_the_axes_are_treated_alike(case, action: int) -> None:
    limits, region = case
    moved = go(limits, region, action)
    swapped = {RIGHT: DOWN, LEFT: UP, UP: LEFT, DOWN: RIGHT, FATTER: TALLER, TALLER: FATTER}.get(action, action)
    turned = go(limits, region[:, [1, 0, 3, 2]], swapped)
    assert np.allclose(turned, moved[:, [1, 0, 3, 2]], atol=1e-12)
    mirrored = region.copy()
    mirrored[:, 0] = 1 - region[:, 0] - region[:, 2]
    flipped = go(limits, mirrored, {RIGHT: LEFT, LEFT: RIGHT}.get(action, action))
    assert np.allclose(flipped[:, 2:], moved[:, 2:], atol=1e-12)
    assert np.allclose(flipped[:, 0], 1 - moved[:, 0] - moved[:, 2], atol=1e-9)


@settings(max_examples=100)
@given(limits_and_region(), st.sampled_from([(RIGHT, LEFT), (LEFT, RIGHT), (UP, DOWN), (DOWN, UP)]))
def test_a_shift_and_its_inverse(case, pair: tuple[int, int]) -> None:
    limits, region = case
    there = go(limits, region, pair[0])
    axis = pair[0] // 2
    assume(np.isclose(abs(there - region)[0, axis], limits.step * region[0, axis + 2]))
    assert np.allclose(go(limits, there, pair[1]), region, atol=1e-12)


def test_bigger_then_smaller_keeps_the_centre_and_loses_the_square_of_the_step() -> None:
    region = np.array([[0.3, 0.4, 0.3, 0.2]])
    for order in ((BIGGER, SMALLER), (SMALLER, BIGGER)):
        found = go(AMPLE, region, *order)[0]
        assert found[2:] == pytest.approx([0.3 * 0.96, 0.2 * 0.96])
        assert found[:2] + found[2:] / 2 == pytest.approx([0.45, 0.5])


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ("right", (0.26, 0.3, 0.3, 0.2)),
        ("left", (0.14, 0.3, 0.3, 0.2)),
        ("up", (0.2, 0.26, 0.3, 0.2)),
        ("down", (0.2, 0.34, 0.3, 0.2)),
        ("bigger", (0.17, 0.28, 0.36, 0.24)),
        ("smaller", (0.23, 0.32, 0.24, 0.16)),
        ("fatter", (0.17, 0.3, 0.36, 0.2)),
        ("taller", (0.2, 0.28, 0.3, 0.24)),
        ("trigger", (0.2, 0.3, 0.3, 0.2)),
    ],
)
def test_where_each_action_goes(move: str, expected: tuple[float, ...]) -> None:
    found = go(RegionLimits(), np.array([[0.2, 0.3, 0.3, 0.2]]), ACTIONS.index(move))
    assert found[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("move", "region", "expected"),
    [
        ("right", (0.68, 0.3, 0.3, 0.2), (0.7, 0.3, 0.3, 0.2)),
        ("up", (0.2, 0.01, 0.3, 0.2), (0.2, 0.0, 0.3, 0.2)),
        # in the corner it grows inwards
        ("bigger", (0.0, 0.8, 0.3, 0.2), (0.0, 0.76, 0.36, 0.24)),
        # up to the area: 0.4 x 0.6 = 0.24 grows by the root of 25 / 24
        ("bigger", (0.3, 0.2, 0.4, 0.6), (0.5 - 0.2 * (25 / 24) ** 0.5, 0.5 - 0.3 * (25 / 24) ** 0.5, None, None)),
        ("smaller", (0.3, 0.3, 0.22, 0.11), (0.31, 0.305, 0.2, 0.1)),
        # at the largest area the height gives way: 0.25 / 0.6
        ("fatter", (0.25, 0.25, 0.5, 0.5), (0.2, 0.5 - 0.125 / 0.6, 0.6, 0.25 / 0.6)),
        # the aspect stops it at 4 x 0.1
        ("fatter", (0.3, 0.3, 0.36, 0.1), (0.28, 0.3, 0.4, 0.1)),
        ("taller", (0.3, 0.3, 0.1, 0.4), (0.3, 0.3, 0.1, 0.4)),
    ],
)
def test_how_far_a_limit_lets_it_go(move: str, region: tuple[float, ...], expected: tuple) -> None:
    found = go(RegionLimits(), np.array([region]), ACTIONS.index(move))[0]
    for got, wanted in zip(found, expected, strict=True):
        assert wanted is None or got == pytest.approx(wanted)


@settings(max_examples=30)
@given(limits_and_region())
def test_moves_repeated_reach_a_limit(case) -> None:
    limits, region = case
    assume(limits.step >= 0.1 and limits.min_side >= 0.02)

    def far(action: int) -> np.ndarray:
        last, found = region, go(limits, region, action)
        while np.abs(found - last).max() > 1e-12:
            last, found = found, go(limits, found, action)
        return found[0]

    assert far(RIGHT)[0] == pytest.approx(1 - region[0, 2])
    assert far(UP)[1] == pytest.approx(0, abs=1e-12)
    big, small = far(BIGGER), far(SMALLER)
    assert big[2] * big[3] == pytest.approx(limits.max_area) or max(big[2:]) == pytest.approx(1)
    assert min(small[2:]) == pytest.approx(limits.min_side)


def test_a_batch_moves_as_its_parts() -> None:
    limits, rng = RegionLimits(), np.random.default_rng(0)
    regions = limits.random(rng.uniform(0.02, 0.25, 40), rng)
    actions = rng.integers(0, 9, 40)
    before = regions.copy()
    together = limits.move(regions, actions)
    assert (regions == before).all()
    assert (together == [limits.move(regions[i : i + 1], actions[i : i + 1])[0] for i in range(40)]).all()


@settings(max_examples=50)
@given(all_limits(), st.floats(0, 1), st.integers(0, 99))
def test_start_random_and_grid_are_within_the_limits(limits: RegionLimits, share: float, seed: int) -> None:
    area = limits.min_side**2 + share * (limits.max_area - limits.min_side**2)
    start = limits.centre(3)
    assert start.shape == (3, 4) and limits.holds(start).all()
    assert start[:, :2] + start[:, 2:] / 2 == pytest.approx(0.5)
    assert start[:, 2] * start[:, 3] == pytest.approx(limits.max_area)
    for regions in (limits.random(np.full(30, area), np.random.default_rng(seed)), limits.grid(area, 4, 3)):
        assert limits.holds(regions).all()
        assert regions[:, 2] * regions[:, 3] == pytest.approx(area)


def test_random_regions_take_the_area_asked_for_and_every_aspect() -> None:
    limits, rng = RegionLimits(), np.random.default_rng(0)
    area = rng.uniform(0.02, 0.25, 2000)
    regions = limits.random(area, rng)
    assert regions[:, 2] * regions[:, 3] == pytest.approx(area)
    low, high = limits.aspects(area)
    ratio = np.log(regions[:, 2] / regions[:, 3]) / np.log(high)
    assert high == pytest.approx(np.minimum(4, area / 0.01)) and low == pytest.approx(1 / high)
    assert np.histogram(ratio, 4, (-1, 1))[0].min() > 430
    place = regions[:, :2] / (1 - regions[:, 2:])
    assert np.histogram2d(place[:, 0], place[:, 1], 4, ((0, 1), (0, 1)))[0].min() > 85


def test_a_grid_goes_from_border_to_border_in_every_shape() -> None:
    grid = RegionLimits().grid(0.16, places=4, shapes=3)
    assert len(np.unique(grid.round(9), axis=0)) == len(grid) == 48
    assert np.unique((grid[:, 2] / grid[:, 3]).round(6)).tolist() == [0.25, 1, 4]
    for width in (0.2, 0.4, 0.8):
        part = grid[np.isclose(grid[:, 2], width)]
        assert np.unique(part[:, 0].round(9)) == pytest.approx(np.linspace(0, 1 - width, 4))
        assert part[:, 1].min() == 0 and (part[:, 1] + part[:, 3]).max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("region", "allowed"),
    [
        ((0.25, 0.25, 0.5, 0.5), True),
        ((0.0, 0.9, 0.4, 0.1), True),
        ((-0.01, 0.2, 0.2, 0.2), False),
        ((0.2, 0.85, 0.2, 0.2), False),
        ((0.2, 0.2, 0.51, 0.5), False),
        ((0.2, 0.2, 0.09, 0.2), False),
        ((0.2, 0.2, 0.41, 0.1), False),
        ((0.2, 0.2, 0.2, float("nan")), False),
    ],
)
def test_holds(region: tuple[float, ...], allowed: bool) -> None:
    found = RegionLimits().holds(np.array([[region, (0.1, 0.1, 0.2, 0.2)]]))
    assert found.tolist() == [[allowed, True]]


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", value) for value in (0, 1, -0.1, float("nan"))]
    + [("max_area", value) for value in (0, 1.01, -1, float("nan"))]
    + [("min_side", value) for value in (0, 0.51, -0.1, float("nan"))]
    + [("max_aspect", value) for value in (0.99, 0, float("nan"))],
)
def test_impossible_limits_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        RegionLimits(**{name: value})


def test_names() -> None:
    assert ACTIONS[TRIGGER] == "trigger" and ACTIONS[:TRIGGER] == MOVES and len(ACTIONS) == 9
