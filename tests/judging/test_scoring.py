from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.data.lists import LISTS
from tracker.errors import InputError
from tracker.evaluation.annotations import Annotation, read_annotations
from tracker.evaluation.protocols import list_runs
from tracker.evaluation.result_files import (
    Layout,
    boxes_path,
    export_results,
    times_path,
    write_boxes,
    write_times,
)
from tracker.evaluation.scoring import TrackerScores, score_results


def annotation(name: str, frames: int = 4, attributes: tuple[str, ...] | None = None) -> Annotation:
    return Annotation(name, np.tile([10.0, 10, 20, 20], (frames, 1)), np.ones(frames, bool), attributes)


def shifted(frames: int, *shifts: float) -> np.ndarray:
    """The truth, moved to the right in the last frames."""
    boxes = np.tile([10.0, 10, 20, 20], (frames, 1))
    boxes[frames - len(shifts) :, 0] += shifts
    return boxes


@pytest.fixture
def annotations() -> dict[str, Annotation]:
    return {
        "a": annotation("a", 4, ("OCC", "SV")),
        "b": annotation("b", 2, ("MB",)),
        "c": annotation("c", 3, None),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_boxes(tmp_path / "mine" / "a.txt", shifted(4, 10, 20, 21))  # IoU 1, 1/3, 0, 0; errors 0, 10, 20, 21
    write_boxes(tmp_path / "mine" / "b.txt", shifted(2))
    return tmp_path / "mine"


def test_one_pass_by_hand(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    scores = score_results(folder, annotations)
    a, b = scores.targets
    assert (scores.tracker, scores.protocol, scores.invalid, scores.missing) == ("mine", "ope", "otb", ("c",))
    assert a.overlap == pytest.approx([1, 1 / 3, 0, 0])
    assert a.auc == pytest.approx((7 * 2 + 13 * 1) / 4 / 21)  # 0 to 0.30 are below 1/3; 1 is above no threshold
    assert a.precision == 3 / 4 and a.precision_curve[[0, 9, 10]].tolist() == [0.25, 0.25, 0.5]
    assert (b.auc, b.precision, b.frames) == (pytest.approx(20 / 21), 1, 2)
    assert scores.auc == pytest.approx((a.auc + b.auc) / 2)  # each target counts once, however long
    assert scores.precision == 7 / 8
    assert scores.success == pytest.approx((a.success + b.success) / 2) and scores.success.shape == (21,)
    assert scores.precision_curve[20] == scores.precision and scores.fps is None


def test_ao_is_over_frames_and_normalised_precision_over_targets(
    folder: Path, annotations: Mapping[str, Annotation]
) -> None:
    scores = score_results(folder, annotations)
    a, b = scores.targets
    assert (a.got10k_frames, b.got10k_frames) == (3, 1)
    assert (a.ao, a.sr50, a.sr75) == (pytest.approx(1 / 9), 0, 0) and (b.ao, b.sr50, b.sr75) == (1, 1, 1)
    assert (scores.ao, scores.sr50, scores.sr75) == (pytest.approx((1 / 3 + 1) / 4), 0.25, 0.25)
    assert scores.norm_precision == pytest.approx((1 / 4 + 1) / 2) and scores.norm_curve[-1] == (0.5 + 1) / 2
    assert scores.norm_auc == pytest.approx(scores.norm_curve.mean())
    write_boxes(folder / "one.txt", shifted(1))
    single = score_results(folder, {"one": annotation("one", 1)})
    assert (single.ao, single.sr50, single.sr75, single.norm_precision) == (None, None, None, 1)
    assert single.to_json()["per_target"]["one"]["ao"] is None


def test_repetitions_are_pooled(tmp_path: Path) -> None:
    write_boxes(tmp_path / "a" / "a_001.txt", shifted(4))
    write_boxes(tmp_path / "a" / "a_002.txt", shifted(4, 20, 20, 20))
    (target,) = score_results(tmp_path, {"a": annotation("a")}).targets
    assert target.frames == 8 and target.ao == 0.5 and target.auc == pytest.approx(5 / 8 * 20 / 21)


def test_by_attribute(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    write_boxes(folder / "c.txt", shifted(3))
    scores = score_results(folder, annotations)
    a, b, _ = scores.targets
    assert scores.by_attribute() == {
        "SV": (a.auc, a.precision, 1),
        "OCC": (a.auc, a.precision, 1),
        "MB": (b.auc, b.precision, 1),
        "not OCC": (b.auc, b.precision, 1),  # c's attributes are not known
        "not MB": (a.auc, a.precision, 1),
    }
    assert scores.subset(["c"]).by_attribute() == {}


def test_subset(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    scores = score_results(folder, annotations)
    assert scores.subset(["b"]).auc == scores.targets[1].auc
    with pytest.raises(InputError, match="mine was not judged on c, d"):
        scores.subset(["a", "c", "d"])
    with pytest.raises(InputError, match="No target"):
        scores.subset([])


def test_asked_for_targets_must_be_there(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    assert [t.name for t in score_results(folder, annotations, targets=["b"]).targets] == ["b"]
    assert score_results(folder, annotations, targets=["b"]).missing == ()
    with pytest.raises(InputError, match="has no results for c; run"):
        score_results(folder, annotations, targets=["a", "c"])
    with pytest.raises(InputError, match="no annotation of d, e"):
        score_results(folder, annotations, targets=["a", "d", "e"])


def test_nothing_to_judge(tmp_path: Path, folder: Path, annotations: Mapping[str, Annotation]) -> None:
    with pytest.raises(InputError, match=r"no result file for any .*; give one of its folders \(mine\)"):
        score_results(tmp_path, annotations)
    with pytest.raises(InputError, match="does not exist"):
        score_results(tmp_path / "none", annotations)
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="check the names of the files"):
        score_results(folder / "empty", annotations)


def test_short_and_long_files(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    write_boxes(folder / "b.txt", shifted(1))
    b = score_results(folder, annotations).targets[1]
    assert b.frames == 2 and b.precision == 0.5 and b.auc == pytest.approx(10 / 21)
    scores = score_results(folder, annotations)
    assert scores.targets[0].short == {} and scores.targets[1].short == {"b": (1, 2)}
    assert scores.warnings == [
        "Result files with fewer boxes than frames, whose other frames are failures: b (1 of 2)."
    ]
    assert scores.to_json()["short_files"] == {"b": {"boxes": 1, "frames": 2}}
    write_boxes(folder / "b.txt", shifted(3))
    scores = score_results(folder, annotations)
    assert [target.name for target in scores.targets] == ["a"] and scores.missing == ("c",)
    assert "b.txt' has 3 boxes, but b has 2 frames to judge" in scores.left_out["b"]
    (folder / "a.txt").unlink()
    with pytest.raises(InputError, match="b.txt' has 3 boxes"):
        score_results(folder, annotations)


@pytest.mark.parametrize("content", ["", "11,11,20\n", "11,11,20,x\n", "11,11,20,20\n\n11,11,20,20\n"])
def test_a_file_that_cannot_be_read_costs_its_target(
    folder: Path, annotations: Mapping[str, Annotation], content: str
) -> None:
    (folder / "b.txt").write_text(content)
    scores = score_results(folder, annotations)
    assert [target.name for target in scores.targets] == ["a"] and list(scores.left_out) == ["b"]
    assert "b.txt'" in scores.left_out["b"] and scores.left_out["b"] in scores.warnings[0]
    assert scores.to_json()["left_out"] == scores.left_out
    with pytest.raises(InputError, match="b.txt'"):
        score_results(folder, annotations, targets=["a", "b"])
    (folder / "a.txt").write_text(content)
    with pytest.raises(InputError, match="a.txt'"):
        score_results(folder, annotations)


def test_a_damaged_mat_file_costs_its_target(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    pytest.importorskip("scipy")
    (folder / "b.txt").unlink()
    for content in (b"", b"junk", bytes(200), b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\x00\x01IM" + b"\xff" * 40):
        (folder / "b.mat").write_bytes(content)
        assert "b.mat' is not a readable MATLAB file" in score_results(folder, annotations).left_out["b"]


@pytest.mark.parametrize("layout", ["got10k", "pysot", "pytracking", "otb"])
def test_a_short_file_is_said_in_every_layout(
    tmp_path: Path, folder: Path, annotations: Mapping[str, Annotation], layout: Layout
) -> None:
    """OTB's own published ClifBar has 329 of 472 boxes."""
    write_boxes(folder / "a.txt", shifted(2))
    export_results(folder, "mine", tmp_path / "new", layout)
    place = tmp_path / "new" if layout == "otb" else tmp_path / "new" / "mine"
    scores = score_results(place, annotations, tracker="mine")
    assert scores.targets[0].short == {"a": (2, 4)} and scores.targets[0].auc == pytest.approx(0.5 * 20 / 21)
    assert scores.targets[0].ao == pytest.approx(1 / 3) and scores.targets[0].norm_precision == 0.5
    assert "a (2 of 4)" in scores.warnings[0]


def test_short_runs_of_tre(tmp_path: Path) -> None:
    truth = annotation("a", 57)
    for run in list_runs("tre", truth):
        write_boxes(boxes_path(tmp_path, "a", run.key), shifted(57 - run.start - (run.key == "03")))
    (target,) = score_results(tmp_path, {"a": truth}, protocol="tre").targets
    start = list_runs("tre", truth)[3].start
    assert target.short == {"a/03": (56 - start, 57 - start)}


@pytest.mark.parametrize("protocol", ["ope", "tre", "sre"])
@pytest.mark.parametrize(
    ("offset", "zero_based", "doubt"),
    [
        (1, False, None),  # OTB's
        (1.5, False, None),  # pysot's
        (0, True, None),
        (0, False, "seem to count pixels from 0, not from 1; give --zero-based."),
        (1, True, "seem to count pixels from 1, not from 0; leave --zero-based out."),
        (1.5, True, "seem to count pixels from 1, not from 0; leave --zero-based out."),
        (0.5, False, None),  # between both
        (0.5, True, None),
        (-30, False, None),  # the tracker's own doing
    ],
)
def test_the_origin_is_doubted(
    tmp_path: Path, protocol: Any, offset: float, zero_based: bool, doubt: str | None
) -> None:
    truth = {name: annotation(name, 25) for name in ("a", "b", "c")}
    for name, one in truth.items():
        for run in list_runs(protocol, one):
            first = run.box + [offset, offset, 0, 0]
            path = boxes_path(tmp_path, name, run.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(",".join(map(str, first)) + "\n" + "11,11,20,20\n" * (24 - run.start))
    found = score_results(tmp_path, truth, protocol=protocol, zero_based=zero_based).origin_doubt
    assert (found is None) == (doubt is None) and (doubt is None or doubt in str(found))


def test_one_bad_annotation_is_left_out(tmp_path: Path, folder: Path) -> None:
    rows = {"a": [[11, 11, 20, 20]] * 4, "b": [[11, 11, 20]], "c": "none"}
    content = {name: {"boxes": boxes} for name, boxes in rows.items()}
    (tmp_path / "a.json").write_text(json.dumps({**content, "d": 3}))
    annotations = read_annotations(tmp_path / "a.json")
    assert list(annotations) == ["a"] and list(annotations.left_out) == ["b", "c", "d"]
    scores = score_results(folder, annotations)
    assert [target.name for target in scores.targets] == ["a"]
    assert list(scores.left_out) == ["b", "c", "d"] and len(scores.warnings) == 3
    with pytest.raises(InputError, match="'b' in .* not rows of four numbers"):
        score_results(folder, annotations, targets=["a", "b"])


def test_tiger1_with_its_hidden_first_frames(tmp_path: Path) -> None:
    truth = {"Tiger1": annotation("Tiger1", 30)}
    write_boxes(tmp_path / "Tiger1.txt", np.concatenate([np.zeros((5, 4)), shifted(30, 20, 20, 20)]))
    assert score_results(tmp_path, truth).targets[0].overlap.tolist() == [1.0] * 27 + [0.0] * 3
    write_boxes(tmp_path / "Tiger1.txt", shifted(34))
    with pytest.raises(InputError, match="34 boxes"):
        score_results(tmp_path, truth)


def test_files_that_count_from_zero(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    text = "10,10,20,20\n" * 4
    (folder / "a.txt").write_text(text)
    assert score_results(folder, annotations, zero_based=True).targets[0].precision_curve[0] == 1
    assert score_results(folder, annotations).targets[0].precision_curve[0] == 0.25


def test_speed_is_that_of_the_updates(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    write_times(times_path(folder, "a"), [9.0, 0.1, 0.2, 0.1])
    scores = score_results(folder, annotations)
    assert scores.targets[0].fps == pytest.approx(3 / 0.4) and scores.targets[1].fps is None
    assert scores.fps == pytest.approx(7.5)
    write_times(times_path(folder, "b"), [9.0, 0.4])
    assert score_results(folder, annotations).fps == pytest.approx((7.5 + 2.5) / 2)


def test_tre_pools_the_frames_of_all_runs(tmp_path: Path) -> None:
    truth = annotation("a", 57)
    made = list_runs("tre", truth)
    for run in made:
        frames = 57 - run.start
        boxes = shifted(frames)
        boxes[1:, 0] += 30 if run.start >= 20 else 0  # late starts lose the target at once
        write_boxes(boxes_path(tmp_path, "a", run.key), boxes)
        write_times(times_path(tmp_path, "a", run.key), [5.0] + [0.5] * (frames - 1))
    scores = score_results(tmp_path, {"a": truth}, protocol="tre")
    lengths = np.array([57 - run.start for run in made])
    late = np.array([run.start >= 20 for run in made])
    (target,) = scores.targets
    assert target.frames == lengths.sum() == len(target.overlap)
    assert target.precision == pytest.approx((lengths[~late].sum() + late.sum()) / lengths.sum())
    assert target.fps == pytest.approx(2)
    boxes_path(tmp_path, "a", "07").unlink()
    with pytest.raises(InputError, match=r"no whole result for any target, only a \(19 of 20 runs\)"):
        score_results(tmp_path, {"a": truth}, protocol="tre")
    with pytest.raises(InputError, match=r"no results for a \(19 of 20 runs\)"):
        score_results(tmp_path, {"a": truth}, protocol="tre", targets=["a"])


def test_sre_is_the_mean_of_its_twelve(tmp_path: Path) -> None:
    truth = annotation("a", 5)
    singles = []
    for k, run in enumerate(list_runs("sre", truth)):
        boxes = shifted(5, 2.0 * k)
        write_boxes(boxes_path(tmp_path / "sre", "a", run.key), boxes)
        write_boxes(tmp_path / str(k) / "a.txt", boxes)
        singles.append(score_results(tmp_path / str(k), {"a": truth}))
    scores = score_results(tmp_path / "sre", {"a": truth}, protocol="sre", tracker="X")
    assert scores.tracker == "X" and scores.targets[0].frames == 60
    assert scores.auc == pytest.approx(np.mean([single.auc for single in singles]))
    assert scores.precision == pytest.approx(np.mean([single.precision for single in singles]))
    assert len({single.auc for single in singles}) > 6  # the runs differ


def test_json(folder: Path, annotations: Mapping[str, Annotation]) -> None:
    scores = score_results(folder, annotations)
    content = json.loads(json.dumps(scores.to_json()))
    assert content["targets"] == 2 and content["frames"] == 6 and content["missing"] == ["c"]
    assert content["auc"] == scores.auc and content["precision"] == scores.precision
    assert content["per_target"]["a"] == {
        "auc": scores.targets[0].auc,
        "precision": 0.75,
        "norm_precision": 0.25,  # errors of 0, 0.5, 1 and 1.05 widths
        "norm_auc": pytest.approx((50 * 0.25 + 0.5) / 51),
        "ao": pytest.approx(1 / 9),  # without the first frame
        "sr50": 0,
        "sr75": 0,
        "frames": 4,
        "fps": None,
    }
    assert content["by_attribute"]["not OCC"]["targets"] == 1
    assert np.mean(content["success"]) == pytest.approx(scores.auc)


@pytest.fixture(scope="module")
def golden(data_root: Path) -> tuple[Path, dict[str, Annotation]]:
    folder = data_root / "golden"
    return folder / "sint_plus_otb2013", read_annotations(folder / "otb100_annotations.json")


@pytest.mark.data
def test_published_result_of_sint_plus(golden: tuple[Path, dict[str, Annotation]]) -> None:
    """The figures of the SINT+ paper's page: 0.655 and 0.882."""
    scores = score_results(*golden, targets=LISTS["otb2013"])
    assert (round(scores.auc, 4), round(scores.precision, 4), len(scores.targets)) == (0.6552, 0.8816, 51)
    every = score_results(*golden)
    assert (every.auc, len(every.missing)) == (pytest.approx(scores.auc), 49)
    strict = score_results(*golden, invalid="strict")
    assert strict.precision == every.precision  # OTB-2013 has no invalid annotation


@pytest.mark.data
def test_how_much_the_conventions_differ_on_otb100(
    golden: tuple[Path, dict[str, Annotation]], tmp_path: Path
) -> None:
    """A made-up tracker that is always 15 pixels off: precision 1, but for the invalid frames of four targets."""
    _, annotations = golden
    for name, truth in annotations.items():
        write_boxes(tmp_path / f"{name}.txt", truth.boxes + [9, 12, 0, 0])
    both: dict[str, TrackerScores] = {
        "otb": score_results(tmp_path, annotations, invalid="otb"),
        "strict": score_results(tmp_path, annotations, invalid="strict"),
    }
    assert both["otb"].precision == 1 and both["otb"].auc == both["strict"].auc
    lost = (7 / 142 + 1 / 698 + 1 / 347 + 1 / 472) / 100
    assert both["otb"].precision - both["strict"].precision == pytest.approx(lost)
    assert round(lost, 5) == 0.00056
