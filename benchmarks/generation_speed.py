"""How many hard positives a second, against the naive way.

Programs, in turn on one machine, with the same targets and the same draws:

- naive: one image at a time, in fp32; every state, every exemplar and every occluded target goes through the
  network by itself, and nothing is remembered, as Algorithm 1 reads;
- separate: the same, but the exemplar is embedded once a hard positive;
- batched: `HardPositiveGenerator` in this process;
- workers: `occlusion-search generate` with a process a core, decoding and writing the images included. The start
  of the processes is not part of it: the time is that of a long run less that of a short one.

The ratios are to the naive program and, `over_separate`, to the second one.

Methods: a policy on the state's features, as deep Q-learning learns one (20 steps), what learns nothing, and the
belief. `default` compares the best of 20 random regions with the belief's 10 queries, on the same targets with the
same patches in one run: hard positives a second, and their mean closure between a random region (0) and grid
search (1). `batch_module` gives the images a second of `HardPositiveBatch` with SINT.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from env_speed import ForgetfulSearch
from numpy.typing import NDArray

from agents import HardPositiveGenerator
from agents.common.output import check_json_path
from agents.common.randomness import generator
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.common.versions import device_name
from agents.hard_positives.generation_run import GenerationRun, generate_hard_positives
from agents.hard_positives.transforms import HardPositiveBatch
from agents.policies.belief import BeliefSearch
from agents.policies.methods import Method, NoFeatures, as_method
from occlusion_env import Search, SearchArguments, SearchSettings, TargetSet, load_targets
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.scene.occluders import choose_occluder, occlude_image
from tracker import InputError
from tracker.data.sequences import evenly_spaced
from tracker.scorers.outputs import score_images

DEFAULTS = ("best of 20 random", "belief")
ENDS = ("random", "grid")


class OneByOne(ForgetfulSearch):
    """A search that sends whole images through the network one at a time."""

    def _embed(self, images: torch.Tensor, keys: Sequence[bytes | None]) -> torch.Tensor:
        return torch.cat([super(OneByOne, self)._embed(part, [None]) for part in images.split(1)])


class WithExemplar(OneByOne):
    """The same, each with its exemplar."""

    def _embed(self, images: torch.Tensor, keys: Sequence[bytes | None]) -> torch.Tensor:
        for _ in range(len(images)):
            self.scorer.embed(images[:1])
        return super()._embed(images, keys)


class LinearPolicy:
    """Greedy by a fixed random linear Q that never ends an episode early, so that each takes all its steps."""

    def __init__(self, length: int) -> None:
        """Draw it."""
        self.weights = np.random.default_rng(0).normal(size=(length, 8)).astype(np.float32)

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: Any = None,
    ) -> tuple[NDArray[np.int64], Any]:
        """See `agents.policies.rollout.Policy`."""
        return (observation @ self.weights).argmax(axis=1), state


def one_by_one(
    kind: type[Search], method: Method, networks: Networks, targets: TargetSet, draws: int
) -> list[NDArray[np.float64]]:
    """The regions that the program with this kind of search finds."""
    settings = SearchSettings(cache_mb=0)
    regions = []
    for target in targets:
        for draw in range(draws):
            rng = generator(0, target.id, str(draw))
            occluder = choose_occluder("background", target, settings.limits.max_area, rng)
            search = kind(1, networks.scorer, networks.features if method.looks else NoFeatures(), settings)  # type: ignore[arg-type]
            search.begin(np.arange(1), [target], [occluder.patch(target)])
            best = method.find(search, [rng])[0].best
            image = occlude_image(target.crop, occluder.patch(target), best.region)
            score_images(networks.scorer, [target.exemplar], [image])
            regions.append(best.region)
    return regions


def batched(method: Method, networks: Networks, targets: TargetSet, draws: int) -> list[NDArray[np.float64]]:
    """The same by the package."""
    features = networks.features if method.looks else None
    make = HardPositiveGenerator(method, networks.scorer, features=features)
    return [found.region for found in make.of_targets(targets, draws)]


def ratio(slow: list[float], fast: list[float]) -> float:
    """The median over the rounds."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def workers_rate(data: Path, agent: str, count: int, per_target: int, short: int, long: int, device: str) -> float:
    """Images a second of the command, its start left out."""
    spent, made = [], []
    for per_sequence in (short, long):
        with tempfile.TemporaryDirectory() as folder:
            run = GenerationRun(
                data, Path(folder) / "out", agent, SearchArguments(device=device), None, per_target, per_sequence,
                workers=count,
            )  # fmt: skip
            report = generate_hard_positives(run)
            spent.append(report.seconds)
            made.append(report.made)
    return (made[1] - made[0]) / max(1e-9, spent[1] - spent[0])


def compare_defaults(networks: Networks, targets: TargetSet, per_target: int, rounds: int) -> dict[str, Any]:
    """Hard positives a second and mean closure, of the best of 20 random regions and of the belief."""
    scores: dict[str, NDArray[np.float64]] = {}
    spent: dict[str, list[float]] = {name: [] for name in DEFAULTS}
    for number in range(rounds + 1):  # the first round loads what is loaded once
        for name in DEFAULTS if number else (*DEFAULTS, *ENDS):
            make = HardPositiveGenerator(name, networks.scorer)
            start = time.perf_counter()
            found = list(make.of_targets(targets, per_target))
            if number:
                spent[name].append(time.perf_counter() - start)
            scores[name] = np.array([one.score_after for one in found])
    random, grid = (float(scores[name].mean()) for name in ENDS)
    return {
        name: {
            "a_second": len(targets) * per_target / statistics.median(times),
            "closure": (random - float(scores[name].mean())) / (random - grid),
        }
        for name, times in spent.items()
    }


