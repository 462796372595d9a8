"""Search for hyper-parameters with Optuna: every trial is a training run, pruned by its evaluations.

RL Zoo's own search (`python -m rl_zoo3.train -optimize`) steps single environments one after the other, evaluates
on the training videos, and has no maskable PPO; this one trains as `train` does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback

from tracker.data.identity import differing_settings, plain_data
from tracker.errors import InputError
from tracker.files import replacing_file

from ..common.locks import lock_folder
from ..dqn.algorithm import OWN_SECTION
from ..dqn.algorithms import reason_of
from .callbacks import Diverged
from .learning_curves import read_evaluations
from .request import TrainRequest
from .run import check_unchanged, train
from .runs import RunFolder
from .vector_envs import make_training_envs

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import BaseTrial, FrozenTrial, TrialState

EVALUATIONS = 5
"""Evaluations of a trial; the last one is its value."""

LEAST_TRIALS = 5
"""Complete trials from which on a trial is pruned."""

STUDY = "tune"
"""Name of the study in `study.db`, of any algorithm, so that a folder holds one search."""

DIVERGED = "diverged"
"""Attribute of a pruned trial that diverged."""

Suggest = Callable[["BaseTrial"], Any]

_SHARED: dict[str, Suggest] = {
    "learning_rate": lambda trial: f"lin_{trial.suggest_float('learning_rate', 1e-4, 5e-3, log=True):.3g}",
    "gamma": lambda trial: trial.suggest_categorical("gamma", [0.8, 0.9, 0.95, 0.99]),
    "policy_kwargs": lambda trial: {"net_arch": [trial.suggest_categorical("units", [64, 128, 256])] * 2},
}
_Q_LEARNING: dict[str, Suggest] = {
    **_SHARED,
    "batch_size": lambda trial: trial.suggest_categorical("batch_size", [64, 128, 256, 512]),
    "gradient_steps": lambda trial: trial.suggest_int("gradient_steps", 1, 16, log=True),
    "target_update_interval": lambda trial: trial.suggest_int("target_update_interval", 100, 5000, log=True),
    "exploration_fraction": lambda trial: trial.suggest_float("exploration_fraction", 0.05, 0.6),
    "exploration_final_eps": lambda trial: trial.suggest_float("exploration_final_eps", 0.01, 0.1),
}
_ACTOR_CRITIC: dict[str, Suggest] = {
    **_SHARED,
    "n_steps": lambda trial: trial.suggest_categorical("n_steps", [8, 16, 32, 64]),
    "gae_lambda": lambda trial: trial.suggest_float("gae_lambda", 0.8, 1.0),
    "ent_coef": lambda trial: trial.suggest_float("ent_coef", 1e-4, 0.05, log=True),
}
_PPO: dict[str, Suggest] = {
    **_ACTOR_CRITIC,
    "batch_size": lambda trial: trial.suggest_categorical("batch_size", [64, 128, 256]),
    "n_epochs": lambda trial: trial.suggest_int("n_epochs", 2, 10),
    "clip_range": lambda trial: trial.suggest_float("clip_range", 0.1, 0.3),
}
SPACES: dict[str, dict[str, Suggest]] = {
    "dqn": {
        **_Q_LEARNING,
        "n_steps": lambda trial: trial.suggest_int("n_steps", 1, 5),
        "td_target": lambda trial: trial.suggest_categorical("td_target", ["max", "double"]),
    },
    "qrdqn": _Q_LEARNING,
    "ppo": _PPO,
    "a2c": _ACTOR_CRITIC,
    "ppo_mask": _PPO,
}
"""Hyper-parameters that are searched, by algorithm; the others are the hyper-parameter file's."""


_OF_DQN = ("td_target", "loss", "truncation_is_terminal")
"""Hyper-parameters that RL Zoo does not know."""

_OF_THE_MACHINE = ("targets", "split", "device")


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes:
        file: Hyper-parameters for `train --conf-file`.
        value: Mean return of the last evaluation of the best trial.
        sampled: Its hyper-parameters that were searched.
        trials: Number of complete trials.
        pruned: Number of trials that were ended early.
        diverged: Number of trials whose weights did not stay finite.
        steps: Environment steps of a complete trial.
    """

    file: Path
    value: float
    sampled: dict[str, Any]
    trials: int
    pruned: int
    diverged: int
    steps: int


class _Pruning(BaseCallback):
    """Reports the evaluations of a trial, and ends it where Optuna's pruner says so."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.trial = trial
        self.ended = False

    def _on_step(self) -> bool:
        assert isinstance(self.parent, EvalCallback)
        self.trial.report(float(self.parent.last_mean_reward), self.num_timesteps)
        self.ended = self.trial.should_prune()
        return not self.ended


