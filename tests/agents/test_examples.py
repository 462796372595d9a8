"""Every example runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tracker.data.images import read_image, write_png

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_your_own_image(tmp_path):
    write_png(tmp_path / "in.png", np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    printed = run("your_own_image.py", tmp_path / "in.png", "30,30,40,30", tmp_path / "out.png")
    assert "clean +1.000" in printed
    assert read_image(tmp_path / "out.png").shape == (430, 624, 3)


def test_your_own_tracker(tmp_path, make_video, write_otb):
    video = write_otb(tmp_path / "clip", make_video(frames=9))
    run("your_own_tracker.py", tmp_path / "out", video, 150)
    lines = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 8 and json.loads(lines[0])["source"]["video"] == "clip"


def test_make_the_environment():
    printed = run("make_the_environment.py")
    assert printed.count("reward") >= 1 and "eight at once: observations [8, " in printed


def test_train_an_agent(tmp_path, make_video, write_otb):
    video = write_otb(tmp_path / "clip", make_video(frames=5))
    printed = run("train_an_agent.py", video, 640)
    assert "random: mean score of 4 targets" in printed and "agent: mean score of 4 targets" in printed


def test_the_whole_pipeline(tmp_path, make_video, write_otb):
    for seed, name in enumerate(("train/a", "train/b", "test/c")):
        write_otb(tmp_path / name, make_video(frames=4, width=160, height=120, seed=seed))
    options = ("--epochs", 2, "--steps", 2, "--per-video", 1, "--boxes-per-frame", 8, "--frames", 1)
    printed = run(
        "the_whole_pipeline.py", tmp_path / "train", tmp_path / "test", "--out", tmp_path / "out", *options
    )
    lines = printed.splitlines()
    assert lines[-9].split()[1:] == ["0%", "10%", "20%", "30%", "40%", "50%"]
    kinds = ["background", "cutout", "side", "texture"]
    assert [line.split()[:2] for line in lines[-8:]] == [
        [name, kind] for name in ("SINT", "SINT++") for kind in kinds
    ]
    assert (tmp_path / "out" / "SINT++" / "slim.safetensors").is_file()
