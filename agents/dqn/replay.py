"""Replay buffers that store (target, region, history) and recompute features on sampling.

A state's features follow from the target and the region, and the environment caches them (`features_of`): a
transition stores the target's index and two regions, not thousands of numbers twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from tracker.errors import InputError

from .bridge import VectorEnvBridge


def states_of(env: VecEnv) -> Any:
    """The unwrapped vector environment behind a bridge.

    Raises:
        InputError: If there is none.
    """
    inner = env.unwrapped
    if not isinstance(inner, VectorEnvBridge):
        raise InputError(f"A {type(inner).__name__} is no VectorEnvBridge; bridge the environments' vector form.")
    return inner.vector_env.unwrapped


class PreviousRegions(VecEnvWrapper):
    """Adds `previous_region` to the infos: the region before the action, `float64[4]`.

    Args:
        venv: Environments whose infos hold a `region`.
    """

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self._regions = np.zeros((venv.num_envs, 4))

    def reset(self) -> VecEnvObs:
        """Start over."""
        observations = self.venv.reset()
        self.reset_infos = self.venv.reset_infos
        self._regions = np.array([info["region"] for info in self.reset_infos])
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Add the regions."""
        observations, rewards, dones, infos = self.venv.step_wait()
        infos = [info | {"previous_region": region} for info, region in zip(infos, self._regions, strict=True)]
        now = [self.venv.reset_infos[i] if done else infos[i] for i, done in enumerate(dones)]
        self._regions = np.array([info["region"] for info in now])
        return observations, rewards, dones, infos


class _LookedUp:
    """An array `float32[size, envs, F + E]` of observations that keeps their targets, regions and E extras.

    Attributes:
        targets: `int32[size, envs]`, shared between a transition's two states.
        regions: `float64[size, envs, 4]`.
        extras: `float32[size, envs, E]`, what follows the features in an observation.
        features_of: Gives the features; not pickled.
    """

    def __init__(self, targets: NDArray[np.int32], features: int, extras: int) -> None:
        self.targets = targets
        self.regions = np.zeros((*targets.shape, 4))
        self.extras = np.zeros((*targets.shape, extras), dtype=np.float32)
        self.features = features
        self.features_of: Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float32]] | None = None

    def __setitem__(self, position: int, observations: NDArray[np.float32]) -> None:
        """Keep the extras of observations `[envs, F + E]`; the buffer writes the rest."""
        self.extras[position] = observations[..., self.features :]

    def __getitem__(self, places: tuple[Any, ...]) -> NDArray[np.float32]:
        """The observations `float32[M, F + E]` at M positions of M environments."""
        if self.features_of is None:
            raise RuntimeError("Call set_env() before sampling: the features are the environment's.")
        rows = places[:2]
        found = self.features_of(self.targets[rows].astype(np.int64), self.regions[rows])
        return np.concatenate([found, self.extras[rows]], axis=1)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"features_of": None}


class LookupReplayBuffer(ReplayBuffer):
    """`ReplayBuffer` for observations whose first numbers are features of a target under a region.

    What it samples equals what a `ReplayBuffer` would. Give it to DQN or QRDQN as `replay_buffer_class`, with
    `replay_buffer_kwargs={"feature_length": F}`, in environments wrapped by `PreviousRegions`; then
    `model.replay_buffer.set_env(env)`. A pickle leaves the environment out, as `HerReplayBuffer`'s does.

    Args:
        buffer_size: Transitions, of all environments together.
        observation_space: `Box` of F + E numbers; the extras E are stored as they are.
        feature_length: F.
        args: See `ReplayBuffer`.
        kwargs: See `ReplayBuffer`.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        *args: Any,
        feature_length: int,
        **kwargs: Any,
    ) -> None:
        shape = observation_space.shape
        if not isinstance(observation_space, spaces.Box) or shape is None or len(shape) != 1:
            raise InputError("The lookup buffer keeps observations 'features' and 'features+region'.")
        if not 0 < feature_length <= shape[0]:
            raise InputError(f"feature_length is {feature_length}; an observation has {shape[0]} numbers.")
        extras = spaces.Box(observation_space.low[feature_length:], observation_space.high[feature_length:])
        super().__init__(buffer_size, extras, *args, **kwargs)
        if self.optimize_memory_usage:
            raise InputError("The lookup buffer has no optimize_memory_usage; it is small without.")
        self.targets = np.full((self.buffer_size, self.n_envs), -1, dtype=np.int32)
        length = shape[0] - feature_length
        self.observations = _LookedUp(self.targets, feature_length, length)  # type: ignore[assignment]
        self.next_observations = _LookedUp(self.targets, feature_length, length)  # type: ignore[assignment]
        self.observation_space, self.obs_shape = observation_space, shape

    def set_env(self, env: VecEnv) -> None:
        """Set the source of the features; needed before sampling, and after unpickling.

        Args:
            env: Over a `VectorEnvBridge`.

        Raises:
            InputError: If its observations are not laid out as the buffer's.
        """
        states = states_of(env)
        for observations in self._kept:
            if states.feature_length != observations.features:
                raise InputError(
                    f"The environment's features have {states.feature_length} numbers and the buffer's"
                    f" {observations.features}; train on with the settings of before."
                )
            observations.features_of = states.features_of

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Store one transition of each environment.

        Args:
            obs: `[envs, F + E]`.
            next_obs: The same.
            action: `[envs]`.
            reward: `[envs]`.
            done: `[envs]`.
            infos: With `target_index`, `region` and `previous_region` (see `PreviousRegions`).

        Raises:
            InputError: If a target is not of the environment's set: its features could not be looked up.
        """
        targets = np.array([info["target_index"] for info in infos])
        if (targets < 0).any():
            raise InputError(
                "The lookup buffer keeps targets of the environment's set; train on no image of your own."
            )
        before, after = self._kept
        self.targets[self.pos] = targets
        before.regions[self.pos] = [info["previous_region"] for info in infos]
        after.regions[self.pos] = [info["region"] for info in infos]
        super().add(obs, next_obs, action, reward, done, infos)

    @property
    def _kept(self) -> tuple[_LookedUp, _LookedUp]:
        return self.observations, self.next_observations  # type: ignore[return-value]


class LookupNStepReplayBuffer(LookupReplayBuffer, NStepReplayBuffer):
    """`LookupReplayBuffer` for returns over n steps; see `NStepReplayBuffer` for `n_steps` and `gamma`."""
