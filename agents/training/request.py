"""What a training run is asked for, and the arguments of Stable-Baselines3 that follow from it."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from occlusion_env import ENV_ID, ENV_IDS
from occlusion_env.naming import find_import_paths
from tracker.errors import InputError
from tracker.models.backbones import resolve_device

from ..dqn.algorithm import HuberDQN, SquaredErrorDQN, check_section, load_hyperparameters
from ..dqn.algorithms import algorithm_class
from ..dqn.exploration import guided
from .hyperparameters import check_hyperparameters, convert_hyperparameter, to_integers

LOSSES: dict[str, type[OffPolicyAlgorithm]] = {"squared": SquaredErrorDQN, "huber": HuberDQN}
"""The classes of the algorithm `dqn` by the hyper-parameter `loss`."""

EXPLORATIONS = ("uniform", "guided")
"""How an off-policy algorithm explores, by name."""

_LARGEST_SEED = 2**32 - 1  # of numpy's global generator, which Stable-Baselines3 seeds
_MOST_SEEDS = 1000
_MOST_ENVS = 10_000  # as `OcclusionSearchVectorEnv` has it
_NOT_ARGUMENTS = ("policy", "n_timesteps", "n_envs", "env_kwargs", "loss")
"""Hyper-parameters that are no keyword argument of the algorithm's class."""


