"""Comparison of agents with baselines that learn nothing, at equal area and with the same patch."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from occlusion_env.arguments import SearchArguments
from occlusion_env.building import load_networks
from occlusion_env.search import Search
from occlusion_env.settings import SearchSettings
from occlusion_env.targets import Target
from tracker.backbones import FeatureExtractor
from tracker.scorers import Scorer

from .baselines import Chooser, Exhaustive, RandomRegion, baselines_for, by_area
from .rollout import Answer, Observe, Policy, Rollout, begin_all, roll_out
from .training_environment import TrainingEnvironment

__all__ = ["Agent", "Comparison", "Setup", "Trial", "closure", "compare", "generator"]

_BLOCK = 8


@dataclass(frozen=True)
class Setup:
    """What a comparison is made with.

    Attributes:
        scorer: The matcher that all methods are judged by.
        features: What the state is made of.
        settings: Of the search.
        occluder: What covers the region, see `occlusion_env.occluders.OCCLUDERS`.
    """

    scorer: Scorer
    features: FeatureExtractor
    settings: SearchSettings = field(default_factory=SearchSettings)
    occluder: str = "background"

    @classmethod
    def load(cls, arguments: SearchArguments) -> Setup:
        """What an environment with these arguments works with; its targets and phi do not matter here.

        Raises:
            InputError: If a network is unknown or cannot be loaded.
        """
        networks = load_networks(arguments)
        return cls(networks.scorer, networks.features, arguments.settings, arguments.occluder)

    def search(self, count: int, agent: Agent | None = None) -> Search:
        """N searches, for an agent as it was trained; all are judged by the same matcher."""
        features = agent.features if agent is not None else None
        settings = agent.settings if agent is not None else None
        return Search(count, self.scorer, features or self.features, settings or self.settings)


@dataclass(frozen=True)
class Agent:
    """A policy to judge.

    Attributes:
        name: What its rows are called.
        policy: Makes the policy for a search; most policies are the same for all.
        settings: Of the search that it was trained in; the comparison's own if `None`.
        features: Of the state that it was trained with; the comparison's own if `None`.
        trained: The environment that it was trained in; `None` if unknown.
        observe: What it is shown.
        answers: Which of its regions are judged, see `Rollout`; the first one under its name, another under
            `NAME (last)`.
    """

    name: str
    policy: Callable[[Search], Policy]
    settings: SearchSettings | None = None
    features: FeatureExtractor | None = None
    trained: TrainingEnvironment | None = None
    observe: Observe = Search.observe
    answers: tuple[Literal["best", "last"], ...] = ("best", "last")

    @property
    def rows(self) -> dict[str, str]:
        """The names of what is judged, and the answer that each is."""
        return {
            f"{self.name} ({answer})" if place else self.name: answer for place, answer in enumerate(self.answers)
        }


@dataclass(frozen=True)
class Trial:
    """What a method found on N targets, and the two ends of the scale at the area of its own regions.

    Attributes:
        regions: `float64[N, 4]`.
        scores: `float64[N]`; of a method that draws, the mean over its draws.
        queries: `float64[N]`, how often the scorer was asked, the question for `scores` included.
        random: `float64[N]`, mean score of random regions of the same area, under the same patch.
        exhaustive: `float64[N]`, the least score of all candidates of that area.
        seconds: Wall time a target.
    """

    regions: NDArray[np.float64]
    scores: NDArray[np.float64]
    queries: NDArray[np.float64]
    random: NDArray[np.float64]
    exhaustive: NDArray[np.float64]
    seconds: float

    @property
    def area(self) -> NDArray[np.float64]:
        """`float64[N]`, as a share of the target."""
        return self.regions[:, 2] * self.regions[:, 3]

    @property
    def closure(self) -> float | None:
        """See `closure`."""
        return closure(self.random, self.scores, self.exhaustive)


@dataclass(frozen=True)
class Comparison:
    """All methods on N targets.

    Attributes:
        clean: `float64[N]`, scores of the unoccluded targets.
        trials: By method: the baselines, then the agents' `rows`.
        checks: What should do worse than an agent, by name.
        episodes: Of each agent.
        patches: `uint8[N, 64, 64, 3]`, what covered the targets.
    """

    clean: NDArray[np.float64]
    trials: dict[str, Trial]
    checks: dict[str, Trial]
    episodes: dict[str, list[Rollout]]
    patches: NDArray[np.uint8]


def closure(
    random: NDArray[np.float64], method: NDArray[np.float64], exhaustive: NDArray[np.float64]
) -> float | None:
    """How much of the gap between random and exhaustive a method closes, from the means.

    Args:
        random: Scores of random regions.
        method: Of the method's.
        exhaustive: Of the best ones, all three at equal area.

    Returns:
        `(random - method) / (random - exhaustive)`; `None` where the two ends coincide.

    >>> closure(np.array([0.8]), np.array([0.6]), np.array([0.4]))
    0.5
    """
    gap = float(random.mean() - exhaustive.mean())
    return round(float(random.mean() - method.mean()) / gap, 9) if gap > 1e-9 else None


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """A generator for one purpose: what is drawn for one is the same whatever else is drawn."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in purpose)])


