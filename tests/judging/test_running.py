from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.cli import main
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.evaluation import Experiment, running
from tracker.evaluation.annotations import read_annotations
from tracker.evaluation.protocols import SRE_SHIFTS
from tracker.evaluation.result_files import read_boxes, read_times
from tracker.evaluation.running import RunReport, run_benchmark, run_tracker, weights_digest
from tracker.evaluation.scoring import score_results
from tracker.models.shipped import shipped_sint
from tracker.trackers.sint.tracker import SintTracker, TrackingSettings

MakeVideo = Callable[..., Sequence]
WriteOtb = Callable[[Path, Sequence], Path]


class Walker:
    """Moves one pixel to the right a frame, as the targets do; a script says what it does instead in a frame."""

    name = "walker"

    def __init__(self, script: dict[tuple[int, int], Any] | None = None) -> None:
        self.script = script or {}
        self.started = 0
        self.asked: list[int] = []

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        self.started += 1
        self.box = np.array(box, dtype=float)
        self.t = 0

    def update(self, image: np.ndarray) -> Any:
        self.t += 1
        self.asked.append(self.t)
        act = self.script.get((self.started, self.t))
        if isinstance(act, BaseException):
            raise act
        self.box = self.box + [1, 0, 0, 0]
        return self.box.copy() if act is None else act


@pytest.fixture
def videos(make_video: MakeVideo) -> list[Sequence]:
    return [make_video(frames=6, seed=seed) for seed in range(3)]


def run(tracker: Any, sequences: list[Any], out: Path, **options: Any) -> RunReport:
    return run_benchmark(lambda: tracker, sequences, out, progress=False, **options)


def files(folder: Path) -> dict[str, bytes]:
    """All results but the times, which differ from run to run, and the growing list of sequences."""
    passing = ("_time.txt", "data.json")
    found = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(passing))
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def test_one_pass(videos: list[Sequence], tmp_path: Path) -> None:
    report = run(Walker(), videos, tmp_path)
    folder = tmp_path / "walker" / "ope"
    assert report.folder == folder and (report.made, report.kept, report.failures) == (3, 0, {})
    for video in videos:
        first = (folder / f"{video.name}.txt").read_text().splitlines()[0]
        assert first == ",".join(f"{v:.4f}" for v in video.boxes[0] + [1, 1, 0, 0])
        assert (read_boxes(folder / f"{video.name}.txt") == video.boxes).all()
        seconds = read_times(folder / "times" / f"{video.name}_time.txt")
        assert seconds.shape == (6,) and (seconds >= 0).all()
    scores = score_results(folder, report.annotations)
    assert len(scores.targets) == 3 and scores.precision == 1 and scores.auc == pytest.approx(20 / 21)
    assert not (folder / "failures.json").exists()


