"""Every example runs: the quick ones without arguments, the others with small ones."""

import ast
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracker.data.images import read_image, write_png

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


ALL = sorted(EXAMPLES.glob("[0-9]*.py"))
SLOW = ("02_", "03_", "04_", "10_", "11_")
"""Trainings of more than five seconds; the other tests run them with small arguments."""


def expected_lines(file):
    """The output that an example's docstring shows."""
    return [
        line.strip()
        for line in ast.get_docstring(ast.parse(file.read_text())).partition("Prints:\n\n")[2].splitlines()
    ]


def without_numbers(line):
    return re.sub(r"[-+]?\d[\d.]*", "#", line.strip())


def test_the_examples_are_a_course_of_thirteen():
    assert [file.name[:3] for file in ALL] == [f"{number:02d}_" for number in range(1, 14)]
    assert all(len(expected_lines(file)) >= 3 for file in ALL)


@pytest.mark.parametrize(
    "file", [file for file in ALL if not file.name.startswith(SLOW)], ids=lambda file: file.stem
)
def test_an_example_runs_bare_and_prints_what_it_shows(file, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", [str(file)])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(file), run_name="__main__")
    printed = {without_numbers(line) for line in capsys.readouterr().out.splitlines()}
    shown = [without_numbers(line) for line in expected_lines(file) if line != "..."]
    assert {shown[0], shown[-1]} <= printed


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "\r" not in done.stderr, "a progress bar where there is no terminal"
    return done.stdout


def test_your_own_image(tmp_path):
    write_png(tmp_path / "in.png", np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    printed = run("08_your_own_image.py", tmp_path / "in.png", "30,30,40,30", tmp_path / "out.png")
    assert "clean +1.000" in printed
    assert read_image(tmp_path / "out.png").shape == (430, 624, 3)


def test_your_own_tracker(tmp_path, make_video, write_otb):
    video = write_otb(tmp_path / "clip", make_video(frames=9))
    run("09_your_own_tracker.py", tmp_path / "out", video, 150)
    lines = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 8 and json.loads(lines[0])["source"]["video"] == "clip"


def test_make_the_environment():
    printed = run("01_make_the_environment.py")
    assert printed.count("reward") >= 1 and "observations [8, " in printed


def test_train_an_agent(tmp_path, make_video, write_otb):
    video = write_otb(tmp_path / "clip", make_video(frames=5))
    printed = run("02_train_an_agent.py", video, 640)
    assert "best of 18 random: mean score of 4 targets" in printed and "agent: mean score of 4 targets" in printed


def test_the_whole_pipeline(tmp_path, make_video, write_otb):
    for seed, name in enumerate(("train/a", "train/b", "test/c")):
        write_otb(tmp_path / name, make_video(frames=4, width=160, height=120, seed=seed))
    options = ("--epochs", 2, "--steps", 2, "--per-video", 1, "--boxes-per-frame", 8, "--frames", 1)
    printed = run(
        "11_the_whole_pipeline.py", tmp_path / "train", tmp_path / "test", "--out", tmp_path / "out", *options
    )
    lines = printed.splitlines()
    assert lines[-9].split()[1:] == ["0%", "10%", "20%", "30%", "40%", "50%"]
    kinds = ["background", "cutout", "side", "texture"]
    assert [line.split()[:2] for line in lines[-8:]] == [
        [name, kind] for name in ("SINT", "SINT++") for kind in kinds
    ]
    assert (tmp_path / "out" / "SINT++" / "slim.safetensors").is_file()
