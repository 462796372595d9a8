from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from agents.cli import main
from tracker import InputError
from tracker.evaluation.annotations import read_annotations
from tracker.evaluation.comparison import compare_trackers
from tracker.evaluation.intervals import paired_difference
from tracker.evaluation.report import pictures, plots
from tracker.evaluation.report.writing import write_report
from tracker.evaluation.scoring import OTHER_MEASURES, score_results

NAMES = ("red", "green", "blue")
FRAMES = 12


class Page(HTMLParser):
    """The rows of the tables, the addresses and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self._cell: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "action")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self._cell is not None:
            self.rows[-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data):
        self.words.append(data)
        if self._cell is not None:
            self._cell.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def painted() -> None:
    """Asked for by the tests that look at the pictures."""


@pytest.fixture(autouse=True)
def unpainted(request, monkeypatch) -> None:
    """Spare the other tests the painting; the figures are made, and each gets bytes of its own."""
    if "painted" not in request.fixturenames:
        numbers = itertools.count()
        monkeypatch.setattr(plots, "to_png", lambda figure: b"png %d" % next(numbers))
        monkeypatch.setattr(pictures, "to_jpeg", lambda figure: b"jpeg %d" % next(numbers))


@pytest.fixture
def data(tmp_path, make_video, write_otb) -> Path:
    """Three videos on disk, 96 x 72."""
    for seed, name in enumerate(NAMES):
        write_otb(tmp_path / "data" / name, make_video(frames=FRAMES, width=96, height=72, seed=seed))
    return tmp_path / "data"


@pytest.fixture
def put(tmp_path, data) -> Callable[..., Path]:
    """Write a tracker's results: the truth, moved to the right by so many pixels from frame 4 on."""

    def write(
        tracker: str, moved: dict[str, float], fps: float | None = None, settings: dict | None = None
    ) -> Path:
        folder = tmp_path / "results" / tracker / "ope"
        (folder / "times").mkdir(parents=True)
        truth = read_annotations(data)
        for name, pixels in moved.items():
            boxes = truth[name].boxes + [1, 1, 0, 0]
            boxes[4:, 0] += pixels
            np.savetxt(folder / f"{name}.txt", boxes, fmt="%.3f", delimiter=",")
            if fps is not None:
                np.savetxt(folder / "times" / f"{name}_time.txt", np.full(FRAMES, 1 / fps), fmt="%.6f")
        if settings is not None:
            (folder / "settings.json").write_text(json.dumps(settings))
        return tmp_path / "results"

    return write


@pytest.fixture
def three(put) -> Path:
    put("good", dict.fromkeys(NAMES, 0.0), fps=20, settings={"machine": "m", "versions": {"numpy": "9.9"}})
    put("fair", {"red": 4.0, "green": 6.0, "blue": 2.0}, fps=40, settings={"machine": "m", "command": "run fair"})
    return put("bad", {"red": 60.0, "green": 0.0, "blue": 30.0})


def page(data: Path, results: Path, out: Path, **options) -> Page:
    annotations = read_annotations(data)
    frames = options.pop("frames", None)
    out.mkdir(exist_ok=True)
    write_report(out, compare_trackers(results, annotations, **options), annotations, frames=frames)
    return Page((out / "report.html").read_text())


def test_the_numbers_of_the_page_are_those_of_the_scores(data, three, tmp_path):
    made = page(data, three, tmp_path / "out")
    annotations = read_annotations(data)
    scores = {
        name: score_results(three / name / "ope", annotations, tracker=name) for name in ("good", "fair", "bad")
    }
    for name, speed in (("good", "20.0"), ("fair", "40.0"), ("bad", "not recorded")):
        row = next(row for row in made.rows if row[0] == name)
        assert row[1:3] == [f"{scores[name].auc:.4f}", f"{scores[name].precision:.4f}"]
        others = [f"{getattr(scores[name], measure):.4f}" for measure in OTHER_MEASURES]
        assert row[3:] == [*others, speed]
    mean, _, _, count = paired_difference(scores["good"], scores["bad"], "auc")
    row = next(row for row in made.rows if row[0] == "good less bad")
    assert row[1] == f"{mean:+.4f}" and row[3] == str(count) == "3"
    row = next(row for row in made.rows if row[0] == "red")
    assert row[2:] == [
        f"{s.subset(['red']).auc:.3f} / {s.subset(['red']).precision:.3f}"
        for s in sorted(scores.values(), key=lambda s: -s.auc)
    ]
    assert "No verdict: 3 targets (36 judged frames) do not tell which of 3 trackers is better." in made.text
    assert "highest AUC" not in made.text
    best = [row[0] for row in made.rows if row[0] in scores][:3]
    assert best == sorted(scores, key=lambda name: -scores[name].auc)


