"""Training an agent with any algorithm, into a run folder that a killed run goes on from.

A model file, a checkpoint and a replay memory are Stable-Baselines3's own and hold pickled objects, for which it
has no safe setting: loading one runs what is in it. Load those alone whose origin you trust.
"""

from __future__ import annotations

import difflib
import inspect
import json
import math
import os
import shutil
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from occlusion_env import ENV_ID, ENV_IDS
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.naming import check_built_in, find_import_paths, look_up
from tracker.errors import InputError, shorten
from tracker.evaluation.running import weights_digest
from tracker.files import remove_leftovers, replacing_file
from tracker.models.backbones import check_finite, resolve_device
from tracker.records import warn_of_damage, write_record

from ..common.locks import lock_folder
from ..dqn.algorithm import TARGETS, HuberDQN, SquaredErrorDQN, check_section, load_hyperparameters, no_log
from ..dqn.algorithms import ALGORITHMS, WITHOUT_SCHEDULES, check_layers
from ..dqn.bridge import VectorEnvBridge
from ..dqn.exploration import guided
from ..dqn.replay import LookupNStepReplayBuffer, LookupReplayBuffer, PreviousRegions, states_of
from .environment import TrainingEnvironment
from .learning_curves import COLUMNS, TIMESTEPS, draw_learning_curves, read_evaluations, read_monitors
from .runs import ZOO_ONLY, Checkpoint, RunFolder, is_archive, restore_parameters
from .splits import split_targets

__all__ = [
    "EXPLORATIONS",
    "LOSSES",
    "TrainRequest",
    "check_env_id",
    "load_model",
    "make_env",
    "make_vector_env",
    "resume",
    "train",
]

LOSSES: dict[str, type[OffPolicyAlgorithm]] = {"squared": SquaredErrorDQN, "huber": HuberDQN}
"""The classes of the algorithm `dqn` by the hyper-parameter `loss`."""

EXPLORATIONS: dict[str, Callable[[type[OffPolicyAlgorithm]], type[OffPolicyAlgorithm]]] = {
    "uniform": lambda kind: kind,
    "guided": guided,
}
"""How an off-policy algorithm explores, by name."""

_SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")
_COUNTS = {
    "batch_size": 10**6,
    "buffer_size": 10**8,
    "n_steps": 10**6,
    "n_epochs": 10**6,
    "target_update_interval": 10**12,
    "stats_window_size": 10**6,
}
"""Hyper-parameters that are counts, and their largest values: memory grows with the first three."""
_WHOLE_IN_KWARGS = ("net_arch", "n_quantiles", "n_steps")
_FRACTIONS = ("gamma", "gae_lambda", "exploration_initial_eps", "exploration_final_eps")
_POSITIVE_FRACTIONS = ("tau", "exploration_fraction")
_POSITIVE = ("learning_rate", "clip_range", "clip_range_vf", "max_grad_norm", "target_kl", "rms_prop_eps")
_NOT_NEGATIVE = ("ent_coef", "vf_coef", "learning_starts")
_LARGEST_SEED = 2**32 - 1  # of numpy's global generator, which Stable-Baselines3 seeds
_MOST_ENVS = 10_000  # as `OcclusionSearchVectorEnv` has it
_OURS = ("policy", "n_timesteps", "n_envs", "env_kwargs", "loss")


