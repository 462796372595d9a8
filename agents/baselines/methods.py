"""The baselines by name."""

from __future__ import annotations

from collections.abc import Callable

from tracker.scorers import Scorer, SintScorer

from .attribution import Attribution, BestOf
from .choosing import Chooser
from .climbing import HillClimbing
from .places import Cell, Centre, Exhaustive, RandomCell, RandomRegion

__all__ = ["BASELINES", "baselines_for"]

BASELINES: dict[str, Callable[[], Chooser]] = {
    "random": RandomRegion,
    "centre": Centre,
    "random cell": RandomCell,
    "cell": Cell,
    "attribution": Attribution,
    "best of 5": lambda: BestOf(5),
    "best of 20": lambda: BestOf(20),
    "hill climbing": HillClimbing,
    "exhaustive": Exhaustive,
}
"""Name to what makes the chooser, cheapest first."""

_SINT_ONLY = ("attribution", "best of 5", "best of 20")


def baselines_for(scorer: Scorer) -> dict[str, Chooser]:
    """The baselines that a matcher allows: attribution takes SINT's score apart, and no other's."""
    whole = isinstance(scorer, SintScorer)
    return {name: make() for name, make in BASELINES.items() if whole or name not in _SINT_ONLY}
