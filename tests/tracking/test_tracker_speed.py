"""The benchmark compares equal work."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "tracker_speed.py"


def test_ratios_are_of_candidates_that_both_programs_score_fully(tmp_path: Path) -> None:
    main = runpy.run_path(str(BENCHMARK))["main"]
    main(frames=1, rounds=1, naive=2, json_file=tmp_path / "speed.json")
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["precision"] in ("fp32", "bf16") and found["fc6"] is True
    # 9 rings of 10 and the centre, in 3 sizes, in a frame of 480 pixels.
    assert found["rings"]["candidates"] == 273
    assert found["lattice"]["candidates"] == found["tracker"]["candidates"] > 2000
    for name in ("rings", "lattice"):
        assert found[name]["fully_scored"] == found[name]["candidates"]
        naive_ms = found[name]["candidates"] * found["naive_ms_a_candidate"]
        assert found[name]["ratio"] == pytest.approx(naive_ms / found[name]["ms_a_frame"])
    assert found["tracker"]["fully_scored"] == 64 and "ratio" not in found["tracker"]