@dataclass(frozen=True)
class TrainRequest:
    """What a run is started with; plain data, written to the run's `args.yml` under RL Zoo's names.

    Attributes:
        algo: One of `loading.ALGORITHMS`.
        env: The environment's id.
        n_timesteps: Environment steps over all environments; the file's if `None`.
        conf_file: A shipped hyper-parameter file by name, or a YAML file in RL Zoo's format; the algorithm's
            shipped one if `None`.
        hyperparams: Override the file's.
        env_kwargs: Override the file's `env_kwargs`, key by key.
        eval_env_kwargs: Override those in turn in the environments that the best model is chosen in; `targets`
            among them replaces the videos that are held out of the training for it (`splits.split_targets`).
        n_envs: Environments side by side; the file's, or 1, if `None`.
        exploration: One of `EXPLORATIONS`, for DQN and QR-DQN.
        seed: Of everything that is drawn.
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
    device: str = "auto"
    eval_freq: int = 25_000
    eval_episodes: int = 50
    n_eval_envs: int = 10
    save_freq: int = -1
    save_replay_buffer: bool = False
    log_folder: str = "logs"
    tensorboard_log: str | None = None
    trained_agent: str | None = None


@dataclass(frozen=True)
class _Plan:
    """A request with its hyper-parameter file read.

    Attributes:
        request: As given.
        steps: Environment steps in all.
        n_envs: Environments.
        env_kwargs: Of the training environments.
        kind: The algorithm's class.
        policy: Its policy.
        parameters: The rest of its arguments.
        config: The file's section with all that overrides it, as it is written down.
    """

    request: TrainRequest
    steps: int
    n_envs: int
    env_kwargs: dict[str, Any]
    kind: type[BaseAlgorithm]
    policy: str
    parameters: dict[str, Any]
    config: dict[str, Any]


def train(
    request: TrainRequest,
    command: str = "",
    progress: bool = False,
    started: Callable[[RunFolder], object] = lambda run: None,
    allowed: Collection[str] = (),
) -> RunFolder:
    """Train an agent.

    Args:
        request: What to train.
        command: The command line, for the record.
        progress: Whether to show a progress bar.
        started: Called with the run's folder when it has been made.
        allowed: Names `module:attribute` that the hyper-parameter file may hold, beside those of the request; see
            `occlusion_env.naming.check_built_in`.

    Returns:
        The run's folder, with the agent, the returns of its evaluations, and the learning curve.

    Raises:
        InputError: If the request cannot be met.
    """
    plan = _plan(request, allowed=allowed)
    trained = request.trained_agent
    if trained is not None and not Path(trained).is_file():
        raise InputError(f"There is no agent '{trained}'; give --trained-agent the zip file of one.")
    env, evaluation = _environments(plan)
    run = RunFolder.create(Path(request.log_folder), request.algo, request.env)
    with lock_folder(run.path):
        return _start(plan, run, env, evaluation, command, progress, started)


def _start(
    plan: _Plan,
    run: RunFolder,
    env: VecEnv,
    evaluation: VecEnv | None,
    command: str,
    progress: bool,
    started: Callable[[RunFolder], object],
) -> RunFolder:
    request, trained = plan.request, plan.request.trained_agent
    run.write_parameters(plan.config, asdict(request), command)
    if request.env in ENV_IDS:
        run.write_environment(_record(env, evaluation).record())
    env = _monitored(env, run.path / "0.monitor.csv")
    try:
        if trained is None:
            model = _make(plan, env)
        else:
            model = _load(plan.kind, Path(trained), env, **_arguments(plan, env))
            model.num_timesteps = 0
    except InputError:
        env.close()
        shutil.rmtree(run.path)  # there is nothing in it but what was asked for
        raise
    _connect(model, env)
    started(run)
    return _learn(plan, run, model, evaluation, progress)


def resume(path: Path, progress: bool = False, allowed: Collection[str] = ()) -> RunFolder:
    """Go on with a run that was cut off, from its last checkpoint that is complete and not damaged.

    Weights, optimizer, steps, schedules and replay memory are those of the checkpoint, the hyper-parameters those
    that the run recorded. The episodes that were under way begin anew, and what is drawn is seeded with the seed
    plus the steps.

    Args:
        path: The run's folder. Its checkpoints are pickled: resuming runs what is in them.
        progress: Whether to show a progress bar.
        allowed: Names `module:attribute` that its files may hold; see `occlusion_env.naming.check_built_in`.

    Raises:
        InputError: If it is no run's folder, has no checkpoint, or damaged ones alone, or has nothing left to do,
            names `module:attribute`, another process trains in it, or its videos or weights have changed.
    """
    restore_parameters(path)
    run = RunFolder.open(path)
    with lock_folder(run.path):
        return _resume(run, path, progress, allowed)


def _resume(run: RunFolder, path: Path, progress: bool, allowed: Collection[str]) -> RunFolder:
    check_built_in([run.arguments(), run.config()], run.parameters, allowed)
    request = _recorded_request(run)
    plan = _plan(request, run.config())
    checkpoints = run.checkpoints()
    if not checkpoints:
        raise InputError(f"'{path}' has no checkpoint; train with --save-freq, so that a run can go on.")
    if run.model.is_file():
        if is_archive(run.model):
            raise InputError(
                f"The run '{path}' is complete; go on from its agent with --trained-agent '{run.model}'."
            )
        warn_of_damage(run.model)
    last = _last_intact(path, checkpoints, issubclass(plan.kind, OffPolicyAlgorithm))
    env, evaluation = _environments(plan)
    if (recorded := run.environment()) is not None:
        _check_unchanged(path, recorded, _record(env, evaluation).record())
    remove_leftovers(run.path)
    log = _cut_monitors(run, last.steps)
    env = _monitored(env, run.path / f"{log}.monitor.csv", last.steps)
    model = _load(plan.kind, last.model, env, request.device, seed=request.seed + last.steps)
    if isinstance(model, OffPolicyAlgorithm):
        try:
            model.load_replay_buffer(last.replay_buffer)
        except Exception as error:  # a pickle of another origin breaks in any way
            raise InputError(
                f"'{last.replay_buffer}' cannot be loaded as a replay memory ({_reason(error)}); go on with an"
                f" empty one, with --trained-agent '{last.model}'."
            ) from None
    _connect(model, env)
    return _learn(plan, run, model, evaluation, progress)


def _last_intact(path: Path, checkpoints: list[Checkpoint], has_replay_buffer: bool) -> Checkpoint:
    """The last checkpoint that is not damaged; the later ones are deleted, with a warning.

    Raises:
        InputError: If all are damaged; naming the file of the last one and the remedy.
    """
    faults: dict[Checkpoint, Path] = {}
    for checkpoint in reversed(checkpoints):
        if (fault := checkpoint.damaged_file(has_replay_buffer)) is None:
            for later, file in faults.items():
                warn_of_damage(file, f"the run goes on from {checkpoint.steps} steps")
                later.model.unlink(missing_ok=True)
            return checkpoint
        faults[checkpoint] = fault
    last, fault = next(iter(faults.items()))
    remedy = "train anew"
    if fault != last.model:
        remedy = f"go on from its agent, with an empty replay memory, with --trained-agent '{last.model}'"
    raise InputError(f"'{fault}' is damaged or missing, so that the run '{path}' cannot go on; {remedy}.")


def _recorded_request(run: RunFolder) -> TrainRequest:
    """The request that a run was started with.

    Raises:
        InputError: If its file holds other names or types.
    """
    file, arguments = run.parameters / "args.yml", run.arguments()
    try:
        request = TrainRequest(**arguments)
    except TypeError:
        raise InputError(f"'{file}' is not of `occlusion-search train`.") from None
    for name, hint in get_type_hints(TrainRequest).items():
        kinds = tuple(
            get_origin(kind) or kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,))
        )
        if not isinstance(value := getattr(request, name), kinds):
            raise InputError(
                f"'{file}' says {name} is {shorten(value)}, which no `occlusion-search train` writes."
            )
    return request


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
    return gym.make_vec(env_id, n_envs, "sync", vector_kwargs={"autoreset_mode": mode}, **env_kwargs)


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
    return _monitored(_bridged(env_id, n_envs, env_kwargs), None)


def _plan(request: TrainRequest, recorded: dict[str, Any] | None = None, allowed: Collection[str] = ()) -> _Plan:
    """Resolve a request; `recorded` hyper-parameters stand in for those of the file, which may have changed."""
    kind = _algorithm(request.algo)
    if recorded is None:
        given = find_import_paths([request.env_kwargs, request.eval_env_kwargs, request.hyperparams])
        file = request.conf_file or request.algo
        config = load_hyperparameters(file, request.env, {*allowed, *given}) | request.hyperparams
    else:
        config = dict(recorded)
    check_section(config, "The configuration of the run")
    config["env_kwargs"] = (config.get("env_kwargs") or {}) | request.env_kwargs
    if request.n_timesteps is not None:
        config["n_timesteps"] = request.n_timesteps
    if request.n_envs is not None:
        config["n_envs"] = request.n_envs
    for name in ("n_timesteps", "n_envs"):
        value = config[name] = _whole(config.get(name, 1))
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
    for name, count in (("n_envs", config["n_envs"]), ("n_eval_envs", request.n_eval_envs)):
        if count > _MOST_ENVS:
            raise InputError(f"{name} is {count}; it must be at most {_MOST_ENVS}.")
    for name in ("eval_episodes", "n_eval_envs"):
        if request.eval_freq > 0 and getattr(request, name) < 1:
            raise InputError(f"{name} is {getattr(request, name)}; it must be at least 1.")
    if not 0 <= request.seed <= _LARGEST_SEED:
        raise InputError(f"seed is {request.seed}; it must lie between 0 and {_LARGEST_SEED}.")
    resolve_device(request.device)
    env_kwargs = dict(config["env_kwargs"])
    if request.env in ENV_IDS and request.device != "auto":
        env_kwargs.setdefault("device", request.device)
    kind = _variant(kind, request, config.get("loss", "squared"))
    # Copies, because policies write what they default to into their policy_kwargs.
    parameters = {name: _value(name, deepcopy(value)) for name, value in config.items() if name not in _OURS}
    _check_parameters(kind, request.algo, parameters)
    for name, value in (parameters.get("policy_kwargs") or {}).items():
        if name in ("net_arch", "n_quantiles") and value is not None:
            check_layers([value] if name == "n_quantiles" else value, name)
    if isinstance(freq := parameters.get("train_freq"), tuple) and "episode" in freq and config["n_envs"] > 1:
        raise InputError(f"train_freq counts episodes, which needs one environment; n_envs is {config['n_envs']}.")
    policy = config.get("policy", "MlpPolicy")
    if policy not in kind.policy_aliases:
        raise InputError(f"{policy!r} is no policy of {request.algo}; choose {', '.join(kind.policy_aliases)}.")
    return _Plan(request, config["n_timesteps"], config["n_envs"], env_kwargs, kind, policy, parameters, config)


def _algorithm(algo: str) -> type[BaseAlgorithm]:
    if algo not in ALGORITHMS:
        raise InputError(f"'{algo}' is no algorithm; choose {', '.join(ALGORITHMS)}.")
    try:
        return ALGORITHMS[algo]()
    except ModuleNotFoundError:
        raise InputError(
            f"The algorithm '{algo}' needs sb3-contrib; install 'occlusion-search[algorithms]'."
        ) from None


def _variant(kind: type[BaseAlgorithm], request: TrainRequest, loss: str) -> type[BaseAlgorithm]:
    """The algorithm's class with the loss and the exploration that were asked for."""
    if request.algo == "dqn":
        if loss not in LOSSES:
            raise InputError(f"{loss!r} is no loss; choose {', '.join(LOSSES)}.")
        kind = LOSSES[loss]
    if request.exploration not in EXPLORATIONS:
        raise InputError(f"'{request.exploration}' is no exploration; choose {', '.join(EXPLORATIONS)}.")
    if request.exploration == "uniform":
        return kind
    if not issubclass(kind, OffPolicyAlgorithm) or request.env not in ENV_IDS:
        raise InputError(f"--exploration {request.exploration} is for dqn and qrdqn in {', '.join(ENV_IDS)}.")
    return EXPLORATIONS[request.exploration](kind)


