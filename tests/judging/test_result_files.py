from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tracker.errors import InputError
from tracker.evaluation.annotations import Annotation
from tracker.evaluation.protocols import list_runs
from tracker.evaluation.result_files import (
    Layout,
    ResultFiles,
    boxes_path,
    choose_results,
    export_results,
    find_results,
    read_boxes,
    read_mat,
    read_times,
    times_path,
    write_boxes,
    write_times,
)

BOXES = np.array([[0.0, 1.0, 20.5, 30.25], [2.1234, 3.0, 21.0, 29.9999], [-4.5, 0.0, 1.0, 1.0]])
LINES = [["1", "2", "20.5", "30.25"], ["3.1234", "4", "21", "29.9999"], ["-3.5", "1", "1", "1"]]


def annotation(name: str = "Jogging-1", frames: int = 3) -> Annotation:
    return Annotation(name, np.tile([5.0, 5, 20, 20], (frames, 1)), np.ones(frames, bool))


def read(files: ResultFiles, name: str = "Jogging-1", frames: int = 3) -> list[np.ndarray | None]:
    return files.boxes(list_runs(files.protocol, annotation(name, frames)), frames)


def write_mat(path: Path, runs: list[np.ndarray], kind: str = "rect") -> None:
    """Write what the OTB authors' toolkit writes: a cell array of structures."""
    from scipy.io import savemat

    cell = np.empty((1, len(runs)), dtype=object)
    for k, boxes in enumerate(runs):
        cell[0, k] = {"res": boxes + [1, 1, 0, 0], "type": kind, "len": float(len(boxes)), "fps": 12.5}
    savemat(path, {"results": cell})


def test_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "Girl.txt"
    write_boxes(path, BOXES)
    assert path.read_text().splitlines()[1] == "3.1234,4.0000,21.0000,29.9999"
    assert read_boxes(path) == pytest.approx(BOXES, abs=5e-5)
    assert [file.name for file in path.parent.iterdir()] == ["Girl.txt"]
    write_times(tmp_path / "times" / "Girl_time.txt", [0.5, 0.001, 2])
    assert (tmp_path / "times" / "Girl_time.txt").read_text() == "0.500000\n0.001000\n2.000000\n"
    assert read_times(tmp_path / "times" / "Girl_time.txt").tolist() == [0.5, 0.001, 2]


