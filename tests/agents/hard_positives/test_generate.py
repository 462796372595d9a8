"""The command `generate`: a folder of images and records, that may be killed and goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import vae
from agents import remake_hard_positive
from agents.hard_positives.generation_run import (
    GenerationRun,
    _claim,
    _load_generator,
    _make_block,
    generate_hard_positives,
    method_of,
    patch_method_of,
)
from agents.hard_positives.page import write_hard_positives_page
from agents.hard_positives.records import folder_name
from agents.hard_positives.views import View
from agents.manifolds.bank import train_bank
from agents.manifolds.target_samples import Manifolds
from agents.policies.baselines import Querying, RandomRegions
from agents.policies.belief import BeliefSearch
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.scene.targets import TargetSet
from tracker.data.images import read_image, write_png
from tracker.errors import InputError
from tracker.trackers.following import open_sequence
from tracker.training.hard_positives import read_hard_positives

SCORER = """
import torch

class Dark:
    input_size = 16
    device = torch.device("cpu")

    def embed(self, crops):
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars, candidates):
        return candidates[:, 0]

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))

class DarkLeft(Dark):
    def embed(self, crops):
        return super().embed(crops[..., :6])
"""


@pytest.fixture
def data(tmp_path, make_video, write_otb, monkeypatch):
    """Two videos, of 5 and of 4 targets, and a module with a scorer, in the current folder."""
    write_otb(tmp_path / "data" / "a", make_video(frames=6))
    write_otb(tmp_path / "data" / "b", make_video(frames=5, seed=1))
    (tmp_path / "dark_scorer.py").write_text(SCORER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "data"


def run_of(data, out, **changes) -> GenerationRun:
    arguments = SearchArguments(scorer="dark_scorer:Dark", device="cpu")
    return GenerationRun(data, out, **{"agent": "best of 4 random", "arguments": arguments, "batch": 4, **changes})


def records(out) -> list[dict]:
    return [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]


def contents(out) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_the_command(run, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("agents.cli.streams.PROGRESS_SECONDS", 0.0)
    out = tmp_path / "out"
    command = ["generate", "--data", data, "--out", out, "--per-target", 2, "--scorer", "dark_scorer:Dark"]
    code, printed, errors = run(*command, "--device", "cpu", "--agent", "best-of-4-random")
    assert code == 0, errors
    assert "18 hard positives (18 of them new, " in printed and "a second)" in printed
    found = records(out)
    assert [record["file_name"] for record in found[:3]] == ["a/000001-0.png", "a/000001-1.png", "a/000002-0.png"]
    assert {record["target"] for record in found} == {f"a/{t:06d}" for t in range(1, 6)} | {
        f"b/{t:06d}" for t in range(1, 5)
    }
    videos = TargetSet.join(TargetSet.from_sequence(open_sequence(data / name)) for name in "ab")
    for record in found:
        image = read_image(out / record["file_name"])
        assert (image == remake_hard_positive(record, videos)).all()
        assert record["score_after"] < record["score_before"]
    assert len(read_hard_positives(out)) == 18
    # A second run has nothing to do.
    before = contents(out)
    code, printed, _ = run(*command, "--device", "cpu", "--agent", "best-of-4-random")
    assert code == 0 and "18 hard positives (0 of them new)" in printed and contents(out) == before


@pytest.mark.parametrize("more", [["--context", 2], ["--view", "region", "--context", 1.5], ["--view", "frame"]])
def test_regions_and_frames(run, data, tmp_path, more) -> None:
    """Each is made again from its record, and read back as the crop that the same command makes."""
    command = ["generate", "--data", data, "--scorer", "dark_scorer:Dark", "--device", "cpu"]
    command += ["--agent", "best-of-4-random"]
    assert run(*command, "--out", tmp_path / "crops")[0] == 0
    code, _, errors = run(*command, "--out", tmp_path / "out", *more)
    assert code == 0, errors
    videos = TargetSet.join(TargetSet.from_sequence(open_sequence(data / name)) for name in "ab")
    read = zip(read_hard_positives(tmp_path / "crops"), read_hard_positives(tmp_path / "out"), strict=True)
    for record, plain, (crop, found) in zip(
        records(tmp_path / "out"), records(tmp_path / "crops"), read, strict=True
    ):
        assert record["view"] == ("frame" if "frame" in more else "region")
        assert record["context"] == (None if "frame" in more else more[-1])
        assert {**record, "view": "crop", "context": None, "box": [0.0, 0.0, 16.0, 12.0]} == plain
        image = read_image(tmp_path / "out" / record["file_name"])
        assert (image == remake_hard_positive(record, videos)).all()
        x, y, w, h = map(int, record["box"])
        assert (image[y : y + h, x : x + w] == crop.load()).all() and (found.load() == crop.load()).all()


def test_both_searches_go_on_and_are_made_again(run, data, tmp_path) -> None:
    """The patch's queries are recorded and are part of the run; a part that is missing is made again alike."""
    out, alone = tmp_path / "out", tmp_path / "alone"
    command = ["generate", "--data", data, "--scorer", "dark_scorer:Dark", "--device", "cpu", "--agent", "random"]
    second = [*command, "--out", out, "--patch-agent", "contrast", "--occluder", "contrast", "--patch-queries"]
    assert run(*command, "--out", alone)[0] == 0
    code, _, errors = run(*second, 2)
    assert code == 0, errors
    found = records(out)
    assert [record["background"]["queries"] for record in found] == [2] * 9
    assert all(one["score_after"] <= two["score_after"] for one, two in zip(found, records(alone), strict=True))
    videos = TargetSet.join(TargetSet.from_sequence(open_sequence(data / name)) for name in "ab")
    for record in found:
        assert (read_image(out / record["file_name"]) == remake_hard_positive(record, videos)).all()
    before = contents(out)
    (out / "a" / "000002-0.png").unlink()
    code, printed, errors = run(*second, 2)
    assert code == 0 and "000002-0.png" in errors.replace("\n", "") and contents(out) == before
    code, _, errors = run(*second, 4)
    assert code == 2 and "patch_queries was 2 and is 4" in errors.replace("\n", " ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--patch-agent", "smoke"],
            "'smoke' finds no patch; choose contrast, random, best of K random, or give an",
        ),
        (["--patch-agent", "best-of-0-random"], "A method cannot make 0 queries"),
        (["--patch-queries", 2], "--patch-queries is of --patch-agent contrast; give both"),
        (["--patch-agent", "random", "--patch-queries", 2], "--patch-queries is of --patch-agent contrast"),
        (["--patch-agent", "contrast", "--patch-queries", 0], "--patch-queries is 0; it must be 1 or more"),
        (["--patch-agent", "contrast", "--patch-queries", 257], "--patch-queries is 257; it must be at most 256"),
        (
            ["--patch-agent", "contrast", "--drop", 0.1],
            "A search for the patch lowers the score below a wanted drop",
        ),
    ],
)
def test_a_patch_agent_that_cannot_be_is_told(run, data, tmp_path, more, message) -> None:
    out = tmp_path / "out"
    command = ["generate", "--data", data, "--out", out, "--scorer", "dark_scorer:Dark", "--device", "cpu"]
    code, _, errors = run(*command, *more)
    assert code == 2 and message in " ".join(errors.split()), errors
    assert not (out / "settings.json").exists()


