"""Vector environments for Stable-Baselines3: the training environments and those of the evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from occlusion_env import ENV_IDS
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import find_targets
from occlusion_env.scene.splits import split_targets
from tracker.errors import InputError

from ..dqn.bridge import VectorEnvBridge
from ..dqn.replay import PreviousRegions
from .learning_curves import COLUMNS, TIMESTEPS
from .request import TrainRequest


def make_vector_env(env_id: str, n_envs: int, env_kwargs: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    """Environments side by side that reset as Stable-Baselines3 expects it; this package's in their vector form.

    Raises:
        InputError: If there is no such environment, or an argument of it is wrong.
    """
    check_env_id(env_id)
    mode = AutoresetMode.SAME_STEP
    if env_id in ENV_IDS:
        if (horizon := env_kwargs.get("max_episode_steps")) is not None:
            # The run's record, and observations that count steps, know the horizon as max_steps.
            env_kwargs = {"max_steps": horizon, **env_kwargs}
        return gym.make_vec(env_id, n_envs, "vector_entry_point", autoreset_mode=mode, **env_kwargs)
    try:
        return gym.make_vec(env_id, n_envs, "sync", vector_kwargs={"autoreset_mode": mode}, **env_kwargs)
    except TypeError as error:
        wrong = next((name for name in env_kwargs if f"unexpected keyword argument '{name}'" in str(error)), None)
        if wrong is None:
            raise
        data = " (--data, of this package's environments)" if wrong == "targets" else ""
        raise InputError(f"'{env_id}' has no argument '{wrong}'{data}; leave it out.") from error


def check_env_id(env_id: str) -> None:
    """Refuse an id that no environment is registered under.

    Raises:
        InputError: Naming it.
    """
    try:
        gym.spec(env_id)
    except gym.error.Error:
        raise InputError(f"'{env_id}' is no environment; choose {', '.join(ENV_IDS)}.") from None


def make_env(env_id: str, n_envs: int, env_kwargs: dict[str, Any]) -> VecEnv:
    """The same for Stable-Baselines3, with a monitor that writes no file."""
    return monitored(_bridged(env_id, n_envs, env_kwargs), None)


def make_training_envs(request: TrainRequest) -> tuple[VecEnv, VecEnv | None]:
    """Make the training environments, without a monitor, and those that the best model is chosen in.

    Args:
        request: A resolved request.

    Raises:
        InputError: If an argument of an environment is wrong.
    """
    assert request.n_envs is not None
    training, selection = request.env_kwargs, None
    if request.eval_freq >= 1:
        training, selection = split_keywords(request.env, request.env_kwargs, request.eval_env_kwargs)
    env = _bridged(request.env, request.n_envs, training)
    if request.algo == "ppo_mask" and not env.has_attr("action_masks"):
        raise InputError(f"The environment '{request.env}' has no action masks; choose another --algo.")
    return env, None if selection is None else make_env(request.env, request.n_eval_envs, selection)


def split_keywords(
    env_id: str, env_kwargs: Mapping[str, Any], eval_env_kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the training environment, and of the one with the targets that choose the best model.

    Args:
        env_id: The environment.
        env_kwargs: Its arguments.
        eval_env_kwargs: What differs in the evaluation; without `targets` or `split` among them some are held out
            of the training (`occlusion_env.scene.splits.split_targets`).
    """
    training, selection = dict(env_kwargs), {**env_kwargs, **eval_env_kwargs}
    if env_id in ENV_IDS and not {"targets", "split"} & set(eval_env_kwargs):
        targets = training.get("targets", gym.spec(env_id).kwargs.get("targets", SearchArguments.targets))
        if (split := training.pop("split", None)) is not None:
            targets = find_targets(targets, split)
            del selection["split"]
        training["targets"], selection["targets"] = split_targets(targets)
    elif "targets" in eval_env_kwargs and "split" not in eval_env_kwargs:
        selection.pop("split", None)  # it is that of the other targets
    return training, selection


def _bridged(env_id: str, n_envs: int, env_kwargs: dict[str, Any]) -> VecEnv:
    bridge = VectorEnvBridge(make_vector_env(env_id, n_envs, env_kwargs))
    return PreviousRegions(bridge) if env_id in ENV_IDS else bridge


class _Timesteps(VecEnvWrapper):
    """Adds `timesteps` to the infos: environment steps so far, over all environments."""

    def __init__(self, venv: VecEnv, taken: int) -> None:
        super().__init__(venv)
        self.taken = taken

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        self.taken += self.num_envs
        return observations, rewards, dones, [info | {TIMESTEPS: self.taken} for info in infos]


def monitored(env: VecEnv, file: Path | None, taken: int = 0) -> VecEnv:
    """Log episodes; the run took `taken` steps before this log."""
    columns = COLUMNS if isinstance(env, PreviousRegions) else ()
    return VecMonitor(_Timesteps(env, taken), None if file is None else str(file), (*columns, TIMESTEPS))
