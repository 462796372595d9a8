"""The paper's benchmarks in full, in drawn frames: the judged targets, and the figures beside the paper's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from agents.ablation.paper import BENCHMARKS, PAPER
from agents.ablation.running import START, run_ladder
from agents.ablation.settings import LadderRun
from tracker.data.lists import LISTS
from tracker.errors import InputError

WIDTH, HEIGHT, FRAMES = 60, 40, 2
LONG = "Woman"
"""A target with 22 frames, so that TRE starts at more than one of them."""


def draw_frames(folder: Path, count: int, digits: int, seed: int) -> np.ndarray:
    """Write frames of a square that moves over noise; returns its corner in each frame."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 160, (HEIGHT, WIDTH, 3), np.uint8)
    corners = np.array([[15 + t % 12, 12 + t % 5] for t in range(count)])
    for t, (x, y) in enumerate(corners):
        frame = noise.copy()
        frame[y : y + 12, x : x + 14] = 200 + rng.integers(0, 50, 3)
        cv2.imwrite(str(folder / f"{t + 1:0{digits}d}.jpg"), frame)
    return corners


def draw_otb(root: Path) -> Path:
    """OTB-100 as its authors lay it out: a folder a video, a file a target, Human4's first one empty."""
    for number, name in enumerate(LISTS["tb100"]):
        video, _, target = name.partition("-")
        if not (root / video).exists():
            corners = draw_frames(root / video / "img", 22 if name == LONG else FRAMES, 4, number)
            if name == "Human4-2":
                (root / video / "groundtruth_rect.1.txt").touch()
        rows = "".join(f"{x + 1},{y + 1},14,12\n" for x, y in corners)
        (root / video / f"groundtruth_rect{f'.{target}' if target else ''}.txt").write_text(rows)
    return root


def draw_vot(root: Path) -> Path:
    """VOT-2014: frames beside the polygons."""
    for number, name in enumerate(LISTS["vot2014"]):
        corners = draw_frames(root / name, FRAMES, 8, 500 + number)
        rows = "".join(f"{x},{y},{x + 14},{y},{x + 14},{y + 12},{x},{y + 12}\n" for x, y in corners)
        (root / name / "groundtruth.txt").write_text(rows)
    (root / "list.txt").write_text("\n".join(LISTS["vot2014"]))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_video: Callable, write_otb: Callable) -> Path:
    """Two training videos, and both benchmarks."""
    root = tmp_path_factory.mktemp("paper")
    for seed, name in enumerate(("a", "b")):
        write_otb(root / "train" / name, make_video(frames=4, width=160, height=120, seed=seed))
    assert len({path.parent for path in draw_otb(root / "OTB100").rglob("groundtruth_rect*.txt")}) == 98
    draw_vot(root / "vot2014")
    return root