def test_sre_and_tre(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video(frames=24)
    report = run(Walker(), [video], tmp_path, protocol="sre")
    folder = tmp_path / "walker" / "sre" / video.name
    assert report.made == 12 and {file.stem for file in folder.glob("*.txt")} == set(SRE_SHIFTS)
    assert {file.name for file in (folder / "times").iterdir()} == {f"{key}_time.txt" for key in SRE_SHIFTS}
    assert (read_boxes(folder / "right.txt")[0] - video.boxes[0])[0] > 0
    report = run(Walker(), [video], tmp_path, protocol="tre")
    folder = tmp_path / "walker" / "tre" / video.name
    assert report.made == 5
    for start in range(5):
        assert (read_boxes(folder / f"{start:02d}.txt") == video.boxes[start:]).all()
        assert len(read_times(folder / "times" / f"{start:02d}_time.txt")) == 24 - start


def test_what_is_there_is_not_made_again(videos: list[Sequence], tmp_path: Path) -> None:
    run(Walker(), videos[:2], tmp_path)
    before = files(tmp_path)
    tracker = Walker()
    report = run(tracker, videos, tmp_path)
    assert (report.made, report.kept, tracker.started) == (1, 2, 1)
    assert {name: files(tmp_path)[name] for name in before} == before
    assert set(report.annotations) == {video.name for video in videos}


def test_an_interrupt_loses_the_run_it_hits_alone(videos: list[Sequence], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Walker({(2, 3): KeyboardInterrupt()}), videos, tmp_path / "broken")
    there = {path for path in files(tmp_path / "broken") if path.endswith(".txt")}
    assert there == {f"walker/ope/{videos[0].name}.txt"}
    assert run(Walker(), videos, tmp_path / "broken").made == 2
    run(Walker(), videos, tmp_path / "whole")
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_boxes_come_last(videos: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "write_boxes", killed)
        with pytest.raises(KeyboardInterrupt):
            run(Walker(), videos[:1], tmp_path)
    assert (tmp_path / "walker" / "ope" / "times").is_dir()
    assert run(Walker(), videos[:1], tmp_path).made == 1


BAD_RETURNS = {
    "three": ([1, 2, 3], r"returned an array of shape \[3\] instead of four numbers x, y, w, h, in frame 4"),
    "nan": ([1, 2, 3, np.nan], "returned the box .* not finite, in frame 4"),
    "empty": ([1, 2, 0, 4], "returned the box .*, which has no area, in frame 4"),
    "none": (np.array(None), "four numbers"),
    "complex": (np.array([1, 2, 3, 4j]), "returned complex numbers, in frame 4"),
    "text": ("box", "a str that is not four numbers"),
    "crash": (RuntimeError("lost\nit"), "RuntimeError: lost it"),
    "input": (InputError("The frame is odd."), "^The frame is odd.$"),
    "silent": (ZeroDivisionError(), "^ZeroDivisionError$"),
}


@pytest.mark.parametrize("name", BAD_RETURNS)
def test_a_failure_costs_its_run_alone(videos: list[Sequence], tmp_path: Path, name: str) -> None:
    act, says = BAD_RETURNS[name]
    second = Walker()
    trackers = [Walker({(2, 4): act}), second]
    report = run_benchmark(lambda: trackers.pop(0), videos, tmp_path, progress=False)
    # The one that failed is not used again.
    assert not trackers and second.started == 1
    assert report.made == 2 and list(report.failures) == [videos[1].name]
    assert re.search(says, report.failures[videos[1].name])
    folder = tmp_path / "walker" / "ope"
    assert sorted(file.stem for file in folder.glob("*.txt")) == [videos[0].name, videos[2].name]
    kept = json.loads((folder / "failures.json").read_text())[videos[1].name]
    assert kept["error"] == report.failures[videos[1].name]
    assert ("traceback" in kept) == (name in ("crash", "silent"))
    assert run(Walker(), videos, tmp_path).failures == {}
    assert not (folder / "failures.json").exists()


def test_a_truncated_frame_costs_its_sequence_alone(
    videos: list[Sequence], tmp_path: Path, write_otb: WriteOtb
) -> None:
    for video in videos:
        write_otb(tmp_path / "data" / video.name, video)
    victim = tmp_path / "data" / videos[1].name / "img" / "0004.png"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:200])
    report = run(Walker(), [tmp_path / "data"], tmp_path / "out")
    assert report.made == 2 and list(report.failures) == [videos[1].name]
    assert "0004.png' cannot be read" in report.failures[videos[1].name]
    victim.write_bytes(whole)
    report = run(Walker(), [tmp_path / "data"], tmp_path / "out")
    assert (report.made, report.kept, report.failures) == (1, 2, {})


def test_a_sequence_that_cannot_be_opened_costs_itself_alone(
    videos: list[Sequence], tmp_path: Path, write_otb: WriteOtb
) -> None:
    for video in videos:
        write_otb(tmp_path / "data" / video.name, video)
    (tmp_path / "data" / videos[1].name / "groundtruth_rect.txt").write_text("1,1,5,5\n2,1,5,5\n")
    report = run(Walker(), [tmp_path / "data"], tmp_path / "out")
    assert report.made == 2 and "has 2 boxes but" in report.failures[videos[1].name]
    assert videos[1].name not in report.annotations