def test_a_context_is_a_regions(run, data, tmp_path) -> None:
    command = ["generate", "--data", data, "--out", tmp_path / "out", "--context"]
    for more, message in (
        ([2, "--view", "frame"], "--context is of the view 'region', not of 'frame'"),
        ([0.5], "The context is 0.5; it must lie between 1 and 16"),
    ):
        code, _, errors = run(*command, *more)
        assert code == 2 and message in errors.replace("\n", " ")


def test_the_page_shows_the_hardest_first(run, data, tmp_path, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    out = tmp_path / "out"
    command = ["generate", "--data", data, "--out", out, "--scorer", "dark_scorer:Dark", "--device", "cpu"]
    code, printed, errors = run(*command, "--agent", "random", "--context", 2, "--open")
    assert code == 0 and "the hardest first in" in printed, errors
    assert opened == [(out / "index.html").as_uri()]
    page = (out / "index.html").read_text()
    shown = re.findall(r'<img src="([^"]+)"', page)
    drops = {record["file_name"]: record["score_after"] - record["score_before"] for record in records(out)}
    assert shown == sorted(drops, key=drops.__getitem__) and len(shown) == 9
    assert page.count('class="target"') == page.count('class="covered"') == 9
    assert "generate --data data --out out" in page and "load_dataset(" in page
    monkeypatch.setattr("agents.hard_positives.page.MOST_SHOWN", 4)
    write_hard_positives_page(out, "command")
    page = (out / "index.html").read_text()
    assert page.count("<img ") == 4 and "The 4 hardest of 9" in page


def test_the_outline_is_the_covered_region(data, tmp_path) -> None:
    """Where the images differ from the frames is what the page outlines."""
    out = tmp_path / "out"
    generate_hard_positives(run_of(data / "a", out, view=View("frame")))
    page = write_hard_positives_page(out, "command").read_text()
    frames = open_sequence(data / "a").frames
    outlines = re.findall(r'<img src="a/00000(.)-0.png".*?class="covered" style="left: (.*?)%; top: (.*?)%; '
                          r'width: (.*?)%; height: (.*?)%', page, re.DOTALL)  # fmt: skip
    assert len(outlines) == 5
    for frame, *percent in outlines:
        changed = (read_image(out / "a" / f"00000{frame}-0.png") != frames[int(frame)]).any(axis=2)
        x, y, w, h = np.array(percent, float) / 100 * [64, 48, 64, 48]
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert [columns[0], columns[-1] + 1] == pytest.approx([x, x + w], abs=0.51)
        assert [rows[0], rows[-1] + 1] == pytest.approx([y, y + h], abs=0.51)


@pytest.mark.parametrize("view", [View(), View("region")])
def test_datasets_reads_the_folder(data, tmp_path, view) -> None:
    datasets = pytest.importorskip("datasets")
    generate_hard_positives(run_of(data, tmp_path / "out", view=view))
    write_hard_positives_page(tmp_path / "out", "command")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert len(loaded) == 9
    assert {row["source"]["video"] for row in loaded} == {"a", "b"} and "label" not in loaded.features
    size, box = {"crop": ((16, 12), [0, 0, 16, 12]), "region": ((56, 56), [20, 22, 16, 12])}[view.name]
    assert loaded[0]["image"].size == size and loaded[0]["box"] == box


@pytest.mark.filterwarnings("ignore:There is no prior for the matcher Dark")
def test_the_belief_fits_a_prior_once(run, data, tmp_path, monkeypatch) -> None:
    """It is the default; every process and the resumed run take the prior that lies in the folder."""
    given = {"agent": GenerationRun(data, tmp_path).agent, "queries": 5}
    assert given["agent"] == "belief"
    whole, out = tmp_path / "one", tmp_path / "two"
    with pytest.warns(
        UserWarning,
        match=r"Dark at .*; one is fitted to grid search on 9 of the targets \(3024 scorer",
    ):
        generate_hard_positives(run_of(data, whole, **given))
    generate_hard_positives(run_of(data, out, workers=2, **given))
    assert contents(whole) == contents(out)
    assert {record["queries"] for record in records(whole)} == {5}
    assert json.loads((whole / "prior.json").read_text())["matcher"] == "Dark"

    before = contents(whole)
    for name, content in (("prior.safetensors", b"damaged"), ("prior.json", b"{")):
        (whole / name).write_bytes(content)
        with pytest.warns(UserWarning, match="prior.safetensors"):
            generate_hard_positives(run_of(data, whole, **given))
        assert contents(whole) == before

    for left in (out / "metadata.jsonl", next((out / ".parts").iterdir())):
        left.unlink()
    monkeypatch.setattr("agents.policies.belief.method.score_grids", None)
    generate_hard_positives(run_of(data, out, **given))
    assert contents(whole) == contents(out)
    with pytest.raises(InputError, match="queries was 5 and is 6"):
        generate_hard_positives(run_of(data, out, **given | {"queries": 6}))

    # Another folder's file of that name is not read, and no prior is fitted before the folder is refused.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "prior.safetensors").write_bytes(b"other")
    code, _, errors = run(
        "generate", "--data", data, "--scorer", "dark_scorer:Dark", "--device", "cpu", "--out", tmp_path / "other"
    )
    assert code == 2 and "holds other files ('prior.safetensors')" in errors and "damaged" not in errors
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["prior.safetensors"]

    # The prior is a file like one of fit-prior.
    command = ["generate", "--data", data, "--scorer", "dark_scorer:Dark", "--device", "cpu", "--batch", 4]
    prior = ["--prior", whole / "prior.safetensors"]
    code, _, errors = run(*command, "--out", tmp_path / "three", *prior, "--queries", 5)
    assert code == 0 and "grid search" not in errors
    assert records(tmp_path / "three") == records(whole) and not (tmp_path / "three" / "prior.json").exists()
    code, _, errors = run(*command, "--out", tmp_path / "four", *prior, "--max-area", 0.1)
    assert code == 2 and "prior.safetensors' was fitted for max_area 0.25 and is used with 0.1" in errors
    code, _, errors = run(*command, "--out", whole / "..", *prior)
    assert code == 2 and "input" in errors


@pytest.mark.filterwarnings("ignore:There is no prior for the matcher DarkLeft")
def test_harder_and_softer_ones_on_demand(run, data, tmp_path) -> None:
    command = ["generate", "--data", data, "--scorer", "dark_scorer:DarkLeft", "--device", "cpu", "--queries", 12]
    found = {}
    for drop in (None, 0.05, 0.2):
        more = () if drop is None else ("--drop", drop)
        out = tmp_path / f"out{drop}"
        code, _, errors = run(*command, "--out", out, *more)
        assert code == 0, errors
        found[drop] = np.array([record["score_before"] - record["score_after"] for record in records(out)])
    assert (found[None] > 0.25).all()
    for drop in (0.05, 0.2):
        assert np.abs(found[drop] - drop).mean() < 0.03
    for option, value in (("--drop", 0.1), ("--queries", 3), ("--prior", "p.safetensors")):
        code, _, errors = run(*command[:-2], "--agent", "random", option, value)
        assert code == 2 and f"{option} is of the agent 'belief', not of 'random'" in errors


def test_one_target_is_made_with_random_regions(run, tmp_path, make_video, write_otb, data) -> None:
    write_otb(tmp_path / "one", make_video(frames=2))
    command = ["generate", "--data", tmp_path / "one", "--scorer", "dark_scorer:Dark", "--device", "cpu"]
    code, _, errors = run(*command, "--out", tmp_path / "out")
    assert code == 0 and "There is one target alone, and there is no prior for the matcher Dark" in errors
    assert [record["queries"] for record in records(tmp_path / "out")] == [10]


@pytest.mark.filterwarnings("ignore:There is one target alone")
def test_where_no_prior_can_be_fitted_no_process_tries_again(tmp_path, make_video, write_otb, data) -> None:
    write_otb(tmp_path / "one", make_video(frames=2))
    given = run_of(tmp_path / "one", tmp_path / "out", agent="belief", drop=0.05)
    given.out.mkdir()
    decided = _claim(given, _load_generator(given))
    assert _load_generator(decided).method == Querying(RandomRegions, 10, 0.05)


def test_processes_make_what_one_makes(data, tmp_path) -> None:
    one = generate_hard_positives(run_of(data, tmp_path / "one", per_target=2))
    two = generate_hard_positives(run_of(data, tmp_path / "two", per_target=2, workers=2))
    assert one.images == two.images == 18 and one.after == two.after < one.before
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_records_that_are_not_in_the_folder_are_missed(data, tmp_path, monkeypatch) -> None:
    """As where another machine wrote them to a folder of the same name on its own disk."""
    monkeypatch.setattr("agents.hard_positives.generation_run.write_record", lambda *record: None)
    with pytest.raises(InputError, match="The records of a-000000 were written and are not in .*; give --out"):
        generate_hard_positives(run_of(data, tmp_path / "out"))


@pytest.mark.parametrize("view", [View(), View("region", 3.0), View("frame")])
def test_a_run_goes_on_where_it_was_cut_off(data, tmp_path, monkeypatch, view) -> None:
    """After any block, and with an image half-written, the whole folder is that of a run in one go."""
    whole = tmp_path / "whole"
    generate_hard_positives(run_of(data, whole, view=view))
    wanted, out = contents(whole), tmp_path / "out"
    made = []

    def some(run, block):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(block)
        return _make_block(run, block)

    monkeypatch.setattr("agents.hard_positives.generation_run._make_block", some)
    with pytest.raises(KeyboardInterrupt):
        generate_hard_positives(run_of(data, out, view=view))
    assert not (out / "metadata.jsonl").exists() and len(list((out / ".parts").iterdir())) == 1
    (out / "a" / "000005-0.png").write_bytes(b"half an image")
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path))
    report = generate_hard_positives(run_of(data, out, view=view))
    assert report.images == 9 and report.made == 9 - (made[0].high - made[0].low)
    assert contents(out) == wanted


