"""Comparison of agents and query methods at equal numbers of scorer queries, area cap and occluder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import binom

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import Networks
from occlusion_env.mdp.settings import SearchSettings
from occlusion_env.scene.targets import Target
from occlusion_env.search.core import Search
from occlusion_env.search.memory import region_keys
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from ..common.randomness import generator
from ..policies.baselines import Queries, Querying
from ..policies.belief.method import BeliefProposer, expect_drops
from ..policies.rollout import Agent, Rollout, roll_out
from .methods import BUDGETS, query_methods

RANDOM_DRAWS = 64
"""Random regions a target: their mean is closure 0, and their subsets give the best of k."""

_BLOCK = 8
"""Targets whose grids are scored between two reports of progress."""


@dataclass(frozen=True)
class Trial:
    """The regions that a method found on N targets.

    Attributes:
        curve: `float64[N, K]`, least score after 1 to K scorer queries; it stays at its last value beyond.
        queries: `float64[N]`, number of scorer queries until the method ended.
        regions: `float64[N, 4]`, those with the least score.
    """

    curve: NDArray[np.float64]
    queries: NDArray[np.float64]
    regions: NDArray[np.float64]

    @classmethod
    def of(cls, queries: Queries) -> Trial:
        """The trial of a method's queries."""
        return cls(queries.curve, queries.counts.astype(np.float64), queries.best[0])

    @property
    def scores(self) -> NDArray[np.float64]:
        """`float64[N]`, after the last query."""
        return self.curve[:, -1]

    def after(self, queries: int) -> NDArray[np.float64]:
        """`float64[N]`, least score after this number of scorer queries."""
        return self.curve[:, min(queries, self.curve.shape[1]) - 1]

    @property
    def area(self) -> NDArray[np.float64]:
        """`float64[N]`, as a share of the target."""
        return self.regions[:, 2] * self.regions[:, 3]


@dataclass(frozen=True)
class MethodComparison:
    """All methods on N targets.

    Attributes:
        clean: `float64[N]`, scores of the unoccluded targets.
        grid: `float64[N, R]`, scores with each region of the grid covered.
        expected: By belief: the expected drops before the first query, `float64[N, R]`.
        trials: By method: `random` (one random region, the mean of `RANDOM_DRAWS`), `best of k random`, the query
            methods, `grid search`, and the agents.
        checks: The leak checks, by name.
        episodes: By agent.
        patches: `uint8[N, 64, 64, 3]`, which covered the targets.
    """

    clean: NDArray[np.float64]
    grid: NDArray[np.float64]
    expected: dict[str, NDArray[np.float64]]
    trials: dict[str, Trial]
    checks: dict[str, Trial]
    episodes: dict[str, list[Rollout]]
    patches: NDArray[np.uint8]

    def closure(self, method: str) -> float | None:
        """Closure of a method, or of a check, after its last query."""
        found = (self.trials | self.checks)[method]
        return closure(self.trials["random"].scores, found.scores, self.trials["grid search"].scores)


def closure(random: NDArray[np.float64], method: NDArray[np.float64], grid: NDArray[np.float64]) -> float | None:
    """The share of the gap between random regions and grid search that a method closes, a ratio of means.

    Grid search is no ceiling: regions are continuous, and one between those of the grid can have a lower score.

    Args:
        random: Scores of random regions, all three with the same largest area and the same occluders.
        method: The method's scores.
        grid: Scores of the best regions of the grid.

    Returns:
        `(random - method) / (random - grid)`; `None` where the two ends coincide.

    >>> closure(np.array([0.8]), np.array([0.6]), np.array([0.4]))
    0.5
    """
    gap = float(random.mean() - grid.mean())
    return round(float(random.mean() - method.mean()) / gap, 9) if gap > 1e-9 else None


