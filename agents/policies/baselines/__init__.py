"""Baselines: query methods that learn nothing."""

from .attribution import rank_by_attribution, rank_grid
from .contrast import rank_by_contrast
from .methods import BASELINES, HillClimbing, RandomRegions, list_cells, list_grid, list_regions
from .proposing import Generators, Proposals, Proposer, Queries, Querying
from .steering import Steering

__all__ = [
    "BASELINES",
    "Generators",
    "HillClimbing",
    "Proposals",
    "Proposer",
    "Queries",
    "Querying",
    "RandomRegions",
    "Steering",
    "list_cells",
    "list_grid",
    "list_regions",
    "rank_by_attribution",
    "rank_by_contrast",
    "rank_grid",
]
