"""The main job, end to end: from a video and the box of its target to hard positives."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from tqdm import TqdmExperimentalWarning, tqdm

import vae
from occlusion_env import ENV_ID, TargetSet
from occlusion_env.envs.single import OcclusionSearchEnv
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.models.backbones import Precision, precision_name, resolve_device
from tracker.scorers import load_scorer
from tracker.trackers.following import open_sequence
from tracker.training.recognition import keep_recognised

from .common.output import replacing_folder, write_json
from .common.versions import versions
from .dqn.algorithm import SquaredErrorDQN, load_hyperparameters, no_log
from .evaluation.comparison import Comparison, Setup, compare
from .evaluation.methods import query_methods
from .evaluation.pictures import draw_scores
from .hard_positives.generation import find_hard_positives
from .hard_positives.pictures import draw_contact_sheet
from .hard_positives.records import HardPositive, write_hard_positives
from .manifolds.bank import target_crops
from .manifolds.pictures import draw_manifold
from .policies.baselines import BASELINES, Querying
from .policies.belief import shipped_prior
from .policies.rollout import Agent
from .training.splits import split_frames

__all__ = ["Demo", "Effort", "FULL", "QUICK", "run_demo"]

REPORT = "report.json"
RESULT = "demo"


@dataclass(frozen=True)
class Effort:
    """How much work a demo does.

    Attributes:
        max_frames: Frames of the video that are used.
        crops: Crops that the VAE learns from.
        epochs: Of the VAE; the paper's 20,000 take hours on a CPU.
        samples: Sampled targets to train the agent on.
        steps: Of DQN.
        held_out: Real targets that the agent is judged on.
        unseen_samples: Sampled targets that hard positives are made of.
    """

    max_frames: int
    crops: int
    epochs: int
    samples: int
    steps: int
    held_out: int
    unseen_samples: int

    def __post_init__(self) -> None:
        """Refuse a training too short to hold an episode.

        Raises:
            InputError: If there are fewer than 20 steps.
        """
        if self.steps < 20:
            raise InputError(f"{self.steps} steps hold no episode; give --steps 20 or more.")


FULL = Effort(max_frames=120, crops=48, epochs=700, samples=32, steps=12000, held_out=24, unseen_samples=12)
QUICK = Effort(max_frames=48, crops=24, epochs=100, samples=8, steps=1000, held_out=8, unseen_samples=4)


@dataclass(frozen=True)
class Demo:
    """What to run.

    Attributes:
        out: Folder for the results.
        sequence: A video, see `tracker.data.readers.open_sequence`; `None` makes a synthetic one.
        box: Boxes for a video without annotation.
        seed: Of everything that is drawn.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        features: `slim` or `vgg16`.
        weights: See `tracker.models.backbones.load_backbone`.
        layer: Of the state; see `OcclusionSearchEnv`.
        precision: See `tracker.scorers.load_scorer`.
        effort: How much work.
        command: For the report.
    """

    out: Path
    sequence: Path | None = None
    box: str | None = None
    seed: int = 0
    device: str = "auto"
    features: str = "slim"
    weights: str | None = None
    layer: str | None = None
    precision: Precision = "auto"
    effort: Effort = FULL
    command: str = ""


def run_demo(demo: Demo) -> dict[str, Any]:
    """Run the whole pipeline and write its results to `demo.out`.

    Returns:
        What `report.json` holds.

    Raises:
        InputError: If something given cannot be used; nothing is written then.
    """
    demo = replace(
        demo, device=str(resolve_device(demo.device)), precision=precision_name(demo.precision, demo.device)
    )
    with replacing_folder(demo.out, RESULT) as folder:
        report = _run(demo, folder)
        write_json(folder / REPORT, report)
    return report


def _run(demo: Demo, folder: Path) -> dict[str, Any]:
    effort, clock = demo.effort, _Clock()
    with clock("video"):
        sequence = _open(demo)
        training_frames, held_out_frames = split_frames(sequence, effort.held_out)
    env_kwargs: dict[str, Any] = {
        "features": demo.features, "weights": demo.weights, "layer": demo.layer,
        "device": demo.device, "precision": demo.precision,
    }  # fmt: skip
    with clock("networks"):
        # Made first so that an unknown layer or a corrupt weights file is told of before minutes of work.
        OcclusionSearchEnv(TargetSet.from_sequence(sequence, training_frames), **env_kwargs)

    with clock("manifold"):
        crop_frames = training_frames[evenly_spaced(len(training_frames), effort.crops)]
        manifold = _learn_manifold(sequence, crop_frames, demo)
    with clock("manifold picture"):
        grid_codes = vae.codes_grid(manifold.mu, 7)
        picture = vae.manifold_image(manifold.model, 7, grid_codes)
        draw_manifold(
            folder / "manifold.png", picture, manifold.mu, grid_codes,
            f"The manifold of the target of '{sequence.name}' after {effort.epochs} epochs",
        )  # fmt: skip

    rng = np.random.default_rng([demo.seed, 1])
    trained = TargetSet.from_sequence(sequence, training_frames)
    trained = trained + manifold.sample(effort.samples, rng)
    with clock("agent"):
        env = gym.make(ENV_ID, targets=trained, **env_kwargs)
        agent = train_agent(env, effort.steps, demo.seed, demo.device)
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, OcclusionSearchEnv)
    template, drop = unwrapped.search, unwrapped.drop
    assert drop is not None

    held_out = TargetSet.from_sequence(sequence, held_out_frames)
    with clock("evaluation"):
        setup = Setup(template.scorer, template.features, template.settings)
        targets = list(held_out)
        methods = {name: BASELINES[name] for name in ("centre", "attribution")} | _learned_methods(setup)
        with tqdm(total=len(targets), desc="grid search", unit="target") as bar:
            judged = compare(
                setup, targets, [Agent("agent", lambda search: agent)],
                methods=methods, seed=demo.seed, done=bar.update,
            )  # fmt: skip

    unseen = held_out + manifold.sample(effort.unseen_samples, rng, first=effort.samples)
    with clock("hard positives"):
        positives = find_hard_positives(
            agent, unseen, template.scorer, template.features, template.settings, demo.seed, progress=True
        )
        write_hard_positives(folder / "hard_positives", positives)
    with clock("pictures"):
        _draw(folder, sequence, positives, judged)

    return {
        **_summary(judged),
        "seconds": clock.seconds,
        "sequence": {
            "name": sequence.name,
            "origin": sequence.origin,
            "boxes": sequence.box_source,
            "frames": len(sequence),
            "frames_with_target": len(sequence.present),
            "training_frames": training_frames.tolist(),
            "held_out_frames": held_out_frames.tolist(),
        },
        "hard_positives": len(positives),
        "phi_drop": round(drop, 5),
        "features": {
            "network": demo.features,
            "layer": template.features.layer,
            "length": template.features.length,
        },
        "manifold": manifold.figures,
        "effort": asdict(effort),
        "seed": demo.seed,
        "versions": versions(),
        "device": demo.device,
        "precision": demo.precision,
        "command": demo.command,
    }


def train_agent(env: gym.Env[Any, Any], steps: int, seed: int, device: str) -> SquaredErrorDQN:
    """Train deep Q-learning (Algorithm 1) with the demo's hyper-parameters.

    Args:
        env: An `OcclusionSearch-v0`.
        steps: Environment steps.
        seed: Of the network, the exploration and the environment.
        device: Where the Q-network runs.
    """
    parameters = load_hyperparameters("demo")
    parameters.pop("n_timesteps")
    parameters["buffer_size"] = min(steps, int(parameters["buffer_size"]))
    parameters["learning_starts"] = min(steps // 4, int(parameters["learning_starts"]))
    agent = SquaredErrorDQN(
        env=Monitor(env), seed=seed, device=str(resolve_device(device)), verbose=0, **parameters
    )
    agent.set_logger(no_log())
    with _one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmExperimentalWarning)
        return agent.learn(steps, progress_bar=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: on batches of one a second gains little, and waits long where a core is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _open(demo: Demo) -> Sequence:
    if demo.sequence is None:
        if demo.box is not None:
            raise InputError("--box needs --sequence: the synthetic video knows its own boxes.")
        return synthetic_sequence(demo.seed, frames=demo.effort.max_frames)
    sequence = open_sequence(demo.sequence, demo.box, max_frames=demo.effort.max_frames)
    if sequence.box_source == "first":
        sequence = open_sequence(demo.sequence, sequence.exemplar_box, max_frames=demo.effort.max_frames)
    if sequence.box_source != "tracked":
        return sequence
    return keep_recognised(sequence, load_scorer(demo.features, demo.weights, demo.device, demo.precision))


@dataclass(frozen=True)
class _Manifold:
    """A video's VAE, and the codes of the frames that it learned from."""

    sequence: Sequence
    frames: NDArray[np.int64]
    model: vae.VAE
    mu: NDArray[np.float32]
    sigma: NDArray[np.float32]
    figures: dict[str, float]

    def sample(self, count: int, rng: np.random.Generator, first: int = 0) -> TargetSet:
        """Draw from the aggregate posterior; each sample goes to the frame whose code is nearest."""
        codes = vae.sample_posterior(self.mu, self.sigma, count, rng)
        nearest = vae.nearest_codes(codes, self.mu)
        return TargetSet.from_samples(
            self.sequence, self.model.generate(codes), codes, self.frames[nearest], first_number=first
        )


