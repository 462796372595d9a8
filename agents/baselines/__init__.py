"""Baselines: ways to choose where to occlude that learn nothing."""

from .attribution import Attribution, BestOf, box_sums, similarity, spread_out
from .choosing import Choice, Chooser, by_area, lowest_of
from .climbing import HillClimbing
from .methods import BASELINES, baselines_for
from .places import Cell, Centre, Exhaustive, RandomCell, RandomRegion
from .steering import Steering

__all__ = [
    "BASELINES",
    "Attribution",
    "BestOf",
    "Cell",
    "Centre",
    "Choice",
    "Chooser",
    "Exhaustive",
    "HillClimbing",
    "RandomCell",
    "RandomRegion",
    "Steering",
    "baselines_for",
    "box_sums",
    "by_area",
    "lowest_of",
    "similarity",
    "spread_out",
]
