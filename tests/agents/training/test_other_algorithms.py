"""The example of other algorithms trains each that is installed, and one of them learns."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[3] / "examples" / "03_other_algorithms.py"
ORACLE = "OcclusionSearchOracle-v0"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("other_algorithms", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["other_algorithms"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["other_algorithms"]


def test_every_algorithm_that_is_installed_trains(example, capsys):
    contrib = importlib.util.find_spec("sb3_contrib") is not None
    names = ["PPO", "A2C"] + ["QRDQN", "MaskablePPO"] * contrib
    assert list(example.installed()) == names
    example.main(example.Settings(256, env=ORACLE))
    lines = [line for line in capsys.readouterr().out.splitlines() if "training for" not in line]
    assert [line.split(":")[0] for line in lines] == names
    found = [[float(each) for each in re.findall(r"[+-][\d.]+", line)] for line in lines]
    assert all(before != after for before, after in found), "each has learned something"


def test_it_learns_the_oracle(example, capsys):
    example.main(example.Settings(4096, ("PPO",), ORACLE))
    stage, line = capsys.readouterr().out.splitlines()
    assert stage == "PPO: training for 4096 steps"
    before, after = (float(each) for each in re.findall(r"[+-][\d.]+", line))
    assert after > before + 0.1


def test_an_unknown_algorithm_is_named(example, monkeypatch):
    with pytest.raises(SystemExit, match="'SAC' is unknown or not installed; choose PPO, A2C"):
        example.main(example.Settings(1, ("PPO", "SAC")))
    monkeypatch.setattr(example.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"'QRDQN' is unknown or not installed; choose PPO, A2C\."):
        example.main(example.Settings(1, ("QRDQN",)))
