"""What an agent has to beat, on matchers whose answer is known."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch

import occlusion_env
from agents.policies.baselines import (
    BASELINES,
    Queries,
    Querying,
    RandomRegions,
    Steering,
    list_regions,
    rank_by_attribution,
)
from agents.policies.baselines.attribution import box_sums, similarity, spread_out
from agents.policies.baselines.methods import cells
from agents.policies.rollout import roll_out
from occlusion_env.mdp.actions import ACTIONS, RegionLimits
from occlusion_env.mdp.settings import SearchSettings
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import Search
from tracker.data.boxes import iou
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError
from tracker.scorers import load_scorer

SIDE = 32


class Spots:
    """Scores a target by the red that is left in it, counts what it is asked, and embeds nothing."""

    input_size = SIDE
    device = torch.device("cpu")

    def __init__(self):
        self.asked = 0

    def embed(self, crops):
        self.asked += len(crops)
        return crops

    def compare(self, exemplars, candidates):
        return candidates[:, 0].mean(dim=(1, 2))

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


class Blind:
    """Features that tell nothing."""

    input_size = 8
    length = 4

    def __call__(self, crops):
        return torch.zeros(len(crops), self.length)


def video(crops):
    """A video whose frames show these targets, 40 x 40, in the middle of black; the first one is the exemplar."""
    frames = []
    for crop in crops:
        frame = np.zeros((120, 120, 3), np.uint8)
        frame[40:80, 40:80] = crop
        frames.append(frame)
    boxes = np.tile([40.0, 40.0, 40.0, 40.0], (len(frames), 1))
    return Sequence("spots", ArrayFrames(frames), boxes, np.ones(len(frames)), "test", "exact")


def spot(column, row, width=8, height=8):
    crop = np.full((40, 40, 3), 40, np.uint8)
    crop[row : row + height, column : column + width, 0] = 255
    return crop


@pytest.fixture
def search():
    """Three searches: a red spot at the upper left, one at the lower right, a tall one at the right."""
    crops = [spot(0, 0), spot(2, 2), spot(30, 30), spot(32, 6, 6, 30)]
    return begun(Search(3, Spots(), Blind(), SearchSettings()), crops)


def begun(search, crops):
    search.begin_random(list(TargetSet.from_sequence(video(crops))), np.random.default_rng(0), drop=0.1)
    return search


def query(method, search, slots=None, seed=0):
    slots = np.arange(len(search)) if slots is None else slots
    return method.run(search, slots, np.random.default_rng(seed).spawn(len(slots)))


@pytest.fixture(scope="module")
def sint():
    """A search with the slim net: what its two targets share with the exemplar is their left, their upper half."""
    rng = np.random.default_rng(3)
    blocks = [np.kron(rng.integers(0, 255, (10, 10, 3)), np.ones((4, 4, 1))).astype(np.uint8) for _ in range(3)]
    left, top = blocks[1].copy(), blocks[2].copy()
    left[:, :18], top[:18] = blocks[0][:, :18], blocks[0][:18]
    search = Search(2, load_scorer(device="cpu", precision="fp32"), Blind(), SearchSettings())
    return begun(search, [blocks[0], left, top])


@pytest.mark.parametrize("name", ["random", "centre", "cell", "hill climbing", "grid"])
@pytest.mark.parametrize("area", [0.25, 0.12])
def test_what_every_baseline_keeps_to(name, area):
    settings = SearchSettings(RegionLimits(max_area=area))
    search = begun(
        Search(3, Spots(), Blind(), settings), [spot(0, 0), spot(2, 2), spot(30, 30), spot(32, 6, 6, 30)]
    )
    method = BASELINES[name]
    before = search.region.copy(), search.score.copy(), search.steps.copy()
    asked = search.scorer.asked
    found = query(method, search)
    regions, scores = found.best
    assert regions.shape == (3, 4) and scores.shape == found.counts.shape == (3,)
    assert regions[:, 2] * regions[:, 3] == pytest.approx(area)
    assert search.settings.limits.holds(regions).all()
    assert found.counts.sum() == search.scorer.asked - asked
    assert scores == pytest.approx(search.scores(np.arange(3), regions), abs=1e-7)
    assert (np.diff(found.curve, axis=1) <= 0).all() and np.array_equal(found.curve[:, -1], scores)
    again = query(method, search)
    assert np.array_equal(found.regions, again.regions, equal_nan=True)
    for state, was in zip((search.region, search.score, search.steps), before, strict=True):
        assert np.array_equal(state, was)


def test_slots_are_whose_regions_are_queried(search):
    there = query(BASELINES["grid"], search)
    back = query(BASELINES["grid"], search, slots=np.array([2, 0, 2]))
    assert np.array_equal(back.best[0], there.best[0][[2, 0, 2]])


def test_random_regions_differ_and_follow_the_generator(search):
    slots = np.repeat(np.arange(3), 50)
    first = query(BASELINES["random"], search, slots)
    other = query(BASELINES["random"], search, slots, seed=1)
    assert not np.array_equal(first.regions, other.regions)
    regions = first.regions[:, 0]
    assert np.ptp(regions[:, :2] + regions[:, 2:] / 2, axis=0).min() > 0.5
    assert (first.counts == 1).all() and len(np.unique(regions.round(6), axis=0)) == 150


def test_the_centre():
    settings = SearchSettings(RegionLimits(max_area=0.16))
    search = begun(Search(1, Spots(), Blind(), settings), [spot(0, 0), spot(16, 16)])
    regions, scores = query(BASELINES["centre"], search).best
    assert regions[0] == pytest.approx([0.3, 0.3, 0.4, 0.4])
    assert scores[0] == pytest.approx(query(BASELINES["grid"], search).best[1][0], abs=0.01)
    assert search.clean_score[0] - scores[0] > 0.05


def test_the_nine_cells():
    ninth = cells(1 / 9)
    assert ninth[:, 2:] == pytest.approx(1 / 3)
    assert ninth[:, :2] * 3 == pytest.approx(np.array([[c, r] for r in range(3) for c in range(3)], float))
    assert sorted(set(cells(0.25)[:, 0].round(9))) == [0, 0.25, 0.5]
    small = cells(0.01)
    assert small[0, :2] + small[0, 2:] / 2 == pytest.approx([1 / 6, 1 / 6])


def test_the_best_cell_is_where_the_spot_is(search):
    found = query(BASELINES["cell"], search)
    regions = found.best[0]
    assert regions[0, :2] == pytest.approx([0, 0]) and regions[1, :2] == pytest.approx([0.5, 0.5])
    assert regions[2, 0] == pytest.approx(0.5)
    assert found.counts.tolist() == [9, 9, 9]
    assert found.regions[0, 0] == pytest.approx([0.25, 0.25, 0.5, 0.5]), "the centre comes first"


def test_grid_search_is_the_least_of_the_grid(search):
    found = query(BASELINES["grid"], search)
    grid = search.settings.limits.grid(0.25)
    for slot in range(3):
        scores = search.scores(np.full(len(grid), slot), grid)
        assert found.best[1][slot] == scores.min() and found.counts[slot] == len(grid)
        assert np.array_equal(found.best[0][slot], grid[scores.argmin()])


def test_hill_climbing_climbs_and_asks_about_each_region_once(search):
    found = query(BASELINES["hill climbing"], search)
    for slot in range(3):
        own = found.regions[slot, : found.counts[slot]].round(9)
        assert len(own) == len(np.unique(own, axis=0)) > 13
    centre = query(BASELINES["centre"], search).best[1]
    assert np.array_equal(found.scores[:, 0], centre)
    assert (found.best[1] < centre).all() and found.best[1][2] < 0.6 * centre[2]


def test_hill_climbing_ends_where_no_neighbour_is_better(search):
    regions, scores = query(BASELINES["hill climbing"], search).best
    moves = [ACTIONS.index(name) for name in ("right", "left", "up", "down", "fatter", "taller")]
    for move in moves:
        near = search.settings.limits.move(regions, np.full(3, move))
        assert (search.scores(np.arange(3), near) >= scores - 1e-9).all()


def test_hill_climbing_stops_after_the_last_step():
    search = Search(1, Spots(), Blind(), SearchSettings(max_steps=1))
    begun(search, [spot(0, 0), spot(30, 30)])
    found = query(BASELINES["hill climbing"], search)
    assert found.counts[0] == 7
    start = search.settings.limits.centre()[0]
    assert np.abs(found.best[0][0] - start).max() == pytest.approx(0.1)


@pytest.mark.parametrize("queries", [1, 3, 8, 14])
def test_a_method_has_no_more_queries_than_it_is_given(search, queries):
    """Also where a turn proposes more, and the first queries are those of a larger number."""
    whole = query(BASELINES["hill climbing"], search)
    asked = search.scorer.asked
    cut = query(Querying(BASELINES["hill climbing"].proposer, queries), search)
    assert search.scorer.asked - asked == cut.counts.sum() and cut.counts.tolist() == [queries] * 3
    assert np.array_equal(cut.regions, whole.regions[:, :queries])
    with pytest.raises(InputError, match="0 queries"):
        Querying(RandomRegions, 0)


def sit_out(told, search, slots, generators, most):
    """Proposes two regions a turn; the second search has none in the second turn."""
    for turn in range(most):
        regions = np.full((3, 2, 4), np.nan)
        regions[:, :, 2:] = 0.5
        regions[:, 0, :2], regions[:, 1, :2] = 0.01 * turn, 0.01 * turn + 0.25
        if turn == 1:
            regions[1] = np.nan
        told.append((yield regions))


def test_a_search_may_sit_a_turn_out(search):
    told = []
    found = Querying(partial(sit_out, told), 7).run(search, np.arange(3), [])
    assert found.counts.tolist() == [7, 7, 7]
    assert found.regions[1, :, 0].round(3).tolist() == [0.0, 0.25, 0.02, 0.27, 0.03, 0.28, 0.04]
    assert found.regions[0, :, 0].round(3).tolist() == [0.0, 0.25, 0.01, 0.26, 0.02, 0.27, 0.03]
    clean = search.clean_score
    assert told[0] == pytest.approx(clean[:, None] - found.scores[:, :2])
    assert np.isnan(told[1][1]).all() and not np.isnan(told[1][0]).any()


def test_box_sums_are_areas_of_a_fine_picture():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 7, 7))
    regions = RegionLimits().random(np.full(20, 0.2), rng)
    points = (np.arange(700) + 0.5) / 700
    fine = np.repeat(np.repeat(maps, 100, axis=1), 100, axis=2) / 1e4
    for k, (x, y, w, h) in enumerate(regions):
        rows, columns = (points >= y) & (points < y + h), (points >= x) & (points < x + w)
        inside = fine[:, rows][:, :, columns].sum(axis=(1, 2))
        assert box_sums(maps, regions[k : k + 1])[:, 0] == pytest.approx(inside, abs=0.05)
    assert box_sums(maps, np.array([[0.0, 0.0, 1.0, 1.0]]))[:, 0] == pytest.approx(maps.sum(axis=(1, 2)))
    one = np.zeros((1, 7, 7))
    one[0, 1, 5] = 1
    cell = np.array([[5 / 7, 1 / 7, 1 / 7, 1 / 7], [1 / 7, 5 / 7, 1 / 7, 1 / 7]])
    assert box_sums(one, cell)[0] == pytest.approx([1, 0])


def test_suppression_is_greedy():
    rng = np.random.default_rng(1)
    regions = RegionLimits().random(np.full(40, 0.25), rng)
    values = rng.normal(size=(3, 40))
    found = spread_out(values, regions, 6, 0.3)
    for row in range(3):
        order, kept = np.argsort(-values[row]), []
        for index in order:
            if all(iou(regions[index], regions[other]) <= 0.3 for other in kept):
                kept.append(int(index))
        late = [int(index) for index in order if index not in kept]
        assert found[row].tolist() == (kept + late)[:6]
    assert spread_out(values, regions, 5, 1.0).tolist() == np.argsort(-values)[:, :5].tolist()
    assert len(set(spread_out(values, regions, 40, 0.05)[0])) == 40


def test_attribution_covers_what_is_shared(sint):
    maps = similarity(sint, np.array([0, 1, 0]))
    assert maps.shape == (3, 7, 7) and np.array_equal(maps[0], maps[2])
    assert maps[0][:, :3].sum() > 1.5 * maps[0][:, 4:].sum() and maps[1][:3].sum() > 1.5 * maps[1][4:].sum()
    regions = query(BASELINES["attribution"], sint).best[0]
    middle = regions[:, :2] + regions[:, 2:] / 2
    assert middle[0, 0] < 0.4 and middle[1, 1] < 0.4
    grid = sint.settings.limits.grid(0.25)
    assert box_sums(maps[:2], regions).diagonal() == pytest.approx(box_sums(maps[:2], grid).max(axis=1))


def test_attribution_asks_the_scorer_once_about_an_occluded_target(sint, monkeypatch):
    asked = []
    scores = sint.scores
    monkeypatch.setattr(sint, "scores", lambda slots, regions: asked.append(len(slots)) or scores(slots, regions))
    assert query(BASELINES["attribution"], sint).counts.tolist() == [1, 1] and asked == [2]


def test_attribution_needs_a_score_that_comes_apart(search):
    with pytest.raises(InputError, match="Spots is no SintScorer"):
        query(BASELINES["attribution"], search)


def test_the_first_few_are_spread_out(sint):
    found = query(Querying(rank_by_attribution, 5), sint)
    assert found.counts.tolist() == [5, 5]
    assert found.regions[..., 2] * found.regions[..., 3] == pytest.approx(np.full((2, 5), 0.25))
    for regions in found.regions:
        overlaps = iou(regions[:, None], regions[None])
        assert overlaps[~np.eye(5, dtype=bool)].max() <= 0.5
    longer = query(BASELINES["best of 20"], sint)
    assert np.array_equal(longer.regions[:, :5], found.regions) and longer.counts.tolist() == [20, 20]
    assert (longer.best[1] <= found.best[1]).all()


def test_a_list_is_proposed_once(search):
    regions = np.tile([0.25, 0.25, 0.5, 0.5], (3, 1))
    assert [len(list(list_regions(regions, search, np.arange(2), [], most))) for most in (2, 5)] == [1, 1]
    found = [
        Querying(partial(list_regions, regions), most).run(search, np.arange(2), []).counts for most in (2, 5)
    ]
    assert [counts.tolist() for counts in found] == [[2, 2], [3, 3]]


class Fixed(Querying):
    """Finds the regions that it is given, and counts how often it is asked."""

    def __init__(self, *regions):
        super().__init__(RandomRegions, 1)
        object.__setattr__(self, "regions", np.array(regions))
        object.__setattr__(self, "asked", [])

    def run(self, search, slots, generators):
        self.asked.append(slots.tolist())
        return Queries(self.regions[slots][:, None], np.zeros((len(slots), 1)))


def test_steering_goes_there_and_stops(search):
    goals = np.array([[0.0, 0.0, 0.5, 0.5], [0.6, 0.0, 0.4, 0.625], [0.25, 0.25, 0.5, 0.5]])
    chooser = Fixed(*goals)
    episodes = roll_out(Steering(chooser, search, np.random.default_rng(0)), search)
    assert all(episode.triggered for episode in episodes)
    assert episodes[2].actions == ("trigger",)
    for episode, goal in zip(episodes, goals, strict=True):
        assert iou(episode.last.region, goal) > 0.7
        overlaps = iou(episode.trail, goal)
        assert overlaps[-1] == overlaps.max()
    assert chooser.asked == [[0, 1, 2]]


def test_steering_nearly_reaches_what_the_method_found(search):
    regions, scores = query(BASELINES["grid"], search).best
    episodes = roll_out(Steering(BASELINES["grid"], search, np.random.default_rng(0)), search)
    gap = query(BASELINES["centre"], search).best[1] - scores
    assert (np.array([episode.best.score for episode in episodes]) <= scores + 0.35 * gap).all()


def test_steering_runs_in_the_environment_and_chooses_anew_in_each_episode():
    env = gym.make(occlusion_env.ENV_ID, targets=TargetSet.from_sequence(video([spot(0, 0), spot(2, 2)] * 3)))
    chooser = Fixed([0.5, 0.5, 0.5, 0.5])
    policy = Steering(chooser, env.unwrapped.search, np.random.default_rng(0))
    for episode in range(3):
        observation, _ = env.reset(seed=episode)
        done, count = False, 0
        while not done:
            action, _ = policy.predict(observation[None])
            observation, _, terminated, truncated, info = env.step(action[0])
            done, count = terminated or truncated, count + 1
        assert terminated and 2 < count < 20
        assert info["region"] == pytest.approx([0.5, 0.5, 0.5, 0.5], abs=0.06)
    assert chooser.asked == [[0]] * 3


def test_steering_begins_where_it_is_told_that_an_episode_begins(search):
    chooser = Fixed(*[[0.0, 0.0, 0.5, 0.5]] * 3)
    policy = Steering(chooser, search, np.random.default_rng(0))
    policy.predict(None)
    search.step(np.zeros(3, dtype=np.int64))
    policy.predict(None, episode_start=np.array([False, True, False]))
    search.targets[2] = search.targets[0]
    policy.predict(None)
    assert chooser.asked == [[0, 1, 2], [1], [2]]