def test_a_target_of_which_the_first_box_alone_is_known(
    make_video: MakeVideo, write_otb: WriteOtb, tmp_path: Path
) -> None:
    """GOT-10k's test split: the tracker's boxes are written for its server, and nothing judges them."""
    folder = write_otb(tmp_path / "data" / "GOT-10k_Test_000001", make_video(frames=3))
    (folder / "groundtruth_rect.txt").rename(folder / "groundtruth.txt")
    (folder / "groundtruth.txt").write_text("22,17,16,12\n")
    report = run(Walker(), [tmp_path / "data"], tmp_path / "out")
    assert report.made == 1 and not report.failures and not report.annotations
    assert len((report.folder / "GOT-10k_Test_000001.txt").read_text().splitlines()) == 3
    report = run(Walker(), [tmp_path / "data"], tmp_path / "out", protocol="tre")
    assert "tre needs the others, run ope" in report.failures["GOT-10k_Test_000001"]
    with pytest.raises(InputError, match="Only the first box of 'GOT-10k_Test_000001' is known"):
        read_annotations(tmp_path / "data")


def test_both_targets_of_a_video(make_video: MakeVideo, write_otb: WriteOtb, tmp_path: Path) -> None:
    folder = write_otb(tmp_path / "data" / "Jogging", make_video(frames=4))
    (folder / "groundtruth_rect.txt").rename(folder / "groundtruth_rect.1.txt")
    (folder / "groundtruth_rect.2.txt").write_text("3,4,5,6\n" * 4)
    report = run(Walker(), [folder], tmp_path / "out")
    assert report.made == 2 and sorted(report.annotations) == ["Jogging-1", "Jogging-2"]
    assert read_boxes(report.folder / "Jogging-2.txt")[3].tolist() == [5, 3, 5, 6]
    report = run(Walker(), [tmp_path / "data"], tmp_path / "one", targets=["Jogging-2", "Deer"])
    assert [file.name for file in report.folder.glob("*.txt")] == ["Jogging-2.txt"]


def test_reading_frames_is_not_timed(videos: list[Sequence]) -> None:
    class Slow:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int, /) -> np.ndarray:
            time.sleep(0.05)
            return videos[0].frames[index]

        def name(self, index: int, /) -> str:
            return str(index)

        def size(self, index: int, /) -> tuple[int, int]:
            return videos[0].frames.size(index)

    class Thinking(Walker):
        def update(self, image: np.ndarray) -> Any:
            time.sleep(0.02)
            return super().update(image)

    _, seconds = run_tracker(Thinking(), Slow(), videos[0].boxes[0])
    assert seconds[0] < 0.02 <= seconds[1:].min() and np.median(seconds[1:]) < 0.05


def test_the_tracker_cannot_change_the_first_box(videos: list[Sequence]) -> None:
    class Greedy(Walker):
        def init(self, image: np.ndarray, box: np.ndarray) -> None:
            super().init(image, box)
            box[:] = 0

    boxes, _ = run_tracker(Greedy(), videos[0].frames, videos[0].boxes[2], start=2)
    assert boxes.shape == (4, 4) and (boxes[0] == videos[0].boxes[2]).all()


def test_settings_are_kept_and_bind(videos: list[Sequence], tmp_path: Path) -> None:
    run(Walker(), videos[:1], tmp_path, settings={"weights": {"sha256": "a"}}, command="first")
    settings = json.loads((tmp_path / "walker" / "ope" / "settings.json").read_text())
    assert settings["tracker"] == "walker" and settings["command"] == "first"
    assert {"threads", "versions", "machine", "device", "weights"} <= settings.keys()
    run(Walker(), videos[:1], tmp_path, settings={"weights": {"sha256": "a"}}, command="second")
    with pytest.raises(
        InputError, match=r"made with other settings \(weights.sha256 was .*a.* and is .*b.*\); give another --out"
    ):
        run(Walker(), videos, tmp_path, settings={"weights": {"sha256": "b"}})
    assert sorted(file.stem for file in (tmp_path / "walker" / "ope").glob("*.txt")) == [videos[0].name]


