"""The examples of hard positives in a person's own code run."""

import json
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout + done.stderr


def test_in_a_dataset(tmp_path, make_video, write_otb):
    for seed in range(2):
        write_otb(tmp_path / f"clip{seed}", make_video(frames=6, seed=seed))
    assert "epoch 0: loss" in run("hard_positives_in_a_dataset.py", tmp_path, 1)


def test_in_pairs(tmp_path, make_video, write_otb):
    for seed in range(2):
        write_otb(tmp_path / f"clip{seed}", make_video(frames=4, seed=seed))
    assert "step 0: loss" in run("hard_positives_in_pairs.py", tmp_path, 2)
    assert "Usage" in run("hard_positives_in_pairs.py", code=1)


def test_for_any_tracker(tmp_path, make_video, write_otb):
    video = write_otb(tmp_path / "clip", make_video(frames=4))
    printed = run("hard_positives_for_any_tracker.py", video, 2, "--methods", "random", "best of 4 random")
    assert printed.startswith("SINT: score of 2 targets") and "best of 4 random -" in printed


def test_an_agent_for_your_own_tracker(tmp_path, make_video, write_otb):
    for seed in range(2):
        write_otb(tmp_path / f"videos/clip{seed}", make_video(frames=4, seed=seed))
    printed = run(
        "agent_for_your_own_tracker.py", tmp_path / "videos", tmp_path / "videos/clip0", "--out", tmp_path / "out",
        "--steps", 64, "--per-sequence", 1,
    )  # fmt: skip
    assert "The best constant region has" in printed
    found = json.loads((tmp_path / "out/evaluation/evaluation.json").read_text())
    assert found["scorer"] == "agent_for_your_own_tracker:scorer" and found["checks"] == {}
    rows = found["methods"]
    assert "attribution" not in rows and rows["grid search"]["closure"] == 1
    assert "dqn/OcclusionSearch-v0_1/OcclusionSearch-v0" in rows