def _value(name: str, value: Any) -> Any:
    """A hyper-parameter of RL Zoo's format as Stable-Baselines3 takes it."""
    if name in _SCHEDULED and isinstance(value, str):
        try:
            start = float(value.removeprefix("lin_"))
        except ValueError:
            raise InputError(f"{name} is '{value}'; give a number, or lin_NUMBER, which falls to 0.") from None
        return LinearSchedule(start, 0.0, 1.0) if value.startswith("lin_") else start
    if name == "train_freq" and isinstance(value, list):
        return tuple(_whole(each) for each in value)
    if name.endswith("_kwargs"):
        if not isinstance(value, dict | None):
            raise InputError(f"{name} is {value!r}; write it as a YAML mapping, code is not run.")
        return {key: _whole(part) if key in _WHOLE_IN_KWARGS else part for key, part in (value or {}).items()}
    return value


def _whole(value: Any) -> Any:
    """The same with integral floats as integers: RL Zoo's files write `!!float 1e7` for a count.

    >>> _whole({"pi": [64.0, 32]}), _whole(0.5)
    ({'pi': [64, 32]}, 0.5)
    """
    if isinstance(value, dict):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_parameters(kind: type[BaseAlgorithm], algo: str, parameters: dict[str, Any]) -> None:
    """Refuse unknown hyper-parameters and values of the wrong type; integral floats become integers in place."""
    known = {
        name
        for base in kind.__mro__
        if issubclass(base, BaseAlgorithm) and base is not BaseAlgorithm and "__init__" in vars(base)
        for name in inspect.signature(base.__init__).parameters
    } - {"self", "args", "kwargs", "env", "policy", "seed", "device", "tensorboard_log", "_init_setup_model"}
    declared = inspect.signature(_first_full(kind)).parameters
    known &= {*declared, "td_target", "truncation_is_terminal"}
    if "td_target" in parameters and "td_target" in known:
        look_up("td_target", parameters["td_target"], TARGETS)
    for name, value in parameters.items():
        if name in ZOO_ONLY:
            raise InputError(
                f"The hyper-parameter '{name}' is RL Zoo's alone; train with `python -m rl_zoo3.train`."
            )
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean '{near[0]}'?" if near else f"choose {', '.join(sorted(known))}."
            raise InputError(f"'{name}' is no hyper-parameter of {algo}; {remedy}")
        counts = name in _COUNTS
        if counts or name == "train_freq" or (name in declared and declared[name].annotation is int):
            value = parameters[name] = _whole(value)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if counts and whole and value > _COUNTS[name]:
                raise InputError(f"{name} is {shorten(value)}; it must be at most {_COUNTS[name]}.")
            if name != "train_freq" and (not whole or (counts and value < 1)):
                raise InputError(f"{name} is {value!r}; it must be a whole number{', at least 1' * counts}.")
        if name == "truncation_is_terminal" and not isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; it must be true or false.")
        if isinstance(value, str) and name in declared and isinstance(declared[name].default, int | float):
            kinds = "true or false" if isinstance(declared[name].default, bool) else "a number"
            raise InputError(f"{name} is {value!r}; it must be {kinds}.")
        if name in declared and isinstance(declared[name].default, bool) and not isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; it must be true or false.")
        if value is not None or (name in declared and declared[name].default is not None):
            _check_range(name, value)


