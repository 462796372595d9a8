"""The search for the hardest occlusion of a target, as Gymnasium environments (HPTN, section 4.2).

Importing this package registers `OcclusionSearch-v0` (the region to occlude), `BackgroundSearch-v0` (the patch)
and `OcclusionSearchOracle-v0` (the region, with a known optimum). It imports no torch, so that listing ids is
cheap; classes that need torch are imported on first use.
"""

import lazy_loader

from .envs.registration import register_environments

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_environments()