def test_a_killed_command_goes_on(data, tmp_path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "agents.cli", "generate", "--data", str(data), "--out", str(out),
        "--per-target", "60", "--agent", "best-of-200-random", "--scorer", "dark_scorer:Dark", "--device", "cpu",
        "--batch", "8",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.time() + 60
    while time.time() < end and not list(out.glob(".parts/*.json")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(out.glob(".parts/*.json")) and not (out / "metadata.jsonl").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(records(out)) == 9 * 60 and "540 hard positives" in done.stdout
    assert not list(out.rglob(".*.occlusion-search"))
    assert all(read_image(out / record["file_name"]).size for record in records(out))


def test_a_sequence_that_fails_does_not_stop_the_others(run, data, tmp_path) -> None:
    (data / "a" / "img" / "0004.png").write_bytes(b"no image")
    command = ["generate", "--data", data, "--out", tmp_path / "out", "--scorer", "dark_scorer:Dark", "--batch", 2]
    code, printed, errors = run(*command, "--device", "cpu")
    assert code == 1 and "- a failed: " in errors and "0004.png" in errors
    names = {record["target"] for record in records(tmp_path / "out")}
    assert {f"b/{t:06d}" for t in range(1, 5)} <= names and "a/000003" not in names
    assert all((tmp_path / "out" / record["file_name"]).is_file() for record in records(tmp_path / "out"))


def test_a_bank_an_area_a_number_and_jpeg(run, data, tmp_path) -> None:
    bank = vae.VAEBank(tmp_path / "bank")
    config, training = vae.VAEConfig(image_size=16, hidden=8, latent=2), vae.TrainingConfig(epochs=2)
    train_bank(bank, {"a": data / "a", "b": data / "b"}, model_config=config, training=training, progress=False)
    code, printed, errors = run(
        "generate", "--data", data / "a", "--out", tmp_path / "out", "--bank", tmp_path / "bank",
        "--device", "cpu", "--scorer", "dark_scorer:Dark", "--max-area", 0.1,
        "--per-sequence", 2, "--image-format", "jpeg", "--occluder", "mean",
    )  # fmt: skip
    assert code == 0, errors
    found = records(tmp_path / "out")
    assert [record["file_name"] for record in found] == ["a/000001-0.jpeg", "a/000005-0.jpeg"]
    real = TargetSet.from_sequence(open_sequence(data / "a"))
    for record in found:
        assert len(record["source"]["code"]) == 2 and record["occluder"]["kind"] == "mean"
        assert record["region"][2] * record["region"][3] == pytest.approx(0.1)
        again = remake_hard_positive(record, real, Manifolds(bank))
        image = read_image(tmp_path / "out" / record["file_name"])
        assert np.abs(image.astype(int) - again).mean() < 6


def test_cutouts_come_from_the_other_video(data, tmp_path) -> None:
    arguments = SearchArguments(scorer="dark_scorer:Dark", device="cpu", occluder="cutout")
    generate_hard_positives(run_of(data, tmp_path / "out", arguments=arguments))
    for record in records(tmp_path / "out"):
        assert record["occluder"]["target"][0] == {"a": "b", "b": "a"}[record["source"]["video"]]


@pytest.mark.filterwarnings("error")
def test_a_bad_sequence_gives_no_cutouts_and_costs_itself_alone(data, tmp_path, make_video, write_otb) -> None:
    for seed, name in enumerate("cd", 2):
        write_otb(data / name, make_video(frames=3, seed=seed))
    (data / "c" / "groundtruth_rect.txt").write_text("0,0,0,0\n" * 3)
    last = max((data / "d" / "img").iterdir())
    last.write_bytes(last.read_bytes()[:-30])
    arguments = SearchArguments(scorer="dark_scorer:Dark", device="cpu", occluder="cutout")
    report = generate_hard_positives(run_of(data, tmp_path / "out", arguments=arguments, per_sequence=2))
    assert report.images == 4 and list(report.failed) == ["c", "d"] and "starts without" in report.failed["c"]
    assert f"{last.name}' cannot be read" in report.failed["d"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--agent", "nobody"], "There is no agent 'nobody'"),
        (["--agent", "attribution"], "Dark is no SintScorer"),
        (["--per-target", 0], "--per-target is 0"),
        (["--workers", 0], "--workers is 0"),
        (["--seed", -1], "--seed is -1"),
        (["--scorer", "nowhere:Scorer"], "The scorer 'nowhere:Scorer' cannot be imported"),
        (["--bank", "nowhere"], "There is no bank 'nowhere'"),
        (["--data", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_what_a_person_got_wrong(run, data, tmp_path, more, message) -> None:
    base = [
        "generate",
        "--data",
        data,
        "--out",
        tmp_path / "out",
        "--scorer",
        "dark_scorer:Dark",
        "--device",
        "cpu",
    ]
    code, _, errors = run(*base, *more)
    assert code == 2 and message in errors.replace("\n", " ")
    assert not (tmp_path / "out" / "metadata.jsonl").exists()


def test_other_frames_or_arithmetic_are_refused(data, tmp_path, make_video, write_otb) -> None:
    def given(precision: str) -> GenerationRun:
        arguments = SearchArguments(scorer="dark_scorer:Dark", device="cpu", precision=precision)
        return run_of(data, tmp_path / "out", arguments=arguments)

    generate_hard_positives(given("fp32"))
    with pytest.raises(
        InputError, match=r'another run \(precision was "float32" and is "bfloat16"\); give another'
    ):
        generate_hard_positives(given("bf16"))
    shutil.rmtree(data / "b")
    write_otb(data / "b", make_video(frames=5, seed=7))
    with pytest.raises(InputError, match=r"another run \(data.b was"):
        generate_hard_positives(given("fp32"))


def test_a_folder_with_something_else_is_refused(data, tmp_path) -> None:
    generate_hard_positives(run_of(data, tmp_path / "out"))
    before = contents(tmp_path / "out")
    for change in (
        {"seed": 1},
        {"agent": "random"},
        {"per_target": 2},
        {"batch": 5},
        {"image_format": "jpeg"},
        {"drop": 0.1},
        {"view": View("region")},
    ):
        with pytest.raises(InputError, match=f"another run \\({next(iter(change))}.* was "):
            generate_hard_positives(run_of(data, tmp_path / "out", **change))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="other files"):
        generate_hard_positives(run_of(data, tmp_path / "mine"))
    assert contents(tmp_path / "out") == before and [p.name for p in (tmp_path / "mine").iterdir()] == [
        "letter.txt"
    ]


NASTY_NAMES = [
    "train", "airplane-1", "person-3", "train-1", "test1", "dev-room", "val", "eval", "training", "validation_2",
    "valid", "my test 2", "x.eval", "1testing", "Evaluation", "TEST", "a::b", ":::", "a%b", "a#b", "a[1]",
    "ünïcode test", "日本", "metadata.jsonl", "settings.json", "index.html", ".parts", "xtrain", "xxtrain",
    "a.train.b", "test-test", "x.", "data", "train-00000-of-00001", "clip.zip", "a b", "restaurant",
]  # fmt: skip


def test_datasets_takes_no_folder_for_a_split(tmp_path) -> None:
    """All images and columns, whatever the videos are called, alone and together."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    assert len({folder_name(name).casefold() for name in NASTY_NAMES}) == len(NASTY_NAMES)
    assert [folder_name(name) for name in ("airplane-1", "restaurant", "ball")] == [
        "airplane-1", "restaurant", "ball"
    ]  # fmt: skip
    for number, names in enumerate([NASTY_NAMES, *([name] for name in NASTY_NAMES)]):
        out = tmp_path / str(number)
        lines = []
        for name in names:
            (out / folder_name(name)).mkdir(parents=True)
            for image in ("000001-0.png", "000002-0.png"):
                write_png(out / folder_name(name) / image, np.zeros((4, 4, 3), np.uint8))
                lines.append(json.dumps({"file_name": f"{folder_name(name)}/{image}", "video": name}) + "\n")
        (out / "metadata.jsonl").write_text("".join(lines))
        (out / "settings.json").write_text("{}")
        found = datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=str(tmp_path / "cache"))
        assert {split: len(rows) for split, rows in found.items()} == {"train": 2 * len(names)}, names
        assert sorted(found["train"]["video"]) == sorted(2 * names)


def test_videos_with_the_names_of_splits(tmp_path, make_video, write_otb, data) -> None:
    datasets = pytest.importorskip("datasets")
    for name in ("train-1", "airplane-1", "test1"):
        write_otb(tmp_path / "videos" / name, make_video(frames=3))
    generate_hard_positives(run_of(tmp_path / "videos", tmp_path / "out"))
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert len(found) == len(read_hard_positives(tmp_path / "out")) == 6
    assert {row["source"]["video"] for row in found} == {"train-1", "airplane-1", "test1"}


def test_a_folder_hides_no_method_of_its_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("belief", "random", "contrast"):
        (tmp_path / name).mkdir()
    assert isinstance(method_of("belief"), BeliefSearch)
    assert isinstance(method_of("random"), Querying) and isinstance(patch_method_of("random"), Querying)
    assert patch_method_of("contrast", queries=2).queries == 2


@pytest.mark.parametrize("given", [("best-of-4-random", "contrast"), ("belief", "random")])
def test_folders_named_like_methods_change_nothing(run, data, tmp_path, given) -> None:
    """The methods run, the folders are no inputs, and the settings are those of the same run without folders."""
    command = ["generate", "--data", data, "--scorer", "dark_scorer:Dark", "--device", "cpu", "--queries", 5]
    if given[0] != "belief":
        command = command[:-2]
    command += ["--agent", given[0], "--patch-agent", given[1], "--out"]
    alone, out = tmp_path / "alone", tmp_path / given[0] / "out"
    assert run(*command, alone)[0] == 0
    for name in given:
        (tmp_path / name).mkdir()
    for _ in range(2):  # the second time the folders hold files
        code, _, errors = run(*command, out)
        assert code == 0, errors
    assert records(out) == records(alone)
    settings = [json.loads((folder / "settings.json").read_text()) for folder in (alone, out)]
    assert settings[0] == settings[1] and settings[0]["agent_file"] == given[0]


@pytest.mark.filterwarnings("ignore:There is no prior for the matcher Dark")
def test_a_prior_fitted_with_contrast_is_for_contrast_alone(run, data, tmp_path) -> None:
    """Its file names the occluder; one of a search with background serves contrast, as the shipped ones do."""
    command = ["generate", "--data", data, "--scorer", "dark_scorer:Dark", "--device", "cpu", "--per-sequence", 2]
    for occluder in ("contrast", "background"):
        code, _, errors = run(*command, "--occluder", occluder, "--out", tmp_path / occluder)
        assert code == 0, errors
        assert json.loads((tmp_path / occluder / "prior.json").read_text())["occluder"] == occluder
    contrast, background = (
        ["--prior", tmp_path / name / "prior.safetensors"] for name in ("contrast", "background")
    )
    code, _, errors = run(*command, "--out", tmp_path / "one", *contrast)
    assert code == 2 and "was fitted for occluder 'contrast' and is used with 'background'" in " ".join(
        errors.split()
    )
    for number, prior in enumerate((contrast, background)):
        code, _, errors = run(*command, "--occluder", "contrast", "--out", tmp_path / f"served{number}", *prior)
        assert code == 0, errors
    assert records(tmp_path / "served0") == records(tmp_path / "contrast")
