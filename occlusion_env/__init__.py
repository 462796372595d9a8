"""The search for the occlusion that hurts a matcher most, as a Gymnasium environment (HPTN, section 4.2).

Importing this package registers `OcclusionSearch-v0`; it imports no torch, so that listing ids costs nothing.
What needs torch is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader
from gymnasium.envs.registration import register, registry

if TYPE_CHECKING:
    from .actions import ACTIONS, RegionLimits
    from .env import OcclusionSearchEnv
    from .rewards import movement_reward, trigger_reward
    from .search import Search, SearchSettings
    from .targets import Target, TargetSet, load_targets

__all__ = [
    "ACTIONS",
    "ENV_ID",
    "OcclusionSearchEnv",
    "RegionLimits",
    "Search",
    "SearchSettings",
    "Target",
    "TargetSet",
    "load_targets",
    "movement_reward",
    "trigger_reward",
]

ENV_ID = "OcclusionSearch-v0"

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "actions": ["ACTIONS", "RegionLimits"],
        "env": ["OcclusionSearchEnv"],
        "rewards": ["movement_reward", "trigger_reward"],
        "search": ["Search", "SearchSettings"],
        "targets": ["Target", "TargetSet", "load_targets"],
    },
)

if ENV_ID not in registry:
    register(id=ENV_ID, entry_point="occlusion_env.env:OcclusionSearchEnv")
