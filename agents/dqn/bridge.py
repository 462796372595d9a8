"""From Gymnasium's `VectorEnv` to Stable-Baselines3's `VecEnv`."""

from __future__ import annotations

from collections.abc import Sequence as Many
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from tracker.errors import InputError

_FINAL = ("final_obs", "_final_obs", "final_info", "_final_info")
_SINGLE = {"observation_space": "single_observation_space", "action_space": "single_action_space"}


class VectorEnvBridge(VecEnv):
    """A Gymnasium vector environment as Stable-Baselines3 drives it.

    Rewards, ends, infos and observations equal those of `DummyVecEnv` over the same single environments up to
    rounding, because a batched forward pass rounds differently.

    `SyncVectorEnv` and `AsyncVectorEnv` answer `get_attr`, `set_attr` and `env_method` for each of their
    environments. Any other vector environment is one object: an attribute is that of all, and a method is called
    once and must return one entry an environment, as `action_masks` does.

    Args:
        vector_env: Must start an episode over in the step that ends it (`AutoresetMode.SAME_STEP`), because
            Stable-Baselines3 expects the next episode's first observation there.

    Attributes:
        vector_env: As given.

    Raises:
        InputError: If it does not.
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any]) -> None:
        mode = vector_env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            name = mode.value if isinstance(mode, AutoresetMode) else mode
            raise InputError(
                f"The vector environment resets by {name}; make it with autoreset_mode=AutoresetMode.SAME_STEP, as"
                " Stable-Baselines3 needs it."
            )
        self.vector_env = vector_env
        self._actions: NDArray[Any] | None = None
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Start all environments over, with the seeds and options set for this reset.

        Raises:
            InputError: If environments were given different options.
        """
        if any(options != self._options[0] for options in self._options):
            raise InputError(
                "A vector environment resets all its environments with the same options; give one dict."
            )
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        options = self._options[0] or None
        observations, infos = self.vector_env.reset(seed=seeds, options=options)  # type: ignore[arg-type]
        self.reset_infos = [_info(infos, index) for index in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return deepcopy(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the actions; see `VecEnv.step`."""
        observations, rewards, terminated, truncated, infos = self.vector_env.step(self._actions)
        dones = terminated | truncated
        now = {key: value for key, value in infos.items() if key not in _FINAL}
        found = []
        for index in range(self.num_envs):
            info = _info(now, index)
            if dones[index]:
                self.reset_infos[index] = info
                info = _info(infos["final_info"], index) | {"terminal_observation": infos["final_obs"][index]}
            info["TimeLimit.truncated"] = bool(truncated[index] and not terminated[index])
            found.append(info)
        return deepcopy(observations), np.asarray(rewards, dtype=np.float32), dones.copy(), found

    def close(self) -> None:
        """Close the vector environment."""
        self.vector_env.close()

    def get_images(self) -> Many[NDArray[np.uint8] | None]:
        """Render each environment: N pictures `uint8[H, W, 3]`, or N times `None` without a render mode."""
        frames: Any = self.vector_env.render() if self.render_mode is not None else None
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of environments, a list of one each.

        Raises:
            AttributeError: If there is none.
        """
        chosen = list(self._get_indices(indices))
        unwrapped: Any = self.vector_env.unwrapped
        if hasattr(unwrapped, "call"):
            values = unwrapped.get_attr(attr_name)
            return [values[index] for index in chosen]
        value = getattr(unwrapped, _SINGLE.get(attr_name, attr_name))
        return [value for _ in chosen]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of environments.

        Raises:
            InputError: If it is to be set for some environments of an object that is all of them.
        """
        chosen = set(self._get_indices(indices))
        unwrapped: Any = self.vector_env.unwrapped
        if hasattr(unwrapped, "call"):
            old = unwrapped.get_attr(attr_name) if len(chosen) < self.num_envs else [None] * self.num_envs
            unwrapped.set_attr(attr_name, [value if i in chosen else old[i] for i in range(self.num_envs)])
        elif len(chosen) < self.num_envs:
            raise InputError(f"The environments share '{attr_name}'; set it for all of them.")
        else:
            setattr(unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method, a list of one result an environment.

        Raises:
            AttributeError: If there is none.
            InputError: If a method of an object that is all environments returns anything else.
        """
        chosen = list(self._get_indices(indices))
        unwrapped: Any = self.vector_env.unwrapped
        if hasattr(unwrapped, "call"):
            results = unwrapped.call(method_name, *method_args, **method_kwargs)
        else:
            results = getattr(unwrapped, method_name)(*method_args, **method_kwargs)
            if not isinstance(results, list | tuple | np.ndarray) or len(results) != self.num_envs:
                raise InputError(
                    f"'{method_name}' does not return one result for each of {self.num_envs} environments; call it"
                    " on `vector_env.unwrapped`."
                )
        return [results[index] for index in chosen]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether each environment is wrapped; one object that is all of them never is."""
        chosen = list(self._get_indices(indices))
        envs = getattr(self.vector_env.unwrapped, "envs", None)
        return [envs is not None and is_wrapped(envs[index], wrapper_class) for index in chosen]


def _info(infos: dict[str, Any], index: int) -> dict[str, Any]:
    """One environment's part of a vector environment's infos, in Python's own types."""
    found = {}
    for key, values in infos.items():
        if key.startswith("_") and key[1:] in infos:
            continue
        mask = infos.get(f"_{key}")
        if mask is None or mask[index]:
            if isinstance(values, dict):
                found[key] = _info(values, index)
                continue
            value = values[index]
            found[key] = value.item() if isinstance(value, np.generic) else deepcopy(value)
    return found