@dataclass(frozen=True)
class TrainRequest:
    """Settings of a training run: plain data, written to the run's `args.yml` under RL Zoo's names.

    Attributes:
        algo: One of `agents.dqn.algorithms.ALGORITHMS`.
        env: The environment's id.
        n_timesteps: Environment steps over all environments; the file's if `None`.
        conf_file: A shipped hyper-parameter file by name, or a YAML file in RL Zoo's format; the algorithm's
            shipped one if `None`.
        hyperparams: Override the file's.
        env_kwargs: Override the file's `env_kwargs`, key by key.
        eval_env_kwargs: Override those in turn in the environments that the best model is chosen in; `targets`
            or `split` among them replaces the videos that are held out of the training for it
            (`occlusion_env.scene.splits.split_targets`).
        n_envs: Environments side by side; the file's, or 1, if `None`.
        exploration: One of `EXPLORATIONS`, for DQN and QR-DQN.
        seed: Seed of all random draws.
        seeds: Number of runs, with `seed` and the seeds after it; see `each_seed`.
        series: Name of the folder of the first seed's run, in the runs of the later seeds.
        device: Of the policy's network, and of the environment's unless `env_kwargs` has one; see
            `tracker.models.backbones.resolve_device`.
        eval_freq: Steps between two evaluations of the agent, which acts greedily on the selection videos; below 1
            there is none, no best model, and no video is held out.
        eval_episodes: Episodes of an evaluation; the same ones each time.
        n_eval_envs: Environments of an evaluation.
        save_freq: Steps between two checkpoints; none where it is below 1.
        save_replay_buffer: Whether the replay memory is kept when training ends.
        log_folder: Where the run's folder is made.
        tensorboard_log: Folder for TensorBoard.
        trained_agent: A model file to go on from, with new hyper-parameters and a new count of steps.
    """

    algo: str = "dqn"
    env: str = ENV_ID
    n_timesteps: int | None = None
    conf_file: str | None = None
    hyperparams: dict[str, Any] = field(default_factory=dict)
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    eval_env_kwargs: dict[str, Any] = field(default_factory=dict)
    n_envs: int | None = None
    exploration: str = "uniform"
    seed: int = 0
    seeds: int = 1
    series: str | None = None
    device: str = "auto"
    eval_freq: int = 25_000
    eval_episodes: int = 50
    n_eval_envs: int = 10
    save_freq: int = -1
    save_replay_buffer: bool = False
    log_folder: str = "logs"
    tensorboard_log: str | None = None
    trained_agent: str | None = None

    def resolve(self, recorded: dict[str, Any] | None = None, allowed: Collection[str] = ()) -> TrainRequest:
        """Read the hyper-parameter file and check every setting.

        Args:
            recorded: The hyper-parameters of a run's `config.yml`, in place of the file's, which may have changed.
            allowed: Names `module:attribute` that the file may hold, beside those of this request; see
                `occlusion_env.naming.check_built_in`.

        Returns:
            The request with its `n_timesteps`, `n_envs` and `env_kwargs` (the device among them), and with all
            hyper-parameters in `hyperparams`, as `config.yml` holds them.

        Raises:
            InputError: If a setting or a hyper-parameter is unknown, has another type, or is out of range.
        """
        algorithm_class(self.algo)  # an unknown one is reported before its hyper-parameter file is
        if recorded is None:
            own = find_import_paths([self.env_kwargs, self.eval_env_kwargs, self.hyperparams])
            file = load_hyperparameters(self.conf_file or self.algo, self.env, {*allowed, *own})
            config = file | self.hyperparams
        else:
            config = dict(recorded)
        check_section(config, "The configuration of the run")
        config["env_kwargs"] = (config.get("env_kwargs") or {}) | self.env_kwargs
        for name in ("n_timesteps", "n_envs"):
            given = getattr(self, name)
            config[name] = to_integers(config.get(name, 1) if given is None else given)
        env_kwargs = dict(config["env_kwargs"])
        if self.env in ENV_IDS and self.device != "auto":
            env_kwargs.setdefault("device", self.device)
        resolved = replace(
            self, hyperparams=config, env_kwargs=env_kwargs, n_timesteps=config["n_timesteps"],
            n_envs=config["n_envs"],
        )  # fmt: skip
        resolved._check()
        return resolved

    def each_seed(self) -> list[TrainRequest]:
        """A request for each seed, in order; its `seeds` count the runs from it on, for `run.resume_seeds`.

        Raises:
            InputError: If `seeds` is out of range.
        """
        if not 1 <= self.seeds <= _MOST_SEEDS or self.seed + self.seeds - 1 > _LARGEST_SEED:
            raise InputError(
                f"seeds is {self.seeds} from seed {self.seed}; give 1 to {_MOST_SEEDS} runs, and no seed above"
                f" {_LARGEST_SEED}."
            )
        return [replace(self, seed=self.seed + n, seeds=self.seeds - n) for n in range(self.seeds)]

    @property
    def kind(self) -> type[BaseAlgorithm]:
        """The algorithm's class with the loss and the exploration of a resolved request."""
        kind, loss = algorithm_class(self.algo), self.hyperparams.get("loss", "squared")
        if self.algo == "dqn":
            if loss not in LOSSES:
                raise InputError(f"{loss!r} is no loss; choose {', '.join(LOSSES)}.")
            kind = LOSSES[loss]
        if self.exploration not in EXPLORATIONS:
            raise InputError(f"'{self.exploration}' is no exploration; choose {', '.join(EXPLORATIONS)}.")
        if self.exploration == "uniform":
            return kind
        if not issubclass(kind, OffPolicyAlgorithm) or self.env not in ENV_IDS:
            raise InputError(f"--exploration {self.exploration} is for dqn and qrdqn in {', '.join(ENV_IDS)}.")
        return guided(kind)

    @property
    def policy(self) -> str:
        """Name of the policy's class in Stable-Baselines3."""
        return str(self.hyperparams.get("policy", "MlpPolicy"))

    def arguments(self) -> dict[str, Any]:
        """Hyper-parameters of a resolved request as keyword arguments of `kind`, without those of the machine.

        Raises:
            InputError: If one is unknown, has another type, or is out of range.
        """
        # Copies, because policies write what they default to into their policy_kwargs.
        found = {
            name: convert_hyperparameter(name, deepcopy(value))
            for name, value in self.hyperparams.items()
            if name not in _NOT_ARGUMENTS
        }
        check_hyperparameters(self.kind, self.algo, found)
        return found

    def _check(self) -> None:
        for name in ("n_timesteps", "n_envs"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
        for name in ("n_envs", "n_eval_envs"):
            if getattr(self, name) > _MOST_ENVS:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at most {_MOST_ENVS}.")
        for name in ("eval_episodes", "n_eval_envs"):
            if self.eval_freq > 0 and getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise InputError(f"seed is {self.seed}; it must lie between 0 and {_LARGEST_SEED}.")
        resolve_device(self.device)
        frequency = self.arguments().get("train_freq")
        if isinstance(frequency, tuple) and "episode" in frequency and self.n_envs != 1:
            raise InputError(f"train_freq counts episodes, which needs one environment; n_envs is {self.n_envs}.")
        if self.policy not in (known := self.kind.policy_aliases):
            raise InputError(f"{self.policy!r} is no policy of {self.algo}; choose {', '.join(known)}.")
