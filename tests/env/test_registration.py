from __future__ import annotations

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import gymnasium as gym
import pytest

from occlusion_env import ENV_ID


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_registers_the_id_and_loads_no_torch() -> None:
    script = f"""
import sys, gymnasium, occlusion_env
assert "{ENV_ID}" in gymnasium.registry
assert "OcclusionSearchEnv" in dir(occlusion_env)
print([name for name in ("torch", "torchvision", "cv2", "matplotlib", "skimage") if name in sys.modules])
occlusion_env.OcclusionSearchEnv
print("torch" in sys.modules)
"""
    assert run(script).splitlines() == ["[]", "True"]


def test_importing_it_again_changes_nothing() -> None:
    """A child of a vector environment imports it again; Gymnasium would warn of an id that is overridden."""
    script = f"""
import gymnasium, importlib, occlusion_env
first = gymnasium.spec("{ENV_ID}")
importlib.reload(occlusion_env)
print(gymnasium.spec("{ENV_ID}") is first)
"""
    assert run(script) == "True"


def test_a_spawned_process_that_never_imported_it_makes_it() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(gym.error.NameNotFound):
            pool.submit(gym.make, ENV_ID).result()
        env = pool.submit(gym.make, f"occlusion_env:{ENV_ID}", phi=0.5, max_steps=7).result()
    assert env.unwrapped.search.settings.max_steps == 7
    assert env.reset(seed=0)[1]["phi"] == 0.5


def test_the_spec_is_plain() -> None:
    spec = gym.spec(ENV_ID)
    assert spec.entry_point == "occlusion_env.envs.single:OcclusionSearchEnv"
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()) == spec
