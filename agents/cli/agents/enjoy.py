"""The command `enjoy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tracker.errors import InputError

from ..shared import NOTHING_WRITTEN, Allow, Device, Seed, on_interrupt, warn
from .train import Algorithm, EnvId, Pairs, key_values, paths_of, targets_argument

if TYPE_CHECKING:
    from ...training.environment import TrainingEnvironment

__all__ = ["enjoy"]

_TITLES = {
    "agent": "the agent",
    "random": "random regions",
    "constant": "the best constant region (one query)",
    "belief": "the belief",
}


def enjoy(
    algo: Algorithm = "dqn",
    env: EnvId = "OcclusionSearch-v0",
    folder: Annotated[Path, tyro.conf.arg(aliases=["-f"])] = Path("logs"),
    exp_id: int = 0,
    load_best: bool = True,
    load_checkpoint: int | None = None,
    model: Annotated[str | None, tyro.conf.arg(metavar="FILE|pretrained")] = None,
    targets: Annotated[str | None, tyro.conf.arg(metavar="DIR|synthetic[:SEED]|drawn[:SEED]")] = None,
    env_kwargs: Pairs = (),
    n_timesteps: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 200,
    stochastic: bool = False,
    seed: Seed = 0,
    device: Device = "auto",
    gif: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    allow: Allow = (),
) -> None:
    """Watch a trained agent: the score before and after each episode, and one episode as a GIF.

    Takes the agent of a run that `train` wrote, in the environment that it was trained in; the flags are RL Zoo's.
    Agents of runs and zip files are pickled, and playing them runs what is in them: give those alone whose origin
    you trust. A safetensors file and its card run nothing.

    Args:
        algo: The algorithm.
        env: The environment.
        folder: Where runs are.
        exp_id: Number of the run; 0 for the last.
        load_best: Take best_model.zip where the run has one; --no-load-best takes the agent when training ended.
        load_checkpoint: Take the checkpoint of this many steps.
        model: File of an agent, played in the environment that its run or its card records; `pretrained` is the
            shipped agent.
        targets: Videos to play on; by default those of the training.
        env_kwargs: Arguments of the environment that differ from the training's.
        n_timesteps: Actions in all; the last episode is played to its end.
        stochastic: Draw from the policy, in place of its best action.
        seed: Of the environment.
        device: Where the agent runs.
        gif: Write the first episode here.
        allow: Names of your own code that the run or the card may hold, beside those of --env-kwargs; files may
            name built-in things only.
    """
    import gymnasium as gym
    import numpy as np
    from stable_baselines3.common.utils import set_random_seed

    from occlusion_env import ENV_IDS
    from occlusion_env.envs.arguments import SearchArguments
    from occlusion_env.mdp.actions import TRIGGER
    from occlusion_env.naming import check_built_in, find_import_paths

    from ...common.output import check_apart, check_file
    from ...evaluation.playing import play, write_gif
    from ...policies.loading import environment_of, training_environment
    from ...policies.pretrained import is_exported, load_pretrained
    from ...training.run import load_model
    from ...training.runs import RunFolder

    changes = key_values("--env-kwargs", env_kwargs) | targets_argument(targets)
    check_file(gif, model, *paths_of(changes), option="--gif")
    if env not in ENV_IDS:
        raise InputError(f"'{env}' is no environment of this package; choose {', '.join(ENV_IDS)}.")
    if n_timesteps < 1:
        raise InputError(f"--n-timesteps is {n_timesteps}; it must be at least 1.")
    own = key_values("--env-kwargs", env_kwargs) | targets_argument(targets)
    allowed = {*allow, *find_import_paths(own)}
    agent: Any
    trained: TrainingEnvironment | None
    if model is None:
        run = RunFolder.find(folder, algo, env, exp_id)
        check_apart(gif, run.path, option="--gif")
        trained, given = environment_of(run, allowed), run.env_kwargs()
        check_built_in(given, run.parameters, allowed)
        agent = load_model(algo, run.agent_file(not load_best, load_checkpoint), device)
    else:
        trained = training_environment(model, allowed)
        if is_exported(model):
            agent = load_pretrained(model, device, allowed).policy
        else:
            agent = load_model(algo, Path(model), device)
        given = {} if trained is None else trained.record()["env_kwargs"]
    given |= own | {"info_names": True}
    if device != "auto":
        given.setdefault("device", device)
    if trained is not None:
        defaults = gym.spec(env).kwargs
        for sentence in trained.departures(SearchArguments.from_keywords(defaults | given), "The agent"):
            warn(sentence)
    set_random_seed(seed)
    drops, lengths, triggers = [], [], []
    least: dict[str, list[float]] = {}
    written: list[Path] = []
    with on_interrupt(lambda: f"the first episode is in {gif}" if written else NOTHING_WRITTEN):
        for number, episode in enumerate(
            play(agent, env, given, n_timesteps, seed, not stochastic, int(gif is not None), trained)
        ):
            if gif is not None and number == 0:
                write_gif(gif, episode.frames)
                written.append(gif)
            last = episode.last
            triggers.append(last["action_index"] == TRIGGER)
            drops.append(last["clean_score"] - last["score"])
            lengths.append(episode.length)
            for name, score in episode.least.items():
                least.setdefault(name, []).append(last["clean_score"] - score)
            ending = "trigger" if triggers[-1] else "out of steps"
            print(
                f"{last['target']}: clean {last['clean_score']:+.3f}, start {episode.first['score']:+.3f}, end"
                f" {last['score']:+.3f}; {episode.length} actions, {ending}; return {episode.total:+.2f}"
            )
    print(
        f"{len(drops)} episodes: score drop {np.mean(drops):.3f} +/- {np.std(drops):.3f}, {np.mean(lengths):.1f}"
        f" actions, {np.mean(triggers):.0%} ended by the trigger"
    )
    if least:
        print(
            "Largest drop with as many scorer queries, mean: "
            + ", ".join(f"{_TITLES[name]} {np.mean(values):.3f}" for name, values in least.items())
        )
    if gif is not None:
        print(f"The first episode is in {gif}")
