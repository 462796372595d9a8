"""The recipe of RLlib, with an env runner in a process of its own."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'occlusion-search[rllib]'")
pytest.importorskip(
    "ray.rllib.algorithms.ppo", reason="RLlib lacks a package; pip install 'occlusion-search[rllib]'"
)


def test_ppo_learns_in_a_remote_runner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After 8,192 steps it earns more than random actions, at least 1.5 more."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples/libraries"))
    recipe = importlib.import_module("rllib_ppo")
    ray.shutdown()
    found = recipe.main(recipe.Settings(steps=8192, episodes=50))
    printed = capsys.readouterr().out
    lines = [line.split(": return ") for line in printed.splitlines() if ": return " in line]
    returns = {name: float(value) for name, value in lines}
    assert set(returns) == {"random", "hill climbing", "RLlib PPO"} and printed.count("steps: mean return") >= 7
    assert returns["RLlib PPO"] == pytest.approx(found, abs=0.01) and found > returns["random"] + 1.5
