"""The belief over regions: learned from grid search on training targets, and used to search with few queries.

`occlusion_env.search.belief` holds the mathematics. Here a prior is fitted to a matcher (`fit_prior`), stored
(`files`), and used as a search method (`BeliefSearch`) and as the state of an agent (`BeliefObservation`).

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .files import check_prior, describe_search, load_prior, prior_digest, save_prior, shipped_prior
    from .fitting import FittedPrior, GridDrops, fit_prior, score_grids
    from .method import BeliefSearch
    from .observation import BeliefObservation
    from .predictor import DropPredictor

__all__ = [
    "BeliefObservation",
    "BeliefSearch",
    "DropPredictor",
    "FittedPrior",
    "GridDrops",
    "check_prior",
    "describe_search",
    "fit_prior",
    "load_prior",
    "prior_digest",
    "save_prior",
    "score_grids",
    "shipped_prior",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["check_prior", "describe_search", "load_prior", "prior_digest", "save_prior", "shipped_prior"],
        "fitting": ["FittedPrior", "GridDrops", "fit_prior", "score_grids"],
        "method": ["BeliefSearch"],
        "observation": ["BeliefObservation"],
        "predictor": ["DropPredictor"],
    },
)
