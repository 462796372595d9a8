"""Environments that run for long: no growth of memory, open files or threads.

There are 50 environment steps in all for each input of the budget `OCCLUSION_SEARCH_FAULTS` (`make faults`: a
million).
"""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import occlusion_env

BUDGET = os.environ.get("OCCLUSION_SEARCH_FAULTS")
STEPS = 50 * int(BUDGET) if BUDGET else 2_000
CHEAP: dict[str, Any] = {
    "targets": "oracle",
    "scorer": "occlusion_env.scene.oracle:OracleScorer",
    "features": "occlusion_env.scene.oracle:OracleFeatures",
    "drop": 0.05,
}
SMALL_CACHE = {"cache_mb": 8.0}
"""So small that it is full after the warm-up, and evicts from then on."""

GROWTH = 24 * 2**20
"""Bytes that the resident memory may grow after the warm-up: what the allocator keeps in reserve."""

RUNS: dict[str, tuple[str, int, dict[str, Any], float]] = {
    "oracle, single": ("OcclusionSearchOracle-v0", 0, SMALL_CACHE, 0.05),
    "oracle, vector": ("OcclusionSearchOracle-v0", 32, SMALL_CACHE, 0.45),
    "oracle, patches": ("OcclusionSearchOracle-v0", 32, {**SMALL_CACHE, "patches": 4}, 0.3),
    "background, single": ("BackgroundSearch-v0", 0, {**CHEAP, **SMALL_CACHE}, 0.02),
    "background, vector": ("BackgroundSearch-v0", 32, {**CHEAP, **SMALL_CACHE}, 0.17),
    "networks, single": ("OcclusionSearch-v0", 0, {"targets": "drawn", "drop": 0.02, **SMALL_CACHE}, 0.002),
    "networks, vector": ("OcclusionSearch-v0", 16, {"targets": "drawn", "drop": 0.02, **SMALL_CACHE}, 0.008),
}
"""Environment, number of copies (0 for the single one), arguments, and share of the steps."""

QUICK = ("oracle, single", "oracle, vector", "background, vector", "networks, vector")
"""The runs without a budget."""


def resources() -> tuple[int, int, int]:
    """Resident bytes, open file descriptors and threads of this process."""
    gc.collect()
    status = Path("/proc/self/statm").read_text().split()
    descriptors = len(os.listdir("/proc/self/fd"))
    return int(status[1]) * os.sysconf("SC_PAGESIZE"), descriptors, threading.active_count()


def make(name: str, copies: int, arguments: dict[str, Any]) -> Any:
    if copies:
        return gym.make_vec(name, copies, "vector_entry_point", **arguments)
    return gym.make(name, disable_env_checker=True, **arguments)


def walk(env: Any, steps: int, rng: np.random.Generator) -> int:
    """Take random actions, and return the number of environment steps."""
    vector = isinstance(env, gym.vector.VectorEnv)
    env.reset(seed=int(rng.integers(2**31)))
    taken = 0
    while taken < steps:
        if vector:
            observation, reward, *_ = env.step(rng.integers(0, 9, env.num_envs))
            taken += env.num_envs
        else:
            observation, reward, terminated, truncated, _ = env.step(int(rng.integers(9)))
            taken += 1
            if terminated or truncated:
                env.reset()
        assert np.isfinite(reward).all()
    assert env.observation_space.contains(observation)
    return taken


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize("name", RUNS if BUDGET else QUICK)
def test_a_long_run_grows_nothing(name: str, record_property: Any) -> None:
    assert {run[0] for run in RUNS.values()} == set(occlusion_env.ENV_IDS)
    env_id, copies, arguments, share = RUNS[name]
    rng = np.random.default_rng(0)
    steps = max(40, round(STEPS * share))
    env = make(env_id, copies, arguments)
    # Until the cache is full the memory may grow; it must not grow after.
    walk(env, max(steps // 5, 40), rng)
    before = resources()
    taken = walk(env, steps, rng)
    after = resources()
    env.close()
    report = {"run": name, "steps": taken, "mib": [round(value[0] / 2**20, 1) for value in (before, after)]}
    record_property("soak", report)
    assert after[0] - before[0] < GROWTH, report
    assert after[1] <= before[1], f"open files grew from {before[1]} to {after[1]}"
    assert after[2] <= before[2], f"threads grew from {before[2]} to {after[2]}"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize("copies", [0, 4])
def test_environments_that_are_made_and_closed_leave_nothing(copies: int) -> None:
    def turn() -> None:
        env = make("OcclusionSearchOracle-v0", copies, SMALL_CACHE)
        env.reset(seed=0)
        env.step(np.zeros(copies, int) if copies else 0)
        env.close()

    for _ in range(3):
        turn()
    before = resources()
    for _ in range(max(10, STEPS // 2_000)):
        turn()
    after = resources()
    assert after[0] - before[0] < GROWTH and after[1:] <= before[1:], (before, after)
