"""The ladder as a run: what it writes, what it goes on with, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.ladder import LadderRun, run_ladder, summarise_ladder
from agents.ladder.running import START
from agents.occlusion_sweep import SweepSettings
from tracker.errors import InputError


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_video, write_otb) -> Path:  # type: ignore[no-untyped-def]
    """Two training videos, one that validates, two that judge, and the attributes of those."""
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("train/a", "train/b", "train/c", "otb/d", "otb/e")):
        write_otb(root / name, make_video(frames=4, width=160, height=120, seed=seed))
    attributes = {"d": {"attributes": ["OCC"]}, "e": {"attributes": ["MB"]}}
    (root / "attributes.json").write_text(json.dumps(attributes))
    return root


def run_of(data: Path, out: Path, **changes: object) -> LadderRun:
    given = {
        "arms": ("sint", "vae", "adv-net"), "seeds": 1, "steps": 2, "boxes_per_frame": 8, "epochs": 2,
        "per_video": 1, "attributes": data / "attributes.json",
        "sweep": SweepSettings(levels=(0.0, 0.4), frames=2), **changes,
    }  # fmt: skip
    return LadderRun(data / "train", data / "otb", out, **given)  # type: ignore[arg-type]


def test_the_command_writes_everything_and_goes_on(run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        "reproduce", "--data", data, "--attributes", data / "attributes.json", "--out", out, "--seeds", 1,
        "--steps", 2, "--boxes-per-frame", 8, "--epochs", 2, "--per-video", 1, "--sweep-frames", 2,
        "--device", "cpu", "--json", tmp_path / "ladder.json", "--arms",
    ]  # fmt: skip
    code, printed, _ = run(*command, "sint", "vae-random")
    assert code == 0 and "report.html" in printed and "SINT + VAE + random occlusion" in printed
    content = json.loads((tmp_path / "ladder.json").read_text())
    assert list(content["arms"]) == [START, "sint", "vae-random"] and content["command"].startswith(
        "occlusion-search"
    )
    assert {"sweep", "sweep, 0%", "sweep, 50%", "auc, all", "auc, OCC", "auc, not MB", "precision, MB"} <= set(
        content["measures"]
    )
    assert set(content["arms"]["sint"]["seeds"]["0"]["ope"]) == {"d", "e"}
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5 and "SINT + VAE + random occlusion" in page
    made = {path: path.stat().st_mtime_ns for path in (out / "results").rglob("*.json")}
    code, _, _ = run(*command, "sint", "vae-random", "roi-holes")
    assert code == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in made.items())
    assert (out / "results" / "roi-holes" / "0.json").is_file()
    code, _, error = run(*command, "sint", "--steps", 3)
    assert code == 2 and "steps was" in error


def test_arms_start_from_one_network_and_the_vae_arms_from_the_same_samples(data: Path, tmp_path: Path) -> None:
    ladder = run_of(data, tmp_path / "out", arms=("sint", "vae", "vae-random", "vae-hptn"))
    found = run_ladder(ladder)
    before = {name: figures[0]["training"]["before"] for name, figures in found.items() if name != START}
    assert len({json.dumps(each) for each in before.values()}) == 1
    codes = []
    for arm in ("vae", "vae-random", "vae-hptn"):
        lines = (ladder.positives_folder(arm) / "metadata.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert len(records) == 2 and all(
            (ladder.positives_folder(arm) / r["file_name"]).is_file() for r in records
        )
        codes.append([record["source"]["code"] for record in records])
    assert codes[0] == codes[1] == codes[2]
    assert found["vae"][0]["hard_positives"]["used"] == 2
    content = summarise_ladder(ladder, found)
    sweep = [found["sint"][0]["sweep"][name][1] for name in ("d", "e")]
    assert content["arms"]["sint"]["means"]["sweep"] == pytest.approx(np.mean(sweep), abs=1e-5)
    auc = found["sint"][0]["ope"]["d"]["auc"]
    assert content["arms"]["sint"]["means"]["auc, OCC"] == pytest.approx(auc, abs=1e-5)
    less = content["arms"]["vae"]["less"]["sint"]["sweep"]
    gaps = [found["vae"][0]["sweep"][name][1] - found["sint"][0]["sweep"][name][1] for name in ("d", "e")]
    assert less["difference"] == pytest.approx(np.mean(gaps), abs=1e-5)
    assert less["interval"] == pytest.approx([min(gaps), max(gaps)], abs=1e-5)


def test_several_processes_do_the_same(data: Path, tmp_path: Path) -> None:
    one = run_ladder(run_of(data, tmp_path / "one", arms=("sint", "adv-net")))
    two = run_ladder(run_of(data, tmp_path / "two", arms=("sint", "adv-net"), workers=2))

    def figures(found: dict) -> dict:  # type: ignore[type-arg]
        return {
            name: {seed: [each["ope"], each["sweep"]] for seed, each in seeds.items()}
            for name, seeds in found.items()
        }

    assert figures(one) == figures(two)


def test_what_cannot_be_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a' is a training video and a judging one"):
        run_ladder(replace(run_of(data, tmp_path / "x"), judge=data / "train"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no annotated sequence to judge with"):
        run_ladder(replace(run_of(data, tmp_path / "x"), judge=tmp_path / "empty"))
    assert not (tmp_path / "x").exists()
    with pytest.raises(InputError, match="--seeds is 0"):
        run_of(data, tmp_path / "x", seeds=0)
    with pytest.raises(InputError, match="--share"):
        run_of(data, tmp_path / "x", share=1.5)
