"""The search by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.explore.game import fit_region
from occlusion_env.mdp.actions import ACTIONS, RegionLimits
from tracker.errors import InputError

NUMBERS = st.floats(-3, 3)


@settings(max_examples=200)
@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_any_region_is_fitted_into_the_limits(region):
    limits = RegionLimits()
    fitted = fit_region(limits, region)
    assert limits.holds(fitted)
    np.testing.assert_allclose(fit_region(limits, fitted), fitted, atol=1e-12)


def test_a_region_within_the_limits_stays():
    region = (0.1, 0.2, 0.3, 0.4)
    np.testing.assert_allclose(fit_region(RegionLimits(), region), region, atol=1e-12)


@pytest.mark.parametrize("region", [(0, 0, 1), (0, 0, np.nan, 1)])
def test_no_region_is_refused(region):
    with pytest.raises(InputError, match="four numbers"):
        fit_region(RegionLimits(), region)


def test_the_rewards_are_those_of_equations_5_and_6(search):
    game = search.game
    before = game.turns[-1].score
    turn = game.act("right")
    assert turn.reward == (1.0 if turn.score < before - 1e-5 else -1.0)
    end = game.act("trigger")
    reached = end.score - (search.clean - search.drop) < 1e-5
    assert end.reward == (3.0 if reached else -3.0) and game.over
    assert game.total == turn.reward + end.reward
    with pytest.raises(InputError, match="no action"):
        game.act("jump")


def test_an_action_after_the_end_starts_an_episode_where_the_region_is(search):
    game = search.game
    game.act("right")
    region = game.act("trigger").region
    moved = game.act("left")
    assert not game.over and game.total == moved.reward
    np.testing.assert_allclose(moved.region[0], region[0] - 0.2 * region[2])


def test_an_episode_ends_after_its_steps(search):
    for number in range(search.models.settings.max_steps):
        assert not search.game.over
        search.game.act(ACTIONS[number % 2])
    assert search.game.over


def test_a_region_counts_as_one_query_however_often_it_is_visited(search):
    game = search.game
    for name in ("right", "left", "right", "trigger"):
        game.act(name)
    game.place((0.0, 0.0, 0.4, 0.4))
    game.place((0.0, 0.0, 0.4, 0.4))
    regions = game.queried()
    np.testing.assert_allclose(regions[0], RegionLimits().centre()[0])
    np.testing.assert_allclose(regions[-1], (0.0, 0.0, 0.4, 0.4))
    assert len(regions) in (3, 4)  # back at the start, up to rounding
    assert game.best.score == min(turn.score for turn in game.turns)
