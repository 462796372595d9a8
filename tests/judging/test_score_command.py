from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.cli import main
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.evaluation.result_files import write_boxes
from tracker.evaluation.scoring import OTHER_MEASURES

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: object) -> tuple[int, str, str]:
        command = ["occlusion-search", "benchmark", "score", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.setenv("COLUMNS", "120")
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    content = {
        "a": {"boxes": [[11, 11, 20, 20]] * 4, "attributes": ["OCC"]},
        "b": {"boxes": [[11, 11, 20, 20], [0, 11, 20, 20]], "attributes": ["MB"]},
        "c": {"boxes": [[11, 11, 20, 20]]},
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return tmp_path / "annotations.json"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_boxes(tmp_path / "out" / "KCF" / "ope" / "a.txt", np.tile([10, 10, 20, 20], (4, 1)))
    write_boxes(tmp_path / "out" / "KCF" / "ope" / "b.txt", np.tile([10, 10, 20, 20], (2, 1)))
    return tmp_path / "out"


@pytest.mark.data
def test_published_result_of_sint_plus(run: Call, data_root: Path, tmp_path: Path) -> None:
    golden = data_root / "golden"
    sources = ["--results", golden / "sint_plus_otb2013", "--annotations", golden / "otb100_annotations.json"]
    code, text, error = run(*sources, "--list", "otb2013", "--json", tmp_path / "s.json")
    assert (code, error) == (0, "")
    content = json.loads((tmp_path / "s.json").read_text())
    assert (round(content["auc"], 4), round(content["precision"], 4), content["targets"]) == (0.6552, 0.8816, 51)
    assert "0.6552" in text and "0.8816" in text and "51 targets, 29486 frames" in text
    low, high = content["intervals"]["auc"]
    assert 0.60 < low < content["auc"] < high < 0.71
    assert content["by_attribute"]["OCC"]["targets"] + content["by_attribute"]["not OCC"]["targets"] == 51
    assert set(content["per_target"]["Woman"]) == {"auc", "precision", *OTHER_MEASURES, "frames", "fps"}
    assert content["missing"] == [] and content["list"] == "otb2013"
    assert content["command"].startswith("occlusion-search benchmark score --results ")
    code, _, error = run(*sources, "--list", "tb50")
    assert code == 2 and "has no results for Biker, Bird1" in error and error.count("\n") == 1


def test_what_is_told(run: Call, out: Path, annotations: Path, tmp_path: Path) -> None:
    code, text, _ = run("--results", out, "--annotations", annotations, "--json", tmp_path / "s.json")
    assert code == 0
    assert "KCF, OPE, invalid annotations: otb; 2 targets, 6 frames" in text
    assert "left out (1): c" in text and "not OCC" in text
    content = json.loads((tmp_path / "s.json").read_text())
    assert (content["tracker"], content["protocol"], content["missing"]) == ("KCF", "ope", ["c"])
    assert content["precision"] == 1
    assert content["auc"] == pytest.approx((20 / 21 + 10 / 21) / 2)
    code, _, _ = run(
        "--results", out, "--annotations", annotations, "--invalid", "strict", "--json", tmp_path / "s.json"
    )
    assert json.loads((tmp_path / "s.json").read_text())["precision"] == 0.75
    code, text, _ = run("--results", out / "KCF" / "ope", "--annotations", annotations, "--zero-based")
    assert code == 0 and "KCF, OPE" in text


def test_attributes_from_another_file(run: Call, out: Path, annotations: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"a": ["LR"]}')
    _, text, _ = run("--results", out, "--annotations", annotations, "--attributes", tmp_path / "labels.json")
    assert "LR" in text and "not MB" in text and " MB " not in text.replace("not MB", "")


def test_several_trackers(run: Call, out: Path, annotations: Path) -> None:
    write_boxes(out / "SINT" / "ope" / "a.txt", np.tile([10, 10, 20, 20], (4, 1)))
    code, text, error = run("--results", out, "--annotations", annotations)
    assert code == 2 and "KCF (ope), SINT (ope); choose one with --tracker" in error and text == ""
    code, text, _ = run("--results", out, "--annotations", annotations, "--tracker", "SINT")
    assert code == 0 and "SINT, OPE" in text and "1 target, 4 frames" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--results", "none"], "'none' does not exist"),
        (["--annotations", "none.json"], "'none.json' does not exist"),
        (["--json", "none/s.json"], "'none/s.json' cannot be written"),
        (["--list", "vot2014"], "no annotation of ball, basketball"),
        (["--protocol", "tre"], "choose one with --tracker and --protocol"),
    ],
)
def test_bad_input(run: Call, out: Path, annotations: Path, arguments: list[str], message: str) -> None:
    given = {"--results": str(out), "--annotations": str(annotations), arguments[0]: arguments[1]}
    code, text, error = run(*(part for pair in given.items() for part in pair))
    assert (code, text) == (2, "") and message in error and "Traceback" not in error


