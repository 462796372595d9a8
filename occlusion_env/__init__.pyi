from .envs.arguments import SearchArguments
from .envs.background import BackgroundSearch, BackgroundSearchEnv, BackgroundSearchVectorEnv
from .envs.building import load_networks
from .envs.registration import BACKGROUND_ENV_ID, ENV_ID, ENV_IDS, ORACLE_ENV_ID
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
