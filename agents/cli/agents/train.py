"""The command `train`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from tracker.errors import InputError, shorten

from ...common.results import command_line
from ..shared import NOTHING_WRITTEN, Allow, Device, Open, Seed, on_interrupt, open_page
from .plot import print_curves

Algorithm = Literal["dqn", "ppo", "a2c", "qrdqn", "ppo_mask"]
Pairs = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY:VALUE ...")]
EnvId = Annotated[str, tyro.conf.arg(metavar="ID")]
Videos = Annotated[str | None, tyro.conf.arg(metavar="DIR|synthetic[:SEED]|drawn[:SEED]")]


def train(
    algo: Algorithm = "dqn",
    env: EnvId = "OcclusionSearch-v0",
    steps: Annotated[int | None, tyro.conf.arg(aliases=["-n", "--n-timesteps"])] = None,
    data: Videos = None,
    conf_file: Annotated[str | None, tyro.conf.arg(aliases=["-conf"], metavar="NAME|FILE")] = None,
    env_kwargs: Pairs = (),
    eval_env_kwargs: Pairs = (),
    hyperparams: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-params"], metavar="KEY:VALUE ...")] = (),
    exploration: Literal["uniform", "guided"] = "uniform",
    seed: Seed = 0,
    seeds: int = 1,
    device: Device = "auto",
    n_envs: int | None = None,
    eval_freq: int = 25_000,
    eval_episodes: int = 50,
    n_eval_envs: int = 10,
    save_freq: int = 10_000,
    save_replay_buffer: bool = False,
    out: Annotated[Path, tyro.conf.arg(aliases=["-f", "--log-folder"])] = Path("logs"),
    tensorboard_log: Annotated[Path | None, tyro.conf.arg(aliases=["-tb"])] = None,
    agent: Annotated[Path | None, tyro.conf.arg(aliases=["-i", "--trained-agent"], metavar="FILE")] = None,
    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN_FOLDER")] = None,
    progress: Annotated[bool, tyro.conf.arg(aliases=["-P"])] = True,
    open: Open = False,
    allow: Allow = (),
) -> None:
    """Train an agent with RL Zoo's flags and run folders.

    Writes OUT/ALGO/ENV_<n>: index.html (the page), ENV.zip (the agent), best_model.zip, evaluations.npz,
    0.monitor.csv, checkpoints, learning_curve.png, and the configuration in ENV/. --resume continues a run that
    was cut off; if it was started with --seeds, the remaining seeds are trained after it. A run that was killed
    before its first checkpoint begins anew. A seed whose training diverges has no agent; the seeds after it are
    trained. Agents (.zip) and replay buffers (.pkl) are pickles: loading one executes code, so give --agent and
    --resume only files that you trust.

    Args:
        algo: The algorithm; dqn is the paper's Algorithm 1.
        env: The environment.
        steps: Environment steps over all environments; by default `n_timesteps` of the hyper-parameter file.
        data: Videos to train on: short for --env-kwargs targets:DIR.
        conf_file: Hyper-parameters: dqn, ppo, a2c, qrdqn, ppo_mask, tuned, paper, stop_ppo, stop_dqn, demo, or a
            YAML file in RL Zoo's format; by default the algorithm's own file.
        env_kwargs: Arguments of the environment, such as reward:difference max_area:0.2; values are YAML.
        eval_env_kwargs: Arguments that differ in the evaluation environments; targets:DIR are their videos, in
            place of one training video in six that is held out.
        hyperparams: Override the file's, such as learning_rate:1e-4 td_target:double loss:huber n_steps:3.
        exploration: guided explores among the rewarded actions (Caicedo and Lazebnik 2015), at the cost of up to
            eight scorer queries a step.
        seeds: Number of trainings, with --seed and the seeds after it, one after the other, a run folder each.
        n_envs: Number of environments, stepped as one batch.
        eval_freq: Steps between two evaluations, which choose best_model.zip on held-out training videos; -1 for
            none, and the agent trains on all videos.
        eval_episodes: Episodes of an evaluation, the same each time.
        n_eval_envs: Environments of an evaluation.
        save_freq: Steps between two checkpoints; -1 for none.
        save_replay_buffer: Keep the replay buffer when training ends.
        out: Folder for runs.
        tensorboard_log: Folder for TensorBoard.
        agent: An agent to start from, in a new run.
        resume: The folder of a run that was cut off; every other flag but --progress and --allow is that run's.
        progress: Show a progress bar with the time that is left.

    Examples:
        occlusion-search train --conf-file tuned --data path/to/videos
        occlusion-search train --algo ppo --env-kwargs reward:difference --steps 60000 --seeds 5
    """
    from occlusion_env import BACKGROUND_ENV_ID, ENV_ID, ENV_IDS
    from tracker.evaluation.report.page import INDEX
    from tracker.models.backbones import resolve_device

    from ...common.output import check_folder
    from ...evaluation.playing import play_selection, record_episode, summarise_episodes
    from ...training.aggregation import read_curve
    from ...training.run import TrainRequest, resume_seeds, train_seeds
    from ...training.runs import RunFolder

    if resume is not None and seeds != 1:
        raise InputError("--resume takes the seeds that its run was started with; leave --seeds out.")
    folders: list[Path] = [] if resume is None else [resume]

    def left() -> str:
        if not folders:
            return NOTHING_WRITTEN
        if save_freq < 1 and resume is None and seeds == 1:
            return f"the episodes so far are in {folders[-1]}, and no checkpoint, as --save-freq is {save_freq}"
        return f"go on with --resume {shlex.quote(str(folders[-1]))}"

    def started(run: RunFolder) -> None:
        folders.append(run.path)
        arguments = run.arguments()
        number = f", seed {arguments['seed']}," if resume is not None or seeds > 1 else ""
        place, steps = resolve_device(arguments["device"]), run.config()["n_timesteps"]
        print(f"Training {run.algo}{number} on {place} for {steps} steps in {run.path}", flush=True)

    with on_interrupt(left):
        if resume is not None:
            runs = resume_seeds(resume, progress, started, allow)
        else:
            request = TrainRequest(
                algo=algo, env=env, n_timesteps=steps, conf_file=conf_file,
                hyperparams=key_values("--hyperparams", hyperparams),
                env_kwargs=key_values("--env-kwargs", env_kwargs) | targets_argument(data),
                eval_env_kwargs=key_values("--eval-env-kwargs", eval_env_kwargs),
                n_envs=n_envs, exploration=exploration, seed=seed, seeds=seeds, device=device, eval_freq=eval_freq,
                eval_episodes=eval_episodes, n_eval_envs=n_eval_envs, save_freq=save_freq,
                save_replay_buffer=save_replay_buffer, log_folder=str(out),
                tensorboard_log=None if tensorboard_log is None else str(tensorboard_log),
                trained_agent=None if agent is None else str(agent),
            )  # fmt: skip
            inputs = (*paths_of(request.env_kwargs), *paths_of(request.eval_env_kwargs))
            check_folder(out / algo, *inputs, option="--out")
            if tensorboard_log is not None:
                check_folder(tensorboard_log, *inputs, option="--tensorboard-log")
            runs = train_seeds(request, command_line(), progress, started, allow)
    for run in runs:
        print(
            f"The agent, its learning curve and its checkpoints are in {run.path}; the page is {run.path / INDEX}"
        )
    names = run.import_paths()  # of this command line, or allowed by it
    curve = None
    with suppress(InputError):  # too few episodes
        curve = read_curve(runs)
    evaluated = all(run.evaluations.is_file() for run in runs)
    if curve is not None and evaluated and len(runs) > 1:
        print_curves({run.algo: curve})
    elif evaluated and run.arguments()["env"] == ENV_ID:
        rows = [record_episode(episode) for episode in play_selection(run, device, names)]
        own = "targets" in (run.arguments().get("eval_env_kwargs") or {})
        held_out = "" if own else ", which it was not trained on"
        print(f"On the targets that chose its best model{held_out}: {summarise_episodes(rows)}")
    arm = f"{run.algo}=" if len(runs) > 1 else ""
    arms = [f"{arm}{run.path}" for run in runs]
    given = ["--data", "DIR", *(["--allow", *names] if names else [])]
    if curve is not None or run.env_id in ENV_IDS:
        print("Next:")
    if curve is not None:
        print("Draw the return with other runs:")
        print(f"  {shlex.join(['occlusion-search', 'plot', '--run', *arms])}")
    if run.env_id == BACKGROUND_ENV_ID:
        print("Make hard positives whose patches it finds:")
        print(f"  {shlex.join(['occlusion-search', 'generate', '--patch-agent', str(run.path), *given])}")
    elif run.env_id in ENV_IDS:
        print("Compare with the belief on videos that it was not trained on:")
        print(f"  {shlex.join(['occlusion-search', 'evaluate', '--agent', *arms, *given])}")
    if open:
        open_page(run.path / INDEX)


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


def targets_argument(data: str | None) -> dict[str, Any]:
    """`--data` as an argument of the environment; a path is made absolute, for a resume from elsewhere."""
    if data is None:
        return {}
    return {"targets": str(Path(data).absolute()) if Path(data).exists() else data}


def paths_of(env_kwargs: Mapping[str, Any]) -> list[str]:
    """The arguments of an environment that may be paths, for the checks of outputs."""
    return [
        env_kwargs[name]
        for name in ("targets", "weights", "base_weights")
        if isinstance(env_kwargs.get(name), str)
    ]
