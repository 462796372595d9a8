"""The ids of the environments, and their registration; it imports no torch."""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

from ..mdp.settings import HORIZON

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


def register_environments() -> None:
    """Register the ids that are not registered yet."""
    for env_id, (single, vector) in _ENTRY_POINTS.items():
        if env_id not in registry:
            register(
                id=env_id, entry_point=single, vector_entry_point=vector, max_episode_steps=HORIZON,
                kwargs=_KEYWORDS.get(env_id, {}),
            )  # fmt: skip