def best_of_k(scores: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Expected least score of 1 to `most` scores drawn without replacement, over all subsets of each row.

    Args:
        scores: `float64[N, D]`.
        most: At most D.

    Returns:
        `float64[N, most]`.

    >>> best_of_k(np.array([[3.0, 1.0, 2.0]]), 3).round(6).tolist()
    [[2.0, 1.333333, 1.0]]
    """
    count = scores.shape[1]
    k, larger = np.arange(1, most + 1)[:, None], np.arange(count - 1, -1, -1)[None]
    # The i-th smallest is the least of a subset if the other k - 1 are among the larger ones.
    weights = binom(larger, k - 1) / binom(count, k)
    return np.sort(scores, axis=1) @ weights.T


def episode_queries(episodes: Many[Rollout]) -> Queries:
    """The scorer queries of N episodes: the regions of each trail, the start first, each at its first visit."""
    firsts = [np.sort(np.unique(episode.trail.round(9), axis=0, return_index=True)[1]) for episode in episodes]
    length = max(len(first) for first in firsts)
    regions, scores = np.full((len(episodes), length, 4), np.nan), np.full((len(episodes), length), np.nan)
    for row, (episode, first) in enumerate(zip(episodes, firsts, strict=True)):
        regions[row, : len(first)], scores[row, : len(first)] = episode.trail[first], episode.scores[first]
    return Queries(regions, scores)


class _StoredScores(Search):
    """Searches whose `scores` computes each score once."""

    def __init__(self, count: int, scorer: Scorer, features: FeatureExtractor, settings: SearchSettings) -> None:
        super().__init__(count, scorer, features, settings)
        self._stored: dict[tuple[int, bytes], float] = {}

    def scores(self, slots: NDArray[np.int64], regions: NDArray[np.float64]) -> NDArray[np.float64]:
        """`Search.scores`, from the stored scores where there are."""
        keys = list(zip(slots.tolist(), region_keys(regions), strict=True))
        new = [i for i, key in enumerate(keys) if key not in self._stored]
        if new:
            found = super().scores(slots[new], regions[new]).tolist()
            self._stored.update(zip([keys[i] for i in new], found, strict=True))
        return np.array([self._stored[key] for key in keys])


def _score_grid(search: Search, grid: NDArray[np.float64], done: Callable[[int], object]) -> NDArray[np.float64]:
    """The scores of each target with each region of the grid covered, `float64[N, R]`."""
    scores = np.empty((len(search), len(grid)))
    for low in range(0, len(search), _BLOCK):
        block = np.arange(low, min(low + _BLOCK, len(search)))
        scores[block] = search.scores(np.repeat(block, len(grid)), np.tile(grid, (len(block), 1))).reshape(
            len(block), -1
        )
        done(len(block))
    return scores


def compare(
    networks: Networks,
    targets: Many[Target],
    agents: Many[Agent] = (),
    checks: Many[Agent] = (),
    methods: Mapping[str, Querying] | None = None,
    seed: int = 0,
    key: str = "",
    done: Callable[[int], object] = lambda targets: None,
    arguments: SearchArguments | None = None,
) -> MethodComparison:
    """Run every method on every target, at equal area cap and with the same occluders.

    A scorer query is the scoring of one occluded target. The score of the unoccluded target is known to every
    method and not counted. A score is computed once, and counted for each of the methods that query it.

    Args:
        networks: The matcher that scores the regions of all methods, and the state features of agents that were
            trained with no others (`load_networks`).
        targets: N targets, all in memory.
        agents: The policies.
        checks: Policies without information, which should be worse; see `leaks`.
        methods: The query methods by name; `query_methods` of the matcher if `None`.
        seed: Seed of the patches and of all other draws.
        key: Name of the sequence; seeds the draws too, so that they differ between sequences.
        done: Called with the number of targets whose grid has been scored.
        arguments: Of the search, the defaults if `None`: its largest area is that of all query methods, and no
            agent may cover more; its occluder covers the regions.

    Raises:
        InputError: If an agent may cover more than the comparison's largest area.
    """
    arguments = arguments or SearchArguments()
    settings, scorer, features = arguments.settings, networks.scorer, networks.features
    cap = settings.limits.max_area
    for agent in (*agents, *checks):
        own_cap = cap if agent.settings is None else agent.settings.limits.max_area
        if own_cap > cap + 1e-9:
            raise InputError(
                f"The agent '{agent.name}' covers up to {own_cap:g} of a target, and the comparison allows"
                f" {cap:g}; give them the same max_area."
            )
    count = len(targets)
    search, slots = _StoredScores(count, scorer, features, settings), np.arange(count)
    search.begin_random(targets, generator(seed, key, "patches"), arguments.occluder, drop=0.0)
    patches, clean = search.patches(), search.clean_score.copy()

    def play(agent: Agent) -> tuple[list[Rollout], Trial]:
        own = Search(count, scorer, agent.features or features, agent.settings or settings)
        own.begin(slots, targets, list(patches), drop=0.0)
        episodes = roll_out(agent.policy(own), own, agent.observe)
        return episodes, Trial.of(episode_queries(episodes))

    grid = settings.limits.grid(cap)
    on_grid = _score_grid(search, grid, done)
    trials = _random_trials(search, generator(seed, key, "random"))
    methods = query_methods(scorer) if methods is None else methods
    for name, method in methods.items():
        trials[name] = Trial.of(method.run(search, slots, generator(seed, key, name).spawn(count)))
    trials["grid search"] = Trial(
        on_grid.min(axis=1, keepdims=True), np.full(count, float(len(grid))), grid[on_grid.argmin(axis=1)]
    )
    played = {agent.name: play(agent) for agent in agents}
    return MethodComparison(
        clean,
        on_grid,
        {
            name: expect_drops(method.proposer.fitted, search, slots)
            for name, method in methods.items()
            if isinstance(method.proposer, BeliefProposer)
        },
        trials | {name: trial for name, (_, trial) in played.items()},
        {agent.name: play(agent)[1] for agent in checks},
        {name: episodes for name, (episodes, _) in played.items()},
        patches,
    )


def _random_trials(search: Search, rng: np.random.Generator) -> dict[str, Trial]:
    """One random region, and the best of 1 to 50, in expectation over `RANDOM_DRAWS` regions a target."""
    count, limits = len(search), search.settings.limits
    drawn = limits.random(np.full(count * RANDOM_DRAWS, limits.max_area), rng)
    scores = search.scores(np.repeat(np.arange(count), RANDOM_DRAWS), drawn).reshape(count, -1)
    regions, most = drawn.reshape(count, -1, 4), min(BUDGETS[-1], RANDOM_DRAWS)
    best = regions[np.arange(count), scores[:, :most].argmin(axis=1)]
    return {
        "random": Trial(scores.mean(axis=1, keepdims=True), np.ones(count), regions[:, 0]),
        "best of k random": Trial(best_of_k(scores, most), np.full(count, most, dtype=np.float64), best),
    }