def compare(
    setup: Setup,
    targets: Many[Target],
    agents: Many[Agent] = (),
    checks: Many[Agent] = (),
    baselines: Mapping[str, Chooser] | None = None,
    seed: int = 0,
    key: str = "",
    done: Callable[[int], object] = lambda targets: None,
) -> Comparison:
    """Let every method choose a region for every target, and say what came of it.

    The baselines' regions have the area of the first agent's (of its first answer), or the largest area where
    there is no agent. Each method is measured against random regions and exhaustive search at the area of its own.

    Args:
        setup: The matcher, the features, the search.
        targets: N targets; they are all in memory.
        agents: The policies to judge.
        checks: Policies that must do worse, see `leaks`.
        baselines: By name; `baselines_for` the matcher if `None`. `random` and `exhaustive` are always there.
        seed: Of the patches and of everything else that is drawn.
        key: Goes into the draws too, so that each sequence has its own: its name.
        done: Called with the number of targets for which exhaustive search has ended.
    """
    search, slots = setup.search(len(targets)), np.arange(len(targets))
    begin_all(search, targets, generator(seed, key, "patches"), 0.0, setup.occluder)
    patches, clean = search.patches(), search.clean_score.copy()

    def run(agent: Agent) -> tuple[list[Rollout], float]:
        own = setup.search(len(targets), agent)
        own.begin(slots, targets, list(patches), drop=0.0)
        start = time.perf_counter()
        episodes = roll_out(agent.policy(own), own, agent.observe)
        return episodes, (time.perf_counter() - start) / len(targets)

    ran = {agent.name: run(agent) for agent in agents}
    area = np.full(len(targets), setup.settings.limits.max_area)
    if agents:
        area = _area_of(_answers(ran[agents[0].name][0], agents[0].answers[0]))
    ends = _Ends(search, seed, key)
    first = ends.at(area, done)

    trials = {"random": first.random_trial()}
    chosen = baselines_for(setup.scorer) if baselines is None else baselines
    for name, chooser in chosen.items():
        if name in ("random", "exhaustive"):
            continue
        rows = np.repeat(slots, chooser.draws)
        start = time.perf_counter()
        choice = chooser.choose(search, rows, area[rows], generator(seed, key, name))
        seconds = (time.perf_counter() - start) / len(rows)
        trials[name] = Trial(
            choice.regions[:: chooser.draws],
            choice.scores.reshape(-1, chooser.draws).mean(axis=1),
            choice.queries.reshape(-1, chooser.draws).mean(axis=1),
            first.random,
            first.exhaustive,
            seconds,
        )
    trials["exhaustive"] = first.exhaustive_trial()

    def judged(agent: Agent, episodes: list[Rollout], seconds: float) -> dict[str, Trial]:
        return {name: ends.trial(_answers(episodes, answer), seconds) for name, answer in agent.rows.items()}

    for agent in agents:
        trials |= judged(agent, *ran[agent.name])
    checked: dict[str, Trial] = {}
    for agent in checks:
        checked |= judged(agent, *run(agent))
    return Comparison(clean, trials, checked, {name: episodes for name, (episodes, _) in ran.items()}, patches)


