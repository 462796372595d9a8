from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agents.cli import main
from tracker.evaluation.result_files import boxes_path, times_path, write_boxes, write_times

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["occlusion-search", "benchmark", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for tracker, shift in (("kcf", 0.0), ("mil", 4.0)):
        for name in ("Jogging-1", "airplane-1"):
            boxes = np.tile([10.0, 10, 20, 20], (4, 1)) + np.array([[0], [shift], [shift], [shift]]) * [1, 0, 0, 0]
            write_boxes(boxes_path(tmp_path / "results" / tracker / "ope", name), boxes)
            write_times(times_path(tmp_path / "results" / tracker / "ope", name), [1, 0.5, 0.5, 0.5])
    write_boxes(boxes_path(tmp_path / "results" / "late" / "tre", "airplane-1", "00"), boxes)
    return tmp_path / "results"


@pytest.mark.parametrize("layout", ["got10k", "pysot", "pytracking", "otb"])
@pytest.mark.parametrize("zero_based", [[], ["--zero-based"]])
def test_scores_of_exported_files_are_the_same(
    run: Call, results: Path, tmp_path: Path, layout: str, zero_based: list[str]
) -> None:
    content = {name: {"boxes": [[11, 11, 20, 20]] * 4} for name in ("Jogging-1", "airplane-1")}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    score = ["score", "--annotations", tmp_path / "truth.json", "--json", tmp_path / "s.json", "--results"]
    assert run(*score, results, "--tracker", "mil", "--protocol", "ope")[0] == 0
    expected = json.loads((tmp_path / "s.json").read_text())
    code, text, _ = run("export", "--results", results, "--layout", layout, "--out", tmp_path / "new", *zero_based)
    assert code == 0 and text == f"kcf: 2 targets in {tmp_path / 'new'}\nmil: 2 targets in {tmp_path / 'new'}\n"
    place = tmp_path / "new" if layout == "otb" else tmp_path / "new" / "mil"
    code, _, error = run(*score, place, "--tracker", "mil", *zero_based)
    assert (code, error) == (0, "")
    found = json.loads((tmp_path / "s.json").read_text())
    same = ("auc", "precision", "norm_precision", "norm_auc", "ao", "sr50", "sr75", "targets", "frames")
    assert [found[key] for key in same] == pytest.approx([expected[key] for key in same])
    assert 0.6 < found["ao"] < 0.7 and found["norm_precision"] == 1
    assert found["fps"] == (expected["fps"] if layout in ("got10k", "pytracking") else None)


def test_one_tracker_again_and_bad_input(run: Call, results: Path, tmp_path: Path) -> None:
    command = ["export", "--results", results, "--out", tmp_path / "new", "--layout"]
    assert run(*command, "pysot")[0] == 0
    assert run(*command, "got10k", "--tracker", "mil")[0] == 0  # the earlier export is replaced
    assert sorted(path.name for path in (tmp_path / "new").rglob("*.txt")) == [
        "Jogging-1_001.txt", "Jogging-1_time.txt", "airplane-1_001.txt", "airplane-1_time.txt",
    ]  # fmt: skip
    code, text, error = run(*command, "pysot", "--tracker", "late")
    assert (code, text) == (2, "") and "holds no one-pass results of late; there are kcf, mil" in error
    (tmp_path / "empty").mkdir()
    code, _, error = run("export", "--results", tmp_path / "empty", "--out", tmp_path / "x", "--layout", "otb")
    assert code == 2 and "holds no one-pass results, which `benchmark run` writes" in error
    code, _, error = run("export", "--results", results, "--out", results, "--layout", "otb")
    assert code == 2 and error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "x").exists()
