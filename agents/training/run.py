"""Training an agent with any algorithm; a run that was killed goes on from its folder.

A model file, a checkpoint and a replay memory are Stable-Baselines3's own and hold pickled objects, for which it
has no safe setting: loading one runs what is in it. Load those alone whose origin you trust.
"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from occlusion_env import ENV_IDS
from occlusion_env.naming import check_built_in
from tracker.errors import InputError, shorten
from tracker.files import read_text, remove_leftovers
from tracker.records import warn_of_damage

from ..common.locks import lock_folder, remove_empty
from ..common.progress import TrainingProgress
from ..dqn.algorithms import load_zip, reason_of
from ..dqn.replay import LookupNStepReplayBuffer, LookupReplayBuffer, states_of
from .callbacks import Checkpoints, Diverged, check_trained, make_evaluations, write_whole
from .environment import TrainingEnvironment
from .hyperparameters import declared_arguments
from .learning_curves import cut_monitors, draw_learning_curves, read_monitors
from .page import write_training_page
from .request import TrainRequest
from .runs import Checkpoint, RunFolder, is_archive, restore_parameters
from .vector_envs import make_env, make_training_envs, monitored


def train(
    request: TrainRequest,
    command: str = "",
    progress: bool = False,
    started: Callable[[RunFolder], object] = lambda run: None,
    allowed: Collection[str] = (),
    after_evaluation: BaseCallback | None = None,
    earlier: RunFolder | None = None,
) -> RunFolder:
    """Train an agent into a new run folder.

    Args:
        request: What to train.
        command: The command line, for the record.
        progress: Whether to show a progress bar.
        started: Called with the run's folder when it has been made.
        allowed: Names `module:attribute` that the hyper-parameter file may hold, beside those of the request; see
            `occlusion_env.naming.check_built_in`.
        after_evaluation: Called after each evaluation; ends the training where it returns `False`.
        earlier: A run of another seed, whose recorded hyper-parameters replace the file's.

    Returns:
        The run's folder, with the agent, the returns of its evaluations, and the learning curve.

    Raises:
        InputError: If the request cannot be met, or `earlier` had other videos or weights.
        Diverged: If the agent's weights are no longer finite.
    """
    resolved = request.resolve(None if earlier is None else earlier.config(), allowed)
    trained = request.trained_agent
    if trained is not None and not Path(trained).is_file():
        raise InputError(f"There is no agent '{trained}'; give --trained-agent the zip file of one.")
    env, evaluation = make_training_envs(resolved)
    record = _describe_environment(env, evaluation).record() if request.env in ENV_IDS else None
    if earlier is not None:
        check_unchanged(earlier, record)
    parent = Path(request.log_folder).absolute() / request.algo
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    run = RunFolder.create(Path(request.log_folder), request.algo, request.env)
    with lock_folder(run.path):
        run.write_parameters(resolved.hyperparams, asdict(request), command)
        if record is not None:
            run.write_environment(record)
        env = monitored(env, run.path / "0.monitor.csv")
        try:
            model = _make_model(resolved, env)
        except InputError:
            env.close()
            shutil.rmtree(run.path)  # there is nothing in it but what was asked for
            remove_empty(missing)
            raise
        started(run)
        _train_in_folder(resolved, run, model, evaluation, progress, after_evaluation)
    return run


def train_seeds(
    request: TrainRequest,
    command: str = "",
    progress: bool = False,
    started: Callable[[RunFolder], object] = lambda run: None,
    allowed: Collection[str] = (),
) -> list[RunFolder]:
    """Train an agent for each seed of a request, one after the other; see `train`.

    Raises:
        InputError: See `train`.
        Diverged: If trainings diverge; after the last one.
    """
    folders: list[RunFolder] = []

    def begin(run: RunFolder) -> None:
        folders.append(run)
        started(run)

    def train_seed(request: TrainRequest) -> RunFolder:
        series = folders[0].path.name if folders else None
        return train(replace(request, series=series), command, progress, begin, allowed)

    return _train_each([partial(train_seed, each) for each in request.each_seed()])


def resume_seeds(
    path: Path,
    progress: bool = False,
    started: Callable[[RunFolder], object] = lambda run: None,
    allowed: Collection[str] = (),
) -> list[RunFolder]:
    """Go on with a run that was cut off, and then with the seeds after it that its request names; see `resume`.

    A run that is complete is left as it is where a later seed's is not.

    Returns:
        The runs of all seeds, those before this one among them where they are complete.

    Raises:
        InputError: See `resume`; also if the runs of this seed and of all later ones are complete.
        Diverged: If trainings diverge; after the last one.
    """
    restore_parameters(path)
    run = RunFolder.open(path.resolve() if path.name in ("", "..") or path.is_symlink() else path)
    check_built_in([run.arguments(), run.config()], run.parameters, allowed)
    own, *later = _recorded_request(run).each_seed()
    series = run.find_series() | {own.seed: run}
    complete = {seed for seed, each in series.items() if is_archive(each.model)}
    file = run.parameters / "command.txt"
    command = read_text(file) if file.is_file() else ""
    log_folder = os.path.normpath(run.path / ".." / "..")  # the parent of `x_1` is `.`, whose parent is `.` too

    def train_seed(request: TrainRequest) -> RunFolder:
        if request.seed in series:
            if request is not own:
                started(series[request.seed])
            return resume(series[request.seed].path, progress, allowed)
        asked = replace(request, series=own.series or run.path.name, log_folder=log_folder)
        series[request.seed] = train(asked, command, progress, started, allowed, earlier=run)
        return series[request.seed]

    unfinished = [each for each in (own, *later) if each.seed not in complete]
    _train_each([partial(train_seed, each) for each in unfinished or [own]])
    return [each for seed, each in sorted(series.items()) if seed >= own.seed or seed in complete]


def _train_each(trainings: Collection[Callable[[], RunFolder]]) -> list[RunFolder]:
    """Start trainings one after the other; one that diverges is reported after the last."""
    runs, diverged = list[RunFolder](), list[Diverged]()
    for training in trainings:
        try:
            runs.append(training())
        except Diverged as error:
            if len(trainings) == 1:
                raise
            diverged.append(error)
    if diverged:
        names = ", ".join(f"'{each.folder}'" for each in diverged)
        raise Diverged(
            f"{len(diverged)} of {len(trainings)} trainings diverged, so that no agent is written in {names}; give"
            " a lower learning rate.",
            diverged[0].folder,
        )
    return runs


def fit(request: TrainRequest, progress: bool = False) -> BaseAlgorithm:
    """Train an agent without a run folder: no evaluation, no checkpoint, no log.

    Args:
        request: What to train; `env_kwargs` may hold objects, such as a `TargetSet` for `targets`.
        progress: Whether to show a progress bar.

    Returns:
        The agent; its environments are closed.

    Raises:
        InputError: If the request cannot be met.
    """
    resolved = request.resolve()
    assert resolved.n_envs is not None and resolved.n_timesteps is not None
    env = make_env(resolved.env, resolved.n_envs, resolved.env_kwargs)
    model = _make_model(resolved, env)
    try:
        _learn(resolved, model, [], progress)
    finally:
        env.close()
    return model


def resume(path: Path, progress: bool = False, allowed: Collection[str] = ()) -> RunFolder:
    """Go on with a run that was cut off, from its last checkpoint that is complete and not damaged.

    Weights, optimizer, steps, schedules and replay memory are those of the checkpoint, the hyper-parameters those
    that the run recorded. The episodes that were under way begin anew, and what is drawn is seeded with the seed
    plus the steps. A run that was killed before its first checkpoint begins anew, and so does a run of several
    seeds that has none.

    Args:
        path: The run's folder. Its checkpoints are pickled: resuming runs what is in them.
        progress: Whether to show a progress bar.
        allowed: Names `module:attribute` that its files may hold; see `occlusion_env.naming.check_built_in`.

    Raises:
        InputError: If it is no run's folder, was to write no checkpoint, has damaged ones alone or nothing left to
            do, names `module:attribute`, another process trains in it, or its videos or weights have changed.
        Diverged: If the agent's weights are no longer finite.
    """
    restore_parameters(path)
    run = RunFolder.open(path)
    with lock_folder(run.path):
        check_built_in([run.arguments(), run.config()], run.parameters, allowed)
        resolved = _recorded_request(run).resolve(run.config())
        last = _last_intact_checkpoint(path, run, issubclass(resolved.kind, OffPolicyAlgorithm))
        if last is None and resolved.save_freq < 1 and resolved.seeds == 1 and resolved.series is None:
            raise InputError(f"'{path}' has no checkpoint; train with --save-freq, so that a run can go on.")
        env, evaluation = make_training_envs(resolved)
        if resolved.env in ENV_IDS:
            check_unchanged(run, _describe_environment(env, evaluation).record())
        remove_leftovers(run.path)
        steps = 0 if last is None else last.steps
        env = monitored(env, run.path / f"{cut_monitors(run, steps)}.monitor.csv", steps)
        if last is None:
            model = _make_model(resolved, env)
        else:
            model = load_zip(
                resolved.algo, resolved.kind, last.model, env, resolved.device, seed=resolved.seed + steps
            )
            if isinstance(model, OffPolicyAlgorithm):
                _load_replay_buffer(model, last)
            _connect(model, env)
        _train_in_folder(resolved, run, model, evaluation, progress)
    return run


def _load_replay_buffer(model: OffPolicyAlgorithm, checkpoint: Checkpoint) -> None:
    try:
        model.load_replay_buffer(checkpoint.replay_buffer)
    except Exception as error:  # a pickle of another origin breaks in any way
        raise InputError(
            f"'{checkpoint.replay_buffer}' cannot be loaded as a replay memory ({reason_of(error)}); go on with an"
            f" empty one, with --trained-agent '{checkpoint.model}'."
        ) from None


def _last_intact_checkpoint(path: Path, run: RunFolder, has_replay_buffer: bool) -> Checkpoint | None:
    """Find the last checkpoint that is not damaged; the later ones are deleted, with a warning.

    Returns:
        `None` if the run has none at all.
    """
    if run.model.is_file():
        if is_archive(run.model):
            raise InputError(
                f"The run '{path}' is complete; go on from its agent with --trained-agent '{run.model}'."
            )
        warn_of_damage(run.model)
    checkpoints = run.checkpoints()
    if not checkpoints:
        return None
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
    """The request that a run was started with; an `InputError` if its file holds other names or types."""
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


def _describe_environment(env: VecEnv, evaluation: VecEnv | None) -> TrainingEnvironment:
    training = states_of(env)
    selection = None if evaluation is None else states_of(evaluation).targets
    return TrainingEnvironment.of_search(training.arguments, training.search, training.targets, selection)


def check_unchanged(run: RunFolder, now: dict[str, Any] | None) -> None:
    """Refuse to go on with other videos or weights than a run began with, by the record of its environment."""
    if (recorded := run.environment()) is None or now is None:
        return
    for name in ("weights", "videos", "selection_videos", "prior"):
        if name == "prior" and name not in recorded:  # an older run
            continue
        if recorded.get(name) != now[name]:
            raise InputError(
                f"The run '{run.path}' began with {name} {shorten(recorded.get(name))} and would go on with"
                f" {shorten(now[name])}; restore them or train anew."
            )


def _make_model(request: TrainRequest, env: VecEnv) -> BaseAlgorithm:
    """Make the agent of a resolved request, or load the one that it goes on from."""
    board = None if request.tensorboard_log is None else str(Path(request.tensorboard_log) / request.env)
    arguments = {
        **_with_replay_buffer(request, env),
        "seed": request.seed,
        "device": request.device,
        "tensorboard_log": board,
    }
    if request.trained_agent is not None:
        model = load_zip(request.algo, request.kind, Path(request.trained_agent), env, **arguments)
        model.num_timesteps = 0
    else:
        try:
            model = request.kind(request.policy, env, **arguments)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # how SB3 and torch refuse a value
            raise InputError(
                f"{request.algo} cannot be made with these hyper-parameters ({reason_of(error)})."
            ) from error
    _connect(model, env)
    return model


def _with_replay_buffer(request: TrainRequest, env: VecEnv) -> dict[str, Any]:
    """The algorithm's arguments, with a replay buffer that looks features up where the observation holds them.

    A buffer that was asked for stays. No buffer is larger than the number of steps.
    """
    given = request.arguments()
    if not issubclass(request.kind, OffPolicyAlgorithm):
        return given
    assert request.n_timesteps is not None and request.n_envs is not None
    if (
        "replay_buffer_class" not in given
        and request.env in ENV_IDS
        and states_of(env).arguments.observation in ("features", "features+region")
    ):
        steps = int(given.pop("n_steps", 1))  # the buffer does it
        given["replay_buffer_class"] = LookupReplayBuffer if steps == 1 else LookupNStepReplayBuffer
        own: dict[str, Any] = {"feature_length": states_of(env).feature_length}
        if steps > 1:
            gamma: inspect.Parameter = declared_arguments(request.kind)["gamma"]
            own |= {"n_steps": steps, "gamma": given.get("gamma", gamma.default)}
        asked = given.get("replay_buffer_kwargs") or {}
        if clash := sorted(own.keys() & asked.keys()):
            raise InputError(f"replay_buffer_kwargs sets '{clash[0]}', which training sets itself; leave it out.")
        given["replay_buffer_kwargs"] = asked | own
    largest = max(request.n_timesteps, request.n_envs)
    given["buffer_size"] = min(int(given.get("buffer_size", 1_000_000)), largest)
    return given


def _connect(model: BaseAlgorithm, env: VecEnv) -> None:
    """Tell a lookup buffer where features come from."""
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, LookupReplayBuffer):
        buffer.set_env(env)


def _train_in_folder(
    request: TrainRequest,
    run: RunFolder,
    model: BaseAlgorithm,
    evaluation: VecEnv | None,
    progress: bool,
    after_evaluation: BaseCallback | None = None,
) -> None:
    """Train to the end and write the agent; an interrupted training leaves a checkpoint and its learning curve."""
    callbacks: list[BaseCallback] = []
    if evaluation is not None:
        callbacks.append(make_evaluations(request, run, evaluation, model.num_timesteps, after_evaluation))
    if request.save_freq > 0:
        callbacks.append(Checkpoints(run, request.save_freq))
    try:
        _learn(request, model, callbacks, progress, run.path.name)
    except KeyboardInterrupt:
        for callback in callbacks:
            if isinstance(callback, Checkpoints):
                callback.write()
        _draw(request, run)
        raise
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        # The monitor's log stays open, so that Python does not know its name.
        raise OSError(error.errno, os.strerror(error.errno), str(run.path)) from error
    except (RuntimeError, ValueError):
        check_trained(model, run.path)  # the distributions of PPO refuse NaN in mid-run
        raise
    finally:
        assert model.env is not None
        model.env.close()
        if evaluation is not None:
            evaluation.close()
    _draw(request, run)
    check_trained(model, run.path)
    write_whole(model.save, run.model)
    if request.save_replay_buffer and isinstance(model, OffPolicyAlgorithm):
        write_whole(model.save_replay_buffer, run.replay_buffer)
    write_training_page(run)


def _learn(
    request: TrainRequest, model: BaseAlgorithm, callbacks: list[BaseCallback], progress: bool, name: str = "run"
) -> None:
    """Train up to the steps of a resolved request; an agent that took some before takes the rest."""
    assert request.n_timesteps is not None
    if request.tensorboard_log is None:
        model.set_logger(Logger(None, []))  # an algorithm's own leaves a folder among temporary files
    before = model.num_timesteps
    shown: list[BaseCallback] = [TrainingProgress()] if progress else []
    model.learn(
        max(request.n_timesteps - before, 0), [*callbacks, *shown], reset_num_timesteps=before == 0,
        tb_log_name=name,
    )  # fmt: skip


def _draw(request: TrainRequest, run: RunFolder) -> None:
    episodes = read_monitors(run.monitors)
    if len(episodes["steps"]):
        title = f"{request.algo} in {request.env}, seed {request.seed}"
        draw_learning_curves(run.learning_curve, episodes, run.evaluations, title)
