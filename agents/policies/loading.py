"""Agents by file or name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from occlusion_env.search.core import Search
from tracker.errors import InputError
from tracker.evaluation.running import weights_digest
from tracker.models.backbones import check_finite, resolve_device

from ..dqn.algorithms import ALGORITHMS, WITHOUT_SCHEDULES
from ..training.environment import TrainingEnvironment
from ..training.learning_curves import read_monitors
from ..training.runs import RunFolder
from .baselines import BASELINES, Steering
from .pretrained import PRETRAINED, is_exported, load_pretrained
from .rollout import Agent, Policy

if TYPE_CHECKING:
    from sb3_contrib import MaskablePPO

__all__ = [
    "Masked",
    "agent_digest",
    "algorithm_of",
    "environment_of",
    "load_agent",
    "training_environment",
    "training_speed",
]


class Masked:
    """MaskablePPO in a search: it is told which moves would change the region, as it was in training.

    Args:
        model: The agent.
        search: Where it acts.
    """

    def __init__(self, model: MaskablePPO, search: Search) -> None:
        """See the class."""
        self.model = model
        self.search = search

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Its action, among those that are not masked."""
        masks = self.search.action_masks()
        return self.model.predict(observation, state, episode_start, deterministic, action_masks=masks)


def algorithm_of(path: Path) -> str | None:
    """The algorithm that a path names: its file first, then its folders, nearest first.

    >>> algorithm_of(Path("runs/ppo/OcclusionSearch-v0_1/best_model.zip"))
    'ppo'
    >>> algorithm_of(Path("ppo/qrdqn-small.zip"))
    'qrdqn'
    """
    by_length = sorted(ALGORITHMS, key=len, reverse=True)
    for part in (path.stem, *reversed(path.parts[:-1])):
        for name in by_length:
            rest = part.lower().removeprefix(name)
            if len(rest) < len(part) and not rest[:1].isalnum():
                return name
    return None


def load_agent(
    spec: str,
    algo: str | None = None,
    device: str = "auto",
    weights: Mapping[str, str | None] | None = None,
    allowed: Collection[str] = (),
) -> Agent:
    """Load an agent, with the state and the search of its training.

    Of a run it takes `RunFolder.agent_file`. Its card or its run says what it was trained in, and its policy
    refuses a search with other observations (`TrainingEnvironment.check`). A zip file of Stable-Baselines3, also a
    run's, holds pickled objects, and loading it runs what is in it: load those alone whose origin you trust. A
    safetensors file and its card run nothing.

    Args:
        spec: `pretrained` (what the package ships), a file of `save_pretrained`, the folder of a run, a zip file
            that an algorithm of `ALGORITHMS` saved, or the name of one of the `baselines.BASELINES`, which then
            moves to the region that it finds (`Steering`).
        algo: The algorithm; what the run or the path says if `None`.
        device: Where it runs.
        weights: Files of weights by network, such as `{"vgg16": FILE}`, where that of the state's network is no
            longer where it was in training.
        allowed: Names `module:attribute` that its card or its run may hold; see
            `occlusion_env.naming.check_built_in`.

    Raises:
        InputError: If there is no such file, it is none of Stable-Baselines3's, its algorithm is unknown, the
            weights of the state's network are others than in training, or its card names `module:attribute`.
    """
    if spec in BASELINES:
        return Agent(f"{spec}, steered", partial(_steered, spec))
    model: Any
    trained: TrainingEnvironment | None
    if is_exported(spec):
        found = load_pretrained(spec, device, allowed)
        model, name, title, trained = found.policy, "dqn", Path(spec).stem, found.environment
    else:
        trained = training_environment(spec, allowed)
        model, name, title = _load_zip(spec, algo, device)
    policy = partial(_policy, model, name, spec, trained)
    if trained is None:
        return Agent(title, policy)
    file = (weights or {}).get(trained.arguments.features)
    return Agent(title, policy, trained.arguments.settings, trained.load_features(device, file), trained)


