"""The command `tune`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import tyro

from ..shared import GOES_ON, Allow, Device, Seed, on_interrupt
from .train import Algorithm, EnvId, Pairs, Videos, key_values, paths_of, targets_argument


def tune(
    algo: Algorithm = "dqn",
    env: EnvId = "OcclusionSearch-v0",
    trials: int = 20,
    steps: Annotated[int | None, tyro.conf.arg(aliases=["-n", "--n-timesteps"])] = None,
    data: Videos = None,
    conf_file: Annotated[str | None, tyro.conf.arg(aliases=["-conf"], metavar="NAME|FILE")] = None,
    env_kwargs: Pairs = (),
    eval_env_kwargs: Pairs = (),
    eval_episodes: int = 50,
    n_eval_envs: int = 10,
    seed: Seed = 0,
    device: Device = "auto",
    out: Path = Path("out/tune"),
    progress: Annotated[bool, tyro.conf.arg(aliases=["-P"])] = True,
    allow: Allow = (),
) -> None:
    """Search the hyper-parameters of an algorithm with Optuna.

    Every trial is a training. Optuna's TPE chooses the learning rate, the discount, the layers and the algorithm's
    own numbers. Once five trials are complete, its median pruner ends a trial at its second or a later evaluation
    where its best evaluation so far is below the median of the complete trials at the same step. A trial that
    diverges ends too. Trials are evaluated on held-out training videos, as in `train`. The same command resumes a
    search that was cut off, and with more --trials continues it. Needs the extra `tune`.

    Writes OUT/best.yml (for `train --conf-file`, with the n_timesteps of the hyper-parameter file in place of a
    trial's), OUT/study.db (Optuna's) and the runs, OUT/ALGO/ENV_<n>.

    Args:
        algo: The algorithm.
        env: The environment.
        trials: Number of trials in all.
        steps: Environment steps of a trial; by default `n_timesteps` of the hyper-parameter file.
        data: Videos to train on: short for --env-kwargs targets:DIR.
        conf_file: Hyper-parameters that are not searched; by default the algorithm's own file.
        env_kwargs: Arguments of the environment, such as observation:belief; values are YAML.
        eval_env_kwargs: Arguments that differ in the evaluation environments.
        eval_episodes: Episodes of an evaluation; a trial has five evaluations.
        n_eval_envs: Environments of an evaluation.
        out: Folder for the search.
        progress: Show a progress bar for each trial.

    Examples:
        occlusion-search tune --algo dqn --conf-file tuned --data path/to/videos --steps 20000
        occlusion-search tune --algo ppo --env-kwargs observation:belief reward:record --trials 50
    """
    from ...common.output import check_folder
    from ...training.request import TrainRequest
    from ...training.tuning import tune as search

    request = TrainRequest(
        algo=algo, env=env, n_timesteps=steps, conf_file=conf_file,
        env_kwargs=key_values("--env-kwargs", env_kwargs) | targets_argument(data),
        eval_env_kwargs=key_values("--eval-env-kwargs", eval_env_kwargs),
        seed=seed, device=device, eval_episodes=eval_episodes, n_eval_envs=n_eval_envs,
    )  # fmt: skip
    check_folder(out, *paths_of(request.env_kwargs), *paths_of(request.eval_env_kwargs))
    with on_interrupt(GOES_ON):
        found = search(request, out, trials, progress, print, allow)
    print(
        f"The best of {found.trials} complete trials of {found.steps} steps ({found.pruned} were pruned,"
        f" {found.diverged} diverged) has a mean return of {found.value:.3f}:"
    )
    for name, value in found.sampled.items():
        print(f"  {name}: {value}")
    print("It was chosen by that return; a new training with it may have a lower one.")
    print(f"{found.file} has the n_timesteps of the hyper-parameter file, whatever --steps a trial had. Next:")
    words = ["--algo", algo, "--env", env, "--conf-file", str(found.file)]
    words += [] if data is None else ["--data", data]
    for flag, given in (("env-kwargs", env_kwargs), ("eval-env-kwargs", eval_env_kwargs), ("allow", allow)):
        words += [f"--{flag}", *given] if given else []
    print(f"  {shlex.join(['occlusion-search', 'train', *words, '--seeds', '5'])}")