def _answers(episodes: list[Rollout], answer: str) -> list[Answer]:
    return [getattr(episode, answer) for episode in episodes]


def _area_of(answers: Many[Answer]) -> NDArray[np.float64]:
    return np.array([answer.region[2] * answer.region[3] for answer in answers])


@dataclass(frozen=True)
class _EndsAt:
    """Random regions and exhaustive search for N targets at one area each."""

    random: NDArray[np.float64]
    exhaustive: NDArray[np.float64]
    random_regions: NDArray[np.float64]
    regions: NDArray[np.float64]
    queries: NDArray[np.float64]
    seconds: tuple[float, float]

    def random_trial(self) -> Trial:
        once = np.ones(len(self.random))
        return Trial(self.random_regions, self.random, once, self.random, self.exhaustive, self.seconds[0])

    def exhaustive_trial(self) -> Trial:
        return Trial(self.regions, self.exhaustive, self.queries, self.random, self.exhaustive, self.seconds[1])


class _Ends:
    """The two ends of the scale at any area; what was computed once is kept."""

    def __init__(self, search: Search, seed: int, key: str) -> None:
        self._search = search
        self._seed, self._key = seed, key
        self._known: dict[tuple[int, float], tuple[float, float, NDArray[np.float64], NDArray[np.float64], int]]
        self._known = {}

    def trial(self, answers: Many[Answer], seconds: float) -> Trial:
        found = self.at(_area_of(answers))
        return Trial(
            np.stack([answer.region for answer in answers]),
            np.array([answer.score for answer in answers]),
            np.array([answer.queries for answer in answers], dtype=np.float64),
            found.random,
            found.exhaustive,
            seconds,
        )

    def at(self, area: NDArray[np.float64], done: Callable[[int], object] = lambda targets: None) -> _EndsAt:
        spent = np.zeros(2)
        for size, rows in by_area(area):
            missing = np.array([row for row in rows if (int(row), size) not in self._known], dtype=np.int64)
            if len(missing):
                spent += self._fill(missing, size, done)
        found = [self._known[slot, float(size)] for slot, size in enumerate(area.round(9))]
        random, least, random_regions, regions, queries = zip(*found, strict=True)
        return _EndsAt(
            np.array(random), np.array(least), np.stack(random_regions), np.stack(regions),
            np.array(queries, dtype=np.float64), (float(spent[0]) / len(area), float(spent[1]) / len(area)),
        )  # fmt: skip

    def _fill(self, slots: NDArray[np.int64], area: float, done: Callable[[int], object]) -> NDArray[np.float64]:
        search, limits = self._search, self._search.settings.limits
        rng = generator(self._seed, self._key, "random", f"{area:.9f}")
        drawn = limits.random(np.full(len(search) * RandomRegion.draws, area), rng)
        drawn = drawn.reshape(len(search), RandomRegion.draws, 4)[slots]
        start = time.perf_counter()
        chance = search.scores(np.repeat(slots, RandomRegion.draws), drawn.reshape(-1, 4)).reshape(len(slots), -1)
        middle = time.perf_counter()
        for low in range(0, len(slots), _BLOCK):
            block = slots[low : low + _BLOCK]
            best = Exhaustive().choose(search, block, np.full(len(block), area), rng)
            for row, slot in enumerate(block):
                self._known[int(slot), area] = (
                    float(chance[low + row].mean()), float(best.scores[row]), drawn[low + row, 0],
                    best.regions[row], int(best.queries[row]),
                )  # fmt: skip
            done(len(block))
        return np.array([(middle - start) / RandomRegion.draws, time.perf_counter() - middle])
