"""Methods by name: `as_method` takes a name, an agent, a policy or a method."""

from __future__ import annotations

import re
from typing import Any, Protocol

import torch
from torch import Tensor

from occlusion_env.mdp.settings import SearchSettings
from occlusion_env.search.core import Search
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor

from .baselines import BASELINES, Generators, Querying, RandomRegions, rank_by_contrast
from .belief.method import BeliefSearch
from .rollout import Agent, Policy, Rollout


class Method(Protocol):
    """Finds a region for each of N searches that have begun: an `Agent`, a `Querying`, or a `BeliefSearch`."""

    @property
    def settings(self) -> SearchSettings | None:
        """Of the searches; `None` if any will do."""
        ...

    @property
    def features(self) -> FeatureExtractor | None:
        """Of the states; `None` if any will do."""
        ...

    @property
    def looks(self) -> bool:
        """Whether it observes the states."""
        ...

    def find(self, search: Search, generators: Generators) -> list[Rollout]:
        """Find the regions; what is drawn for search i comes from `generators[i]` alone."""
        ...


class NoFeatures:
    """Placeholder feature extractor for searches whose states are not observed."""

    input_size = 8
    length = 1

    def __call__(self, crops: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros(len(crops), self.length, device=crops.device)


METHODS = ("belief", "random", "best of K random", *(name for name in BASELINES if name != "random"))
"""The names that `as_method` knows; K is a number."""

PATCH_METHODS = ("contrast", "random", "best of K random")
"""The names that `as_patch_method` knows; K is a number."""

PATCH_QUERIES = 3
"""Scorer queries of `contrast` a target. On training videos ten queries lower the score most where three to five
of them are of the patch."""

_FORMER_NAMES = {"exhaustive": "grid"}
"""Names of earlier versions."""


def random_count(name: str) -> int | None:
    """How many regions a name of random occlusion draws; `None` for another name.

    >>> random_count("random"), random_count("best-of-20-random"), random_count("centre")
    (1, 20, None)
    """
    if name == "random":
        return 1
    found = re.fullmatch(r"best of (\d+) random", _current(name))
    return int(found[1]) if found else None


def is_method(name: str) -> bool:
    """Whether a name is one of `METHODS`; hyphens may stand for spaces.

    >>> is_method("hill-climbing"), is_method("pretrained")
    (True, False)
    """
    return _current(name) in METHODS or random_count(name) is not None


def is_patch_method(name: str) -> bool:
    """Whether a name is one of `PATCH_METHODS`; hyphens may stand for spaces."""
    return name == "contrast" or random_count(name) is not None


def as_method(given: Method | Agent | Policy | str) -> Method:
    """Take any way to find a region.

    Args:
        given: A `Method` (such as `Querying(proposer, queries)` for a query method of your own), an `Agent`, what
            has the `predict` of Stable-Baselines3, or a name of `METHODS` (hyphens may stand for spaces).

    Raises:
        InputError: If it is none of these.
    """
    thing: Any = given
    if isinstance(thing, str):
        count, name = random_count(thing), _current(thing)
        if count is not None:
            return Querying(RandomRegions, count)
        if name == "belief":
            return BeliefSearch()
        if name in BASELINES:
            return BASELINES[name]
        raise InputError(f"'{thing}' is no method; choose {', '.join(METHODS)}, or give an agent.")
    if hasattr(thing, "find") and hasattr(thing, "looks"):
        return thing
    if hasattr(thing, "predict"):
        return Agent(type(thing).__name__, lambda search: thing)
    raise InputError(
        f"{type(thing).__name__} finds no region; give a name ({', '.join(METHODS)}), a method, or what has a"
        " predict."
    )


def as_patch_method(given: Method | Agent | Policy | str) -> Method:
    """Take any way to find the patch of the second search.

    Args:
        given: A name of `PATCH_METHODS` (hyphens may stand for spaces), or what `as_method` takes; both search a
            `BackgroundSearch`.

    Raises:
        InputError: If it is none of these.
    """
    if not isinstance(given, str):
        return as_method(given)
    if (count := random_count(given)) is not None:
        return Querying(RandomRegions, count)
    if given == "contrast":
        return Querying(rank_by_contrast, PATCH_QUERIES)
    raise InputError(f"'{given}' finds no patch; choose {', '.join(PATCH_METHODS)}, or give an agent.")


def _current(name: str) -> str:
    """The present name, with spaces for hyphens."""
    plain = name.replace("-", " ")
    return _FORMER_NAMES.get(plain, plain)
