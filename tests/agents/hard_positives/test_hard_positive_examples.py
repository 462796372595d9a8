"""The examples of hard positives in a person's own code run."""

import json
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def run(name, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout + done.stderr


def test_in_a_dataset(tmp_path, make_video, write_otb):
    for seed in range(2):
        write_otb(tmp_path / f"clip{seed}", make_video(frames=6, seed=seed))
    assert "epoch 0: loss" in run("07_hard_positives_in_a_dataset.py", tmp_path, 1)


def test_in_pairs(tmp_path, make_video, write_otb):
    for seed in range(2):
        write_otb(tmp_path / f"clip{seed}", make_video(frames=4, seed=seed))
    assert "step 0: loss" in run("06_hard_positives_in_pairs.py", tmp_path, 2)


def test_for_any_tracker(tmp_path, make_video, write_otb):
    video = write_otb(tmp_path / "clip", make_video(frames=4))
    printed = run("05_hard_positives_for_any_tracker.py", video, 2, "--methods", "random", "best of 4 random")
    sint, grey = printed.splitlines()[1:]
    assert sint.startswith("SINT: score of 2 targets") and "best of 4 random -" in sint
    assert grey.startswith("grey correlation: score of 2 targets")


def test_an_agent_for_your_own_tracker(tmp_path, make_video, write_otb):
    for seed in range(2):
        write_otb(tmp_path / f"videos/clip{seed}", make_video(frames=4, seed=seed))
    videos = (tmp_path / "videos", tmp_path / "videos/clip0")
    small = ("--out", tmp_path / "out", "--steps", 64, "--per-sequence", 1)
    printed = run("10_agent_for_your_own_tracker.py", *videos, *small)
    assert "The best constant region has" in printed
    (file,) = (tmp_path / "out").rglob("evaluation.json")
    found = json.loads(file.read_text())
    assert found["scorer"] == "matcher:scorer" and found["checks"] == {}
    rows = found["methods"]
    assert "attribution" not in rows and rows["grid search"]["closure"] == 1
    assert "dqn/OcclusionSearch-v0_1/OcclusionSearch-v0" in rows