def _check_range(name: str, value: Any) -> None:
    """Refuse a hyper-parameter with which Stable-Baselines3 would train to nonsense or stop in mid-run.

    Raises:
        InputError: Naming it and its range.
    """
    number: Any = value.start if isinstance(value, LinearSchedule) else value
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if name in _FRACTIONS and not (is_number and 0 <= number <= 1):
        raise InputError(f"{name} is {number!r}; it must lie between 0 and 1.")
    if name in _POSITIVE_FRACTIONS and not (is_number and 0 < number <= 1):
        raise InputError(f"{name} is {number!r}; it must be above 0 and at most 1.")
    # An infinite max_grad_norm clips nothing.
    if name in _POSITIVE and not (is_number and number > 0 and (number < math.inf or name == "max_grad_norm")):
        raise InputError(f"{name} is {number!r}; it must be above 0 and finite.")
    if name in _NOT_NEGATIVE and not (is_number and 0 <= number < math.inf):
        raise InputError(f"{name} is {number!r}; it must be 0 or more, and finite.")
    if name == "gradient_steps" and not (is_number and (number == -1 or number >= 1)):
        raise InputError(
            f"gradient_steps is {number!r}; it must be at least 1, or -1 for as many as environment steps."
        )
    if name == "train_freq":
        count = number[0] if isinstance(number, tuple) and number else number
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InputError(
                f"train_freq is {number!r}; it must be a whole number, at least 1, or such a number and a unit."
            )
    if name.endswith("_kwargs"):
        for key, part in (number or {}).items():
            _check_finite_numbers(f"{name}.{key}", part)


