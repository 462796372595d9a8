"""Runs, records and scores of the stress test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from agents import StressSettings, StressTest, score_stress
from agents.stress.corruptions.moments import Moment
from agents.stress.corruptions.scene import lookalike_box
from agents.stress.corruptions.settings import CONDITIONS, COVER_CURVE, LEAD, QUICK, SPAN
from agents.stress.measures import FARTHEST, RunScores, score_run
from agents.stress.pictures import _panel
from agents.stress.report import list_warnings
from agents.stress.scores import MomentScores, StressScores, TrackerStress
from tracker.data.boxes import iou
from tracker.data.readers import read_sequence
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.evaluation import run_tracker
from tracker.trackers.registry import load_tracker

Boxes = NDArray[np.float64]


class Knowing:
    """Knows the boxes of all videos; recognises a video and a frame by the box of `init`."""

    def __init__(self, videos: list[Sequence], name: str = "knowing") -> None:
        self.name, self.videos = name, videos

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        for video in self.videos:
            for t in np.flatnonzero((video.boxes == box).all(axis=1)):
                if np.array_equal(image, video.frames[int(t)]):
                    self.boxes, self.t = video.boxes, int(t)

    def update(self, image: NDArray[np.uint8]) -> Boxes:
        self.t += 1
        return self.boxes[self.t].copy()


class Brightness(Knowing):
    """Is thrown off by whatever differs from the frame that it knows: shifted by half as many pixels as change."""

    def update(self, image: NDArray[np.uint8]) -> Boxes:
        box = super().update(image)
        video = next(video for video in self.videos if video.boxes is self.boxes)
        return box + [0.01 * float((image != video.frames[self.t]).any(axis=2).sum()), 0, 0, 0]


class Faulty(Knowing):
    """Fails at the seventh update of the runs whose number is given; the others are true."""

    def __init__(self, videos: list[Sequence], run: int, fault: Callable[[], Boxes]) -> None:
        super().__init__(videos, "faulty")
        self.run, self.fault, self.runs = run, fault, -1

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        super().init(image, box)
        self.runs, self.updates = self.runs + 1, 0

    def update(self, image: NDArray[np.uint8]) -> Boxes:
        self.updates += 1
        box = super().update(image)
        return self.fault() if self.runs == self.run and self.updates == 7 else box


@pytest.fixture(scope="module")
def videos(video: Sequence, other_video: Sequence) -> list[Sequence]:
    """The videos of the benchmark."""
    return [video, other_video]


def quick(benchmark: Path, out: Path) -> StressTest:
    """A quick test of a benchmark."""
    return StressTest(benchmark, out, StressSettings.quick())


def scored(test: StressTest) -> StressScores:
    """The scores of a test, without its page."""
    return score_stress(test.out, test.targets)


class Staying:
    """Never moves from its first box."""

    name = "staying"

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        self.box = np.array(box, dtype=np.float64)

    def update(self, image: NDArray[np.uint8]) -> Boxes:
        return self.box.copy()


class TestMetamorphic:
    def test_a_tracker_that_knows_the_truth_scores_1(
        self, benchmark: Path, videos: list[Sequence], tmp_path: Path
    ) -> None:
        scores = scored(StressTest(benchmark, tmp_path / "out").run(Knowing(videos), progress=False))
        knowing = scores.trackers["knowing"]
        assert len(knowing.moments) == 4 and knowing.held == 1 and not knowing.failures
        assert set(knowing.moments[0].runs) == set(CONDITIONS) - {"hardest-own"}
        assert "no confidence" in knowing.left_out["hardest-own"]
        for name in ("occ_auc", "kept_auc", "recovery"):
            assert knowing.mean(name) == (1.0, None, None, 2)
        for each in knowing.moments:
            for run in each.runs.values():
                assert (run.endurance, run.uncovered, run.kept, run.recovered) == (1, 1, 1, 1)
                assert (run.recovered_change, run.drift, run.drift_change) == (0, 0, 0)
                assert run.distracted in (None, 0) and (run.overlap == 1).all()
        assert knowing.to_json()["curve"] == {"0": 1, "0.25": 1, "0.5": 1, "0.75": 1, "1": 1}
        sensitivity = scores.sensitivity("knowing")
        assert (sensitivity[np.isfinite(sensitivity)] == 0).all() and np.isfinite(sensitivity).mean() > 0.9

    def test_a_tracker_that_stays_scores_what_geometry_says(
        self, benchmark: Path, videos: list[Sequence], tmp_path: Path
    ) -> None:
        scores = scored(quick(benchmark, tmp_path / "out").run(Staying(), progress=False))
        still = scores.trackers["staying"]
        assert still.held == 1
        for each in still.moments:
            truth = each.moment.truth
            overlap = iou(truth[0], truth)
            for name, run in each.runs.items():
                frames = CONDITIONS[name].frames
                assert np.allclose(run.overlap, overlap[: CONDITIONS[name].length])
                assert run.endurance == pytest.approx(overlap[LEAD : LEAD + frames].mean())
                assert run.frozen == pytest.approx(run.endurance)
                assert run.kept == 1 and run.recovered_change == run.drift_change == 0
                centres = truth[:, :2] + truth[:, 2:] / 2
                gone = np.hypot(*(centres[LEAD + frames - 1] - centres[0])) / np.sqrt(24 * 20)
                assert run.drift == pytest.approx(gone)

    def test_swapped_trackers_have_swapped_scores(
        self, benchmark: Path, videos: list[Sequence], tmp_path: Path
    ) -> None:
        found = []
        for number, (first, second) in enumerate((("a", "b"), ("b", "a"))):
            test = quick(benchmark, tmp_path / str(number))
            test.run(Knowing(videos, first), progress=False).run(Brightness(videos, second), progress=False)
            found.append(scored(test))
        one, other = ({n: s for n, s in scores.to_json()["trackers"].items()} for scores in found)
        for each in (*one.values(), *other.values()):
            del each["frames_per_second"], each["own_share"]
        assert one["a"] == other["b"] and one["b"] == other["a"] and one["a"] != one["b"]
        assert one["b"]["occ_auc"] < one["a"]["occ_auc"]
        assert list(found[0].trackers)[0] == "a" and list(found[1].trackers)[0] == "b"
        contrast = {(c.first, c.second, c.measure): c.difference.mean for c in found[0].contrasts}
        swapped = {(c.first, c.second, c.measure): c.difference.mean for c in found[1].contrasts}
        assert contrast["a", "b", "occ_auc"] == swapped["b", "a", "occ_auc"] > 0

    def test_a_tracker_that_covers_harm_loses_overlap_where_they_lie(
        self, benchmark: Path, videos: list[Sequence], tmp_path: Path
    ) -> None:
        scores = scored(quick(benchmark, tmp_path / "out").run(Brightness(videos), progress=False))
        each = scores.trackers["knowing"].moments[0]
        endurance = [each.runs[name].endurance for name in COVER_CURVE.values()]
        assert all(np.diff(endurance) < 0) and each.runs["reference"].endurance == 1
        assert each.runs["base"].recovered == 1
        sensitivity = scores.sensitivity("knowing", each.moment.sequence)
        share = {"left": sensitivity[:, :4], "right": sensitivity[:, -4:], "top": sensitivity[:4],
                 "bottom": sensitivity[-4:]}  # fmt: skip
        # The side where covers enter is under the smallest one too, which costs least.
        assert np.nanmean(share[each.moment.side]) < np.nanmax(sensitivity)


def test_the_reference_is_an_ordinary_run(benchmark: Path, tmp_path: Path) -> None:
    class Drifting(Staying):
        """Moves by the mean of each image."""

        name = "drifting"

        def update(self, image: NDArray[np.uint8]) -> Boxes:
            self.box = self.box + [image[::7].mean() / 200, 0, 0, 0]
            return self.box

    StressTest(benchmark, tmp_path, StressSettings.quick(), ["one"]).run(Drifting(), progress=False)
    record = json.loads((tmp_path / "drifting" / "boxes" / "one.json").read_text())["moments"][0]
    video = read_sequence(benchmark / "one").subset(range(record["frame"] - LEAD + SPAN))
    start = record["frame"] - LEAD
    boxes, _ = run_tracker(Drifting(), video.frames, video.boxes[start], start)
    assert np.allclose(record["runs"]["reference"]["boxes"], boxes, atol=5e-4)
    assert record["runs"]["base"]["boxes"][LEAD:] != record["runs"]["reference"]["boxes"][LEAD:25]
    # All conditions are the same until the moment.
    for run in record["runs"].values():
        assert run["boxes"][:LEAD] == record["runs"]["reference"]["boxes"][:LEAD]


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (lambda: 1 / 0, "ZeroDivisionError"),
            (lambda: np.array([1, 2, np.nan, 4.0]), "not finite"),
            (lambda: np.array([1, 2, 0, 4.0]), "no area"),
            (lambda: None, "None instead of four numbers"),
        ],
    )
    def test_a_failure_is_a_loss_until_the_end_of_the_run(
        self, benchmark: Path, videos: list[Sequence], tmp_path: Path, fault: Callable[[], Boxes], words: str
    ) -> None:
        runs = iter([-1, 2])

        def make() -> Faulty:
            return Faulty(videos, next(runs, -1), fault)

        # One tracker is made for its identity, one for each sequence and after each failure.
        scores = scored(quick(benchmark, tmp_path / "out").run(make, progress=False))
        faulty = scores.trackers["faulty"]
        assert list(faulty.failures) == ["one/0/cover-25"]
        assert words in faulty.failures["one/0/cover-25"] and "frame 7" in faulty.failures["one/0/cover-25"]
        run = faulty.moments[0].runs["cover-25"]
        assert (run.overlap[:7] == 1).all() and (run.overlap[7:] == 0).all()
        assert (run.endurance, run.recovered, run.drift) == (pytest.approx(0.2), 0, FARTHEST)
        assert all(other.endurance == 1 for name, other in faulty.moments[0].runs.items() if name != "cover-25")

    def test_a_box_outside_the_frame_is_no_failure(
        self, benchmark: Path, videos: list[Sequence], tmp_path: Path
    ) -> None:
        runs = iter([-1, 2])

        def make() -> Faulty:
            return Faulty(videos, next(runs, -1), lambda: np.array([-500.0, 10, 24, 20]))

        scores = scored(quick(benchmark, tmp_path / "out").run(make, progress=False))
        run = scores.trackers["faulty"].moments[0].runs["cover-25"]
        assert run.failure is None and run.overlap[7] == 0 and run.overlap[8] == 1

    def test_a_failing_init_is_a_loss(self, benchmark: Path, tmp_path: Path) -> None:
        class Refusing(Staying):
            name = "refusing"

            def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
                raise InputError("Too small.")

        scores = scored(quick(benchmark, tmp_path / "out").run(Refusing, progress=False))
        refusing = scores.trackers["refusing"]
        assert refusing.held == 0 and refusing.occ_auc.mean == 0 and len(refusing.failures) == 2 * len(QUICK)
        content = refusing.to_json()
        assert content["kept_auc"] is None and content["distraction"] is None and content["recovery"] == 0

    def test_a_box_of_a_billion_pixels_is_drawn_at_once(self) -> None:
        frame, truth = np.zeros((95, 60, 3), np.uint8), np.array([10.0, 10, 20, 20])
        drawn = _panel(frame, truth, np.array([-1e9, 20, 2e9, 2e9]))
        assert drawn.size == (95, 150)
        assert drawn.getpixel((50, 31)) == (255, 61, 0)  # its upper side
        assert drawn.getpixel((50, 120)) == (0, 0, 0)

    def test_a_page_of_trackers_that_held_nothing_says_so(self, benchmark: Path, tmp_path: Path) -> None:
        class Silent(Staying):
            name = "silent"

            def update(self, image: NDArray[np.uint8]) -> Boxes:
                return None  # type: ignore[return-value]

        scores = quick(benchmark, tmp_path).run(Silent, progress=False).report()
        page = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert "No tracker had its target just before any moment" in page
        assert "The worst moments" not in page and "What hurts whom" not in page
        runs = 2 * len(QUICK)
        (sentence,) = list_warnings(scores)
        assert sentence.startswith(f"silent failed in {runs} of {runs} runs, first in one/0/reference: ")
        assert "in brackets" not in page and "hardest" not in page

    def test_an_unreadable_frame_leaves_the_sequence_out(
        self, tmp_path: Path, videos: list[Sequence], write_otb: Callable[[Path, Sequence], Path]
    ) -> None:
        for video in videos:
            write_otb(tmp_path / "data" / video.name, video)
        (tmp_path / "data" / "one" / "img" / "0031.png").write_bytes(b"no image")
        test = quick(tmp_path / "data", tmp_path / "out").run(Knowing(videos), progress=False)
        scores = scored(test)
        assert list(scores.moments) == ["two"] and "0031.png" in scores.left_out["one"]

    def test_short_sequences_are_named(
        self, tmp_path: Path, make_moving: Callable[..., Sequence], write_otb: Callable[[Path, Sequence], Path]
    ) -> None:
        write_otb(tmp_path / "data" / "short", make_moving("short", 1, frames=20))
        with pytest.raises(InputError, match="'short' shows its target in no 45 frames in a row"):
            quick(tmp_path / "data", tmp_path / "out").run(Staying, progress=False)


OWN = """
import os, signal
import numpy as np
class Tracker:
    name = "own"
    updates = 0
    def init(self, image, box):
        self.box = np.array(box, float)
    def update(self, image):
        Tracker.updates += 1
        if Tracker.updates == int(os.environ.get("DIE_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        self.box = self.box + [image[::7].mean() / 200, 0, 0, 0]
        return self.box
"""


def contents(out: Path) -> dict[str, bytes]:
    """The files that do not hold times."""
    files = [*out.glob("*/boxes/*.json"), out / "moments.json"]
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(files)}


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_resumed_and_parallel_runs_write_the_same_bytes(
    benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_stress.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    make = [sys.executable, "-m", "agents.cli", "stress", "--tracker", "own_stress:Tracker", "--quick"]
    root = str(Path(__file__).parents[2])
    paths = {**os.environ, "PYTHONPATH": root}
    command = [*make, "--data", str(benchmark), "--out", "killed"]
    killed = subprocess.run(command, env={**paths, "DIE_AT": "300"}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(contents(Path("killed"))) == ["moments.json", "own/boxes/one.json"]
    before = (Path("killed") / "own/boxes/one.json").stat().st_mtime_ns

    maker = partial(load_tracker, "own_stress:Tracker")
    identity = {"weights": None, "base_weights": None}
    quick(benchmark, Path("killed")).run(maker, identity, progress=False)
    quick(benchmark, Path("whole")).run(maker, identity, progress=False)
    quick(benchmark, Path("parallel")).run(maker, identity, workers=2, progress=False)
    assert (Path("killed") / "own/boxes/one.json").stat().st_mtime_ns == before
    assert contents(Path("killed")) == contents(Path("whole")) == contents(Path("parallel"))
    assert len(contents(Path("whole"))) == 3


class TestFolder:
    def test_other_settings_are_refused(self, benchmark: Path, tmp_path: Path, videos: list[Sequence]) -> None:
        quick(benchmark, tmp_path).run(Knowing(videos), progress=False)
        with pytest.raises(
            InputError, match=r"holds results of other settings \(\w+: \d+ there, \d+ here\); give another --out"
        ):
            StressTest(benchmark, tmp_path, StressSettings.quick(seed=1)).run(Knowing(videos), progress=False)
        with pytest.raises(InputError, match=r"weights was not set and is .*give another --out"):
            quick(benchmark, tmp_path).run(Knowing(videos), {"weights": "b"}, progress=False)

    def test_other_frames_are_refused(
        self, tmp_path: Path, videos: list[Sequence], write_otb: Callable[[Path, Sequence], Path]
    ) -> None:
        for video in videos:
            write_otb(tmp_path / "data" / video.name, video)
        quick(tmp_path / "data", tmp_path / "out").run(Knowing(videos), progress=False)
        frame = tmp_path / "data" / "one" / "img" / "0040.png"
        frame.write_bytes((frame.parent / "0002.png").read_bytes())
        with pytest.raises(InputError, match="'one' in .* are of other frames or boxes"):
            quick(tmp_path / "data", tmp_path / "out").run(Knowing(videos), progress=False)

    def test_only_some_sequences_then_all(self, benchmark: Path, tmp_path: Path, videos: list[Sequence]) -> None:
        settings = StressSettings.quick()
        StressTest(benchmark, tmp_path, settings, ["two"]).run(Knowing(videos), progress=False)
        first = contents(tmp_path)
        scores = scored(quick(benchmark, tmp_path).run(Brightness(videos, "other"), progress=False))
        assert first["knowing/boxes/two.json"] == contents(tmp_path)["knowing/boxes/two.json"]
        assert scores.unfinished == {"knowing": ("one",)} and set(scores.trackers) == {"other"}
        assert set(score_stress(tmp_path, ["two"]).trackers) == {"knowing", "other"}

    def test_a_part_of_the_data(self, benchmark: Path, tmp_path: Path, videos: list[Sequence]) -> None:
        quick(benchmark, tmp_path).run(Knowing(videos), progress=False)
        part = quick(benchmark / "one", tmp_path).run(Staying, progress=False)
        scores = part.report()
        assert list(scores.moments) == ["one"] and set(scores.trackers) == {"knowing", "staying"}
        settings = StressSettings(1, (*QUICK, "cutout"))
        StressTest(benchmark, tmp_path / "cut", settings).run(Staying, progress=False)
        with pytest.raises(InputError, match=r"need the sequence 'two', which '.*one' does not hold"):
            StressTest(benchmark / "one", tmp_path / "cut", settings).run(Knowing(videos), progress=False)

    def test_damaged_records_are_made_again(self, benchmark: Path, tmp_path: Path, videos: list[Sequence]) -> None:
        test = quick(benchmark, tmp_path).run(Knowing(videos), progress=False)
        before = contents(tmp_path)
        (tmp_path / "knowing" / "boxes" / "one.json").write_text("{")
        with pytest.warns(UserWarning, match="damaged"):
            test.run(Knowing(videos), progress=False)
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("name", ["a/b", ".hidden", "", "moments.json", "index.html", "card.png"])
    def test_names_that_cannot_be_used(self, benchmark: Path, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match="name"):
            quick(benchmark, tmp_path).run(Knowing([], name), progress=False)

    def test_a_tracker_that_cannot_be_sent_to_another_process(self, benchmark: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be sent to other processes"):
            quick(benchmark, tmp_path).run(lambda: Knowing([]), workers=2, progress=False)

    def test_an_empty_folder_has_no_scores(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no stress test"):
            score_stress(tmp_path)


class TestMeasures:
    @pytest.fixture
    def moment(self) -> Moment:
        """A target that moves by 2 pixels a frame."""
        boxes = tuple((100.0 + 2 * t, 50.0, 40.0, 40.0) for t in range(SPAN))
        return replace(made_moment("made"), boxes=boxes, lookalike="right")

    def test_kept_and_recovery_are_less_the_reference(self, moment: Moment) -> None:
        condition = CONDITIONS["base"]
        reference = moment.truth
        reference[LEAD:, 0] += 40 / 3  # IoU .5 with the target
        boxes = moment.truth[: condition.length]
        boxes[LEAD : LEAD + 10, 0] += 40 * 0.6  # IoU .25
        run = score_run(moment, condition, boxes, reference)
        assert (run.endurance, run.uncovered, run.kept) == pytest.approx((0.25, 0.5, 0.75))
        assert (run.recovered, run.recovered_change) == (1, 1)  # .5 is not above .5
        assert (run.drift, run.drift_change) == pytest.approx((0.6, 0.6 - 1 / 3))

    def test_a_box_of_infinite_area_overlaps_nothing(self, moment: Moment) -> None:
        condition = CONDITIONS["base"]
        boxes = np.tile([0.0, 0.0, 1e300, 1e300], (condition.length, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run = score_run(moment, condition, boxes, moment.truth)
        assert (run.endurance, run.recovered, run.drift) == (0, 0, FARTHEST)

    def test_distraction(self, moment: Moment) -> None:
        condition, last = CONDITIONS["look-alike"], LEAD + 9
        boxes = moment.truth[: condition.length]
        assert score_run(moment, condition, boxes, moment.truth).distracted == 0
        boxes[last] = lookalike_box(moment, last)
        assert score_run(moment, condition, boxes, moment.truth).distracted == 1
        reference = moment.truth
        reference[last] = boxes[last]
        assert score_run(moment, condition, boxes, reference).distracted == 0
        assert score_run(moment, condition, moment.truth[: condition.length], reference).distracted == -1
        far = lookalike_box(moment, last) + [20, 0, 0, 0]  # IoU .33 with the look-alike
        boxes[last] = far
        assert score_run(moment, condition, boxes, moment.truth).distracted == 1
        boxes[last] = far + [4, 0, 0, 0]  # .25
        assert score_run(moment, condition, boxes, moment.truth).distracted == 0

    def test_occ_auc_is_the_area_by_trapezoids(self, moment: Moment) -> None:
        runs = made_runs(moment, {0.0: 0.8, 0.25: 0.7, 0.5: 0.6, 0.75: 0.3, 1.0: 0.1})
        scored = MomentScores(moment, True, runs)
        assert scored.value("occ_auc") == pytest.approx((0.4 + 0.7 + 0.6 + 0.3 + 0.05) / 4)
        assert scored.value("kept_auc") == pytest.approx((0.5 + 0.9 + 0.8 + 0.5 + 0.15) / 4)


def made_moment(sequence: str) -> Moment:
    """A moment of a target that stands still."""
    boxes, region = ((0.0, 0.0, 9.0, 9.0),) * SPAN, (0.0, 0.0, 1.0, 0.75)
    return Moment(sequence, 0, 20, 0, boxes, "left", None, region, None, None, "left", 0.0)


def made_runs(moment: Moment, endurance: dict[float, float]) -> dict[str, RunScores]:
    """Runs with these endurances."""
    clean = endurance[0.0]
    return {
        name: RunScores(name, np.empty(0), value, clean, value, 1 + value - clean, 1, 0, 0, 0, None)
        for share, name in (*COVER_CURVE.items(), (1.0, "all-30"))
        for value in [endurance[share]]
    }


def test_intervals_cover_the_mean_over_sequences_and_moments() -> None:
    """Sequences and moments are both random; an interval over moments alone would be too narrow."""
    rng = np.random.default_rng(0)
    template = made_moment("")
    covered, naive, trials = 0, 0, 400
    for _ in range(trials):
        moments = []
        for number in range(15):
            mean = 0.5 + 0.15 * rng.normal()
            for index in range(2):
                value = mean + 0.1 * rng.normal()
                runs = made_runs(template, dict.fromkeys((0.0, *COVER_CURVE), value))
                held = bool(rng.random() < 0.9)  # `occ_auc` is over the others too
                moments.append(MomentScores(replace(template, sequence=f"{number}", number=index), held, runs))
        tracker = TrackerStress("made", tuple(moments), {}, {}, None, None)
        found = tracker.occ_auc
        assert found.bounds is not None
        covered += found.bounds[0] <= 0.5 <= found.bounds[1]
        values = np.array([each.value("occ_auc") for each in moments])
        naive += abs(values.mean() - 0.5) <= 2.05 * values.std(ddof=1) / np.sqrt(len(values))
    assert 0.93 <= covered / trials <= 0.97
    assert naive / trials < 0.9


def test_levels_are_over_all_moments_and_changes_over_the_held_ones() -> None:
    def tracker(name: str, values: list[float], held: list[bool]) -> TrackerStress:
        moments = tuple(
            MomentScores(
                replace(made_moment("s"), number=number),
                each,
                made_runs(made_moment("s"), {0.0: 1.0} | dict.fromkeys(COVER_CURVE, value)),
            )
            for number, (value, each) in enumerate(zip(values, held, strict=True))
        )
        return TrackerStress(name, moments, {}, {}, None, None)

    first = tracker("a", [0.8, 0.2, 0.4], [True, True, False])
    second = tracker("b", [0.4, 0.6, 0.1], [True, False, True])
    for each, endurance, kept in ((first, 1.4 / 3, 0.5), (second, 1.1 / 3, 0.25)):
        assert each.held == pytest.approx(2 / 3)
        assert each.mean("endurance", "base") == (pytest.approx(endurance), None, None, 1)
        assert each.mean("kept", "base") == (pytest.approx(kept), None, None, 1)
    scores = StressScores(StressSettings.quick(), {}, {}, {"a": first, "b": second}, {})
    (contrast,) = (each for each in scores.contrasts if each.measure == "occ_auc")
    # A quarter of the cover curve leads from 1 to the first value by a trapezoid, and counts it by a half.
    assert contrast.difference.mean == pytest.approx(0.1 * 0.875) and contrast.p is None


def test_the_command(
    benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agents.cli import run_command

    (tmp_path / "own_command.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    given = ["--data", str(benchmark), "--out", "out", "--quick", "--only", "one", "--json", "stress.json"]
    run_command(["stress", "--tracker", "own_command:Tracker", *given])
    printed = capsys.readouterr().out
    assert "own" in printed and "OccAUC" in printed
    page = Path("out/index.html").read_text(encoding="utf-8")
    assert "Where is own blind?" in page and "a verdict needs at least 8" in page and "data:image/gif" in page
    with Image.open("out/card.png") as card:
        assert card.size == (1200, 630)
    content = json.loads(Path("stress.json").read_text())
    assert content["format"] == "stress/1" and content["protocol_version"] == 1
    assert content["sequences"] == ["one"] and set(content["trackers"]) == {"own"}
    own = content["trackers"]["own"]
    assert {"occ_auc", "interval", "recovery", "curve", "held", "conditions", "distraction", "placement_gap",
            "failures", "frames_per_second", "own_share"} <= set(own)  # fmt: skip
    assert set(own["conditions"]) == set(QUICK) and 0 <= own["occ_auc"] <= 1
    for words, sentence in (
        (["--tracker", "mil", "mil"], "named twice"),
        (["--tracker", "mil", "--workers", "0"], "--workers is 0"),
        (["--tracker", "mil", "--only", "three"], "no sequence 'three'"),
    ):
        with pytest.raises(InputError, match=sentence):
            run_command(["stress", *words, "--data", str(benchmark), "--out", "out2"])
    assert not Path("out2").exists()