def test_the_page_needs_no_other_file_and_the_pictures_beside_are_the_same(data, three, tmp_path, painted):
    out = tmp_path / "out"
    made = page(data, three, out, frames=data)
    assert all(re.match(r"(#|data:image/(png|jpeg);base64,)", address) for address in made.addresses)
    assert not {"link", "iframe", "object"} & {*made.tags} and made.tags.count("script") == 1
    text = (out / "report.html").read_text()
    assert "url(" not in text and "http" not in text and "@import" not in text
    assert all((out / name).stat().st_size > 5000 for name in ("success.png", "worst_03_bad.jpg"))
    inside = {base64.b64decode(address.split(",")[1]) for address in made.addresses if address.startswith("data:")}
    beside = {file.name: file.read_bytes() for file in out.iterdir() if file.suffix != ".html"}
    assert inside == {*beside.values()}
    assert {"success.png", "precision.png", "differences.png", "speed.png"} < {*beside}
    assert all(name.startswith(("worst_", "success", "precision", "differences", "speed")) for name in beside)


def test_where_the_trackers_fail_is_told_and_shown(data, three, tmp_path):
    made = page(data, three, tmp_path / "out", frames=data)
    row = next(row for row in made.rows if row[0] == "bad" and len(row) == 2)
    assert row[1] == "blue, frames 5 to 12 (8 of 12); red, frames 5 to 12 (8 of 12)."
    assert next(row for row in made.rows if row[0] == "good" and len(row) == 2)[1].startswith("None")
    assert [file.name for file in (tmp_path / "out").glob("worst_*")] == ["worst_03_bad.jpg"]


def test_without_frames_the_page_says_so(data, three, tmp_path):
    made = page(data, three, tmp_path / "out")
    assert "No pictures: the frames were not given (--data FOLDER)." in made.text
    assert not [*(tmp_path / "out").glob("worst_*")]


def test_frames_that_are_missing_or_of_another_length_are_told(data, three, tmp_path, make_video, write_otb):
    other = tmp_path / "other"
    write_otb(other / "red", make_video(frames=FRAMES - 1, width=96, height=72))
    made = page(data, three, tmp_path / "out", frames=other)
    assert "The frames of red are not shown: there are 11, but 12 boxes." in made.text
    assert "there are none of blue, green." in made.text


def test_a_folder_of_frames_that_is_not_there_is_an_error(data, three, tmp_path):
    with pytest.raises(InputError, match="'.*nowhere' does not exist"):
        page(data, three, tmp_path / "out", frames=tmp_path / "nowhere")


def test_only_common_targets_count_and_the_page_says_which_are_left_out(data, put, tmp_path):
    put("whole", {"red": 5.0, "green": 60.0, "blue": 5.0})
    results = put("part", {"red": 0.0, "blue": 0.0})
    (results / "part" / "ope" / "failures.json").write_text(json.dumps({"green": {"error": "ValueError: boom"}}))
    made = page(data, results, tmp_path / "out")
    assert "part failed on green: ValueError: boom" in made.text
    assert "part has no whole result for green." in made.text
    assert (
        "1 target left out for all trackers, because not every tracker has a whole result there: green."
        in made.text
    )
    assert "green" not in {row[0] for row in made.rows}
    comparison = compare_trackers(results, read_annotations(data))
    assert comparison.targets == ("blue", "red")
    assert [entry.other for entry in comparison.trackers] == [(), ("green",)]
    only = score_results(results / "whole" / "ope", read_annotations(data)).subset(["red", "blue"])
    assert comparison.trackers[1].scores.auc == only.auc


