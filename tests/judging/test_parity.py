"""The numbers of other toolkits: the got10k toolkit itself, and pysot's and LaSOT's formulae by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tracker.evaluation.annotations import Annotation, read_annotations
from tracker.evaluation.experiment import Experiment
from tracker.evaluation.measures import normalised_errors, overlaps_and_errors, precision_curve, success_curve
from tracker.evaluation.result_files import export_results
from tracker.evaluation.scoring import TrackerScores, score_results

WIDTH, HEIGHT = 90, 70


class Wobbler:
    """Loses its target slowly, also over the border of the image."""

    name = "wobbler"

    def init(self, image: Any, box: Any) -> None:
        self.random, self.box = np.random.default_rng(int(box.sum())), np.array(box, float)

    def update(self, image: Any) -> Any:
        self.box = self.box + self.random.normal(0, 1.2, 4)
        self.box[2:] = np.maximum(self.box[2:], 3)
        return self.box


def walk(seed: int, frames: int) -> np.ndarray:
    """Boxes of a target that moves, in whole 1-based pixels."""
    random = np.random.default_rng(seed)
    corner = np.cumsum(random.integers(-1, 2, (frames, 2)), axis=0) + random.integers(4, 12, 2)
    return np.concatenate([np.maximum(corner, 1), np.tile(random.integers(14, 30, 2), (frames, 1))], axis=1)


def write_frames(folder: Path, frames: int) -> None:
    folder.mkdir(parents=True)
    for t in range(frames):
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / f"{t + 1:08d}.jpg")


def write_got10k(folder: Path, seed: int, frames: int) -> None:
    """Write a sequence of GOT-10k's validation split: half covered, wholly covered and absent frames too."""
    write_frames(folder, frames)
    np.savetxt(folder / "groundtruth.txt", walk(seed, frames), fmt="%.4f", delimiter=",")
    cover, absence = np.full(frames, 8), np.zeros(frames)
    cover[3:6], cover[6:9], absence[8:11] = 4, 0, 1
    cover[8:11] = 0
    for name, labels in {"cover": cover, "absence": absence, "cut_by_image": np.zeros(frames)}.items():
        np.savetxt(folder / f"{name}.label", labels, fmt="%d")
    (folder / "meta_info.ini").write_text(f"[METAINFO]\nresolution: ({WIDTH}, {HEIGHT})\n")


def run_and_score(data: Path, out: Path) -> TrackerScores:
    Experiment(data, out=out).run(Wobbler(), progress=False)
    return score_results(out / "wobbler" / "ope", read_annotations(data))


def test_got10k_prints_our_ao_and_sr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiments = pytest.importorskip("got10k.experiments", reason="needs `pip install got10k`")
    val, lengths = tmp_path / "val", {"GOT-10k_Val_000001": 40, "GOT-10k_Val_000002": 25}
    for seed, (name, frames) in enumerate(lengths.items()):
        write_got10k(val / name, seed, frames)
    (val / "list.txt").write_text("\n".join(lengths))
    ours = run_and_score(val, tmp_path / "out")
    assert 0 < ours.sr75 < ours.sr50 < 1 and ours.targets[0].got10k_frames == 39 - 5
    boxes = np.loadtxt(tmp_path / "out" / "wobbler" / "ope" / "GOT-10k_Val_000001.txt", delimiter=",")
    assert (boxes[:, :2] < 0).any() or (boxes[:, :2] + boxes[:, 2:] > [WIDTH, HEIGHT]).any()  # cutting matters

    export_results(tmp_path / "out" / "wobbler" / "ope", "wobbler", tmp_path / "results" / "GOT-10k", "got10k")
    theirs = experiments.ExperimentGOT10k(tmp_path, "val", tmp_path / "results", tmp_path / "reports")
    monkeypatch.setattr(theirs, "plot_curves", lambda *_: None)
    found = theirs.report(["wobbler"])["wobbler"]
    assert f"{found['overall']['ao']:.4f}" == f"{ours.ao:.4f}"
    assert f"{found['overall']['sr']:.4f}" == f"{ours.sr50:.4f}"
    assert f"{found['overall']['succ_curve'][75]:.4f}" == f"{ours.sr75:.4f}"
    for target in ours.targets:
        single = found["seq_wise"][target.name]
        assert (f"{single['ao']:.4f}", f"{single['sr']:.4f}") == (f"{target.ao:.4f}", f"{target.sr50:.4f}")

    # Repetitions count like more frames.
    for name, frames in lengths.items():
        folder = tmp_path / "results" / "GOT-10k" / "wobbler" / name
        np.savetxt(folder / f"{name}_002.txt", walk(9, frames), fmt="%.3f", delimiter=",")
    again = theirs.report(["wobbler"])["wobbler"]["overall"]
    ours = score_results(tmp_path / "results" / "GOT-10k" / "wobbler", read_annotations(val))
    assert f"{again['ao']:.4f}" == f"{ours.ao:.4f}" != f"{found['overall']['ao']:.4f}"