def _check_finite_numbers(name: str, value: Any) -> None:
    """Refuse a number inside a mapping that is not finite."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            _check_finite_numbers(name, each)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} holds {value}; it must be finite.")


def _first_full(kind: type[BaseAlgorithm]) -> Callable[..., None]:
    """The first constructor that names its arguments."""
    for base in kind.__mro__:
        own = vars(base).get("__init__")
        if own is not None and "learning_rate" in inspect.signature(own).parameters:
            return own
    raise TypeError(f"{kind.__name__} names no arguments.")


def _environments(plan: _Plan) -> tuple[VecEnv, VecEnv | None]:
    """The training environments, and those that the best model is chosen in."""
    request = plan.request
    if request.eval_freq < 1:
        return _bridged(request.env, plan.n_envs, plan.env_kwargs), None
    training, selection = plan.env_kwargs, plan.env_kwargs | request.eval_env_kwargs
    if request.env in ENV_IDS and "targets" not in request.eval_env_kwargs:
        default = gym.spec(request.env).kwargs.get("targets", SearchArguments.targets)
        own, held_out = split_targets(training.get("targets", default))
        training, selection = training | {"targets": own}, selection | {"targets": held_out}
    env = _bridged(request.env, plan.n_envs, training)
    return env, make_env(request.env, request.n_eval_envs, selection)


def _record(env: VecEnv, evaluation: VecEnv | None) -> TrainingEnvironment:
    training = states_of(env)
    selection = None if evaluation is None else states_of(evaluation).targets
    return TrainingEnvironment.of_search(training.arguments, training.search, training.targets, selection)


def _check_unchanged(path: Path, recorded: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with other videos or weights than a run began with."""
    for name in ("weights", "videos", "selection_videos", "prior"):
        if name == "prior" and name not in recorded:  # an older run
            continue
        if recorded.get(name) != now[name]:
            raise InputError(
                f"The run '{path}' began with {name} {_brief(recorded.get(name))} and would go on with"
                f" {_brief(now[name])}; restore them or train anew."
            )