def _learn_manifold(sequence: Sequence, frames: NDArray[np.int64], demo: Demo) -> _Manifold:
    """Section 4.1: one VAE a video, on its target's crops of 64 x 64."""
    crops = target_crops(sequence, frames)
    training = vae.TrainingConfig(epochs=demo.effort.epochs, seed=demo.seed)
    result = vae.fit(crops, training=training, device=demo.device, progress=True)
    mu, sigma = result.model.posterior(crops)
    rebuilt = result.model.reconstruct(crops)
    error = (rebuilt.astype(np.float64) - crops) / 255
    mean_error = (crops - crops.mean(axis=0)) / 255
    figures = {
        "crops": len(crops),
        "reconstruction_nats": round(float(result.history.reconstruction[-1]), 2),
        "kl_nats": round(float(result.history.kl[-1]), 2),
        "mse": round(float(np.square(error).mean()), 5),
        "mse_of_mean_image": round(float(np.square(mean_error).mean()), 5),
    }
    return _Manifold(sequence, frames, result.model, mu, sigma, figures)


def _learned_methods(setup: Setup) -> dict[str, Querying]:
    """The best constant region, and the belief with as many queries as the agent; none without a shipped prior."""
    fitted = shipped_prior(setup.scorer, setup.settings.limits, setup.occluder)
    if fitted is None:
        return {}
    found = query_methods(setup.scorer, fitted)
    belief = replace(found["belief"], queries=setup.settings.max_steps + 1)
    return {"constant": found["constant"], "belief": belief}


