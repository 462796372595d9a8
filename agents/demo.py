"""The main job, end to end: from a video and the box of its target to hard positives."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import vae
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import load_networks
from occlusion_env.scene.splits import split_frames
from occlusion_env.scene.targets import TargetSet
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.models.backbones import precision_name, resolve_device
from tracker.scorers import load_scorer

from .common.output import replacing_folder, write_json
from .common.results import command_line
from .common.versions import versions
from .common.videos import open_recognised
from .demo_page import EQUAL, write_demo_page
from .demo_settings import Demo
from .evaluation.comparison import MethodComparison, Trial, compare
from .evaluation.methods import query_methods
from .evaluation.pictures import draw_scores
from .hard_positives.generation import HardPositiveGenerator
from .hard_positives.pictures import draw_contact_sheet
from .hard_positives.records import write_hard_positives
from .manifolds.bank import target_crops
from .manifolds.pictures import draw_manifold
from .policies.belief import shipped_prior
from .policies.belief.method import QUERIES, BeliefSearch
from .policies.loading import load_agent
from .policies.pretrained import PRETRAINED
from .policies.rollout import Agent
from .training.request import TrainRequest
from .training.run import fit

REPORT = "report.json"
RESULT = "demo"


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
        write_demo_page(folder, report, demo.out)
    return report


def _run(demo: Demo, folder: Path) -> dict[str, Any]:
    effort = demo.effort
    seconds: dict[str, float] = {}

    @contextmanager
    def clock(stage: str) -> Iterator[None]:
        print(f"{stage} ...", file=sys.stderr)
        start = time.perf_counter()
        yield
        seconds[stage] = round(time.perf_counter() - start, 2)

    with clock("video"):
        sequence = _open(demo)
        training_frames, held_out_frames = split_frames(sequence, effort.held_out)
    with clock("networks"):  # before minutes of work, so that an unknown layer or a corrupt file is reported first
        arguments = SearchArguments(
            features=demo.features, weights=demo.weights, layer=demo.layer, device=demo.device,
            precision=demo.precision,
        )  # fmt: skip
        networks = load_networks(arguments)
        prior = shipped_prior(networks.scorer, arguments.settings.limits)

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
    samples = manifold.sample(effort.samples + effort.unseen_samples, rng)
    unseen_samples = samples.subset(range(effort.samples, len(samples)))
    with clock("agent"):
        if demo.from_scratch or prior is None:
            training = TargetSet.from_sequence(sequence, training_frames) + samples.subset(range(effort.samples))
            agent, origin = _train_agent(demo, training), f"trained on this video, {effort.steps} steps"
        else:
            agent = replace(load_agent(PRETRAINED, device=demo.device), name="agent")
            origin = "the shipped agent, not adapted"

    held_out = TargetSet.from_sequence(sequence, held_out_frames)
    with clock("evaluation"):
        targets, methods = list(held_out), query_methods(networks.scorer, prior, QUERIES)
        methods = {name: method for name, method in methods.items() if name in ("constant", "belief")}
        with tqdm(total=len(targets), desc="grid search", unit="target") as bar:
            compared = compare(networks, targets, [agent], methods=methods, seed=demo.seed, done=bar.update)
        compared = _with_equal_queries(compared)

    finder = agent if prior is None else BeliefSearch(prior)
    with clock("hard positives"):
        unseen = held_out + unseen_samples
        made = HardPositiveGenerator(finder, networks.scorer, features=networks.features).of_targets(
            unseen, seed=demo.seed
        )
        positives = list(tqdm(made, total=len(unseen), desc="hard positives", unit="target"))
        write_hard_positives(folder / "hard_positives", positives)
    with clock("pictures"):
        draw_contact_sheet(
            folder / "contact_sheet.png", positives, f"Hard positives of '{sequence.name}': SINT score below each"
        )
        draw_scores(
            folder / "scores.png", compared,
            f"'{sequence.name}': {len(compared.clean)} held-out targets, equal area, same patch",
        )  # fmt: skip

    return {
        **_summary(compared),
        "agent_is": origin,
        "hard_positives_by": "agent" if prior is None else "belief",
        "seconds": seconds,
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
        "features": {
            "network": demo.features,
            "layer": networks.features.layer,
            "length": networks.features.length,
        },
        "manifold": manifold.figures,
        "effort": asdict(effort),
        "seed": demo.seed,
        "versions": versions(),
        "device": demo.device,
        "precision": demo.precision,
        "command": command_line(),
    }


def _train_agent(demo: Demo, targets: TargetSet) -> Agent:
    """Train deep Q-learning (Algorithm 1) in the paper's state with the hyper-parameters `demo`."""
    env_kwargs = {
        "targets": targets, "features": demo.features, "weights": demo.weights, "layer": demo.layer,
        "precision": demo.precision,
    }  # fmt: skip
    steps = demo.effort.steps
    request = TrainRequest(
        conf_file="demo", n_timesteps=steps, hyperparams={"learning_starts": min(steps // 4, 200)},
        env_kwargs=env_kwargs, eval_freq=-1, seed=demo.seed, device=demo.device,
    )  # fmt: skip
    model = fit(request, progress=True)
    return Agent("agent", lambda search: model)


def _open(demo: Demo) -> Sequence:
    if demo.data is None:
        if demo.box is not None:
            raise InputError("--box needs --data: the synthetic video knows its own boxes.")
        return synthetic_sequence(demo.seed, frames=demo.effort.max_frames)
    load = partial(load_scorer, demo.features, demo.weights, demo.device, demo.precision)
    return open_recognised(demo.data, demo.box, load, demo.effort.max_frames)


@dataclass(frozen=True)
class _Manifold:
    """A video's VAE, and the codes of the frames that it learned from."""

    sequence: Sequence
    frames: NDArray[np.int64]
    model: vae.VAE
    mu: NDArray[np.float32]
    sigma: NDArray[np.float32]
    figures: dict[str, float]

    def sample(self, count: int, rng: np.random.Generator) -> TargetSet:
        """Draw from the aggregate posterior; each sample goes to the frame whose code is nearest."""
        codes = vae.sample_posterior(self.mu, self.sigma, count, rng)
        nearest = vae.nearest_codes(codes, self.mu)
        return TargetSet.from_samples(self.sequence, self.model.generate(codes), codes, self.frames[nearest])


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


def _with_equal_queries(compared: MethodComparison) -> MethodComparison:
    """Replace the best of k random regions by the best of as many as the agent queried, for each target (`EQUAL`).

    The regions of that trial are still those of the best of k.
    """
    trials, queries = dict(compared.trials), compared.trials["agent"].queries
    random = trials.pop("best of k random")
    last = np.minimum(queries.astype(int), random.curve.shape[1]) - 1
    trials[EQUAL] = Trial(random.curve[np.arange(len(last)), last][:, None], queries, random.regions)
    return replace(compared, trials=trials)


def _summary(compared: MethodComparison) -> dict[str, Any]:
    """Mean scores over the held-out targets, each method's lowest; closure of the agent, and scorer queries."""
    agent, episodes = compared.trials["agent"], compared.episodes["agent"]
    means = {"clean": compared.clean, **{name: trial.scores for name, trial in compared.trials.items()}}
    closure = compared.closure("agent")
    return {
        **{name: round(float(scores.mean()), 5) for name, scores in means.items()},
        "area": round(float(agent.area.mean()), 5),
        "closure": None if closure is None else round(closure, 4),
        "queries": {name: round(float(trial.queries.mean()), 2) for name, trial in compared.trials.items()},
        "steps": round(float(np.mean([len(episode.actions) for episode in episodes])), 3),
        "trigger_rate": round(float(np.mean([episode.triggered for episode in episodes])), 4),
        "targets": len(compared.clean),
    }
