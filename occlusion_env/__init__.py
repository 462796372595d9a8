"""The search for the occlusion that hurts a matcher most, as a Gymnasium environment (HPTN, section 4.2).

Importing this package registers `OcclusionSearch-v0` (where to occlude), `BackgroundSearch-v0` (with what) and
`OcclusionSearchOracle-v0` (where, with a known best answer). It imports no torch, so that listing ids is cheap;
what needs torch is imported on first use.
"""

import lazy_loader

from .envs.registration import register_environments

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_environments()
