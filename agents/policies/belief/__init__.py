"""The belief over regions: learned from grid search on training targets, and used to search with few queries.

`occlusion_env.search.belief` holds the mathematics. Here a prior is fitted to a matcher (`fit_prior`), stored
(`files`), and used as a search method (`BeliefSearch`) and as the state of an agent (`BeliefObservation`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