def batch_rates(device: torch.device, count: int, rounds: int) -> dict[str, float]:
    """Images a second of `HardPositiveBatch` with SINT, on images of 128 x 128 with targets of 64 x 64."""
    images = torch.rand(count, 3, 128, 128, generator=torch.Generator().manual_seed(0)).to(device)
    boxes = torch.tensor([[32.0, 32.0, 64.0, 64.0]]).repeat(count, 1).to(device)
    rates = {}
    for name in ("random", *DEFAULTS):
        module, times = HardPositiveBatch(name, "sint"), []
        for number in range(rounds + 1):
            # Other images each time, as in a training; what is loaded once is loaded in the first round.
            given = images.roll(number, dims=3)
            start = time.perf_counter()
            module(given, boxes, generator=torch.Generator().manual_seed(number))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                times.append(time.perf_counter() - start)
        rates[name] = count / statistics.median(times)
    return rates


def main(
    data: str = "synthetic",
    methods: tuple[str, ...] = ("policy", "random", "best of 20 random", "belief"),
    targets: int = 32,
    per_target: int = 1,
    rounds: int = 3,
    workers: int = 0,
    workers_targets: tuple[int, int] = (2, 12),
    batch: int = 64,
    device: str = "auto",
    threads: int | None = None,
    json_file: Path | None = None,
) -> None:
    """Time the programs.

    Args:
        data: What to occlude: synthetic, or a folder of sequences.
        methods: `policy`, or names of `agents.policies.methods.METHODS`.
        targets: How many, evenly spaced.
        per_target: Hard positives of each.
        rounds: Rounds; the median of the ratios counts.
        workers: Processes of the command; 0 leaves it out. It needs a folder.
        workers_targets: Targets of a sequence of its short and of its long run.
        batch: Images in a batch of the batch module.
        device: Where the networks run, see `tracker.models.backbones.resolve_device`.
        threads: Threads of PyTorch; as many as it takes itself by default.
        json_file: Write the figures here.
    """
    check_json_path(json_file)
    check_counts(targets=targets, per_target=per_target, rounds=rounds, batch=batch, threads=threads)
    check_counts(0, workers=workers)
    check_counts(workers_targets=workers_targets[0])
    if workers_targets[0] >= workers_targets[1]:
        raise InputError(
            f"--workers-targets is {workers_targets}; the long run must have more than the short one."
        )
    for name in methods:
        if name != "policy":
            as_method(name)
    if threads is not None:
        torch.set_num_threads(threads)
    if workers and not Path(data).is_dir():
        raise InputError(f"The command needs a folder of sequences, not '{data}'; leave --workers out.")
    every = load_targets(data)
    chosen = every.subset(evenly_spaced(len(every), targets))
    exact = load_networks(SearchArguments(precision="fp32", device=device))
    usual = load_networks(SearchArguments(device=device))
    length = Search(1, exact.scorer, exact.features, SearchSettings()).observation.space.shape[0]
    figures: dict[str, dict[str, float]] = {}
    for name in methods:
        method: Any = as_method(LinearPolicy(length) if name == "policy" else name)
        if isinstance(method, BeliefSearch):
            limits, occluder = SearchSettings().limits, "background"
            method = method.with_prior(usual.scorer, usual.features, limits, occluder, lambda: chosen)
        programs: dict[str, Callable[[TargetSet], list[NDArray[np.float64]]]] = {
            "naive": lambda few, method=method: one_by_one(WithExemplar, method, exact, few, per_target),
            "separate": lambda few, method=method: one_by_one(OneByOne, method, exact, few, per_target),
            "batched": lambda few, method=method: batched(method, usual, few, per_target),
        }
        spent: dict[str, list[float]] = {program: [] for program in programs}
        found: dict[str, list[NDArray[np.float64]]] = {}
        for number in range(rounds + 1):
            for program, call in programs.items():
                start = time.perf_counter()
                found[program] = call(chosen if number else chosen.subset(range(1)))
                if number:
                    spent[program].append(time.perf_counter() - start)
        count = len(chosen) * per_target
        same = np.isclose(found["naive"], found["batched"]).all(axis=1).mean()
        figures[name] = {
            **{f"{program}_a_second": count / statistics.median(times) for program, times in spent.items()},
            "ratio": ratio(spent["naive"], spent["batched"]),
            "over_separate": ratio(spent["separate"], spent["batched"]),
            "same_regions": float(same),
        }
        if workers and name != "policy":
            rate = workers_rate(Path(data), name, workers, per_target, *workers_targets, device)
            figures[name] |= {
                "workers_a_second": rate, "workers_ratio": rate / figures[name]["naive_a_second"],
            }  # fmt: skip
        print(
            f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in figures[name].items()), file=sys.stderr
        )
    defaults = compare_defaults(usual, chosen, per_target, rounds)
    rates = batch_rates(usual.features.device, batch, rounds)
    result = {
        "device": device_name(usual.features.device),
        "precision": str(usual.features.dtype),
        "methods": figures,
        "default": defaults,
        "batch_module": {"images": batch, "images_a_second": rates},
    }
    print(json.dumps(result, indent=2))
    write_result(json_file, "generation_speed", result)


if __name__ == "__main__":
    run_script(main)
