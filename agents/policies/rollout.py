"""Policies and agents, and running one over a batch of searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import ACTIONS, TRIGGER
from occlusion_env.mdp.settings import SearchSettings
from occlusion_env.search.core import Search
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor

from ..training.environment import TrainingEnvironment

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
    """A policy and the environment that it was trained in; a `Method` that plays each search to its end.

    Attributes:
        name: Names its rows in tables.
        policy: Makes the policy for a search; most policies are the same for all.
        settings: Of the search that it was trained in; the comparison's own if `None`.
        features: Of the state that it was trained with; the comparison's own if `None`.
        trained: The environment that it was trained in; `None` if unknown.
        observe: Maps N searches to the observations that its `predict` takes.
    """

    name: str
    policy: Callable[[Search], Policy]
    settings: SearchSettings | None = None
    features: FeatureExtractor | None = None
    trained: TrainingEnvironment | None = None
    observe: Callable[[Search], Any] = Search.observe
    looks = True

    def find(self, search: Search, generators: Many[np.random.Generator] = ()) -> list[Rollout]:
        """Play N searches that have begun to their ends; nothing is drawn."""
        return roll_out(self.policy(search), search, self.observe)


class Masked:
    """MaskablePPO in a search: its actions are masked where a move would not change the region, as in training.

    Args:
        model: A `MaskablePPO`.
        search: Where it acts.
    """

    def __init__(self, model: Any, search: Search) -> None:
        self.model = model
        self.search = search

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[Any], Any]:
        """`Policy.predict`, among the actions that are not masked."""
        masks = self.search.action_masks()
        return self.model.predict(observation, state, episode_start, deterministic, action_masks=masks)


@dataclass(frozen=True)
class LoadedPolicy:
    """A trained policy, and the environment that it was trained in.

    Attributes:
        name: Of the agent: `pretrained`, the stem of its file, or algorithm, run and file.
        algo: One of `agents.dqn.algorithms.ALGORITHMS`.
        policy: Chooses actions (`predict`), on the observations of its training.
        environment: Of the training; `None` where neither a card nor a run records it.
        source: Where it was loaded from, for messages.
        card: The contents of the card of a safetensors file.
    """

    name: str
    algo: str
    policy: Any
    environment: TrainingEnvironment | None
    source: str
    card: dict[str, Any] = field(default_factory=dict)

    def agent(self, device: str = "auto", weights: Mapping[str, str | None] | None = None) -> Agent:
        """Make an agent that acts with the features and in the search of its training.

        Args:
            device: Where the features run.
            weights: Files of weights by network, such as `{"vgg16": FILE}`, where that of the state's network is
                no longer where it was in training.

        Raises:
            InputError: If the weights of the state's network are others than in training.
        """
        trained = self.environment
        if trained is None:
            return Agent(self.name, self.in_search)
        file = (weights or {}).get(trained.arguments.features)
        features = trained.load_features(device, file)
        return Agent(self.name, self.in_search, trained.arguments.settings, features, trained)

    def in_search(self, search: Search) -> Policy:
        """The policy in a search.

        Raises:
            InputError: If the search's observations are others than in training.
        """
        if self.environment is not None:
            self.environment.check(search, f"The agent '{self.source}'")
        wanted, given = self.policy.observation_space, search.observation.space
        if wanted.shape != given.shape or type(wanted) is not type(given):
            raise InputError(
                f"The agent '{self.source}' observes {_describe_space(wanted)} and this search shows"
                f" {_describe_space(given)}; give the features, weights and settings that it was trained with."
            )
        return Masked(self.policy, search) if self.algo == "ppo_mask" else self.policy


class Answer(NamedTuple):
    """The region that a search is taken to have found.

    Attributes:
        region: `float64[4]`, relative to the target.
        score: With it occluded.
        queries: Scorer queries that it took.
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
    def last(self) -> Answer:
        """The region where the search ended, at one scorer query."""
        return Answer(self.trail[-1], float(self.scores[-1]), self.queries or 1)

    @property
    def best(self) -> Answer:
        """The region of the trail with the lowest score; each region that was visited is one scorer query."""
        lowest = int(self.scores.argmin())
        visited = self.queries or len(np.unique(self.trail.round(9), axis=0))
        return Answer(self.trail[lowest], float(self.scores[lowest]), visited)

    @property
    def reversals(self) -> int:
        """Moves that undo the move before."""
        return sum(
            _OPPOSITE.get(move) == before for before, move in zip(self.actions, self.actions[1:], strict=False)
        )


def roll_out(policy: Policy, search: Search, observe: Callable[[Search], Any] = Search.observe) -> list[Rollout]:
    """Let a policy finish every search that has begun, greedily.

    Args:
        policy: Chooses the actions.
        search: N searches; a finished one waits at its last region.
        observe: Maps the searches to the observations that the policy takes.

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


def _describe_space(space: Any) -> str:
    return f"{type(space).__name__}{list(space.shape or ())}"
