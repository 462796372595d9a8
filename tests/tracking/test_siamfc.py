from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tracker.data.boxes import iou
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.models import siamfc
from tracker.models.siamfc import SiamFCNet
from tracker.trackers.protocol import Tracker
from tracker.trackers.siamfc import SiamFCTracker

FRAME = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
BOX = np.array([60.0, 40.0, 20.0, 30.0])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("siamfc") / "random.safetensors"
    save_file({key: value.half() for key, value in SiamFCNet().state_dict().items()}, file)
    return file


@pytest.fixture
def tracker(weights: Path) -> SiamFCTracker:
    return SiamFCTracker(weights, "cpu", "fp32")


def answer(tracker: SiamFCTracker, monkeypatch: pytest.MonkeyPatch, responses: list[np.ndarray]) -> list[int]:
    """Let the network answer each search with a response `[3, 17, 17]`; returns the batch sizes that it saw."""
    seen: list[int] = []
    kernel = torch.zeros(1, 256, 6, 6)
    kernel[0, 0, 0, 0] = 1

    def features(regions: list[np.ndarray]) -> torch.Tensor:
        seen.append(len(regions))
        if len(regions) == 1:
            return kernel
        maps = torch.zeros(3, 256, 22, 22)
        maps[:, 0, :17, :17] = torch.from_numpy(responses.pop(0))
        return maps

    monkeypatch.setattr(tracker, "_features", features)
    return seen


def peak(row: int, column: int, heights: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """A smooth hill whose top is the middle of a cell, as high as told at each scale."""
    y, x = np.mgrid[:17, :17]
    hill = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2)
    return (hill * np.reshape(heights, (3, 1, 1))).astype(np.float32)


def search_side(box: np.ndarray) -> float:
    """Side of the search region in the frame: 255/127 of the exemplar's with its margin."""
    margin = (box[2] + box[3]) / 2
    return float(np.sqrt((box[2] + margin) * (box[3] + margin)) * 255 / 127)


def test_shapes_are_those_of_the_paper() -> None:
    net = SiamFCNet()
    with torch.inference_mode():
        exemplar, search = net(torch.zeros(1, 3, 127, 127)), net(torch.zeros(1, 3, 255, 255))
    assert tuple(exemplar.shape) == (1, 256, 6, 6) and tuple(search.shape) == (1, 256, 22, 22)
    assert siamfc.RESPONSE == 17


def test_a_peak_in_the_middle_moves_nothing(tracker: SiamFCTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = answer(tracker, monkeypatch, [peak(8, 8)])
    tracker.init(FRAME, BOX)
    # The enlarged response has no middle pixel: half a step of half a pixel of the search region is left over.
    assert tracker.update(FRAME) == pytest.approx(BOX, abs=0.26 * search_side(BOX) / 255)
    assert seen == [1, 3]
    assert tracker.score == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("row", "column"), [(8, 11), (5, 8), (10, 6)])
def test_a_cell_is_eight_pixels_of_the_search_region(
    tracker: SiamFCTracker, monkeypatch: pytest.MonkeyPatch, row: int, column: int
) -> None:
    answer(tracker, monkeypatch, [peak(row, column)])
    tracker.init(FRAME, BOX)
    found = tracker.update(FRAME)
    cell = 8 * search_side(BOX) / 255
    expected = BOX + [cell * (column - 8), cell * (row - 8), 0, 0]
    # The cosine window draws the peak a little towards the middle.
    assert found == pytest.approx(expected, abs=0.35 * cell)
    assert np.linalg.norm(found[:2] - BOX[:2]) <= np.linalg.norm(expected[:2] - BOX[:2]) + 0.1


@pytest.mark.parametrize(
    ("heights", "scale"),
    [
        ((1.0, 1.0, 1.0), 1.0),
        ((1.02, 1.0, 1.0), 1.0),
        ((1.0, 1.0, 1.04), 1.0375),
        ((1.04, 1.0, 1.0), 1 / 1.0375),
        ((1.05, 1.0, 1.06), 1.0375),
    ],
)
def test_the_size_follows_the_best_scale_slowly(
    tracker: SiamFCTracker, monkeypatch: pytest.MonkeyPatch, heights: tuple[float, ...], scale: float
) -> None:
    answer(tracker, monkeypatch, [peak(8, 8, heights)])  # type: ignore[arg-type]
    tracker.init(FRAME, BOX)
    assert tracker.update(FRAME)[2:] == pytest.approx(BOX[2:] * (1 + 0.59 * (scale - 1)))