def test_a_bad_line_is_named(run: Call, out: Path, annotations: Path, tmp_path: Path) -> None:
    (out / "KCF" / "ope" / "b.txt").write_text("11,11,20,20\n11,11,20\n")
    command = ("--results", out, "--annotations", annotations, "--json", tmp_path / "s.json")
    code, text, error = run(*command)
    assert code == 1 and "b is left out: Line 2 of" in error and "b.txt' has 3 numbers" in error
    assert json.loads((tmp_path / "s.json").read_text())["left_out"].keys() == {"b"}
    (tmp_path / "s.json").unlink()
    (out / "KCF" / "ope" / "a.txt").write_text("11,11,20\n")
    code, text, error = run(*command)
    assert (code, text) == (2, "") and "a.txt' has 3 numbers" in error
    assert not (tmp_path / "s.json").exists()


def test_a_bad_annotation_and_a_wrong_origin_are_said(
    run: Call, out: Path, tmp_path: Path, write_otb: Any
) -> None:
    """One of a folder's sequences cannot be used: the others are scored."""
    frames = ArrayFrames([np.zeros((60, 60, 3), np.uint8)] * 4)
    boxes = np.tile([10.0, 10, 20, 20], (4, 1))
    for name in ("a", "b"):
        write_otb(tmp_path / "data" / name, Sequence(name, frames, boxes, np.ones(4), name, "exact"))
    (tmp_path / "data" / "b" / "groundtruth_rect.txt").write_text("11,11,20,20\n11,11,x,20\n")
    command = ("--results", out, "--annotations", tmp_path / "data")
    code, text, error = run(*command)
    assert code == 1 and "1 target, 4 frames" in text and "warning: b is left out: Line 2" in error
    assert "seem to count" not in error
    code, _, error = run(*command, "--zero-based")
    assert code == 1 and "leave --zero-based out" in error


def test_annotation_files_of_pysot_are_read(run: Call, out: Path, annotations: Path, tmp_path: Path) -> None:
    """pysot's files hold the benchmark's own numbers, which count from 1."""
    content = json.loads(annotations.read_text())
    theirs = {
        name: {
            "video_dir": name, "init_rect": entry["boxes"][0], "img_names": [f"{name}/img/0001.jpg"],
            "gt_rect": entry["boxes"], "attr": entry.get("attributes", []),
        }
        for name, entry in content.items()
    }  # fmt: skip
    (tmp_path / "OTB100.json").write_text(json.dumps(theirs))
    ours, found = (
        run("--results", out, "--annotations", file)[:2] for file in (annotations, tmp_path / "OTB100.json")
    )
    assert found == ours and found[0] == 0 and "attribute" in found[1]


def test_no_torch_is_imported() -> None:
    names = "annotations, comparison, intervals, measures, protocols, result_files, scoring"
    code = f"from tracker.evaluation import {names}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