def tune(
    request: TrainRequest,
    folder: Path,
    trials: int,
    progress: bool = False,
    done: Callable[[str], object] = lambda line: None,
    allowed: Collection[str] = (),
) -> Tuned:
    """Search the hyper-parameters of an algorithm; the same call resumes a search that was cut off.

    Args:
        request: What the trials train; a fifth of its steps lies between two evaluations. All trials have its
            seed, so that they are evaluated on the same episodes.
        folder: Gets `study.db`, the runs, and `best.yml`, whose `n_timesteps` is that of the hyper-parameter file.
        trials: Number of trials, those of earlier calls included.
        progress: Whether to show a progress bar for each trial.
        done: Called with a line on each trial that has ended.
        allowed: See `run.train`.

    Raises:
        InputError: If Optuna is not installed, the request cannot be met, `folder` holds the search of another
            request, or no trial is complete.
    """
    if trials < 1:
        raise InputError(f"The number of trials is {trials}; it must be at least 1.")
    resolved = request.resolve(allowed=allowed)
    try:
        import optuna
    except ModuleNotFoundError:
        raise InputError("A search for hyper-parameters needs Optuna; install 'occlusion-search[tune]'.") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of an interrupt with a traceback
    for env in make_training_envs(resolved):  # a wrong argument ends the call before there is a study
        if env is not None:
            env.close()
    with lock_folder(folder):
        study = _open_study(request, resolved, folder)
        states = optuna.trial.TrialState

        def ended(state: TrialState) -> list[FrozenTrial]:
            return study.get_trials(deepcopy=False, states=(state,))

        def objective(trial: Trial) -> float:
            settings = replace(
                request, hyperparams=_merged(resolved.hyperparams, _sample(request.algo, trial)),
                eval_freq=_between_evaluations(resolved), save_freq=-1, log_folder=str(folder),
            )  # fmt: skip
            pruning = _Pruning(trial)
            try:
                run = train(settings, f"trial {trial.number}", progress, _check_videos, allowed, pruning)
            except Diverged:
                trial.set_user_attr(DIVERGED, True)
                raise optuna.TrialPruned from None
            if pruning.ended:
                raise optuna.TrialPruned
            return float(read_evaluations(run.evaluations)["results"][-1].mean())

        def report(study: Study, trial: FrozenTrial) -> None:
            numbers = {
                name: f"{value:.3g}" if isinstance(value, float) else value for name, value in trial.params.items()
            }
            end = "diverged" if DIVERGED in trial.user_attrs else "pruned"
            if trial.state == states.COMPLETE:
                end = f"return {trial.value:.3f}"
            done(f"trial {trial.number}: {end}; {', '.join(f'{name} {value}' for name, value in numbers.items())}")

        left = trials - len(ended(states.COMPLETE)) - len(ended(states.PRUNED))
        study.optimize(objective, max(left, 0), callbacks=[report])
        complete, pruned = ended(states.COMPLETE), ended(states.PRUNED)
        if not complete:
            raise InputError(
                f"All {len(pruned)} trials in '{folder}' diverged; give more --trials, or another --conf-file."
            )
        diverged = sum(DIVERGED in trial.user_attrs for trial in pruned)
        best, file = study.best_trial, folder / "best.yml"
        assert best.value is not None
        sampled = _sample(request.algo, optuna.trial.FixedTrial(best.params))
        whole = replace(request, n_timesteps=None).resolve(allowed=allowed).hyperparams
        _write(file, request.env, _merged(whole, sampled))
        assert resolved.n_timesteps is not None
        counts = len(complete), len(pruned) - diverged, diverged
        return Tuned(file, best.value, sampled, *counts, resolved.n_timesteps)


def _check_videos(run: RunFolder) -> None:
    """Refuse a trial on other videos or weights than the first one's."""
    try:
        first = RunFolder.open(run.path.with_name(f"{run.env_id}_1"))
    except InputError:  # it was killed at once
        return
    check_unchanged(first, run.environment())


def _between_evaluations(request: TrainRequest) -> int:
    """Environment steps between two evaluations of a trial: a multiple of the number of environments."""
    assert request.n_timesteps is not None and request.n_envs is not None
    return max(request.n_timesteps // EVALUATIONS // request.n_envs, 1) * request.n_envs


def _open_study(request: TrainRequest, resolved: TrainRequest, folder: Path) -> Study:
    """The study of a folder; an `InputError` if it is damaged or has trials of another request."""
    import optuna

    file = folder / "study.db"
    settings = plain_data(replace(resolved, log_folder="", seeds=1))
    # The first evaluation says too little; Optuna prunes at the step `n_warmup_steps` too.
    warm_up = _between_evaluations(resolved) + 1
    pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST_TRIALS, n_warmup_steps=warm_up)
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{file.resolve()}", study_name=STUDY, load_if_exists=True,
            direction="maximize", pruner=pruner,
        )  # fmt: skip
        trials = [trial for trial in study.trials if trial.state.is_finished()]
        recorded = study.user_attrs.get("request", {})
    except Exception as error:  # a file of another origin breaks in any way
        raise InputError(f"'{file}' cannot be read as a study ({reason_of(error)}); move it away.") from None
    differences = differing_settings(recorded, settings)
    if differences and any(trial.value is not None for trial in trials):
        raise InputError(f"'{folder}' holds a search with other settings ({differences[0]}); give another --out.")
    study.set_user_attr("request", settings)
    # A resumed search must not draw its first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=request.seed + len(trials), multivariate=True)
    return study


def _sample(algo: str, trial: BaseTrial) -> dict[str, Any]:
    return {name: suggest(trial) for name, suggest in SPACES[algo].items()}


def _merged(base: dict[str, Any], sampled: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters with the sampled ones; of `policy_kwargs` the sampled keys alone are replaced."""
    return base | sampled | {"policy_kwargs": (base.get("policy_kwargs") or {}) | sampled["policy_kwargs"]}


def _write(file: Path, env: str, hyperparameters: dict[str, Any]) -> None:
    """Write a file of hyper-parameters in RL Zoo's format, without the videos and the device."""
    kept = {name: value for name, value in hyperparameters.items() if name not in _OF_DQN}
    kwargs = {name: value for name, value in kept["env_kwargs"].items() if name not in _OF_THE_MACHINE}
    sections = {env: kept | {"env_kwargs": kwargs}}
    if own := {name: value for name, value in hyperparameters.items() if name in _OF_DQN}:
        sections[OWN_SECTION] = own
    with replacing_file(file) as temporary:
        temporary.write_text(yaml.safe_dump(sections, sort_keys=False))
