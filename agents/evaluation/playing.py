"""Episodes of a trained agent in one environment, and a GIF of them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from occlusion_env import ENV_ID, ENV_IDS
from occlusion_env.envs.rendering import draw_result
from occlusion_env.mdp.actions import TRIGGER
from occlusion_env.scene.occluders import occlude_image
from occlusion_env.search.core import Search
from tracker.errors import InputError
from tracker.files import replacing_file
from vae.pictures import gif

from ..policies.baselines import Querying, RandomRegions
from ..policies.belief import FittedPrior, shipped_prior
from ..policies.loading import load_policy
from ..policies.rollout import Answer
from ..training.environment import TrainingEnvironment
from ..training.runs import RunFolder
from ..training.vector_envs import check_env_id, split_keywords
from .methods import query_methods

_HORIZONS = ("max_steps", "max_episode_steps")


_TITLES = {
    "random": "random regions",
    "constant": "the best constant region (one query)",
    "belief": "the belief",
}
"""Methods beside an agent, as a summary names them."""


@dataclass(frozen=True)
class Episode:
    """An episode of an agent.

    Attributes:
        total: Sum of the rewards.
        length: Number of actions.
        first: The info of the reset.
        last: The info after the last action.
        best: The lowest score of the start region and the regions after each action.
        frames: Pictures `uint8[H, W, 3]`, the first before any action; none where nothing was drawn. Where
            `least` has entries, the last one shows the best region beside the best random one.
        queries: Number of scored regions; 0 in an environment without a search for a region.
        least: The least score by method: `agent` among the regions that it scored, and with as many queries
            `random` regions and the `belief`; `constant` is the one best constant region. The last two need a
            prior that the package ships. Empty where `queries` is 0.
    """

    total: float
    length: int
    first: dict[str, Any]
    last: dict[str, Any]
    best: float
    frames: tuple[NDArray[np.uint8], ...]
    queries: int
    least: dict[str, float]


def play(
    model: Any,
    env_id: str,
    env_kwargs: dict[str, Any],
    steps: int,
    seed: int = 0,
    deterministic: bool = True,
    pictures: int = 0,
    trained: TrainingEnvironment | None = None,
) -> Iterator[Episode]:
    """Play in one environment.

    Args:
        model: An agent of any algorithm of Stable-Baselines3 or sb3-contrib, or a `Keyboard`; one whose
            `observation_space` is `None` takes any observation.
        env_id: The environment.
        env_kwargs: Its arguments.
        steps: Actions in all; the last episode is played to its end.
        seed: Of the environment.
        deterministic: Whether the agent takes its best action.
        pictures: Number of the first episodes that are drawn.
        trained: The environment that the agent was trained in; one of this package with other observations is
            refused.

    Yields:
        The episodes, one after the other.

    Raises:
        InputError: If there is no such environment, or the agent was trained on other observations.
    """
    check_env_id(env_id)
    given = env_kwargs | ({"render_mode": "rgb_array"} if pictures else {})
    env = _make(env_id, given)
    try:
        if trained is not None:
            trained.check(env.unwrapped.search, "The agent")  # type: ignore[attr-defined]
        wanted = model.observation_space
        if wanted is not None and env.observation_space.shape != wanted.shape:
            raise InputError(
                f"The agent observes {wanted.shape} and {env_id} shows"
                f" {env.observation_space.shape}; give the --env-kwargs that it was trained with."
            )
        masked = "action_masks" in inspect.signature(model.predict).parameters
        taken = episodes = 0
        rng, fitted = np.random.default_rng(seed), None
        if env_id == ENV_ID:
            search = env.unwrapped.search  # type: ignore[attr-defined]
            fitted = shipped_prior(search.scorer, search.settings.limits)
        while taken < steps:
            observation, first = env.reset(seed=None if episodes else seed)
            draws = episodes < pictures
            frames = [env.render()] if draws else []
            over, total, length, state, last = False, 0.0, 0, None, first
            scores = [float(first.get("score", 0.0))]
            while not over:
                masks = {"action_masks": env.get_wrapper_attr("action_masks")()} if masked else {}
                start = np.array([length == 0])
                action, state = model.predict(observation, state, start, deterministic, **masks)
                observation, reward, terminated, truncated, last = env.step(action)
                over, total, length = terminated or truncated, total + float(reward), length + 1
                scores.append(float(last.get("score", 0.0)))
                if draws:
                    frames.append(env.render())
            taken, episodes = taken + length, episodes + 1
            queries, least = 0, dict[str, float]()
            if env_id == ENV_ID:
                search = env.unwrapped.search  # type: ignore[attr-defined]
                found = _compare(search, fitted, rng)
                queries, least = len(search.visited(0)[1]), {name: each.score for name, each in found.items()}
                if draws:
                    frames.append(_draw_best(search, scores, found))
            yield Episode(total, length, first, last, min(scores), tuple(frames), queries, least)  # type: ignore[arg-type]
    finally:
        env.close()


def play_selection(run: RunFolder, device: str = "auto", allowed: Collection[str] = ()) -> list[Episode]:
    """Play the agent of a run on the targets that chose its best model.

    Args:
        run: The folder of a complete run in `OcclusionSearch-v0`.
        device: Where the agent runs.
        allowed: See `load_policy`.

    Returns:
        Episodes of 100 actions or more in all.
    """
    loaded, arguments = load_policy(run.path, device=device, allowed=allowed), run.arguments()
    _, selection = split_keywords(arguments["env"], run.env_kwargs(), arguments.get("eval_env_kwargs") or {})
    return list(play(loaded.policy, arguments["env"], selection | {"info_names": True}, 100))


def record_episode(episode: Episode) -> dict[str, Any]:
    """The figures of an episode; `lowest` are the lowest scores by method, at as many queries as the agent's."""
    return {
        "target": episode.last["target"], "clean": float(episode.last["clean_score"]),
        "start": float(episode.first["score"]), "best": episode.best, "lowest": episode.least,
        "actions": episode.length, "trigger": bool(episode.last["action_index"] == TRIGGER),
        "return": episode.total,
    }  # fmt: skip


