"""Ways to find the region to cover: an agent's episode, or what learns nothing, behind one interface."""

from __future__ import annotations

import re
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlusion_env.search import Search
from occlusion_env.settings import SearchSettings
from tracker.backbones import FeatureExtractor
from tracker.errors import InputError

from .baselines import BASELINES, Choice, Chooser, lowest_of
from .belief.method import BeliefSearch
from .evaluation import Agent
from .rollout import Policy, Rollout, roll_out

__all__ = ["METHODS", "Acting", "Choosing", "Method", "NoFeatures", "RandomRegions", "as_method", "random_count"]

Generators = Many[np.random.Generator]


class Method(Protocol):
    """Finds a region for each of N searches that have begun.

    Attributes:
        settings: Of the searches that it needs; `None` if any will do.
        features: Of the states that it needs; `None` if any will do.
        looks: Whether it looks at the states at all.
    """

    @property
    def settings(self) -> SearchSettings | None:
        """Of the searches."""
        ...

    @property
    def features(self) -> FeatureExtractor | None:
        """Of the states."""
        ...

    @property
    def looks(self) -> bool:
        """Whether it looks at the states."""
        ...

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """Find them; what is drawn for search i comes from `generators[i]` alone."""
        ...


@dataclass(frozen=True)
class Acting:
    """An agent plays each search to its end.

    Attributes:
        agent: Acts.
    """

    agent: Agent
    looks = True

    @property
    def settings(self) -> SearchSettings | None:
        """Those that it was trained in."""
        return self.agent.settings

    @property
    def features(self) -> FeatureExtractor | None:
        """Those that it was trained with."""
        return self.agent.features

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """See `Method`; an agent draws nothing."""
        return roll_out(self.agent.policy(search), search, self.agent.observe)


@dataclass(frozen=True)
class Choosing:
    """A chooser chooses a region of the largest area; its episodes have no moves.

    Attributes:
        chooser: Chooses. One that draws is asked about one search at a time, so that a search's draws are its own.
    """

    chooser: Chooser
    settings = None
    features = None
    looks = False

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """See `Method`."""
        slots = np.arange(len(search))
        if self.chooser.draws == 1:
            return _unmoved(self.chooser.choose(search, slots, _largest(search, slots), generators[0]))
        return [
            episode
            for slot, rng in zip(slots, generators, strict=True)
            for episode in _unmoved(
                self.chooser.choose(search, slots[slot : slot + 1], _largest(search, slots[:1]), rng)
            )
        ]


@dataclass(frozen=True)
class RandomRegions:
    """Of `count` uniformly random regions of the largest area the one that hurts most, all scored in one batch.

    Attributes:
        count: How many are drawn; 1 is random occlusion.
    """

    count: int = 1
    settings = None
    features = None
    looks = False

    def __post_init__(self) -> None:
        """Refuse none.

        Raises:
            InputError: If the count is below 1.
        """
        if self.count < 1:
            raise InputError(f"The best of {self.count} regions cannot be found; draw 1 or more.")

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """See `Method`."""
        limits, slots = search.settings.limits, np.arange(len(search))
        area = np.full(self.count, limits.max_area)
        return _unmoved(lowest_of(search, slots, np.stack([limits.random(area, rng) for rng in generators])))


class NoFeatures:
    """Stands for the features where nobody looks at the states."""

    input_size = 8
    length = 1

    def __call__(self, crops: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros(len(crops), self.length, device=crops.device)


METHODS = ("belief", "random", "best of K random", *(name for name in BASELINES if name != "random"))
"""The names that `as_method` knows; K is a number."""


def random_count(name: str) -> int | None:
    """How many regions a name of random occlusion draws; `None` for another name.

    >>> random_count("random"), random_count("best-of-20-random"), random_count("centre")
    (1, 20, None)
    """
    if name == "random":
        return 1
    found = re.fullmatch(r"best of (\d+) random", _plain(name))
    return int(found[1]) if found else None


def as_method(given: Method | Agent | Chooser | Policy | str) -> Method:
    """Take any way to find a region.

    Args:
        given: A `Method`, an `Agent`, a `Chooser` of `agents.baselines`, what has the `predict` of
            Stable-Baselines3, or a name of `METHODS` (hyphens may stand for spaces).

    Raises:
        InputError: If it is none of these.
    """
    thing: Any = given
    if isinstance(thing, str):
        count, name = random_count(thing), _plain(thing)
        if count is not None:
            return RandomRegions(count)
        if name == "belief":
            return BeliefSearch()
        if name in BASELINES:
            return Choosing(BASELINES[name]())
        raise InputError(f"'{thing}' is no method; choose {', '.join(METHODS)}, or give an agent.")
    if isinstance(thing, Agent):
        return Acting(thing)
    if hasattr(thing, "find") and hasattr(thing, "looks"):
        return thing
    if hasattr(thing, "choose"):
        return Choosing(thing)
    if hasattr(thing, "predict"):
        return Acting(Agent(type(thing).__name__, lambda search: thing))
    raise InputError(
        f"{type(thing).__name__} finds no region; give a name ({', '.join(METHODS)}), a chooser, or what has a"
        " predict."
    )


def _plain(name: str) -> str:
    return name.replace("-", " ")


def _largest(search: Search, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.full(len(slots), search.settings.limits.max_area)


def _unmoved(choice: Choice) -> list[Rollout]:
    """Choices as episodes that begin where they end."""
    return [
        Rollout((), region[None], np.array([score]), False, queries=int(queries))
        for region, score, queries in zip(choice.regions, choice.scores, choice.queries, strict=True)
    ]
