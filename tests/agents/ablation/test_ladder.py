"""The ladder as a run: what it writes, what it goes on with, what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.ablation.adversary import train_adversary
from agents.ablation.making import start_network
from agents.ablation.occlusion_sweep import SweepSettings
from agents.ablation.report import _lead
from agents.ablation.running import START, _identity, judging_videos, run_ladder
from agents.ablation.settings import LadderRun
from agents.ablation.summary import summarise_ladder
from agents.ablation.sweep_occluders import KINDS, UNSEEN_KINDS
from agents.common.output import claim_folder
from tracker.errors import InputError
from tracker.models.sint import load_sint


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
        "only": ("sint", "vae", "adv-net"), "seeds": 1, "steps": 2, "boxes_per_frame": 8, "epochs": 2,
        "per_video": 1, "attributes": data / "attributes.json",
        "sweep": SweepSettings(levels=(0.0, 0.4), frames=1), **changes,
    }  # fmt: skip
    return LadderRun(data / "train", data / "otb", out, **given)  # type: ignore[arg-type]


def test_the_command_writes_everything_and_goes_on(run, data: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("agents.ablation.making.train_adversary", partial(train_adversary, steps=2, batch=2))
    out = tmp_path / "out"
    command = [
        "reproduce", "--data", data, "--attributes", data / "attributes.json", "--out", out, "--seeds", 1,
        "--steps", 2, "--boxes-per-frame", 8, "--epochs", 2, "--per-video", 1, "--sweep-frames", 1,
        "--device", "cpu", "--json", tmp_path / "ladder.json", "--only",
    ]  # fmt: skip
    code, printed, _ = run(*command, "sint", "vae-random")
    assert code == 0 and "report.html" in printed and "SINT + VAE + random occlusion" in printed
    content = json.loads((tmp_path / "ladder.json").read_text())
    assert list(content["arms"]) == [START, "sint", "vae-random"] and content["command"].startswith(
        "occlusion-search"
    )
    assert {
        "sweep, seen", "sweep, unseen", "sweep, 0%", "sweep, seen, 50%", "sweep, unseen, 10%", "sweep, cutout",
        "auc, all", "auc, OCC", "auc, not MB", "precision, MB",
    } <= set(content["measures"])  # fmt: skip
    assert set(content["arms"]["sint"]["seeds"]["0"]["ope"]) == {"d", "e"}
    page = (out / "report.html").read_text()
    assert "All are means over 2 sequences" in " ".join(page.split())
    assert "(0.000)" not in page, "one seed has no spread"
    assert page.count("data:image/png;base64,") == 5 and "SINT + VAE + random occlusion" in page
    made = {path: path.stat().st_mtime_ns for path in (out / "results").rglob("*.json")}
    code, _, _ = run(*command, "sint", "vae-random", "adv-net")
    assert code == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in made.items())
    assert (out / "results" / "adv-net" / "0" / "ope.json").is_file()
    code, _, error = run(*command, "sint", "--measures", "sweep", "speed")
    assert code == 2 and "'speed' is no measure; choose sweep, ope, tre, tre-all, vot." in error
    code, _, error = run(*command, "sint", "--steps", 3)
    assert code == 2 and "steps was 2 and is 3" in error


def test_arms_start_from_one_network_and_the_vae_arms_from_the_same_samples(data: Path, tmp_path: Path) -> None:
    ladder = run_of(data, tmp_path / "out", only=("sint", "vae", "vae-random", "vae-hptn"))
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
    sweep = found["sint"][0]["sweep"]
    means = content["arms"]["sint"]["means"]
    seen = [sweep["background"][name][1] for name in ("d", "e")]
    unseen = [sweep[kind][name][1] for kind in UNSEEN_KINDS for name in ("d", "e")]
    assert means["sweep, seen"] == pytest.approx(np.mean(seen), abs=1e-5)
    assert means["sweep, unseen"] == pytest.approx(np.mean(unseen), abs=1e-5)
    assert means["sweep, 0%"] == pytest.approx(np.mean([sweep["side"][name][0] for name in ("d", "e")]), abs=1e-5)
    auc = found["sint"][0]["ope"]["d"]["auc"]
    assert content["arms"]["sint"]["means"]["auc, OCC"] == pytest.approx(auc, abs=1e-5)
    less = content["arms"]["vae"]["less"]["sint"]["sweep, seen"]
    gaps = [found["vae"][0]["sweep"]["background"][name][1] - sweep["background"][name][1] for name in ("d", "e")]
    assert less["difference"] == pytest.approx(np.mean(gaps), abs=1e-5)
    assert less["interval"] is None and less["p_holm"] is None, "two sequences give no verdict"
    assert [(row["arm"], row["less"]) for row in content["primary"]] == [("vae-hptn", "vae-random")]


def test_measures_can_be_added_to_a_run(data: Path, tmp_path: Path) -> None:
    """No network is trained again, and 20 starts are made on the videos with occlusions alone."""
    first = run_ladder(run_of(data, tmp_path, only=("sint",), measures=("sweep",)))
    weights = next((tmp_path / "networks" / "sint" / "0").glob("*.safetensors"))
    stamp = weights.stat().st_mtime_ns
    found = run_ladder(run_of(data, tmp_path, only=("sint",), measures=("sweep", "tre")))
    assert weights.stat().st_mtime_ns == stamp and found["sint"][0]["sweep"] == first["sint"][0]["sweep"]
    assert list(found["sint"][0]["tre"]) == list(found[START][0]["tre"]) == ["d"] and "ope" not in found["sint"][0]
    content = summarise_ladder(run_of(data, tmp_path, only=("sint",), measures=("sweep", "tre")), found)
    auc = found["sint"][0]["tre"]["d"]["auc"]
    assert content["arms"]["sint"]["means"]["auc, tre"] == pytest.approx(auc, abs=1e-5)
    with pytest.raises(InputError, match="give --attributes"):
        run_of(data, tmp_path, measures=("tre",), attributes=None)


def test_which_layers_move(data: Path, tmp_path: Path) -> None:
    """With the head alone the convolutions stay; half-way weights lie between the first and the trained ones."""

    def trained(share: float) -> dict[str, torch.Tensor]:
        run = run_of(
            data, tmp_path / f"{share}", only=("sint",), measures=("sweep",), layers="head", interpolation=share,
            learning_rate=0.5, precision="fp32",
        )  # fmt: skip
        run_ladder(run)
        return dict(load_sint(run.network_folder("sint", 0)).backbone.named_parameters())

    start = dict(start_network(run_of(data, tmp_path)).backbone.named_parameters())
    whole, half = trained(1.0), trained(0.5)
    moved = {name: float((value - whole[name]).abs().max()) for name, value in start.items()}
    assert max(moved.values()) > 1e-3 and not any(moved[name] for name in moved if name.startswith("conv"))
    for name, value in start.items():
        torch.testing.assert_close(
            half[name], (value + whole[name]) / 2, rtol=1e-3, atol=1e-4
        )  # stored as float16


def made_up(shift: dict[str, float], sequences: int = 9, seeds: int = 3) -> dict:  # type: ignore[type-arg]
    """Figures of arms whose overlaps differ by a shift, with noise of .01 a sequence and seed."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0.3, 0.7, sequences)

    def figures(arm: str) -> dict:  # type: ignore[type-arg]
        overlap = level + shift[arm] + rng.normal(0, 0.01, sequences)
        rows = {f"s{k}": [0.8, float(value)] for k, value in enumerate(overlap)}
        auc = {f"s{k}": {"auc": 0.5, "precision": 0.5, "attributes": None} for k in range(sequences)}
        return {"ope": auc, "sweep": dict.fromkeys(KINDS, rows), "training": {}}

    return {arm: {seed: figures(arm) for seed in range(seeds)} for arm in shift}


