"""Steps a second of a vector environment of N searches, and of N single environments.

Eight programs, in turn on one machine:

- naive: N separate environments, fp32; every state, every exemplar and every occluded target goes through the
  network whole and by itself, without a cache, as Algorithm 1 reads;
- separate: N single environments of this package, fp32, without a cache: the exemplar is embedded once an
  episode, and VGG-16 on a CPU scores an occluded target by the part that the occlusion changes;
- batched: one vector environment, one pass for all states and one for all scores, without a cache;
- roi: the same, with states read off one feature map a target (`state="roi"`);
- sync: `SyncVectorEnv` over N single environments with the package's defaults, the cache among them, as RL
  libraries measure an environment;
- native: the vector environment with the same defaults;
- training: the vector environment in a training, with its cache, on a few targets that come again and again, and a
  policy that is greedy more and more often;
- patches: the same with few occluders a target (`patches`), so that the cache also holds scores.

The ratios are to the naive program; `over_separate` to the second one, `native_over_sync` of the two with the
defaults.

The naive program and the others take the same actions on the same targets. Resets are part of the time.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

import occlusion_env
from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.common.versions import device_name
from occlusion_env import ENV_ID, OcclusionSearchEnv, OcclusionSearchVectorEnv, Search, SearchArguments, TargetSet
from occlusion_env.search.core import Step
from occlusion_env.search.memory import region_keys
from tracker.errors import InputError

Policy = Callable[[NDArray[np.float32], int], NDArray[np.int64]]
"""Observations `[N, D]` and the number of the step to actions `[N]`."""


class ForgetfulSearch(Search):
    """A search that queries a region again when its episode comes back to it."""

    def step(self, actions: NDArray[np.integer], slots: NDArray[np.int64] | None = None) -> Step:
        """See `Search.step`."""
        present = zip(region_keys(self.region), self.score.tolist(), strict=True)
        self._visited = [{key: score} for key, score in present]
        return super().step(actions, slots)


class NaiveSearch(ForgetfulSearch):
    """One search whose scores take the exemplar through the network again, and each image whole and by itself."""

    def _embed(self, images: torch.Tensor, keys: Sequence[bytes | None]) -> torch.Tensor:
        if len(images):
            # The exemplar of this score; where a search begins, the first of the images is that of the other one.
            self.scorer.embed(images[:1])
        return torch.cat([super(NaiveSearch, self)._embed(part, [None]) for part in images.split(1)])


class SeparateVectorEnv(OcclusionSearchVectorEnv):
    """N=1 environments of the package without a cache of scores."""

    search_class = ForgetfulSearch


class NaiveVectorEnv(OcclusionSearchVectorEnv):
    """N=1 naive environments."""

    search_class = NaiveSearch


class SeparateEnv(OcclusionSearchEnv):
    """A separate environment."""

    vector_class = SeparateVectorEnv


class NaiveEnv(OcclusionSearchEnv):
    """A naive environment."""

    vector_class = NaiveVectorEnv


class Apart:
    """Separate environments behind the two methods of a vector environment that are timed."""

    def __init__(self, count: int, env: type[OcclusionSearchEnv], **kwargs: Any) -> None:
        self.envs = [env(**kwargs) for _ in range(count)]

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Reset each."""
        return np.stack([env.reset(seed=seed + index)[0] for index, env in enumerate(self.envs)])

    def step(self, actions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Step each, and reset it where its episode is over."""
        observations = []
        for env, action in zip(self.envs, actions, strict=True):
            observation, _, terminated, truncated, _ = env.step(action)
            observations.append(env.reset()[0] if terminated or truncated else observation)
        return np.stack(observations)


class Vector:
    """A vector environment behind the same two methods."""

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        self.envs = envs

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Reset all."""
        observations: NDArray[np.float32] = self.envs.reset(seed=seed)[0]
        return observations

    def step(self, actions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Step all."""
        observations: NDArray[np.float32] = self.envs.step(actions)[0]
        return observations


def random_policy(count: int) -> Policy:
    """The same random actions in each round."""
    draws = np.random.default_rng(0).integers(0, 9, (100_000, count))
    return lambda _observations, number: draws[number]


def learning_policy(count: int, length: int, steps: int) -> Policy:
    """Greedy by a fixed random linear Q; random with a chance that falls from 1 to 0.1 over half of the steps."""
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.normal(size=(length, 9)).astype(np.float32))
    draws = rng.integers(0, 9, (steps + 1, count))
    chance = rng.uniform(size=(steps + 1, count))

    def act(observations: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        greedy = (torch.from_numpy(observations) @ weights).argmax(dim=1).numpy()
        share = max(0.1, 1 - 0.9 * number / (0.5 * steps))
        return np.where(chance[number] < share, draws[number], greedy)

    return act


def seconds_a_step(program: Apart | Vector, policy: Policy, count: int, steps: int, seed: int) -> float:
    """Time of one step of one environment; the first reset is not part of it."""
    observations = program.reset(seed)
    start = time.perf_counter()
    for number in range(steps):
        observations = program.step(policy(observations, number))
    return (time.perf_counter() - start) / (steps * count)


def main(
    features: Literal["slim", "vgg16"] = "slim",
    weights: str | None = None,
    targets: str = "synthetic",
    counts: tuple[int, ...] = (1, 8, 16, 32),
    steps: int = 8,
    rounds: int = 3,
    training_targets: int = 16,
    training_steps: int = 4000,
    cache_mb: float = 512.0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    device: str = "auto",
    threads: int | None = None,
    json_file: Path | None = None,
) -> None:
    """Time the programs.

    Args:
        features: The network.
        weights: Its weights, see `tracker.load_backbone`.
        targets: What to occlude, see `SearchArguments`.
        counts: How many environments side by side, each in turn.
        steps: Steps of every environment a round.
        rounds: Rounds; the median counts.
        training_targets: How many targets the training run has.
        training_steps: Steps of the training run, all environments together.
        cache_mb: Memory of the training run.
        precision: Of all programs but the naive one, which takes fp32.
        device: Where the network runs.
        threads: Threads of PyTorch; as many as it takes itself by default.
        json_file: Write the figures here.
    """
    check_json_path(json_file)
    check_counts(steps=steps, rounds=rounds, threads=threads)
    check_counts(training_targets=training_targets, training_steps=training_steps)
    if not counts:
        raise InputError("--counts is empty; give at least one number of environments.")
    check_counts(counts=min(counts))
    SearchArguments(cache_mb=cache_mb)  # checks it
    if threads is not None:
        torch.set_num_threads(threads)
    common: dict[str, Any] = {"features": features, "weights": weights, "device": device, "drop": 0.02}
    common["max_steps"] = 20  # of the classes that are made without gym.make too
    every = occlusion_env.load_targets(targets)
    few: TargetSet = every.subset(range(min(training_targets, len(every))))

    def vector(count: int, **kwargs: Any) -> OcclusionSearchVectorEnv:
        made = gym.make_vec(
            ENV_ID, num_envs=count, autoreset_mode="SameStep", precision=precision, **common, **kwargs
        )
        assert isinstance(made, OcclusionSearchVectorEnv)
        return made

    def sync(count: int) -> SyncVectorEnv:
        def single() -> gym.Env[Any, Any]:
            return gym.make(ENV_ID, disable_env_checker=True, targets=every, precision=precision, **common)

        return SyncVectorEnv([single] * count, autoreset_mode=AutoresetMode.SAME_STEP)

    figures: dict[str, dict[str, float]] = {}
    for count in counts:
        programs: dict[str, Apart | Vector] = {
            "naive": Apart(count, NaiveEnv, targets=every, precision="fp32", cache_mb=0, **common),
            "separate": Apart(count, SeparateEnv, targets=every, precision="fp32", cache_mb=0, **common),
            "batched": Vector(vector(count, targets=every, cache_mb=0)),
            "roi": Vector(vector(count, targets=every, cache_mb=0, state="roi")),
            "sync": Vector(sync(count)),
            "native": Vector(vector(count, targets=every)),
        }
        times: dict[str, list[float]] = {name: [] for name in programs}
        policy = random_policy(count)
        for number in range(rounds + 1):
            for name, program in programs.items():
                spent = seconds_a_step(program, policy, count, steps if number else 1, number)
                if number:
                    times[name].append(spent)
        step_s = {name: statistics.median(found) for name, found in times.items()}
        turns = max(1, training_steps // count)
        memory = {}
        for name, patches in (("training", 0), ("patches", 4)):
            trained = vector(count, targets=few, cache_mb=cache_mb, patches=patches)
            space = trained.single_observation_space
            assert isinstance(space, gym.spaces.Box)
            learning = learning_policy(count, space.shape[0], turns)
            step_s[name] = seconds_a_step(Vector(trained), learning, count, turns, 0)
            cache = trained.search.cache
            memory[f"{name}_cache_hits"] = cache.hits / max(1, cache.hits + cache.misses)
            memory[f"{name}_cache_mb"] = cache.bytes / 2**20
        figures[str(count)] = {
            **{f"{name}_steps_a_second": 1 / spent for name, spent in step_s.items()},
            **{f"{name}_ratio": step_s["naive"] / spent for name, spent in step_s.items() if name != "naive"},
            "batched_over_separate": step_s["separate"] / step_s["batched"],
            "training_over_separate": step_s["separate"] / step_s["training"],
            "native_over_sync": step_s["sync"] / step_s["native"],
            **memory,
        }
        rates = ", ".join(f"{name} {1 / spent:.1f}" for name, spent in step_s.items())
        print(f"N = {count}: {rates} steps/s", file=sys.stderr)
    result = {
        "features": features,
        "precision": str(trained.search.features.dtype),
        "device": device_name(trained.search.features.device),
        "environments": figures,
    }
    print(json.dumps(result, indent=2))
    write_result(json_file, "env_speed", result)


if __name__ == "__main__":
    run_script(main)
