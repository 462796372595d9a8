"""Random actions on random images: all numbers stay finite, and the memory does not grow.

Runs N environments side by side; every episode is on a frame of its own random shape and content, with a box at
random. The resident memory is sampled every few thousand steps; a line through the samples of the second half of
the run must rise by less than the bound.

    python benchmarks/robustness.py                          100,000 steps of each search, without a network
    python benchmarks/robustness.py --network --steps 10000  the slim network for state and score
    python benchmarks/robustness.py --json FILE

Exits with 1 if a search fails. A short run, with fewer than two samples in its second half, says nothing about the
memory: its rise is null, and the numbers alone decide.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from tqdm import tqdm

from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from occlusion_env import BACKGROUND_ENV_ID, ENV_ID

NETWORK = {"features": "slim", "precision": "fp32"}
LEAST_SIDE = 8
CHEAP = {"features": "occlusion_env.scene.oracle:OracleFeatures"}


@dataclass(frozen=True)
class Settings:
    """What to run.

    Attributes:
        steps: Actions of each search.
        envs: Environments side by side.
        sample_every: Actions from one sample of the memory to the next.
        bound_mb: MiB by which the memory may rise over the second half.
        side: Longest side of a frame in pixels; the shortest is 8.
        cache_mb: Of the environments; small, so that it is full long before the second half.
        network: Whether the slim network gives states and scores.
        seed: Of frames and actions.
        json: Where to write the figures.
    """

    steps: int = 100_000
    envs: int = 16
    sample_every: int = 5_000
    bound_mb: float = 8.0
    side: int = 160
    cache_mb: float = 2.0
    network: bool = False
    seed: int = 0
    json: Path | None = None


class GreyDifference:
    """A matcher that costs nothing: how little two grey crops differ."""

    input_size = 24
    device = torch.device("cpu")

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        """`[N, 3, 24, 24]` to `[N, 576]`."""
        return crops.mean(dim=1).flatten(1)

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """`[N, 576]` twice to `[N]`."""
        return 1 - (exemplars - candidates).abs().mean(dim=1)

    def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Crops to scores."""
        return self.compare(self.embed(exemplars), self.embed(candidates))


def random_frame(rng: np.random.Generator, longest: int) -> dict[str, object]:
    """A frame of noise, flat, or of both, and a box that covers at most 0.7 of its width and of its height."""
    width, height = rng.integers(LEAST_SIDE, longest + 1, 2)
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = rng.integers(0, 256, 3)
    rows = int(rng.integers(0, height + 1))
    frame[:rows] = rng.integers(0, 256, (rows, width, 3))
    extent = rng.uniform(0.1, 0.7, 2) * (width, height)
    corner = rng.uniform(0, 1, 2) * ((width, height) - extent)
    return {"image": frame, "box": [*corner, *extent]}


def resident_mb() -> float:
    """Memory of this process in MiB: resident now where /proc tells (Linux), else its peak so far."""
    statistics = Path("/proc/self/statm")
    if statistics.is_file():
        return int(statistics.read_text().split()[1]) * resource.getpagesize() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def run(name: str, settings: Settings) -> dict[str, object]:
    """Random actions in one of the searches."""
    arguments = NETWORK if settings.network else CHEAP | {"scorer": GreyDifference()}
    envs = gym.make_vec(
        name, num_envs=settings.envs, autoreset_mode="Disabled", drop=0.02, cache_mb=settings.cache_mb, **arguments
    )
    rng = np.random.default_rng(settings.seed)
    observation, info = envs.reset(seed=settings.seed, options=random_frame(rng, settings.side))
    taken, episodes, not_finite, samples = 0, settings.envs, 0, []
    start = time.perf_counter()
    with tqdm(total=settings.steps, desc=name, unit="step") as bar:
        while taken < settings.steps:
            observation, reward, terminated, truncated, info = envs.step(rng.integers(0, 9, settings.envs))
            numbers = (observation, reward, info["score"], info["phi"], info["region"])
            not_finite += sum(int((~np.isfinite(values)).sum()) for values in numbers)
            over = terminated | truncated
            if over.any():
                envs.reset(options={"reset_mask": over, **random_frame(rng, settings.side)})
                episodes += int(over.sum())
            before, taken = taken, taken + settings.envs
            bar.update(settings.envs)
            if before // settings.sample_every != taken // settings.sample_every:
                samples.append((taken, resident_mb()))
    seconds = time.perf_counter() - start
    half = np.array(samples[len(samples) // 2 :])
    rise = None
    if len(half) > 1:
        rise = float(np.polyfit(half[:, 0], half[:, 1], 1)[0] * (half[-1, 0] - half[0, 0]))
    return {
        "steps": taken,
        "episodes": episodes,
        "seconds": round(seconds, 1),
        "steps_per_second": round(taken / seconds, 1),
        "not_finite": not_finite,
        "rss_mb": [round(value, 1) for _, value in samples],
        "rise_second_half_mb": None if rise is None else round(rise, 2),
        "ok": not_finite == 0 and (rise is None or rise < settings.bound_mb),
    }


def main(settings: Settings) -> int:
    """Run both searches, print the figures, and tell by the exit code whether all is well."""
    check_json_path(settings.json)
    check_counts(steps=settings.steps, envs=settings.envs, sample_every=settings.sample_every)
    check_counts(LEAST_SIDE, side=settings.side)
    check_counts(0, seed=settings.seed)
    results = {name: run(name, settings) for name in (ENV_ID, BACKGROUND_ENV_ID)}
    settings_record = {name: value for name, value in asdict(settings).items() if name != "json"}
    report = {"settings": settings_record, "searches": results}
    print(json.dumps(report, indent=2))
    write_result(settings.json, "robustness", report)
    for name, result in results.items():
        if result["rise_second_half_mb"] is None:
            print(f"{name}: too few steps to judge the memory; give more --steps.", file=sys.stderr)
    return 0 if all(result["ok"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(run_script(main, Settings))