def test_got10k_prints_our_success_and_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiments = pytest.importorskip("got10k.experiments", reason="needs `pip install got10k`")
    names, frames = ["Deer", "Girl", "Walking"], 40
    for seed, name in enumerate(names):
        write_frames(tmp_path / "otb" / name / "img", frames)
        np.savetxt(tmp_path / "otb" / name / "groundtruth_rect.txt", walk(seed, frames), fmt="%d", delimiter=",")
    ours = run_and_score(tmp_path / "otb", tmp_path / "out")
    assert 0.2 < ours.auc < 0.9 and 0 < ours.precision_curve[5] < 1

    (tmp_path / "results" / "OTB2013").mkdir(parents=True)
    (tmp_path / "results" / "OTB2013" / "wobbler").symlink_to(tmp_path / "out" / "wobbler" / "ope")
    datasets = pytest.importorskip("got10k.datasets")
    monkeypatch.setattr(datasets.OTB, "_OTB__version_dict", {2013: names})
    theirs = experiments.ExperimentOTB(tmp_path / "otb", 2013, tmp_path / "results", tmp_path / "reports")
    monkeypatch.setattr(theirs, "plot_curves", lambda *_: None)
    found = theirs.report(["wobbler"])["wobbler"]
    assert f"{found['overall']['success_score']:.4f}" == f"{ours.auc:.4f}"
    assert f"{found['overall']['precision_score']:.4f}" == f"{ours.precision:.4f}"
    assert found["overall"]["success_curve"] == pytest.approx(ours.success, abs=5e-5)
    assert found["overall"]["precision_curve"] == pytest.approx(ours.precision_curve, abs=5e-5)
    for target in ours.targets:
        assert f"{found['seq_wise'][target.name]['success_score']:.4f}" == f"{target.auc:.4f}"


def test_normalised_precision_of_lasot_and_pysot() -> None:
    """`calc_seq_err_robust.m` of LaSOT_Evaluation_Toolkit, and `eval_norm_precision` of pysot's `OPEBenchmark`.

    Both divide the centres `x + (w - 1) / 2` by the annotated sides, leave absent frames out of the hits, and
    divide the hits by the number of all frames.
    """
    truth = Annotation(
        "airplane-1",
        np.tile([10.0, 20, 40, 20], (5, 1)),
        np.ones(5, bool),
        visibility=np.array([1.0, 1, 1, 1, 0]),
    )
    boxes = [[0, 0, 1, 1], [14, 22, 40, 20], [18, 20, 40, 20], [10, 26.2, 44, 10], [10, 20, 40, 20]]
    errors = normalised_errors(boxes, truth)
    assert errors[:4] == pytest.approx([0, np.hypot(4 / 40, 2 / 20), 8 / 40, np.hypot(2 / 40, 1.2 / 20)])
    assert errors[4] == np.inf
    curve = precision_curve(errors, np.arange(51) / 100)
    assert curve[[0, 7, 8, 14, 15, 19, 20, 50]].tolist() == [0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8]
    assert curve.mean() == pytest.approx((51 + 43 + 36 + 31) / 5 / 51)


def test_success_and_precision_of_pysot() -> None:
    """`success_overlap` and `success_error` of pysot's `toolkit/utils/statistics.py`, on an absent frame of LaSOT.

    The frame is in neither count of hits; precision needs the rule `strict` for that.
    """
    truth = Annotation(
        "airplane-1", np.tile([10.0, 20, 40, 20], (4, 1)), np.ones(4, bool), visibility=np.array([1.0, 1, 1, 0])
    )
    boxes = [[10, 20, 40, 20], [20, 20, 40, 20], [31, 20, 40, 20], [10, 20, 40, 20]]
    overlap, error = overlaps_and_errors(boxes, truth, "strict")
    assert overlap == pytest.approx([1, 600 / 1000, 380 / 1220, -1])
    assert success_curve(overlap).mean() == pytest.approx((20 + 12 + 7) / 4 / 21)  # 0.6 is not above 0.6
    assert error.tolist() == [0, 10, 21, np.inf] and precision_curve(error)[20] == 2 / 4