def _brief(value: Any) -> str:
    """A value in a sentence, at most 200 characters of it."""
    text = ", ".join(f"{name} ({mark})" for name, mark in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _bridged(env_id: str, n_envs: int, env_kwargs: dict[str, Any]) -> VecEnv:
    bridge = VectorEnvBridge(make_vector_env(env_id, n_envs, env_kwargs))
    return PreviousRegions(bridge) if env_id in ENV_IDS else bridge


class _Timesteps(VecEnvWrapper):
    """Adds `timesteps` to the infos: environment steps so far, over all environments."""

    def __init__(self, venv: VecEnv, taken: int) -> None:
        super().__init__(venv)
        self.taken = taken

    def reset(self) -> VecEnvObs:
        observations = self.venv.reset()
        self.reset_infos = self.venv.reset_infos
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        self.taken += self.num_envs
        return observations, rewards, dones, [info | {TIMESTEPS: self.taken} for info in infos]


def _monitored(env: VecEnv, file: Path | None, taken: int = 0) -> VecEnv:
    """Log episodes; the run took `taken` steps before this log."""
    columns = COLUMNS if isinstance(env, PreviousRegions) else ()
    return VecMonitor(_Timesteps(env, taken), None if file is None else str(file), (*columns, TIMESTEPS))


def _arguments(plan: _Plan, env: VecEnv) -> dict[str, Any]:
    """All but the policy and the environment."""
    request, given = plan.request, dict(plan.parameters)
    if _looks_up(plan, env):
        steps = int(given.pop("n_steps", 1))  # the buffer does it
        given["replay_buffer_class"] = LookupReplayBuffer if steps == 1 else LookupNStepReplayBuffer
        own: dict[str, Any] = {"feature_length": states_of(env).feature_length}
        if steps > 1:
            gamma = given.get("gamma", inspect.signature(_first_full(plan.kind)).parameters["gamma"].default)
            own |= {"n_steps": steps, "gamma": gamma}
        asked = given.get("replay_buffer_kwargs") or {}
        if clash := sorted(own.keys() & asked.keys()):
            raise InputError(f"replay_buffer_kwargs sets '{clash[0]}', which training sets itself; leave it out.")
        given["replay_buffer_kwargs"] = asked | own
    if issubclass(plan.kind, OffPolicyAlgorithm):
        given["buffer_size"] = min(int(given.get("buffer_size", 1_000_000)), max(plan.steps, plan.n_envs))
    board = None if request.tensorboard_log is None else str(Path(request.tensorboard_log) / request.env)
    return given | {"seed": request.seed, "device": request.device, "tensorboard_log": board}


def _make(plan: _Plan, env: VecEnv) -> BaseAlgorithm:
    arguments = _arguments(plan, env)
    try:
        return plan.kind(plan.policy, env, **arguments)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # how SB3 and torch refuse a value
        raise InputError(
            f"{plan.request.algo} cannot be made with these hyper-parameters ({_reason(error)})."
        ) from error


def _looks_up(plan: _Plan, env: VecEnv) -> bool:
    """Whether the replay memory can look features up: they are in the observation, and in no buffer asked for."""
    if not issubclass(plan.kind, OffPolicyAlgorithm) or "replay_buffer_class" in plan.parameters:
        return False
    return plan.request.env in ENV_IDS and states_of(env).arguments.observation in ("features", "features+region")


def _connect(model: BaseAlgorithm, env: VecEnv) -> None:
    """Tell a lookup buffer where features come from."""
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, LookupReplayBuffer | LookupNStepReplayBuffer):
        buffer.set_env(env)


