"""Every example runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tracker.images import read_image, write_png

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
