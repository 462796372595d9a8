"""Policies by file or name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import Path

import numpy as np

from tracker.errors import InputError
from tracker.evaluation.running import weights_digest

from ..dqn.algorithms import ALGORITHMS, load_model
from ..training.environment import TrainingEnvironment
from ..training.learning_curves import read_monitors
from ..training.runs import RunFolder
from .baselines import BASELINES, Steering
from .pretrained import PRETRAINED, load_pretrained
from .rollout import Agent, LoadedPolicy


def load_policy(
    spec: str | Path, algo: str | None = None, device: str = "auto", allowed: Collection[str] = ()
) -> LoadedPolicy:
    """Load a trained policy, with the environment that its card or its run records.

    A zip file of Stable-Baselines3, also a run's, holds pickled objects, and loading it runs what is in it: load
    those alone whose origin you trust. A safetensors file and its card run nothing.

    Args:
        spec: `pretrained` (what the package ships), a file of `save_pretrained`, the folder of a run (which stands
            for its `RunFolder.agent_file`), or a zip file that an algorithm of `ALGORITHMS` saved.
        algo: The algorithm; what the run or the path says if `None`.
        device: Where the policy runs.
        allowed: Names `module:attribute` that the card or the run may hold; see
            `occlusion_env.naming.check_built_in`.

    Raises:
        InputError: If there is no such file, it is none of Stable-Baselines3's, its algorithm is unknown, or its
            record has an argument that is unknown or out of range, or names `module:attribute`.
    """
    spec = str(spec)
    if spec == PRETRAINED or spec.endswith(".safetensors"):
        return load_pretrained(spec, device, allowed)
    path, run = Path(spec), _run_of(Path(spec))
    environment = None if run is None else TrainingEnvironment.of_run(run, allowed)
    if run is not None and path.is_dir():
        path = run.agent_file()
    if not path.is_file():
        raise InputError(
            f"There is no agent '{spec}'; give the folder of a run, the file of an agent, or one of"
            f" {', '.join((PRETRAINED, *BASELINES))}."
        )
    algo = algo or (run.algo if run is not None else algorithm_of(path))
    if algo is None:
        raise InputError(f"The path '{spec}' names no algorithm; give --algo, one of {', '.join(ALGORITHMS)}.")
    model = load_model(algo, path, device)
    name = path.stem if run is None else f"{algo}/{run.path.name}/{path.stem}"
    return LoadedPolicy(name, algo, model, environment, spec)


def load_agent(
    spec: str | Path,
    algo: str | None = None,
    device: str = "auto",
    weights: Mapping[str, str | None] | None = None,
    allowed: Collection[str] = (),
) -> Agent:
    """Load an agent: `load_policy(spec, algo, device, allowed).agent(device, weights)`.

    The name of one of the `baselines.BASELINES` stands for an agent that moves to the region which that baseline
    finds (`Steering`).
    """
    if spec in BASELINES:
        return Agent(
            f"{spec}, steered", lambda search: Steering(BASELINES[spec], search, np.random.default_rng(0))
        )
    return load_policy(spec, algo, device, allowed).agent(device, weights)


def agent_path(spec: str) -> Path | None:
    """The path that a text for `load_agent` is; `None` for a name, which goes before a path of the same name.

    >>> agent_path("pretrained"), agent_path("grid"), str(agent_path("./grid"))
    (None, None, 'grid')
    """
    return None if spec == PRETRAINED or spec in BASELINES else Path(spec)


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


def agent_digest(spec: str) -> str:
    """Fingerprint of an agent's files (model and card), for cached results; the name itself of a baseline."""
    if spec == PRETRAINED:
        with resources.as_file(resources.files("agents") / "weights") as folder:
            return agent_digest(str(folder / "agent.safetensors"))
    path = agent_path(spec)
    if path is None or not path.exists():
        return spec
    run = _run_of(path)
    files = [run.agent_file() if run is not None and path.is_dir() else path]
    if path.suffix == ".safetensors":
        files.append(path.with_suffix(".json"))
    if run is not None:
        files.append(run.parameters / "config.yml")
    return ":".join(weights_digest(file)[:32] for file in files)


def training_speed(spec: str) -> dict[str, float] | None:
    """How many steps the episodes of an agent's training took, and how many a second; `None` where no run tells.

    Args:
        spec: See `load_agent`.
    """
    path = agent_path(spec)
    run = None if path is None else _run_of(path)
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