def load_model(algo: str, path: Path, device: str = "auto") -> BaseAlgorithm:
    """Load an agent to play with; it has no replay memory.

    Args:
        algo: One of `loading.ALGORITHMS`.
        path: Its zip file; it holds pickled objects, so load none whose origin you do not trust.
        device: Where it runs.

    Raises:
        InputError: If there is no such file, or it is no agent of this algorithm.
    """
    if not path.is_file():
        raise InputError(f"There is no agent '{path}'; give the zip file of one that was trained.")
    kind, device = _algorithm(algo), str(resolve_device(device))
    size = {"buffer_size": 1} if issubclass(kind, OffPolicyAlgorithm) else {}
    return _load(kind, path, None, device, custom_objects=WITHOUT_SCHEDULES, **size)


def _load(kind: type[BaseAlgorithm], path: Path, env: VecEnv | None, device: str, **changed: Any) -> BaseAlgorithm:
    changed.pop("policy_kwargs", None)
    try:
        model = kind.load(path, env=env, device=device, **changed)
    except Exception as error:  # a zip of another origin breaks in any way
        raise InputError(f"'{path}' cannot be loaded as an agent of {kind.__name__} ({_reason(error)}).") from None
    check_finite(model.policy.state_dict(), f"The agent '{path}' cannot be used", "train again")
    return model


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