def test_no_answer_is_kept(tmp_path: Path) -> None:
    write_boxes(tmp_path / "a.txt", [[1, 2, 3, 4], [np.nan] * 4, [np.inf, 0, 0, 0]])
    found = read_boxes(tmp_path / "a.txt")
    assert len(found) == 3 and np.isnan(found[1]).all() and np.isinf(found[2, 0])


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators(tmp_path: Path, separator: str, end: str) -> None:
    (tmp_path / "a.txt").write_bytes((end.join(separator.join(row) for row in LINES) + end + end).encode())
    assert read_boxes(tmp_path / "a.txt") == pytest.approx(BOXES)
    assert read_boxes(tmp_path / "a.txt", origin=0) == pytest.approx(BOXES + [1, 1, 0, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4\n1,2,3\n", "Line 2 of '.*a.txt' has 3 numbers; it must have 4"),
        ("1,2,3,4\n1,2,x,4\n", "Line 2 of '.*a.txt' holds something that is not a number: '1,2,x,4'"),
        ("1,2,3,4\n\n1,2,3,4\n", "Line 2 of '.*a.txt' is empty; write one box for each frame"),
        ("", "a.txt' is empty"),
    ],
)
def test_bad_boxes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_boxes(tmp_path / "a.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_boxes(tmp_path / "none.txt")


def test_bad_times(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("0.1\n-2\n")
    with pytest.raises(InputError, match="Line 2 of '.*t.txt' is no time in seconds: -2"):
        read_times(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_text("0.1\nnan\n")
    with pytest.raises(InputError, match="Line 2"):
        read_times(tmp_path / "t.txt")


def test_our_own_layout(tmp_path: Path) -> None:
    write_boxes(boxes_path(tmp_path, "Jogging-1"), BOXES)
    write_times(times_path(tmp_path, "Jogging-1"), [1, 2, 3])
    files = ResultFiles(tmp_path)
    assert read(files)[0] == pytest.approx(BOXES, abs=5e-5)
    assert files.times("Jogging-1", None).tolist() == [1, 2, 3]
    assert read(files, "Girl") == [None] and files.times("Girl", None) is None
    for key in ("left", "scale_12"):
        write_boxes(boxes_path(tmp_path / "sre", "Jogging-1", key), BOXES)
        write_times(times_path(tmp_path / "sre", "Jogging-1", key), [1, 2, 4])
    files = ResultFiles(tmp_path / "sre", "sre")
    there = [boxes is not None for boxes in read(files)]
    assert there == [True, *[False] * 10, True]
    assert files.times("Jogging-1", "left").tolist() == [1, 2, 4] and files.times("Jogging-1", "up") is None


@pytest.mark.parametrize(
    ("boxes", "times"),
    [
        ("Jogging-1.txt", "times/Jogging-1_time.txt"),
        ("jogging-1.txt", "TIMES/jogging-1_time.txt"),
        ("Jogging_1.txt", "times/Jogging_1_time.txt"),
        ("Jogging.1.txt", "times/Jogging.1_time.txt"),
        ("Jogging-1/Jogging-1_001.txt", "Jogging-1/Jogging-1_time.txt"),
        ("Jogging-1.txt", "Jogging-1_time.txt"),
        ("Jogging_1.txt", "Jogging_1_time.txt"),  # pytracking
    ],
)
def test_layouts_of_other_toolkits(tmp_path: Path, boxes: str, times: str) -> None:
    for place in (boxes, times):
        (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / boxes).write_text("".join("\t".join(row) + "\n" for row in LINES))
    (tmp_path / times).write_text("1,7\n2,7\n3,7\n")
    files = ResultFiles(tmp_path)
    assert read(files)[0] == pytest.approx(BOXES)
    assert files.times("Jogging-1", None).tolist() == [1, 2, 3]
    assert read(files, "Jogging-2") == [None]


def test_human4_of_got10k(tmp_path: Path) -> None:
    write_boxes(tmp_path / "Human4.txt", BOXES)
    assert read(ResultFiles(tmp_path), "Human4-2")[0] is not None
    assert read(ResultFiles(tmp_path), "Skating2-2") == [None]


def test_the_exact_name_wins(tmp_path: Path) -> None:
    write_boxes(tmp_path / "girl.txt", BOXES[:1])
    write_boxes(tmp_path / "Girl.txt", BOXES)
    if len(list(tmp_path.iterdir())) == 2:  # not on a file system that ignores case
        (found,) = read(ResultFiles(tmp_path), "Girl")
        assert found is not None and len(found) == 3


def test_mat(tmp_path: Path) -> None:
    write_mat(tmp_path / "one.mat", [BOXES])
    (found,) = read_mat(tmp_path / "one.mat")
    assert found == pytest.approx(BOXES)
    write_mat(tmp_path / "many.mat", [BOXES, BOXES[1:], BOXES[2:]])
    assert [len(boxes) for boxes in read_mat(tmp_path / "many.mat")] == [3, 2, 1]
    assert read_mat(tmp_path / "many.mat", origin=0)[2] == pytest.approx(BOXES[2:] + [1, 1, 0, 0])


def test_mat_files_of_the_toolkit(tmp_path: Path) -> None:
    write_mat(tmp_path / "jogging-1_CSK.mat", [BOXES])
    assert read(ResultFiles(tmp_path))[0] == pytest.approx(BOXES)
    write_mat(tmp_path / "jogging-1_TLD.mat", [BOXES + 1])
    assert read(ResultFiles(tmp_path, tracker="TLD"))[0] == pytest.approx(BOXES + 1)
    with pytest.raises(
        InputError, match=r"several results for Jogging-1 \(jogging-1_CSK.mat, jogging-1_TLD.mat\)"
    ):
        read(ResultFiles(tmp_path))
    write_mat(tmp_path / "human4_2_my_tracker.mat", [BOXES])
    assert read(ResultFiles(tmp_path), "Human4-2")[0] is not None
    assert read(ResultFiles(tmp_path), "Jogging-2") == [None]


def test_mat_files_with_many_runs(tmp_path: Path) -> None:
    whole = annotation("Girl", 60)
    write_mat(tmp_path / "Girl_X.mat", [np.ones((60 - run.start, 4)) for run in list_runs("tre", whole)])
    assert len(read(ResultFiles(tmp_path, "tre"), "Girl", 60)) == 20
    with pytest.raises(InputError, match="holds 20 runs that are not the 1 of OPE on Girl"):
        read(ResultFiles(tmp_path), "Girl", 60)
    with pytest.raises(InputError, match="that are not the 20 of TRE"):
        read(ResultFiles(tmp_path, "tre"), "Girl", 61)
    write_mat(tmp_path / "Girl_X.mat", [np.ones((60, 4))] * 12)
    assert len(read(ResultFiles(tmp_path, "sre"), "Girl", 60)) == 12


def test_bad_mat_files(tmp_path: Path) -> None:
    from scipy.io import savemat

    write_mat(tmp_path / "a.mat", [BOXES], kind="ivtAff")
    with pytest.raises(InputError, match="results of the type 'ivtAff'; only 'rect' is read"):
        read_mat(tmp_path / "a.mat")
    savemat(tmp_path / "a.mat", {"other": 1})
    with pytest.raises(InputError, match="no variable 'results'"):
        read_mat(tmp_path / "a.mat")
    savemat(tmp_path / "a.mat", {"results": {"res": np.ones((3, 5)), "type": "rect"}})
    with pytest.raises(InputError, match="no field 'res' with four numbers a frame"):
        read_mat(tmp_path / "a.mat")
    savemat(tmp_path / "a.mat", {"results": 3})
    with pytest.raises(InputError, match="no field 'res'"):
        read_mat(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_text("no MATLAB file at all, but long enough to be looked at as one, " * 5)
    with pytest.raises(InputError, match="not a readable MATLAB file|version 7.3"):
        read_mat(tmp_path / "a.mat")
    with pytest.raises(InputError, match="cannot be read as a MATLAB file .No such file"):
        read_mat(tmp_path / "none.mat")


def test_finding_results(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for place in ("KCF/ope", "KCF/tre", "SINT/ope"):
        write_boxes(out / place / "Girl.txt", BOXES)
    (out / "SINT" / "sre").mkdir()  # empty: nothing was run
    (out / "log.txt").write_text("")
    assert find_results(out) == {
        "KCF": {"ope": out / "KCF" / "ope", "tre": out / "KCF" / "tre"},
        "SINT": {"ope": out / "SINT" / "ope"},
    }
    assert find_results(out / "KCF") == {"KCF": find_results(out)["KCF"]}
    assert find_results(out / "KCF" / "ope") == {}
    assert choose_results(out, tracker="SINT") == ("SINT", "ope", out / "SINT" / "ope")
    assert choose_results(out, "tre") == ("KCF", "tre", out / "KCF" / "tre")
    assert choose_results(out / "SINT") == ("SINT", "ope", out / "SINT" / "ope")
    assert choose_results(out / "KCF" / "tre") == ("KCF", "tre", out / "KCF" / "tre")
    with pytest.raises(InputError, match=r"holds the results of KCF \(ope, tre\), SINT \(ope\); choose one"):
        choose_results(out)
    with pytest.raises(InputError, match="KCF"):
        choose_results(out, tracker="CSRT")
    write_boxes(tmp_path / "theirs" / "Girl.txt", BOXES)
    assert choose_results(tmp_path / "theirs") == ("theirs", "ope", tmp_path / "theirs")
    assert choose_results(tmp_path / "theirs", "sre", "TLD") == ("TLD", "sre", tmp_path / "theirs")
    with pytest.raises(InputError, match="does not exist"):
        choose_results(tmp_path / "none")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One tracker's results as `run_benchmark` writes them."""
    folder = tmp_path / "out" / "mil" / "ope"
    for name in ("Jogging-2", "airplane-1"):
        write_boxes(boxes_path(folder, name), BOXES)
        write_times(times_path(folder, name), [1.0, 0.25, 0.25])
    return folder


@pytest.mark.parametrize(
    ("layout", "folder", "files", "times"),
    [
        (
            "got10k",
            "mil",
            ["Jogging-2/Jogging-2_001.txt", "airplane-1/airplane-1_001.txt"],
            "airplane-1/{}_time.txt",
        ),
        ("pysot", "mil", ["Jogging-2.txt", "airplane-1.txt"], None),
        ("pytracking", "mil", ["Jogging_2.txt", "airplane-1.txt"], "{}_time.txt"),
        ("otb", ".", ["Jogging-2_mil.mat", "airplane-1_mil.mat"], None),
    ],
)
@pytest.mark.parametrize("origin", [0, 1])
def test_what_is_exported_is_read_again(
    tmp_path: Path,
    results: Path,
    layout: Layout,
    folder: str,
    files: list[str],
    times: str | None,
    origin: Literal[0, 1],
) -> None:
    assert export_results(results, "mil", tmp_path / "new", layout, origin) == ["Jogging-2", "airplane-1"]
    place = tmp_path / "new" / folder
    assert all((place / file).is_file() for file in files)
    assert times is None or (place / times.format("airplane-1")).read_text() == "1.000000\n0.250000\n0.250000\n"
    again = ResultFiles(place, origin=origin, tracker="mil")
    for name in ("Jogging-2", "airplane-1"):
        assert read(again, name)[0] == pytest.approx(BOXES, abs=5e-5)
        assert times is None or again.times(name, None).tolist() == [1, 0.25, 0.25]
    if layout == "pytracking":
        assert (place / files[0]).read_text().splitlines()[1] == (
            "3.1234\t4.0000\t21.0000\t29.9999" if origin else "2.1234\t3.0000\t21.0000\t29.9999"
        )


def test_what_the_matlab_toolkit_reads(tmp_path: Path, results: Path) -> None:
    from scipy.io import loadmat

    export_results(results, "mil", tmp_path / "new", "otb")
    run = loadmat(tmp_path / "new" / "Jogging-2_mil.mat")["results"][0, 0]  # results{1} is a structure
    assert run["res"][0, 0] == pytest.approx(BOXES + [1, 1, 0, 0], abs=5e-5)
    assert (run["type"][0, 0].item(), run["len"][0, 0].item(), run["fps"][0, 0].item()) == ("rect", 3, 4)


def test_a_frame_without_an_answer_is_exported_as_zeros(tmp_path: Path) -> None:
    """The toolkits' means become NaN by one NaN, and pysot's readers stop at a text."""
    write_boxes(tmp_path / "in" / "a.txt", [[1, 2, 3, 4], [np.nan] * 4, [np.inf, 0, 1, 1]])
    export_results(tmp_path / "in", "mil", tmp_path / "new", "pysot")
    assert (tmp_path / "new" / "mil" / "a.txt").read_text().splitlines()[1:] == ["0.0000,0.0000,0.0000,0.0000"] * 2
    with pytest.raises(InputError, match="holds no result file TARGET.txt"):
        export_results(tmp_path, "mil", tmp_path / "new", "pysot")


def test_repetitions_of_got10k(tmp_path: Path) -> None:
    """Trackers that are not deterministic are run three times."""
    for repetition, boxes in (("001", BOXES), ("002", BOXES + 1), ("003", BOXES + 2)):
        write_boxes(tmp_path / "a" / f"a_{repetition}.txt", boxes)
    write_times(tmp_path / "a" / "a_time.txt", [1, 1, 1])
    files = ResultFiles(tmp_path)
    assert read(files, "a")[0] == pytest.approx(BOXES, abs=5e-5)
    assert [again[0, 0] for again in files.repetitions("a")] == pytest.approx([1, 2])
    assert files.repetitions("b") == [] and ResultFiles(tmp_path, "tre").repetitions("a") == []
    write_boxes(tmp_path / "a" / "a_002.txt", BOXES[:2])
    for name in ("b_001", "b_002"):  # targets of their own
        write_boxes(tmp_path / f"{name}.txt", BOXES)
    assert files.repetitions("b_001") == []
    with pytest.raises(InputError, match="a_002.txt' has 2 boxes, but '.*a_001.txt' has 3; repeat the run"):
        files.repetitions("a")
