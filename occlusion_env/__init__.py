"""The search for the occlusion that hurts a matcher most, as a Gymnasium environment (HPTN, section 4.2).

Importing this package registers `OcclusionSearch-v0` (where to occlude), `BackgroundSearch-v0` (with what) and
`OcclusionSearchOracle-v0` (where, with a known best answer). It imports no torch, so that listing ids is cheap;
what needs torch is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader
from gymnasium.envs.registration import register, registry

from .mdp.settings import HORIZON

if TYPE_CHECKING:
    from .envs.arguments import SearchArguments
    from .envs.background import BackgroundSearch, BackgroundSearchEnv, BackgroundSearchVectorEnv
    from .envs.single import OcclusionSearchEnv
    from .envs.vector import OcclusionSearchVectorEnv
    from .mdp.actions import ACTIONS, RegionLimits
    from .mdp.rewards import movement_reward, trigger_reward
    from .mdp.settings import SearchSettings
    from .scene.targets import Target, TargetSet, load_targets
    from .search.core import Search

__all__ = [
    "ACTIONS",
    "BACKGROUND_ENV_ID",
    "BackgroundSearch",
    "BackgroundSearchEnv",
    "BackgroundSearchVectorEnv",
    "ENV_ID",
    "ENV_IDS",
    "ORACLE_ENV_ID",
    "OcclusionSearchEnv",
    "OcclusionSearchVectorEnv",
    "RegionLimits",
    "Search",
    "SearchArguments",
    "SearchSettings",
    "Target",
    "TargetSet",
    "load_targets",
    "movement_reward",
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
        # With the paper's reward a loop pays, so that the best policy need not end at the best answer.
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
        "envs.single": ["OcclusionSearchEnv"],
        "mdp.rewards": ["movement_reward", "trigger_reward"],
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