def test_the_command_makes_the_cells_of_the_paper(run, data: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, printed, error = run(
        "reproduce", "--data", data / "train", "--otb", data / "OTB100", "--vot", data / "vot2014", "--out", "out",
        "--measures", "ope", "tre-all", "vot", "--only", "sint", "--seeds", 1, "--steps", 2,
        "--boxes-per-frame", 8, "--pasted", 0, "--device", "cpu",
    )  # fmt: skip
    assert code == 0, error
    assert "auc, VOT-2014" in printed
    content = json.loads((tmp_path / "out" / "ladder.json").read_text())
    assert content["benchmarks"] == {
        "OTB-50": {"targets": 51, "judged": 51}, "OTB-100": {"targets": 100, "judged": 100},
        "VOT-2014": {"targets": 25, "judged": 25},
    }  # fmt: skip
    assert content["sequences"] == 100
    figures, means = content["arms"]["sint"]["seeds"]["0"], content["arms"]["sint"]["means"]
    assert sorted(figures["ope"]) == sorted(figures["tre-all"]) == sorted(LISTS["tb100"])
    assert sorted(figures["vot"]) == sorted(LISTS["vot2014"]) and {"Jogging-2", "Human4-2"} < set(figures["ope"])
    for benchmark, rows in (("OTB-50", "ope"), ("OTB-100", "ope"), ("VOT-2014", "vot")):
        for measure in ("auc", "precision"):
            values = [figures[rows][target][measure] for target in BENCHMARKS[benchmark]]
            assert means[f"{measure}, {benchmark}"] == pytest.approx(np.mean(values), abs=1e-5)
    assert len(set(means[f"auc, {name}"] for name in BENCHMARKS)) == 3, "the frames differ"
    assert means["auc, tre, OTB-100"] == pytest.approx(
        np.mean([row["auc"] for row in figures["tre-all"].values()]), abs=1e-5
    )
    boxes = tmp_path / "out" / "boxes-tre-all" / "sint-0" / "tre"
    assert len(list((boxes / LONG).glob("*.txt"))) == 3 and len(list((boxes / "Coke").glob("*.txt"))) == 1

    ours = [row for row in content["paper"] if row["arm"] == "sint"]
    assert [(row["benchmark"], row["protocol"]) for row in ours] == [
        ("OTB-50", "ope"), ("OTB-100", "ope"), ("OTB-100", "tre"), ("VOT-2014", "ope"),
    ]  # fmt: skip
    assert all(row["success"]["ours"] is not None for row in ours)
    assert [row["precision"]["ours"] is not None for row in ours] == [True, True, False, False]
    page = (tmp_path / "out" / "report.html").read_text()
    cells = page[page.index('id="paper"') :].partition("</table>")[0]
    assert cells.count("<tr>") == 1 + len(PAPER) and "<td>0.574</td>" in cells.replace(' class="number"', "")
    assert f"{means['auc, VOT-2014']:.3f}</td>" in cells
    assert "51 of the 51 of OTB-50, 100 of the 100 of OTB-100, 25 of the 25 of VOT-2014" in page
    assert {START, "sint"} == set(content["arms"])


def test_what_the_folders_choose(data: Path, tmp_path: Path) -> None:
    otb, vot = data / "OTB100", data / "vot2014"

    def chosen(**folders: Path) -> tuple[str, ...]:
        return LadderRun(data / "train", **folders).evaluations

    assert chosen(judge=otb) == ("sweep", "ope")
    assert chosen(otb=otb) == ("sweep", "ope", "tre-all")
    assert chosen(judge=otb, vot=vot) == ("sweep", "ope", "vot")
    alone = LadderRun(data / "train", vot=vot)
    assert alone.evaluations == ("sweep", "ope") and alone.test == vot and alone.train == data / "train"
    assert LadderRun(data / "train", otb=otb, measures=("ope",)).evaluations == ("ope",)


@pytest.mark.parametrize(("folders", "train", "message"), [
    ({"judge": "OTB100", "otb": "OTB100"}, "train", "Two folders of evaluation videos"),
    ({"otb": "vot2014"}, "train", "lacks 100 of the 100 targets of OTB-100 .*as --judge"),
    ({"judge": "OTB100", "vot": "train"}, "train", "lacks 25 of the 25 targets of VOT-2014"),
    ({"otb": "OTB100"}, "vot2014", "'basketball' is a training video and a judging one"),
    ({"judge": "train", "vot": "vot2014"}, "vot2014", "'ball' is a training video and a judging one"),
])  # fmt: skip
def test_folders_that_do_not_fit(
    data: Path, tmp_path: Path, folders: dict[str, str], train: str, message: str
) -> None:
    """The same video has other names in OTB and VOT."""
    given = {name: data / folder for name, folder in folders.items()}
    with pytest.raises(InputError, match=message):
        run_ladder(LadderRun(data / train, out=tmp_path / "out", only=("sint",), **given))
    assert not (tmp_path / "out").exists()
