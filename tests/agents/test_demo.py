"""The main job: the command run for real, and its pipeline twice with the same seed."""

import base64
import html
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pytest

from agents.common.output import MARKER
from agents.demo import run_demo
from agents.demo_settings import Demo, Effort
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.splits import split_frames
from tracker.data.images import read_image
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.evaluation.report.page import INDEX

TINY = Effort(max_frames=9, crops=4, epochs=2, samples=2, steps=24, held_out=2, unseen_samples=1)
COMMAND = f"""
import sys
import agents.demo_settings
from agents.cli import main
agents.demo_settings.QUICK = agents.demo_settings.{TINY}
sys.argv[0] = "occlusion-search"
main()
"""
"""The command line with less work behind `--quick`."""
PICTURES = ("contact_sheet.png", "manifold.png", "scores.png")


def check_results(out: Path, report: dict) -> None:
    assert {path.name for path in out.iterdir()} == {MARKER, INDEX, "hard_positives", "report.json", *PICTURES}
    assert INDEX in json.loads((out / MARKER).read_text())["files"]
    page = (out / INDEX).read_text("utf-8")
    for name in PICTURES:
        assert base64.b64encode((out / name).read_bytes()).decode() in page
    for name in ("clean", "random", "agent", "grid search"):
        assert f'<th scope="row">{name}</th><td class="number">{report[name]:.3f}</td>' in page
    assert f"<title>{report['hard_positives']} hard positives of" in page and report["command"] in html.unescape(
        page
    )
    assert json.loads((out / "report.json").read_text()) == report
    for key in ("clean", "random", "random at equal queries", "agent", "grid search"):
        assert -1 <= report[key] <= 1
    assert report["grid search"] < report["random"] < report["clean"]
    gap = report["random"] - report["grid search"]
    assert report["closure"] == pytest.approx((report["random"] - report["agent"]) / gap, abs=1e-2)
    assert report["queries"]["grid search"] >= 64
    assert set(report["seconds"]) >= {"video", "manifold", "agent", "evaluation", "hard positives"}
    assert {"python", "torch", "gymnasium", "stable-baselines3"} <= set(report["versions"])
    for name in PICTURES:
        picture = read_image(out / name)
        assert min(picture.shape[:2]) > 300 and picture.std() > 10
    lines = (out / "hard_positives" / "metadata.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == report["hard_positives"]
    held_out = set(report["sequence"]["held_out_frames"])
    training = set(report["sequence"]["training_frames"])
    assert not held_out & training and 0 not in held_out | training
    for record in records:
        assert (out / "hard_positives" / record["file_name"]).is_file()
        if record["source"]["code"] is None:
            assert record["source"]["frame"] in held_out
        x, y, w, h = record["region"]
        assert w * h <= 0.25 + 1e-5 and x >= 0 and y >= 0 and x + w <= 1 + 1e-5 and y + h <= 1 + 1e-5


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """`occlusion-search demo --quick`, in a separate process, with the work of `TINY`."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "demo", "--quick", "--out", str(folder / "out"), "--seed", "1"]
        + ["--json", str(folder / "copy.json")],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done


def test_the_command(quick):
    folder, done = quick
    report = json.loads((folder / "copy.json").read_text())
    check_results(folder / "out", report)
    assert report["command"].startswith("occlusion-search demo --quick --out")
    assert {path.name for path in folder.iterdir()} == {"out", "copy.json"}
    for name in ("clean", "agent", "belief", "constant", "random at equal queries"):
        assert any(name in line and f"{report[name]:.3f}" in line for line in done.stdout.splitlines())
    assert report["agent_is"].startswith("the shipped agent") and report["hard_positives_by"] == "belief"
    assert "The agent is the shipped agent" in done.stdout
    assert "manifold ..." in done.stderr and "pictures ..." in done.stderr


def test_datasets_reads_the_hard_positives(quick):
    datasets = pytest.importorskip("datasets")
    folder, _ = quick
    loaded = datasets.load_dataset(
        "imagefolder",
        data_dir=str(folder / "out" / "hard_positives"),
        cache_dir=str(folder.parent / "cache"),
        split="train",
    )
    report = json.loads((folder / "copy.json").read_text())
    assert len(loaded) == report["hard_positives"]
    first = loaded[0]
    assert first["image"].size[0] > 1
    assert first["source"]["video"] == "synthetic-1"
    assert first["score_after"] < 1 and len(first["region"]) == 4
    assert any(row["source"]["code"] is not None for row in loaded)


def test_same_seed_same_bytes(tmp_path):
    contents = []
    for name in ("a", "b"):
        run_demo(Demo(tmp_path / name, seed=3, effort=TINY))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found = {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files}
        report = json.loads(found.pop("report.json"))
        report.pop("seconds")
        found.pop(INDEX)  # with the seconds, and the name of the folder
        contents.append((found, report))
    assert contents[0] == contents[1]
    other = run_demo(Demo(tmp_path / "c", seed=4, effort=TINY))
    assert other["clean"] != contents[0][1]["clean"]


def test_a_video_with_the_first_box_alone(tmp_path):
    import cv2

    sequence = synthetic_sequence(1, frames=14)
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for t in range(len(sequence)):
        writer.write(sequence.frames[t][..., ::-1])
    writer.release()
    box = ",".join(f"{value:g}" for value in sequence.boxes[0])
    report = run_demo(Demo(tmp_path / "out", tmp_path / "clip.avi", box, effort=TINY))
    check_results(tmp_path / "out", report)
    assert report["sequence"]["boxes"] == "tracked"


def test_a_training_from_scratch(tmp_path):
    """Its agent is the one whose steps were counted, on the frames before the held-out ones."""
    report = run_demo(Demo(tmp_path / "out", seed=1, effort=TINY, from_scratch=True))
    check_results(tmp_path / "out", report)
    assert report["agent_is"] == "trained on this video, 24 steps"


def test_the_demos_belief_beats_random_search_at_equal_queries(tmp_path):
    report = run_demo(Demo(tmp_path / "out", seed=2, effort=replace(TINY, max_frames=24, held_out=6)))
    equal = report["random at equal queries"]
    assert report["grid search"] < equal < report["random"]
    assert report["belief"] < equal and report["agent"] < report["random"]
    assert report["queries"]["belief"] == 10


def test_split_is_by_time(make_video):
    training, held_out = split_frames(make_video(frames=31, width=128), held_out=4)
    assert training.tolist() == list(range(1, 21))
    assert held_out.tolist() == [21, 24, 27, 30]
    with pytest.raises(InputError, match="needs 6; give a longer video"):
        split_frames(make_video(frames=5), held_out=4)


@pytest.mark.data
def test_real_frames(tmp_path, data_root):
    report = run_demo(Demo(tmp_path / "out", data_root / "train" / "fernando", effort=TINY))
    check_results(tmp_path / "out", report)
    assert report["sequence"]["boxes"] == "annotation"


@pytest.mark.data
def test_vgg16_on_real_frames(tmp_path, data_root, monkeypatch):
    """A forward pass of VGG-16 takes a tenth of a second: short episodes, and every fifth candidate."""
    weights = data_root.parent / "weights" / "vgg16_conv_imagenet_fp16.safetensors"
    if not weights.is_file():
        pytest.skip("no VGG-16 weights beside the data")
    make, grid = gym.make_vec, RegionLimits.grid
    monkeypatch.setattr(gym, "make_vec", lambda *args, **kwargs: make(*args, max_steps=3, **kwargs))
    monkeypatch.setattr(RegionLimits, "grid", lambda self, area: grid(self, area)[::5])
    monkeypatch.setattr("agents.policies.belief.files.SHIPPED", ())  # its candidates are the whole grid
    monkeypatch.setattr("agents.evaluation.comparison.RANDOM_DRAWS", 4)
    effort = Effort(max_frames=8, crops=4, epochs=2, samples=1, steps=20, held_out=1, unseen_samples=1)
    demo = Demo(
        tmp_path / "out", data_root / "train" / "bag", features="vgg16", weights=str(weights), effort=effort
    )
    report = run_demo(demo)
    check_results(tmp_path / "out", report)
    assert report["features"] == {"network": "vgg16", "layer": "pool5", "length": 25088}