def describe_episode(row: Mapping[str, Any]) -> str:
    """A sentence on the record of an episode."""
    random = f" (random search {row['lowest']['random']:+.3f})" if "random" in row["lowest"] else ""
    scores = f"clean {row['clean']:+.3f} -> start {row['start']:+.3f} -> best {row['best']:+.3f}{random}"
    ending = "trigger" if row["trigger"] else "out of steps"
    return f"{row['target']}: {scores}; {row['actions']} actions, {ending}; return {row['return']:+.2f}"


def summarise_episodes(rows: Many[dict[str, Any]], player: str = "the agent") -> str:
    """Sentences on the records of episodes: drops of the score, actions, and other methods at equal queries.

    Args:
        rows: Records of `record_episode`, one or more.
        player: Names who acted.
    """
    clean = np.array([row["clean"] for row in rows])
    drops = clean - [row["best"] for row in rows]
    text = (
        f"{len(rows)} episodes: largest score drop {drops.mean():.3f} +/- {drops.std():.3f},"
        f" {np.mean([row['actions'] for row in rows]):.1f} actions,"
        f" {np.mean([row['trigger'] for row in rows]):.0%} ended by the trigger"
    )
    means = {
        title: np.mean(clean - [row["lowest"][name] for row in rows])
        for name, title in ({"agent": player} | _TITLES).items()
        if name in rows[0]["lowest"]
    }
    if means:
        text += "\nLargest drop with as many scorer queries, mean: "
        text += ", ".join(f"{title} {mean:.3f}" for title, mean in means.items())
    return text


def _compare(search: Search, fitted: FittedPrior | None, rng: np.random.Generator) -> dict[str, Answer]:
    """The best answer of each method to a search that has ended; see `Episode.least`."""
    regions, scores = search.visited(0)
    methods: dict[str, Querying] = {"random": Querying(RandomRegions, len(scores))}
    if fitted is not None:
        known = query_methods(search.scorer, fitted, len(scores))
        methods |= {name: known[name] for name in ("constant", "belief")}
    best = int(scores.argmin())
    found = {name: method.find(search, [rng])[0].best for name, method in methods.items()}
    return {"agent": Answer(regions[best], float(scores[best]), len(scores)), **found}


def _draw_best(search: Search, scores: Many[float], found: Mapping[str, Answer]) -> NDArray[np.uint8]:
    """The best region of an episode beside the best random one; `scores` are those after each action."""
    target, patch, random = search.targets[0], search.patches()[0], found["random"]
    assert target is not None
    regions = (found["agent"].region, random.region)
    first, second = (occlude_image(target.crop, patch, region) for region in regions)
    return draw_result(
        target.crop, (first, second), regions, random.score, scores,
        float(search.clean_score[0]), float(search.phi[0]), search.settings.max_steps, len(search.visited(0)[1]),
    )  # fmt: skip


def _make(env_id: str, env_kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    """The environment; observations that count steps count to its horizon, as in training."""
    known = [env_kwargs[name] for name in _HORIZONS if env_kwargs.get(name) is not None]
    if env_id not in ENV_IDS or not known:
        return gym.make(env_id, **env_kwargs)
    rest = {name: value for name, value in env_kwargs.items() if name not in _HORIZONS}
    env: gym.Env[Any, Any] = gym.make(env_id, max_episode_steps=min(known), **rest)
    search = env.unwrapped.search  # type: ignore[attr-defined]
    search.settings = replace(search.settings, max_steps=min(known))
    return env


def write_gif(path: Path, frames: Many[NDArray[np.uint8]], seconds: float = 0.4, pause: float = 4.0) -> None:
    """Write pictures as a GIF that repeats, in 128 colours without dither, which keeps it small.

    Args:
        path: The file.
        frames: `uint8[H, W, 3]` each.
        seconds: How long each is shown.
        pause: How long the last one is.

    Raises:
        InputError: If the file cannot be written.
    """
    pictures = [Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE) for frame in frames]
    shown = [1000 * seconds] * (len(pictures) - 1) + [1000 * pause]
    try:
        with replacing_file(path) as temporary:
            gif.write_gif(temporary, pictures, shown)
    except OSError as error:
        raise InputError(f"'{path}' cannot be written ({error.strerror}); give another --gif.") from None
