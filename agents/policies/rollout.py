"""Running a policy over many searches at once."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import ACTIONS, TRIGGER
from occlusion_env.mdp.settings import SearchSettings
from occlusion_env.scene.occluders import choose_occluder
from occlusion_env.scene.targets import Target, TargetSet
from occlusion_env.search.core import Search
from tracker.models.backbones import FeatureExtractor

from ..training.environment import TrainingEnvironment

__all__ = ["Agent", "Answer", "Observe", "Policy", "Rollout", "begin_all", "roll_out"]

Observe = Callable[[Search], Any]
"""What a policy is shown of N searches: its observations, as its `predict` takes them."""


_PAIRS = (("right", "left"), ("up", "down"), ("bigger", "smaller"), ("fatter", "taller"))
_OPPOSITE = {**dict(_PAIRS), **{second: first for first, second in _PAIRS}}


class Policy(Protocol):
    """What Stable-Baselines3's algorithms offer."""

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Observations of N searches to actions `int[N]`, and the state of a recurrent policy."""
        ...


@dataclass(frozen=True)
class Agent:
    """A policy to judge.

    Attributes:
        name: Of its rows.
        policy: Makes the policy for a search; most policies are the same for all.
        settings: Of the search that it was trained in; the comparison's own if `None`.
        features: Of the state that it was trained with; the comparison's own if `None`.
        trained: The environment that it was trained in; `None` if unknown.
        observe: What it is shown.
    """

    name: str
    policy: Callable[[Search], Policy]
    settings: SearchSettings | None = None
    features: FeatureExtractor | None = None
    trained: TrainingEnvironment | None = None
    observe: Observe = Search.observe


class Answer(NamedTuple):
    """The region that a search is taken to have found.

    Attributes:
        region: `float64[4]`, relative to the target.
        score: With it occluded.
        queries: How often the scorer had to be asked to know that.
    """

    region: NDArray[np.float64]
    score: float
    queries: int


@dataclass(frozen=True)
class Rollout:
    """One finished episode.

    Attributes:
        actions: Names, in order.
        trail: Every region, the first one included, `float64[steps + 1, 4]`.
        scores: The score under each of them.
        triggered: Whether the agent ended it itself.
        queries: Scorer queries of a method that lists its answer alone; `None` counts the regions of the trail.
    """

    actions: tuple[str, ...]
    trail: NDArray[np.float64]
    scores: NDArray[np.float64]
    triggered: bool
    queries: int | None = None

    @property
    def region(self) -> NDArray[np.float64]:
        """Where the search ended."""
        return self.trail[-1]

    @property
    def last(self) -> Answer:
        """Where the search ended; the scorer is asked once, to know what came of it."""
        return Answer(self.trail[-1], float(self.scores[-1]), self.queries or 1)

    @property
    def best(self) -> Answer:
        """The region of the trail that hurts most: the scorer is asked about each region that was visited."""
        lowest = int(self.scores.argmin())
        visited = self.queries or len(np.unique(self.trail.round(9), axis=0))
        return Answer(self.trail[lowest], float(self.scores[lowest]), visited)

    @property
    def reversals(self) -> int:
        """Moves that undo the move before."""
        return sum(
            _OPPOSITE.get(move) == before for before, move in zip(self.actions, self.actions[1:], strict=False)
        )


def begin_all(
    search: Search,
    targets: Many[Target],
    rng: np.random.Generator,
    drop: float,
    occluder: str = "background",
    others: TargetSet | None = None,
) -> list[NDArray[np.float64] | None]:
    """Start one search a target, each with a patch of its own.

    Args:
        search: As many searches as there are targets.
        targets: The targets.
        rng: Where the patches are drawn from.
        drop: See `Search.begin`.
        occluder: What the patches are, see `occlusion_env.scene.occluders.OCCLUDERS`.
        others: Targets that the occluder `cutout` is taken from.

    Returns:
        Each patch's box in its frame, `None` where it was not cut out of it.
    """
    share = search.settings.limits.max_area
    chosen = [choose_occluder(occluder, target, share, rng, others) for target in targets]
    patches = [each.patch(target, others) for each, target in zip(chosen, targets, strict=True)]
    search.begin(np.arange(len(targets)), targets, patches, drop=drop)
    return [None if each.box is None else np.array(each.box) for each in chosen]


def roll_out(policy: Policy, search: Search, observe: Observe = Search.observe) -> list[Rollout]:
    """Let a policy finish every search that has begun, greedily.

    Args:
        policy: Chooses the actions.
        search: N searches; a finished one waits at its last region.
        observe: What the policy is shown.

    Returns:
        N episodes.
    """
    count = len(search)
    running = np.ones(count, dtype=bool)
    triggered = np.zeros(count, dtype=bool)
    actions: list[list[str]] = [[] for _ in range(count)]
    regions, scores = [search.region.copy()], [search.score.copy()]
    state, starts = None, np.ones(count, dtype=bool)
    while running.any():
        chosen, state = policy.predict(observe(search), state=state, episode_start=starts, deterministic=True)
        starts = np.zeros(count, dtype=bool)
        chosen = np.where(running, np.asarray(chosen).reshape(count), TRIGGER)
        for slot in np.flatnonzero(running):
            actions[slot].append(ACTIONS[chosen[slot]])
        step = search.step(chosen)
        triggered |= running & step.terminated
        running &= ~(step.terminated | step.truncated)
        regions.append(search.region.copy())
        scores.append(search.score.copy())
    trails, curves = np.stack(regions, axis=1), np.stack(scores, axis=1)
    return [
        Rollout(
            tuple(actions[slot]),
            trails[slot, : len(actions[slot]) + 1],
            curves[slot, : len(actions[slot]) + 1],
            bool(triggered[slot]),
        )
        for slot in range(count)
    ]