def test_the_claims_are_two_and_named_before(tmp_path: Path) -> None:
    """The lead speaks of the primary contrasts alone, however good another arm is."""
    shift = {START: 0.0, "sint": 0.0, "vae-random": 0.0, "vae-hptn": 0.0, "hardest": 0.05, "wide": 0.2}
    ladder = LadderRun(tmp_path, tmp_path, tmp_path, sweep=SweepSettings(levels=(0.0, 0.4)))
    content = summarise_ladder(ladder, made_up(shift))
    assert content["settings"]["primary"] == {
        "measure": "sweep, unseen, 30-50%",
        "contrasts": [["hardest", "sint"], ["vae-hptn", "vae-random"]],
    }
    better, same = content["primary"]
    assert better["contrast"] == "hardest of 8, 5 to 60 %, as it learns less SINT" and better["p_holm"] < 0.05
    assert better["low"] < 0.05 < better["high"] and (better["sequences"], better["seeds"]) == (9, 3)
    assert 0.003 < better["sd_sequences"] < 0.02 and better["sd_seeds"] < 0.01
    assert same["low"] < 0 < same["high"] and 0.05 < same["p_holm"] <= 1
    lead = _lead(content)
    assert "random, 5 to 60 %" not in lead and lead.count("no measurable difference") == 1
    assert content["arms"]["wide"]["less"]["sint"]["sweep, unseen"]["p_holm"] < 0.05
    shift.pop("vae-random")
    assert "1 of the 2 contrasts was not measured" in _lead(summarise_ladder(ladder, made_up(shift)))
    shift.pop("hardest")
    assert "None of the 2 contrasts" in _lead(summarise_ladder(ladder, made_up(shift)))
    shift |= {"hardest": 0.0, "vae-random": 0.0}
    few = summarise_ladder(ladder, made_up(shift, sequences=7))
    assert few["primary"][0]["low"] is None and _lead(few).count("no verdict") == 2


