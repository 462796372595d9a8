"""The command `enjoy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from tracker.errors import InputError

from ..shared import NOTHING_WRITTEN, Allow, Device, Json, Seed, on_interrupt, warn
from .train import Algorithm, EnvId, Pairs, Videos, key_values, paths_of, targets_argument


def enjoy(
    algo: Algorithm = "dqn",
    env: EnvId = "OcclusionSearch-v0",
    folder: Annotated[Path, tyro.conf.arg(aliases=["-f"])] = Path("logs"),
    exp_id: int = 0,
    load_best: bool = True,
    load_checkpoint: int | None = None,
    agent: Annotated[str | None, tyro.conf.arg(metavar="FILE|pretrained")] = None,
    data: Videos = None,
    env_kwargs: Pairs = (),
    steps: Annotated[int, tyro.conf.arg(aliases=["-n", "--n-timesteps"])] = 200,
    stochastic: bool = False,
    seed: Seed = 0,
    device: Device = "auto",
    gif: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    json: Json = None,
    allow: Allow = (),
) -> None:
    """Play a trained agent beside random search at equal queries.

    Prints the scores of each episode: the unoccluded target, the agent's start region and its best region, and the
    best of as many random regions. Plays the agent of a run that `train` wrote, in the environment that it was
    trained in; the flags are RL Zoo's. Agents of runs and zip files are pickles: loading one executes code, so
    give only files that you trust. A safetensors file and its card hold no code.

    Args:
        algo: The algorithm.
        env: The environment.
        folder: Folder of the runs.
        exp_id: Number of the run; 0 for the last.
        load_best: Play best_model.zip where the run has one; --no-load-best plays the last agent.
        load_checkpoint: Play the checkpoint of this many steps.
        agent: File of an agent, played in the environment that its run or its card records; `pretrained` is the
            shipped agent.
        data: Videos to play on; by default the training videos.
        env_kwargs: Arguments of the environment that differ from the training's.
        steps: Number of actions; the last episode is played to its end.
        stochastic: Sample actions from the policy, in place of its best action.
        gif: Write the first episode to this file.

    Examples:
        occlusion-search enjoy --agent pretrained --data drawn --gif episode.gif
        occlusion-search enjoy --algo dqn --data path/to/videos
    """
    import gymnasium as gym
    from stable_baselines3.common.utils import set_random_seed

    from occlusion_env import ENV_IDS
    from occlusion_env.envs.arguments import SearchArguments
    from occlusion_env.naming import check_built_in, find_import_paths

    from ...common.output import check_apart, check_file, check_json_path
    from ...common.results import write_result
    from ...evaluation.playing import describe_episode, play, record_episode, summarise_episodes, write_gif
    from ...policies.loading import load_policy
    from ...policies.pretrained import PRETRAINED
    from ...training.runs import RunFolder

    own = key_values("--env-kwargs", env_kwargs) | targets_argument(data)
    inputs = (None if agent == PRETRAINED else agent, *paths_of(own))
    check_file(gif, *inputs, option="--gif")
    check_json_path(json, *inputs)
    if env not in ENV_IDS:
        raise InputError(f"'{env}' is no environment of this package; choose {', '.join(ENV_IDS)}.")
    if steps < 1:
        raise InputError(f"--steps is {steps}; it must be at least 1.")
    allowed = {*allow, *find_import_paths(own)}
    run: RunFolder | None = None
    source = agent
    if source is None:
        run = RunFolder.find(folder, algo, env, exp_id)
        check_apart(gif, run.path, option="--gif")
        check_apart(json, run.path, option="--json")
        check_built_in(run.env_kwargs(), run.parameters, allowed)
        source = str(run.agent_file(not load_best, load_checkpoint))
    if gif is not None and gif.suffix.lower() != ".gif":
        raise InputError(f"--gif is '{gif}'; give FILE.gif.")
    loaded = load_policy(source, algo, device, allowed)
    model, trained = loaded.policy, loaded.environment
    if run is not None:
        given = run.env_kwargs()
    else:
        given = {} if trained is None else trained.record()["env_kwargs"]
    given |= own | {"info_names": True}
    if device != "auto":
        given.setdefault("device", device)
    if trained is not None:
        defaults = gym.spec(env).kwargs
        for sentence in trained.departures(SearchArguments.from_keywords(defaults | given), "The agent"):
            warn(sentence)
    set_random_seed(seed)
    rows: list[dict[str, Any]] = []
    drawn = 0 if gif is None else 1
    with on_interrupt(lambda: f"the first episode is in {gif}" if rows and drawn else NOTHING_WRITTEN):
        for episode in play(model, env, given, steps, seed, not stochastic, drawn, trained):
            if gif is not None and not rows:
                write_gif(gif, episode.frames)
            rows.append(record_episode(episode))
            print(describe_episode(rows[-1]), flush=True)
    write_result(json, "enjoy", {"agent": source if run is None else str(run.path), "env": env, "episodes": rows})
    print(summarise_episodes(rows))
    if gif is not None:
        print(f"The first episode is in {gif}")