def _summary(judged: Comparison) -> dict[str, Any]:
    """Means over the held-out targets; `agent` is the region of its search that hurts most."""
    agent, episodes = judged.trials["agent"], judged.episodes["agent"]
    means = {"clean": judged.clean, **{name: trial.scores for name, trial in judged.trials.items()}}
    closure = judged.closure("agent")
    return {
        **{name: round(float(scores.mean()), 5) for name, scores in means.items()},
        "area": round(float(agent.area.mean()), 5),
        "closure": None if closure is None else round(closure, 4),
        "queries": {name: round(float(trial.queries.mean()), 2) for name, trial in judged.trials.items()},
        "steps": round(float(np.mean([len(episode.actions) for episode in episodes])), 3),
        "trigger_rate": round(float(np.mean([episode.triggered for episode in episodes])), 4),
        "targets": len(judged.clean),
    }


def _draw(folder: Path, sequence: Sequence, positives: list[HardPositive], judged: Comparison) -> None:
    draw_contact_sheet(
        folder / "contact_sheet.png", positives, f"Hard positives of '{sequence.name}': SINT score below each"
    )
    draw_scores(
        folder / "scores.png", judged,
        f"'{sequence.name}': {len(judged.clean)} held-out targets, equal area, same patch",
    )  # fmt: skip


class _Clock:
    """Says which stage has begun, and keeps the seconds of each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        print(f"{stage} ...", file=sys.stderr)
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 2)