def test_the_trackers_configuration_is_part_of_the_identity(videos: list[Sequence], tmp_path: Path) -> None:
    """Two configurations of one tracker have one name; their boxes do not belong in one folder."""
    sint = shipped_sint()

    def tracker(**settings: Any) -> SintTracker:
        return SintTracker(sint, TrackingSettings(**settings), "sint-slim", "fp32")

    first = run(tracker(), videos[:1], tmp_path)
    settings = json.loads((first.folder / "settings.json").read_text())
    assert settings["configuration"]["precision"] == "float32" and settings["device"] == "cpu"
    assert settings["configuration"]["weights"].startswith("sha256:")
    with pytest.raises(InputError, match=r"\(configuration.settings.inertia was 0.6 and is 0.2\); give another"):
        run(tracker(inertia=0.2), videos[:1], tmp_path)
    with pytest.raises(InputError, match=r'precision was "float32" and is "bfloat16"'):
        run(SintTracker(sint, TrackingSettings(), "sint-slim", "bf16"), videos[:1], tmp_path)
    with torch.no_grad():
        next(sint.parameters()).add_(0.1)
    with pytest.raises(InputError, match="configuration.weights was"):
        run(tracker(), videos[:1], tmp_path)


def test_other_library_versions_are_a_warning(
    videos: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Walker(), videos[:1], tmp_path)
    other = {**running._machine(1), "versions": {"numpy": "1.2.3"}}
    monkeypatch.setattr(running, "_machine", lambda workers: other)
    assert run(Walker(), videos[:2], tmp_path).made == 1
    error = capsys.readouterr().err
    assert "warning: results in" in error and 'and is "1.2.3"' in error and "versions.numpy was" in error