class _Checkpoints(BaseCallback):
    """Writes a checkpoint every so many steps, and only then removes the replay memory of the one before."""

    def __init__(self, run: RunFolder, every: int) -> None:
        super().__init__()
        self.run = run
        self.every = every
        self._next = 0

    def _on_training_start(self) -> None:
        self._next = (self.num_timesteps // self.every + 1) * self.every

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = (self.num_timesteps // self.every + 1) * self.every
            self.write()
        return True

    def write(self) -> None:
        """Write one, the model last.

        Raises:
            InputError: If the agent has diverged; the checkpoint before stays.
        """
        _check_trained(self.model, self.run.path)
        checkpoint = Checkpoint(self.run.path, self.num_timesteps)
        if isinstance(self.model, OffPolicyAlgorithm):
            _save(self.model.save_replay_buffer, checkpoint.replay_buffer)
            write_record(checkpoint.note, {"digest": weights_digest(checkpoint.replay_buffer)})
        _save(self.model.save, checkpoint.model)
        for older in self.run.checkpoints():
            if older.steps != checkpoint.steps:
                older.replay_buffer.unlink(missing_ok=True)
                older.note.unlink(missing_ok=True)


def _check_trained(model: BaseAlgorithm, path: Path) -> None:
    """Refuse to write an agent that has diverged."""
    what = f"The training of '{path}' has diverged and its agent is not written"
    check_finite(model.policy.state_dict(), what, "give a lower learning rate")


def _save(write: Callable[[Any], None], path: Path) -> None:
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        write(file)


def _learn(
    plan: _Plan, run: RunFolder, model: BaseAlgorithm, evaluation: VecEnv | None, progress: bool
) -> RunFolder:
    request = plan.request
    started = model.num_timesteps
    if request.tensorboard_log is None:
        model.set_logger(no_log())
    callbacks: list[BaseCallback] = []
    if evaluation is not None:
        callbacks.append(_evaluations(plan, run, evaluation, started))
    if request.save_freq > 0:
        callbacks.append(_Checkpoints(run, request.save_freq))
    try:
        model.learn(
            max(plan.steps - started, 0), callbacks, reset_num_timesteps=started == 0, tb_log_name=run.path.name,
            progress_bar=progress,
        )  # fmt: skip
    except KeyboardInterrupt:
        for callback in callbacks:
            if isinstance(callback, _Checkpoints):
                callback.write()
        _draw(plan, run)
        raise
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        # The monitor's log stays open, so that Python does not know its name.
        raise OSError(error.errno, os.strerror(error.errno), str(run.path)) from error
    except (RuntimeError, ValueError):
        _check_trained(model, run.path)  # the distributions of PPO refuse NaN in mid-run
        raise
    finally:
        assert model.env is not None
        model.env.close()
        if evaluation is not None:
            evaluation.close()
    _draw(plan, run)
    _check_trained(model, run.model)
    _save(model.save, run.model)
    if request.save_replay_buffer and isinstance(model, OffPolicyAlgorithm):
        _save(model.save_replay_buffer, run.replay_buffer)
    return run


def _evaluations(plan: _Plan, run: RunFolder, env: VecEnv, steps: int) -> EvalCallback:
    """Evaluations on the selection videos; a resumed run keeps those of its first part, and their schedule."""
    kind: type[EvalCallback] = EvalCallback
    if plan.request.algo == "ppo_mask":
        from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback

        kind = MaskableEvalCallback
    callback = _selection(kind, plan.request.seed + plan.n_envs, run.path)(
        env, best_model_save_path=str(run.path), log_path=str(run.path), verbose=0,
        eval_freq=max(plan.request.eval_freq // plan.n_envs, 1), n_eval_episodes=plan.request.eval_episodes,
    )  # fmt: skip
    callback.n_calls = steps // plan.n_envs
    if not steps or not run.evaluations.is_file():
        return callback
    if not is_archive(run.evaluations):
        warn_of_damage(run.evaluations, "the evaluations start anew")
        run.evaluations.unlink()
        return callback
    found = read_evaluations(run.evaluations)
    kept = found["timesteps"] <= steps
    callback.evaluations_timesteps = found["timesteps"][kept].tolist()
    callback.evaluations_results = found["results"][kept].tolist()
    callback.evaluations_length = found["ep_lengths"][kept].tolist()
    if kept.any():
        if is_archive(run.best_model):
            callback.best_mean_reward = float(np.mean(callback.evaluations_results, axis=1).max())
        else:
            warn_of_damage(run.best_model, "the best agent of the evaluations to come replaces it")
    return callback


def _selection(kind: type[EvalCallback], seed: int, folder: Path) -> type[EvalCallback]:
    """The callback with the same episodes in every evaluation, and with files that are complete or not there."""
    unfinished = folder / ".evaluation"

    class Selection(kind):  # type: ignore[misc, valid-type]
        def _on_step(self) -> bool:
            if self.n_calls % self.eval_freq:
                return True
            _check_trained(self.model, folder)
            self.eval_env.seed(seed)
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
            unfinished.mkdir()
            self.best_model_save_path, self.log_path = str(unfinished), str(unfinished / "evaluations")
            try:
                goes_on = super()._on_step()
                for file in sorted(unfinished.iterdir()):
                    with replacing_file(folder / file.name) as temporary:
                        file.replace(temporary)
            finally:
                shutil.rmtree(unfinished)
            return goes_on

    return Selection


def _cut_monitors(run: RunFolder, steps: int) -> int:
    """Drop the episodes that ended after a checkpoint; returns the number of the next log.

    An episode's end is its `timesteps`. The sum of lengths says less with several environments: it lacks the
    unfinished episodes, so that episodes after the checkpoint would be kept.
    """
    monitors = run.monitors
    for file in monitors:
        # A kill leaves no complete head in the last log, or a last line without its end.
        lines = [
            line[:-1] for line in file.read_text(errors="replace").splitlines(keepends=True) if line[-1] == "\n"
        ]
        if not _is_head(lines):
            if file != monitors[-1] or file == monitors[0] or len(lines) > 1:
                warn_of_damage(file, "its episodes are missing in the learning curve")
            file.unlink()
            continue
        head, names, *rows = lines
        columns = names.split(",")
        if TIMESTEPS not in columns:
            raise InputError(f"'{file}' has no column {TIMESTEPS}: an older version wrote it; train anew.")
        intact = [row for row in rows if _is_row(row, columns)]
        if len(intact) < len(rows):
            warn_of_damage(file, f"{len(rows) - len(intact)} of its episodes are missing in the learning curve")
        column = columns.index(TIMESTEPS)
        kept = [row for row in intact if int(row.split(",")[column]) <= steps]
        with replacing_file(file) as temporary:
            temporary.write_text("\n".join([head, names, *kept]) + "\n")
    return 1 + max((int(file.name.split(".")[0]) for file in run.monitors), default=-1)


def _is_head(lines: list[str]) -> bool:
    """Whether a log begins with its JSON and the names of its columns."""
    try:
        return len(lines) > 1 and lines[0][:1] == "#" and isinstance(json.loads(lines[0][1:]), dict)
    except ValueError:
        return False


def _is_row(row: str, columns: list[str]) -> bool:
    """Whether a line of a log has a number for each column but those of texts and truth values."""
    cells = dict(zip(columns, row.split(","), strict=False))
    try:
        _ = int(cells[TIMESTEPS]), *(float(cells[name]) for name in "rlt")
    except (KeyError, ValueError):
        return False
    return len(row.split(",")) == len(columns)


def _draw(plan: _Plan, run: RunFolder) -> None:
    episodes = read_monitors(run.monitors)
    if len(episodes["steps"]):
        title = f"{plan.request.algo} in {plan.request.env}, seed {plan.request.seed}"
        draw_learning_curves(run.learning_curve, episodes, run.evaluations, title)