def test_no_common_target_is_one_sentence(data, put):
    put("one", {"red": 0.0})
    results = put("two", {"green": 0.0})
    with pytest.raises(InputError, match=r"no target in common \(one has 1, two has 1\)"):
        compare_trackers(results, read_annotations(data))


def test_a_tracker_without_a_usable_result_is_named_and_the_others_are_judged(data, three, tmp_path):
    (three / "empty" / "ope").mkdir(parents=True)
    (three / "empty" / "ope" / "settings.json").write_text("{}")
    (three / "good" / "tre").mkdir()
    (three / "late" / "tre").mkdir(parents=True)
    (three / "late" / "tre" / "settings.json").write_text("{}")
    made = page(data, three, tmp_path / "out")
    assert "empty is not in this report:" in made.text
    assert "late is not in this report: it has no results of the protocol OPE." in made.text
    assert "3 trackers on 3 targets" in made.text


def test_one_tracker_alone_has_no_differences(data, put, tmp_path):
    results = put("alone", dict.fromkeys(NAMES, 2.0))
    made = page(data, results, tmp_path / "out")
    assert "alone reaches an AUC of" in made.text and "less" not in {
        w for row in made.rows for w in row[0].split()
    }
    assert not (tmp_path / "out" / "differences.png").exists()
    assert "No times were recorded" in made.text and not (tmp_path / "out" / "speed.png").exists()


def test_a_plain_folder_of_result_files_is_one_tracker(data, put, tmp_path):
    results = put("alone", dict.fromkeys(NAMES, 2.0))
    plain = tmp_path / "theirs"
    (results / "alone" / "ope").rename(plain)
    assert [entry.name for entry in compare_trackers(plain, read_annotations(data)).trackers] == ["theirs"]


def test_names_are_escaped(data, put, tmp_path):
    nasty = "<img src=x onerror=alert(1)>&\"'"
    results = put(nasty, dict.fromkeys(NAMES, 3.0), settings={"command": "<script>alert(2)</script>"})
    put("other", dict.fromkeys(NAMES, 4.0))
    made = page(data, results, tmp_path / "out", frames=data)
    assert made.tags.count("script") == 1 and "x" not in made.addresses
    assert nasty in {row[0] for row in made.rows} and nasty in made.text
    assert "<script>alert(2)</script>" in made.text
    assert all("<" not in file.name and "/" not in file.name for file in (tmp_path / "out").iterdir())


def test_attributes_are_drawn_where_they_are_known(data, three, tmp_path):
    made = page(data, three, tmp_path / "plain")
    assert "By attribute" not in made.text and not (tmp_path / "plain" / "attributes.png").exists()
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"red": ["OCC", "LR"], "green": ["LR"], "blue": []}))
    annotations = read_annotations(data, labels)
    comparison = compare_trackers(three, annotations)
    out = tmp_path / "out"
    out.mkdir()
    write_report(out, comparison, annotations)
    made = Page((out / "report.html").read_text())
    rows = {row[0]: row[1:] for row in made.rows}
    assert rows["OCC, occlusion"][0] == "1" and rows["not OCC"][0] == "2"
    bad = next(entry for entry in comparison.trackers if entry.name == "bad").scores.by_attribute()["LR"]
    assert rows["LR, low resolution"] == ["2", *rows["LR, low resolution"][1:3], f"{bad[0]:.3f} / {bad[1]:.3f}"]
    assert (out / "attributes.png").exists()


def test_the_baseline_is_the_first_of_the_differences(data, three):
    comparison = compare_trackers(three, read_annotations(data), baseline="bad")
    assert comparison.baseline == "bad"
    assert (
        comparison.difference("bad", "good", "auc").mean == -comparison.difference("good", "bad", "auc").mean < 0
    )
    with pytest.raises(InputError, match="baseline 'nobody' was not judged; choose one of bad, fair, good"):
        compare_trackers(three, read_annotations(data), baseline="nobody")


def test_the_convention_for_invalid_frames_is_stated(data, three, tmp_path):
    made = page(data, three, tmp_path / "out", invalid="strict")
    assert "none in these targets (they would count as in pytracking (strict)" in made.text


def test_another_protocol_has_no_frames_to_show(data, put, tmp_path):
    results = put("alone", dict.fromkeys(NAMES, 2.0))
    with pytest.raises(InputError, match="holds no results of the protocol tre, but of ope"):
        compare_trackers(results, read_annotations(data), protocol="tre")