def test_every_other_contrast_is_corrected_over_all_of_them(tmp_path: Path) -> None:
    """Arms that do not differ: hardly any of many ladders has a contrast below .05."""
    ladder = LadderRun(tmp_path, tmp_path, tmp_path, sweep=SweepSettings(levels=(0.0, 0.4)))
    arms = (START, "sint", "vae-random", "vae-hptn", "hardest", "wide", "erasing", "blur")
    content = summarise_ladder(ladder, made_up(dict.fromkeys(arms, 0.0)))
    rows = [
        row
        for arm in content["arms"].values()
        for measures in arm["less"].values()
        for row in measures.values()
        if row["p_holm"] is not None
    ]
    assert len(rows) > content["exploratory"] > 100 and min(row["p_holm"] for row in rows) > 0.05
    one, other = (content["arms"][a]["less"][b]["sweep, seen"] for a, b in (("wide", "sint"), ("sint", "wide")))
    assert one["p_holm"] == other["p_holm"] and one["difference"] == -other["difference"]
    few = summarise_ladder(ladder, made_up(dict.fromkeys(arms, 0.0), sequences=5))
    assert few["exploratory"] == 0, "there is no p-value"


def test_everything_that_changes_the_figures_is_in_the_identity(
    data: Path, tmp_path: Path, make_video, write_otb
) -> None:  # type: ignore[no-untyped-def]
    copy, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(data, copy)

    def claim(**changes: object) -> None:
        ladder = run_of(copy, out, precision="fp32", **changes)
        claim_folder(out, "settings.json", _identity(ladder), "the results of another ladder")

    claim()
    claim(only=("vae",), seeds=2, workers=2)  # may be added to
    claim_folder(
        out, "settings.json", _identity(run_of(data, out, precision="fp32")), ""
    )  # the same data elsewhere
    with pytest.raises(InputError, match=r'another ladder \(precision was "float32" and is "bfloat16"\)'):
        claim_folder(out, "settings.json", _identity(run_of(copy, out, precision="bf16")), "another ladder")
    with pytest.raises(InputError, match="sweep.seed was 0 and is 5.*give another --out"):
        claim(sweep=SweepSettings(levels=(0.0, 0.4), frames=1, seed=5))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="digests.attributes was"):
        claim(attributes=tmp_path / "other.json")
    shutil.rmtree(copy / "otb" / "d")
    write_otb(copy / "otb" / "d", make_video(frames=4, width=160, height=120, seed=9))
    with pytest.raises(InputError, match="judge.d was"):
        claim()


