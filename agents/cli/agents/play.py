"""The command `play`."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import tyro

from tracker.errors import InputError

from ..shared import Device, Json, Seed, on_interrupt
from .train import EnvId, Pairs, Videos, key_values, paths_of, targets_argument


def play(
    env: EnvId = "OcclusionSearch-v0",
    data: Videos = None,
    env_kwargs: Pairs = (),
    steps: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 200,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Play an environment by keys, beside random search.

    Opens a window that shows the search. The keys d, a, w, s shift the region; e, q, f, t make it bigger, smaller,
    fatter, taller; the space bar pulls the trigger; Escape ends the game. Prints the scores of each episode, as
    `enjoy` does. Needs the extra `play` (pygame) and a display.

    Args:
        env: The environment.
        data: Videos whose targets are searched; by default the ones that the environment names.
        env_kwargs: Arguments of the environment.
        steps: Number of actions; the last episode is played to its end.

    Examples:
        occlusion-search play
        occlusion-search play --data path/to/videos --env-kwargs reward:difference
    """
    from occlusion_env import ENV_IDS

    from ...common.output import check_json_path
    from ...common.results import write_result
    from ...evaluation import playing
    from ...policies.keyboard import HELP, Keyboard, WindowClosed

    given = key_values("--env-kwargs", env_kwargs) | targets_argument(data)
    check_json_path(json, *paths_of(given))
    if env not in ENV_IDS:
        raise InputError(f"'{env}' is no environment of this package; choose {', '.join(ENV_IDS)}.")
    if steps < 1:
        raise InputError(f"--steps is {steps}; it must be at least 1.")
    given |= {"info_names": True, "render_mode": "human"}
    if device != "auto":
        given.setdefault("device", device)
    person = Keyboard()
    print(f"Keys: {HELP}; Escape ends the game", flush=True)
    rows: list[dict[str, Any]] = []
    with on_interrupt(), warnings.catch_warnings():
        # Gymnasium says that its own window is used where an environment draws arrays.
        warnings.filterwarnings("ignore", message=".*'human' rendering")
        try:
            for episode in playing.play(person, env, given, steps, seed):
                rows.append(playing.record_episode(episode))
                print(playing.describe_episode(rows[-1]), flush=True)
        except WindowClosed:
            pass
    write_result(json, "play", {"env": env, "episodes": rows})
    print(playing.summarise_episodes(rows, "you") if rows else "No episode was played to its end")