def test_the_size_stays_within_its_limits(tracker: SiamFCTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    for heights, limit in (((0.1, 0.1, 1.0), 5.0), ((1.0, 0.1, 0.1), 0.2)):
        answer(tracker, monkeypatch, [peak(8, 8, heights)] * 3)
        tracker.init(FRAME, BOX)
        tracker._scale = limit / 1.01 if limit > 1 else limit * 1.01
        for _ in range(3):
            found = tracker.update(FRAME)
        assert found[2:] == pytest.approx(BOX[2:] * limit)


def test_the_centre_stays_in_the_frame(tracker: SiamFCTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(tracker, monkeypatch, [peak(8, 15)] * 5)
    tracker.init(FRAME, BOX)
    for _ in range(5):
        found = tracker.update(FRAME)
    assert found[0] + found[2] / 2 == 160 and np.isfinite(found).all()


def test_cutting_out_is_exact() -> None:
    cut = siamfc.cut_square(FRAME, np.array([80.0, 60.0]), 40, 40, np.zeros(3))
    assert (cut == FRAME[40:80, 60:100]).all()
    corner = siamfc.cut_square(FRAME, np.array([0.0, 0.0]), 20, 20, np.array([10.0, 20.0, 30.0]))
    assert (corner[10:, 10:] == FRAME[:10, :10]).all() and (corner[:9, :9] == [10, 20, 30]).all()
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[:, None, None], 160, axis=1).repeat(3, axis=2)
    doubled = siamfc.cut_square(ramp, np.array([80.0, 60.0]), 20, 40, np.zeros(3)).astype(int)
    # Rows a quarter pixel away from the middles of the original rows, whose values differ by 2.
    assert np.abs(doubled[:, 20, 0] - (100 + np.arange(40) - 0.5)).max() <= 0.5
    halved = siamfc.cut_square(ramp, np.array([80.0, 60.0]), 40, 20, np.zeros(3)).astype(int)
    assert (halved[:, 10, 0] == 81 + 4 * np.arange(20)).all()


def test_real_arithmetic_end_to_end(tracker: SiamFCTracker) -> None:
    assert isinstance(tracker, Tracker)
    calls: list[int] = []
    tracker._net.register_forward_hook(lambda net, given, out: calls.append(given[0].shape[0]))
    tracker.init(FRAME, BOX)
    first = tracker.update(FRAME)
    tracker.init(np.ascontiguousarray(FRAME[::-1]), (1, 1, 100, 90))
    tracker.update(FRAME)
    tracker.init(FRAME, BOX)
    assert tracker.score == 0
    assert (tracker.update(FRAME) == first).all() and first.dtype == np.float64
    assert calls == [1, 3, 1, 3, 1, 3]


@pytest.mark.parametrize(
    ("box", "precision"),
    [
        ((60, 40, 1, 1), "fp32"),
        ((0, 0, 160, 120), "fp32"),
        ((-10, -10, 30, 30), "fp32"),
        ((150, 110, 30, 30), "bf16"),
    ],
)
def test_odd_boxes_and_bfloat16(weights: Path, box: tuple[float, ...], precision: Literal["fp32", "bf16"]) -> None:
    tracker = SiamFCTracker(weights, "cpu", precision)
    tracker.init(FRAME[..., 0], box)
    found = tracker.update(FRAME[..., 0].astype(np.uint16) << 8)
    assert np.isfinite(found).all() and (found[2:] > 0).all()


def test_what_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none.safetensors' does not exist"):
        SiamFCTracker(tmp_path / "none.safetensors")
    state: dict[str, Any] = SiamFCNet().state_dict()
    for name, changed in {
        "less": {key: value for key, value in state.items() if key != "conv3.bias"},
        "more": {**state, "conv6.bias": torch.zeros(1)},
        "other": {**state, "conv3.bias": torch.zeros(3)},
    }.items():
        save_file(changed, tmp_path / name)
        with pytest.raises(InputError, match=f"{name}' are not those of SiamFC"):
            SiamFCTracker(tmp_path / name)
    with pytest.raises(InputError, match="'tpu' is no device"):
        SiamFCTracker(weights, "tpu")
    with pytest.raises(InputError, match="lies outside the image"):
        SiamFCTracker(weights, "cpu").init(FRAME, (160, 0, 9, 9))


@pytest.mark.data
def test_it_follows(data_root: Path) -> None:
    file = data_root.parent / "weights" / "siamfc3s_alexnet_fp16.safetensors"
    if not file.is_file():
        pytest.skip("SiamFC's weights are not beside the data")
    tracker = SiamFCTracker(file, "cpu")
    video = synthetic_sequence(seed=1, frames=8)
    tracker.init(video.frames[0], video.exemplar_box)
    boxes = [tracker.update(video.frames[t]) for t in range(1, 8)]
    assert iou(boxes, video.boxes[1:]).mean() > 0.6