def command(*words: object) -> None:
    argv, sys.argv = sys.argv, ["occlusion-search", *map(str, words)]
    try:
        main()
    finally:
        sys.argv = argv


def test_the_command_writes_the_page_and_the_numbers(data, three, tmp_path, capsys, painted):
    out, file = tmp_path / "out", tmp_path / "r.json"
    command("benchmark", "report", "--results", three, "--annotations", data, "--out", out, "--json", file)
    content = json.loads(file.read_text())
    scores = {
        name: score_results(three / name / "ope", read_annotations(data)) for name in ("good", "fair", "bad")
    }
    assert content["targets"] == ["blue", "green", "red"] and content["baseline"] == "good"
    for name, own in scores.items():
        found = content["trackers"][name]
        assert (found["auc"], found["precision"], found["fps"]) == (own.auc, own.precision, own.fps)
        assert found["intervals"]["auc"] is None  # three targets are too few
        assert found["per_target"]["red"]["auc"] == own.subset(["red"]).auc
    assert content["trackers"]["fair"]["settings"]["command"] == "run fair"
    pairs = {(row["first"], row["second"]): row for row in content["paired_differences"]}
    assert len(pairs) == 6
    mean = paired_difference(scores["bad"], scores["good"], "precision").mean
    assert pairs["bad", "good"]["precision"] == {"difference": mean, "interval": None, "p_holm": None}
    assert content["command"].startswith("occlusion-search benchmark report --results")
    assert (out / "worst_03_bad.jpg").exists()  # a folder of annotations has the frames
    assert "3 targets in common" in capsys.readouterr().out


@pytest.mark.parametrize("browser", [True, False, webbrowser.Error("none")])
def test_the_command_opens_the_page_where_there_is_a_browser(data, three, tmp_path, capsys, monkeypatch, browser):
    opened = []

    def open_address(address: str) -> bool:
        opened.append(address)
        if isinstance(browser, Exception):
            raise browser
        return browser

    monkeypatch.setattr(webbrowser, "open", open_address)
    given = ["benchmark", "report", "--results", three, "--annotations", data, "--out", tmp_path / "out"]
    command(*given)
    assert opened == []
    command(*given, "--open")
    assert opened == [(tmp_path / "out" / "report.html").resolve().as_uri()]
    assert ("note: this machine has no browser for --open; the page is" in capsys.readouterr().err) is (
        browser is not True
    )


def test_the_command_writes_nothing_when_it_fails(data, three, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as error:
        command(
            *("benchmark", "report", "--results", three, "--annotations", data, "--out", out),
            *("--data", tmp_path / "nowhere"),
        )
    assert error.value.code == 2 and not out.exists()
    assert "Traceback" not in capsys.readouterr().err


def test_the_command_imports_neither_torch_nor_pyplot():
    code = "import sys, agents.cli; sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'jinja2')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_puts_the_scores_in_doubt_is_said(put, data, tmp_path, capsys):
    """Short files, unusable ones and another origin, on the page, in the JSON and in the terminal."""
    put("sharp", dict.fromkeys(NAMES, 0.0))
    results = put("short", dict.fromkeys(NAMES, 0.0))
    file = results / "short" / "ope" / "red.txt"
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:5]))
    (results / "short" / "ope" / "blue.txt").write_text("1,1,2\n")
    words = ("benchmark", "report", "--results", results, "--annotations", data, "--out", tmp_path / "report")
    command(*words, "--json", tmp_path / "all.json")
    error = capsys.readouterr().err
    assert "short: blue is left out: Line 1 of" in error and "red (5 of 12)" in error
    assert "sharp: " not in error
    page = Page((tmp_path / "report" / "report.html").read_text()).text
    assert "red (5 of 12)" in page and "blue is left out" in page
    short = json.loads((tmp_path / "all.json").read_text())["trackers"]["short"]
    assert short["short_files"] == {"red": {"boxes": 5, "frames": 12}} and list(short["left_out"]) == ["blue"]
    command(*words, "--zero-based")
    assert capsys.readouterr().err.count("leave --zero-based out") == 1, "said once for all trackers"