@pytest.mark.parametrize("agent", ["pretrained", "best-of-3-random"])
def test_a_folder_named_like_the_agent_is_no_input(
    run, data: Path, tmp_path: Path, monkeypatch, agent: str
) -> None:  # type: ignore[no-untyped-def]
    seen = []

    def run_nothing(ladder: LadderRun) -> None:
        seen.append(_identity(ladder))
        raise InputError("Nothing is run.")

    monkeypatch.setattr("agents.ablation.running.run_ladder", run_nothing)
    command = ["reproduce", "--data", data, "--device", "cpu", "--agent", agent, "--out"]
    for out in (tmp_path / "alone", f"{agent}/out"):
        code, _, errors = run(*command, out)
        assert code == 2 and "Nothing is run." in errors, errors
        (tmp_path / agent).mkdir(exist_ok=True)
        (tmp_path / agent / "file").write_text("x")
    assert seen[0] == seen[1] and "agent" not in seen[0]["digests"]


def test_several_processes_do_the_same(data: Path, tmp_path: Path) -> None:
    one = run_ladder(run_of(data, tmp_path / "one", only=("sint", "erasing")))
    two = run_ladder(run_of(data, tmp_path / "two", only=("sint", "erasing"), workers=2))

    def figures(found: dict) -> dict:  # type: ignore[type-arg]
        return {
            name: {seed: [each["ope"], each["sweep"]] for seed, each in seeds.items()}
            for name, seeds in found.items()
        }

    assert figures(one) == figures(two)


@pytest.mark.filterwarnings("ignore:The sequence '[bd]'")
def test_videos_that_cannot_be_used_are_left_out(data: Path, tmp_path: Path, make_video, write_otb) -> None:  # type: ignore[no-untyped-def]
    """A training video and a judging one."""
    shutil.copytree(data, tmp_path / "data")
    write_otb(tmp_path / "data" / "otb" / "f", make_video(frames=4, width=160, height=120, seed=9))
    for place in ("train/b", "otb/d"):
        (tmp_path / "data" / place / "groundtruth_rect.txt").write_text("nan,nan,nan,nan\n" * 4)
    found = run_ladder(run_of(tmp_path / "data", tmp_path / "out", only=("sint",), attributes=None))
    assert list(found["sint"][0]["ope"]) == ["e", "f"]
    with pytest.warns(UserWarning, match="'d' is left out: .*'d' starts without its target"):
        assert [video.name for video in judging_videos(tmp_path / "data" / "otb")] == ["e", "f"]


def test_what_cannot_be_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a' is a training video and a judging one"):
        run_ladder(replace(run_of(data, tmp_path / "x"), judge=data / "train"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no annotated target"):
        run_ladder(replace(run_of(data, tmp_path / "x"), judge=tmp_path / "empty"))
    with pytest.raises(InputError, match="holds one sequence, and the sweep covers its target with pieces of"):
        run_ladder(replace(run_of(data, tmp_path / "x"), judge=data / "otb" / "d"))
    assert not (tmp_path / "x").exists()
    with pytest.raises(InputError, match="--seeds is 0"):
        run_of(data, tmp_path / "x", seeds=0)
    with pytest.raises(InputError, match="--share"):
        run_of(data, tmp_path / "x", share=1.5)
