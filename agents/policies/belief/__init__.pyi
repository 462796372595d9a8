from .files import check_prior, describe_search, load_prior, prior_digest, save_prior, shipped_prior
from .fitting import FittedPrior, GridDrops, fit_prior, score_grids
from .method import BeliefSearch
from .observation import BeliefObservation, constant_region
from .predictor import DropPredictor

__all__ = [
    "BeliefObservation",
    "BeliefSearch",
    "DropPredictor",
    "FittedPrior",
    "GridDrops",
    "check_prior",
    "constant_region",
    "describe_search",
    "fit_prior",
    "load_prior",
    "prior_digest",
    "save_prior",
    "score_grids",
    "shipped_prior",
]