def _load_zip(spec: str, algo: str | None, device: str) -> tuple[Any, str, str]:
    """The model of a run's folder or a zip file, its algorithm, and its title."""
    path, run = Path(spec), _run_of(Path(spec))
    if run is not None and path.is_dir():
        path = run.agent_file()
    if not path.is_file():
        raise InputError(
            f"There is no agent '{spec}'; give the folder of a run, the file of an agent, or one of"
            f" {', '.join((PRETRAINED, *BASELINES))}."
        )
    name = algo or (run.algo if run is not None else algorithm_of(path))
    if name is None:
        raise InputError(f"The path '{spec}' names no algorithm; give --algo, one of {', '.join(ALGORITHMS)}.")
    if name not in ALGORITHMS:
        raise InputError(f"'{name}' is no algorithm; choose {', '.join(ALGORITHMS)}.")
    kind, device = ALGORITHMS[name](), str(resolve_device(device))
    try:
        model = kind.load(path, device=device, custom_objects=WITHOUT_SCHEDULES)
    except Exception as error:  # a zip of another origin breaks in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"'{spec}' cannot be loaded as an agent of {name} ({reason}).") from None
    check_finite(model.policy.state_dict(), f"The agent '{spec}' cannot be used", "train again")
    return model, name, path.stem if run is None else f"{name}/{run.path.name}/{path.stem}"


def agent_digest(spec: str) -> str:
    """Fingerprint of an agent's files (model and card), by which a cached result knows it; `spec` for a name."""
    if spec == PRETRAINED:
        with resources.as_file(resources.files("agents") / "weights") as folder:
            return agent_digest(str(folder / "agent.safetensors"))
    path = Path(spec)
    if not path.exists():
        return spec
    run = _run_of(path)
    files = [run.agent_file() if run is not None and path.is_dir() else path]
    if path.suffix == ".safetensors":
        files.append(path.with_suffix(".json"))
    if run is not None:
        files.append(run.parameters / "config.yml")
    return ":".join(weights_digest(file)[:32] for file in files)


def training_environment(spec: str, allowed: Collection[str] = ()) -> TrainingEnvironment | None:
    """The environment that an agent was trained in; `None` where neither a card nor a run tells.

    Args:
        spec: See `load_agent`.
        allowed: See `load_agent`.

    Raises:
        InputError: If the record has an argument that is unknown or out of range, or names `module:attribute`.
    """
    if is_exported(spec):
        return load_pretrained(spec, "cpu", allowed).environment
    run = _run_of(Path(spec))
    return None if run is None else environment_of(run, allowed)


def environment_of(run: RunFolder, allowed: Collection[str] = ()) -> TrainingEnvironment:
    """The environment of a run; one without `environment.json` tells its arguments alone.

    Args:
        run: Its folder.
        allowed: See `load_agent`.

    Raises:
        InputError: If the record has an argument that is unknown or out of range, or names `module:attribute`.
    """
    record = run.environment()
    if record is None:
        defaults = gym.registry[run.env_id].kwargs if run.env_id in gym.registry else {}
        record = {"env_kwargs": {**defaults, **run.env_kwargs()}}
    try:
        return TrainingEnvironment.from_record(record, run.parameters, allowed)
    except InputError:
        raise
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise InputError(f"'{run.parameters}' holds no record of a training environment; train again.") from None


def training_speed(spec: str) -> dict[str, float] | None:
    """How many steps the episodes of an agent's training took, and how many a second; `None` where no run tells.

    Args:
        spec: See `load_agent`.
    """
    run = _run_of(Path(spec))
    episodes = {} if run is None else read_monitors(run.monitors)
    if not len(episodes.get("steps", ())):
        return None
    steps, seconds = episodes["steps"][-1], episodes["seconds"][-1]
    return {"steps": int(steps), "seconds": round(float(seconds), 1), "steps_a_second": round(steps / seconds, 1)}


def _run_of(path: Path) -> RunFolder | None:
    """The run that a folder is, or that a file lies in; `None` where it lies in none."""
    if path.is_dir():
        return RunFolder.open(path)
    return RunFolder.open(path.parent) if any(path.parent.glob("*/args.yml")) else None


def _steered(name: str, search: Search) -> Policy:
    """A baseline as a policy; what it draws is the same in each search."""
    return Steering(BASELINES[name], search, np.random.default_rng(0))


def _policy(model: Any, algo: str, spec: str, trained: TrainingEnvironment | None, search: Search) -> Policy:
    """The policy of a loaded model in a search; its observations must be those that it was trained on."""
    if trained is not None:
        trained.check(search, f"The agent '{spec}'")
    wanted, given = model.observation_space, search.observation.space
    if wanted.shape != given.shape or type(wanted) is not type(given):
        raise InputError(
            f"The agent '{spec}' observes {_describe(wanted)} and this search shows {_describe(given)}; give the"
            " features, weights and settings that it was trained with."
        )
    return Masked(model, search) if algo == "ppo_mask" else model


def _describe(space: Any) -> str:
    return f"{type(space).__name__}{list(space.shape or ())}"
