from .envs.arguments import SearchArguments
from .envs.background import BackgroundSearch, BackgroundSearchEnv, BackgroundSearchVectorEnv
from .envs.registration import BACKGROUND_ENV_ID, ENV_ID, ENV_IDS, ORACLE_ENV_ID
from .envs.single import OcclusionSearchEnv
from .envs.vector import OcclusionSearchVectorEnv
from .mdp.actions import ACTIONS, RegionLimits
from .mdp.rewards import movement_reward, trigger_reward
from .mdp.settings import SearchSettings
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
    "OcclusionSearchEnv",
    "OcclusionSearchVectorEnv",
    "Prior",
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
