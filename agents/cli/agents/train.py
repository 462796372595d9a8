"""The command `train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from tracker.errors import InputError, shorten

from ..shared import NOTHING_WRITTEN, Allow, Device, Seed, command_line, on_interrupt

__all__ = ["Algorithm", "Pairs", "EnvId", "key_values", "paths_of", "targets_argument", "train"]

Algorithm = Literal["dqn", "ppo", "a2c", "qrdqn", "ppo_mask"]
Pairs = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY:VALUE ...")]
EnvId = Annotated[str, tyro.conf.arg(metavar="ID")]


def train(
    algo: Algorithm = "dqn",
    env: EnvId = "OcclusionSearch-v0",
    n_timesteps: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None,
    targets: Annotated[str | None, tyro.conf.arg(metavar="DIR|synthetic[:SEED]|drawn[:SEED]")] = None,
    conf_file: Annotated[str | None, tyro.conf.arg(aliases=["-conf"], metavar="NAME|FILE")] = None,
    env_kwargs: Pairs = (),
    eval_env_kwargs: Pairs = (),
    hyperparams: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-params"], metavar="KEY:VALUE ...")] = (),
    exploration: Literal["uniform", "guided"] = "uniform",
    seed: Seed = 0,
    device: Device = "auto",
    n_envs: int | None = None,
    eval_freq: int = 25_000,
    eval_episodes: int = 50,
    n_eval_envs: int = 10,
    save_freq: int = 10_000,
    save_replay_buffer: bool = False,
    log_folder: Annotated[Path, tyro.conf.arg(aliases=["-f"])] = Path("logs"),
    tensorboard_log: Annotated[Path | None, tyro.conf.arg(aliases=["-tb"])] = None,
    trained_agent: Annotated[Path | None, tyro.conf.arg(aliases=["-i"], metavar="FILE")] = None,
    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN_FOLDER")] = None,
    progress: Annotated[bool, tyro.conf.arg(aliases=["-P"])] = False,
    allow: Allow = (),
) -> None:
    """Train an agent; the flags and the run's folder are RL Zoo's.

    Writes LOG_FOLDER/ALGO/ENV_<n>: ENV.zip (the agent), best_model.zip, evaluations.npz, 0.monitor.csv,
    checkpoints, learning_curve.png, and in ENV/ what the run was started with. A run that was cut off goes on with
    --resume. Agents (.zip) and replay memories (.pkl) are pickled, and --trained-agent and --resume run what is in
    them: give those alone whose origin you trust.

    Args:
        algo: The algorithm; dqn is Algorithm 1.
        env: The environment.
        n_timesteps: Environment steps over all environments; the hyper-parameter file's by default.
        targets: Videos to train on: short for --env-kwargs targets:DIR.
        conf_file: Hyper-parameters: dqn, ppo, a2c, qrdqn, ppo_mask, paper, demo, or a YAML file in RL Zoo's
            format; the algorithm's own by default.
        env_kwargs: Arguments of the environment, such as reward:difference max_area:0.2; values are YAML.
        eval_env_kwargs: What differs in the environments that the best model is chosen in; targets:DIR among them
            are its videos, in place of one training video in six that is held out.
        hyperparams: Override the file's, such as learning_rate:1e-4 td_target:double loss:huber n_steps:3.
        exploration: guided explores among the actions that are rewarded (Caicedo and Lazebnik 2015), at the price
            of up to eight scorer queries a step.
        seed: Of everything that is drawn.
        device: Where the networks run.
        n_envs: Environments side by side.
        eval_freq: Steps between two evaluations, which choose best_model.zip on held-out training videos; -1 for
            none, and the agent learns from all videos.
        eval_episodes: Episodes of an evaluation, the same each time.
        n_eval_envs: Environments of an evaluation.
        save_freq: Steps between two checkpoints; -1 for none.
        save_replay_buffer: Keep the replay memory when training ends.
        log_folder: Where runs go.
        tensorboard_log: Folder for TensorBoard.
        trained_agent: An agent to go on from, as a new run.
        resume: The folder of a run that was cut off; every other flag but --progress and --allow is that run's.
        progress: Show a progress bar.
        allow: Names of your own code that the hyper-parameter file or the resumed run may hold; files may name
            built-in things only.
    """
    from ...common.output import check_folder
    from ...training.run import TrainRequest
    from ...training.run import resume as go_on
    from ...training.run import train as train_agent

    folders: list[Path] = [] if resume is None else [resume]

    def left() -> str:
        if not folders:
            return NOTHING_WRITTEN
        if save_freq < 1 and resume is None:
            return f"the episodes so far are in {folders[0]}, and no checkpoint, as --save-freq is {save_freq}"
        return f"go on with --resume {folders[0]}"

    with on_interrupt(left):
        if resume is not None:
            run = go_on(resume, progress, allow)
        else:
            request = TrainRequest(
                algo=algo, env=env, n_timesteps=n_timesteps, conf_file=conf_file,
                hyperparams=key_values("--hyperparams", hyperparams),
                env_kwargs=key_values("--env-kwargs", env_kwargs) | targets_argument(targets),
                eval_env_kwargs=key_values("--eval-env-kwargs", eval_env_kwargs),
                n_envs=n_envs, exploration=exploration, seed=seed, device=device, eval_freq=eval_freq,
                eval_episodes=eval_episodes, n_eval_envs=n_eval_envs, save_freq=save_freq,
                save_replay_buffer=save_replay_buffer, log_folder=str(log_folder),
                tensorboard_log=None if tensorboard_log is None else str(tensorboard_log),
                trained_agent=None if trained_agent is None else str(trained_agent),
            )  # fmt: skip
            inputs = (*paths_of(request.env_kwargs), *paths_of(request.eval_env_kwargs))
            check_folder(log_folder / algo, *inputs, option="--log-folder")
            if tensorboard_log is not None:
                check_folder(tensorboard_log, *inputs, option="--tensorboard-log")
            run = train_agent(
                request, command_line(), progress, lambda started: folders.append(started.path), allow
            )
    print(f"The agent, its learning curve and its checkpoints are in {run.path}")
    print(
        "Beside the belief, the best constant region and other methods, on videos that it has not seen:"
        f" occlusion-search evaluate --agent {run.path} --targets DIR"
    )


def key_values(flag: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    """`KEY:VALUE` arguments as a mapping; a value is YAML, so that nothing is run.

    Raises:
        InputError: If a pair has no key or its value is no YAML.

    >>> key_values("--hyperparams", ("learning_rate:1e-4", "policy_kwargs:{net_arch: [64, 64]}", "loss:huber"))
    {'learning_rate': 0.0001, 'policy_kwargs': {'net_arch': [64, 64]}, 'loss': 'huber'}
    """
    import yaml

    from ...dqn.algorithm import read_yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        try:
            if not (key and colon):
                raise ValueError
            found[key] = read_yaml(value)
        except InputError as error:
            raise InputError(f"{flag} {shorten(pair)} cannot be used: {error}") from None
        except (ValueError, yaml.YAMLError):
            raise InputError(f"{shorten(pair)} is no KEY:VALUE; give {flag} pairs such as gamma:0.9.") from None
    return found


def targets_argument(targets: str | None) -> dict[str, Any]:
    """`--targets` as an argument of the environment; a path is made absolute, for a resume from elsewhere."""
    if targets is None:
        return {}
    return {"targets": str(Path(targets).absolute()) if Path(targets).exists() else targets}


def paths_of(env_kwargs: Mapping[str, Any]) -> list[str]:
    """The arguments of an environment that may be paths, for the checks of outputs."""
    return [
        env_kwargs[name]
        for name in ("targets", "weights", "base_weights")
        if isinstance(env_kwargs.get(name), str)
    ]
