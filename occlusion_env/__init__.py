"""The search for the hardest occlusion of a target, as Gymnasium environments (HPTN, section 4.2).

Importing this package registers `OcclusionSearch-v0` (the region to occlude), `BackgroundSearch-v0` (the patch)
and `OcclusionSearchOracle-v0` (the region, with a known optimum). It imports no torch, so that listing ids is
cheap; classes that need torch are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader
from gymnasium.envs.registration import register, registry

from .mdp.settings import HORIZON

if TYPE_CHECKING:
    from .envs.arguments import SearchArguments
    from .envs.background import BackgroundSearch, BackgroundSearchEnv, BackgroundSearchVectorEnv
    from .envs.building import load_networks
    from .envs.single import OcclusionSearchEnv
    from .envs.vector import OcclusionSearchVectorEnv
    from .mdp.actions import ACTIONS, RegionLimits
    from .mdp.rewards import Reward, Transition, movement_reward, trigger_reward
    from .mdp.settings import SearchSettings
    from .scene.occluders import Occluder, occlude_image
    from .scene.targets import Target, TargetSet, load_targets
    from .search.belief import Belief, Prior
    from .search.core import Search

__all__ = [
    "ACTIONS",
    "BACKGROUND_ENV_ID",
    "BackgroundSearch",
    "BackgroundSearchEnv",
    "BackgroundSearchVectorEnv",
    "Belief",
    "ENV_ID",
    "ENV_IDS",
    "ORACLE_ENV_ID",
    "Occluder",
    "OcclusionSearchEnv",
    "OcclusionSearchVectorEnv",
    "Prior",
    "RegionLimits",
    "Reward",
    "Search",
    "SearchArguments",
    "SearchSettings",
    "Target",
    "TargetSet",
    "Transition",
    "load_networks",
    "load_targets",
    "movement_reward",
    "occlude_image",
    "trigger_reward",
]

ENV_ID = "OcclusionSearch-v0"
BACKGROUND_ENV_ID = "BackgroundSearch-v0"
ORACLE_ENV_ID = "OcclusionSearchOracle-v0"

_SEARCH = ("occlusion_env.envs.single:OcclusionSearchEnv", "occlusion_env.envs.vector:OcclusionSearchVectorEnv")
_BACKGROUND = tuple(f"occlusion_env.envs.background:BackgroundSearch{kind}" for kind in ("Env", "VectorEnv"))
_ENTRY_POINTS = {ENV_ID: _SEARCH, BACKGROUND_ENV_ID: _BACKGROUND, ORACLE_ENV_ID: _SEARCH}
_KEYWORDS = {
    ORACLE_ENV_ID: {
        "targets": "oracle",
        "scorer": "occlusion_env.scene.oracle:OracleScorer",
        "features": "occlusion_env.scene.oracle:OracleFeatures",
        "drop": 0.95,
        # With the paper's reward a loop pays, so that the best policy need not end at the best region.
        "reward": "potential",
        "reward_scale": 3.0,
    },
}
ENV_IDS = tuple(_ENTRY_POINTS)
"""Every id that importing this package registers."""

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "mdp.actions": ["ACTIONS", "RegionLimits"],
        "envs.arguments": ["SearchArguments"],
        "envs.background": ["BackgroundSearch", "BackgroundSearchEnv", "BackgroundSearchVectorEnv"],
        "envs.building": ["load_networks"],
        "envs.single": ["OcclusionSearchEnv"],
        "mdp.rewards": ["Reward", "Transition", "movement_reward", "trigger_reward"],
        "search.belief": ["Belief", "Prior"],
        "scene.occluders": ["Occluder", "occlude_image"],
        "search.core": ["Search"],
        "mdp.settings": ["SearchSettings"],
        "scene.targets": ["Target", "TargetSet", "load_targets"],
        "envs.vector": ["OcclusionSearchVectorEnv"],
    },
)

for _id, (_single, _vector) in _ENTRY_POINTS.items():
    if _id not in registry:
        register(
            id=_id, entry_point=_single, vector_entry_point=_vector, max_episode_steps=HORIZON,
            kwargs=_KEYWORDS.get(_id, {}),
        )  # fmt: skip