def test_other_code_is_refused(videos: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(Walker(), videos[:1], tmp_path)
    monkeypatch.setattr(running, "code_version", lambda *_: "0.1.0 0123456789ab")
    with pytest.raises(InputError, match=r'code was "[^"]+" and is "0.1.0 0123456789ab"'):
        run(Walker(), videos[:1], tmp_path)


def test_other_frames_or_boxes_under_the_same_name_are_refused(
    videos: list[Sequence], make_video: MakeVideo, tmp_path: Path
) -> None:
    run(Walker(), videos[:2], tmp_path)
    boxes = videos[0].boxes.copy()
    boxes[3, 0] += 1
    with pytest.raises(InputError, match="results of 'noise-0' in .* other frames or boxes .*give another --out"):
        run(Walker(), [replace(videos[0], boxes=boxes)], tmp_path)
    with pytest.raises(InputError, match="other frames or boxes"):
        run(Walker(), [replace(make_video(frames=6, seed=7), name="noise-0")], tmp_path)
    assert run(Walker(), videos, tmp_path).kept == 2


def test_what_is_refused(videos: list[Sequence], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'vot' is no protocol; choose ope, tre, sre"):
        run(Walker(), videos, tmp_path, protocol="vot")
    with pytest.raises(InputError, match="no annotated target to run among the 1"):
        run(Walker(), videos, tmp_path, targets=["Deer"])
    with pytest.raises(InputError, match="two sequences with the target 'noise-0'"):
        run(Walker(), [videos[0], videos[0]], tmp_path)
    with pytest.raises(InputError, match="folder '.*none' does not exist"):
        run(Walker(), [tmp_path / "none"], tmp_path)
    for name in ("", "a/b", "..", ".hidden"):
        tracker = Walker()
        tracker.name = name
        with pytest.raises(InputError, match="cannot name a folder"):
            run(tracker, videos, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run(Walker(), videos, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_weights_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ab")
    (tmp_path / "b").write_bytes(b"c")
    assert weights_digest(tmp_path / "a").startswith("fb8e20fc2e4c3f24")
    assert weights_digest(tmp_path).startswith("ba7816bf8f01cfea")
    with pytest.raises(InputError, match="none' do not exist"):
        weights_digest(tmp_path / "none")


OWN = """
class Walker:
    name = "walker"
    crash_at = None

    def init(self, image, box):
        self.box, self.width, self.t = box, image.shape[1], 0

    def update(self, image):
        self.t += 1
        if (image.shape[1], self.t) == self.crash_at:
            raise RuntimeError("boom")
        self.box = self.box + [1, 0, 0, 0]
        return self.box


class Crashing(Walker):
    name = "crashing"
    crash_at = (70, 2)
"""


@pytest.fixture
def command(
    tmp_path: Path,
    make_video: MakeVideo,
    write_otb: WriteOtb,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Run `benchmark run` on two sequences in the current folder; returns the exit code and what was printed."""
    write_otb(tmp_path / "data" / "Deer", make_video(frames=5))
    write_otb(tmp_path / "data" / "Mine", make_video(frames=5, width=70, seed=1))
    (tmp_path / "own_trackers_of_test_running.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("own_trackers_of_test_running", None)  # of an earlier test, whose folder is gone

    def call(*arguments: str) -> tuple[int, str, str]:
        given = [word.replace("own:", "own_trackers_of_test_running:") for word in arguments]
        line = ["occlusion-search", "benchmark", "run", "--data", "data", "--out", "out", *given]
        monkeypatch.setattr(sys, "argv", line)
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code or 0, printed.out, printed.err

    return call


def test_the_command_runs_scores_and_reports(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = command("--tracker", "own:Walker", "own:Crashing", "--json", "scores.json")
    assert code == 1
    assert "crashing failed on Mine: RuntimeError: boom" in err
    walker = next(line for line in out.splitlines() if "walker" in line)
    assert "0.952" in walker and "1.000" in walker and "2" in walker
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["trackers"]["walker"]["auc"] == pytest.approx(20 / 21)
    assert content["trackers"]["walker"]["targets"] == 2 and content["trackers"]["walker"]["failures"] == {}
    assert content["trackers"]["crashing"]["targets"] == 1
    assert content["trackers"]["crashing"]["failures"] == {"Mine": "RuntimeError: boom"}
    code, out, _ = command("--tracker", "own:Walker")
    assert code == 0 and "0.952" in out


def test_the_command_takes_lists_and_names(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, _, err = command("--tracker", "own:Walker", "--list", "tb50")
    assert code == 0 and "1 of the 50 targets of tb50 are there" in err
    assert [file.name for file in (tmp_path / "out" / "walker" / "ope").glob("*.txt")] == ["Deer.txt"]
    assert command("--tracker", "own:Walker", "--only", "Mine")[0] == 0
    assert (tmp_path / "out" / "walker" / "ope" / "Mine.txt").is_file()


def test_all_sequences_failed(command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command("--tracker", "own:Crashing", "--only", "Mine")
    assert code == 1 and "-" in next(line for line in out.splitlines() if "crashing" in line)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tracker", "camshift"], "'camshift' is no tracker"),
        (["--tracker", "own:Walker", "own:Walker"], "is named twice"),
        (["--tracker", "mil", "nano", "--weights", "w"], "'--weights w' does not say whose; write NAME=FILE"),
        (["--tracker", "nano", "--weights", "a", "nano=b"], "two weights for 'nano'"),
        (["--tracker", "mil", "siamfc", "--weights", "siamfc=none"], "'none' does not exist"),
        (
            ["--tracker", "own:Walker", "--only", "Coke"],
            "no sequence 'Coke' in the data; there are Deer, Mine",
        ),
        (["--tracker", "own:Walker", "--list", "vot2014"], "None of the 2 targets in the data was asked for"),
        (["--tracker", "own:Walker", "--json", "none/x.json"], "cannot be written"),
        (["--tracker", "own:Walker", "--data", "none"], "'none' does not exist"),
    ],
)
def test_the_command_refuses(
    command: Callable[..., tuple[int, str, str]], arguments: list[str], says: str, tmp_path: Path
) -> None:
    code, _, err = command(*arguments)
    assert code == 2 and says in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_an_experiment_runs_and_reports(make_video: MakeVideo, write_otb: WriteOtb, tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        write_otb(tmp_path / "data" / name, make_video(frames=6, seed=seed))
    experiment = Experiment(tmp_path / "data", out=tmp_path / "out", targets=["a", "b"])
    assert experiment.run(Walker(), progress=False).runs["walker"].made == 2
    lost = Walker({(start, 2): [0.0, 0.0, 2.0, 2.0] for start in (1, 2)})
    lost.name = "lost"
    assert experiment.run(lambda: lost, progress=False).runs["lost"].made == 2
    comparison = experiment.run(Walker(), progress=False).report()
    assert experiment.runs["walker"].kept == 2
    assert [tracker.name for tracker in comparison.trackers] == ["walker", "lost"]
    assert comparison.targets == ("a", "b") and comparison.difference("walker", "lost", "auc").mean > 0
    assert "walker" in (tmp_path / "out" / "report" / "report.html").read_text()
    assert experiment.report(baseline="lost").baseline == "lost"


def test_an_experiment_reads_the_layout_that_it_is_given(
    make_video: MakeVideo, write_otb: WriteOtb, tmp_path: Path
) -> None:
    write_otb(tmp_path / "data" / "a", make_video(frames=6))
    given = Experiment(tmp_path / "data", "otb", tmp_path / "out").run(Walker(), progress=False)
    assert given.runs["walker"].made == 1 and given.report().targets == ("a",)
    with pytest.raises(InputError, match="'otc' is unknown; known are"):
        Experiment(tmp_path / "data", "otc", tmp_path / "other").run(Walker(), progress=False)
    with pytest.raises(InputError, match="'otc' is unknown; known are"):
        Experiment(tmp_path / "data", "otc", tmp_path / "out").report()
    assert not (tmp_path / "other").exists()


def test_several_processes_write_what_one_writes(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Failures, an interrupted run and both protocols of a target among them."""
    results = {}
    for workers in ("1", "2"):
        for arguments in (["ope", "--only", "Deer"], ["ope"], ["sre"]):
            words = ["--tracker", "own:Walker", "own:Crashing", "--workers", workers, "--protocol"]
            code, _, err = command(*words, *arguments)
            assert code == (arguments != ["ope", "--only", "Deer"]) and "crashing failed on Deer" not in err
        (tmp_path / "out").rename(tmp_path / f"out{workers}")
        results[workers] = files(tmp_path / f"out{workers}")
    failures = [
        {label: json.loads(each.pop(f"crashing/{protocol}/failures.json"))}
        for each in results.values()
        for label, protocol in (("ope", "ope"), ("sre", "sre"))
    ]
    assert [set(each["ope"]) for each in failures if "ope" in each] == [{"Mine"}] * 2
    told = [{key: row["error"] for key, row in each["sre"].items()} for each in failures if "sre" in each]
    assert told[0] == told[1] == {f"Mine/{key}": "RuntimeError: boom" for key in SRE_SHIFTS}
    settings = {
        workers: {name: json.loads(found.pop(name)) for name in sorted(found) if name.endswith("settings.json")}
        for workers, found in results.items()
    }
    for name, one in settings["1"].items():
        two = settings["2"][name]
        assert (one.pop("workers"), two.pop("workers")) == (1, 2)
        for each in (one, two):
            del each["threads"], each["command"]
        assert one == two
    assert results["1"] == results["2"] and len(results["1"]) == 2 + 1 + 24 + 12


def test_processes_refuse_what_cannot_be_sent(videos: list[Sequence], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'walker' cannot be sent to other processes .* or one process"):
        run_benchmark(lambda: Walker(), videos, tmp_path / "out", workers=2, progress=False)
    with pytest.raises(InputError, match="--workers is 0; it must lie between 1 and 1000"):
        run(Walker(), videos, tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
