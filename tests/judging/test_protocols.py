from __future__ import annotations

import numpy as np
import pytest

from tracker.data.lists import INIT_OMIT, may_start
from tracker.evaluation.annotations import Annotation
from tracker.evaluation.protocols import SRE_SHIFTS, list_runs, sre_boxes, tre_starts


def truth(frames: int, name: str = "toy", invalid: tuple[int, ...] = ()) -> Annotation:
    boxes = np.column_stack([np.arange(frames), np.arange(frames), np.full(frames, 20), np.full(frames, 40)])
    valid = np.ones(frames, bool)
    valid[list(invalid)] = False
    return Annotation(name, boxes.astype(float), valid)


def test_one_pass_is_one_run_from_the_first_frame() -> None:
    (run,) = list_runs("ope", truth(30))
    assert (run.target, run.key, run.start) == ("toy", None, 0) and run.box.tolist() == [0, 0, 20, 40]


def test_tre_starts_by_hand() -> None:
    """57 frames: frames 0 to 37 have 20 frames to the end, N = 38, so every second one, and the last."""
    assert tre_starts(truth(57)).tolist() == [*range(0, 38, 2), 37]
    """58 frames: N = 39; floor(1 + 39 k / 19) - 1."""
    assert tre_starts(truth(58)).tolist() == [
        *(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38)
    ]


@pytest.mark.parametrize("frames", [71, 100, 400, 1345, 3872])
def test_tre_follows_the_formula_of_the_toolkit(frames: int) -> None:
    last = frames - 19  # the last frame, counted from 1, with 20 frames to the end
    positions = [int(np.floor(1 + k * last / 19 + 1e-9)) for k in range(19)] + [last]
    assert tre_starts(truth(frames)).tolist() == [position - 1 for position in positions]
    assert len(positions) == 20 and frames - tre_starts(truth(frames))[-1] == 20


def test_tre_passes_over_invalid_frames() -> None:
    starts = tre_starts(truth(60, invalid=(0, 4, 5, 40)))
    """Frames 1-3 and 6-39: N = 37."""
    allowed = [1, 2, 3, *range(6, 40)]
    assert starts.tolist() == [*(allowed[k * 37 // 19] for k in range(19)), 39]


def test_tre_of_short_videos() -> None:
    assert tre_starts(truth(20)).tolist() == [0]
    assert tre_starts(truth(7)).tolist() == [0]
    assert tre_starts(truth(24)).tolist() == [0, 1, 2, 3, 4]  # no run is made twice


def test_tre_passes_over_the_frames_that_the_authors_exclude() -> None:
    allowed = may_start("Jogging-1", 307)
    assert allowed[:60].all() and not allowed[60:83].any() and allowed[83:].all()
    starts = set(tre_starts(truth(307, "Jogging-1")).tolist())
    assert starts.isdisjoint(range(60, 83)) and len(starts) == 20
    assert starts != set(tre_starts(truth(307)).tolist())


def test_excluded_frames_are_counted_from_the_first_judged_one() -> None:
    allowed = may_start("Tiger1", 349)  # OTB judges the frames 6 to 354; 1-5 and 9-15 are excluded
    assert allowed[:3].all() and not allowed[3:10].any() and allowed[10]
    assert len(may_start("Freeman4", 283)) == 283  # excluded up to 297, annotated up to 283


def test_excluded_frames_are_ranges() -> None:
    for name, text in INIT_OMIT.items():
        numbers = [int(part) for pair in text.split() for part in pair.split("-")]
        assert numbers == sorted(numbers) and len(numbers) % 2 == 0, name


def test_tre_runs() -> None:
    made = list_runs("tre", truth(57))
    assert [run.key for run in made] == [f"{k:02d}" for k in range(20)]
    assert made[3].start == 6 and made[3].box.tolist() == [6, 6, 20, 40]


def test_sre_by_hand() -> None:
    """The box 100,50,20,40 in OTB's pixels from 1: moves of round(2.5) = 3 and round(4.5) = 5 pixels."""
    expected = {
        "left": (97, 50, 20, 40),
        "right": (103, 50, 20, 40),
        "up": (100, 45, 20, 40),
        "down": (100, 55, 20, 40),
        "topLeft": (98, 46, 22, 44),
        "topRight": (100, 46, 22, 44),
        "bottomLeft": (98, 50, 22, 44),
        "bottomRight": (100, 50, 22, 44),
        "scale_8": (102, 54, 16, 32),
        "scale_9": (101, 52, 18, 36),
        "scale_11": (99, 48, 22, 44),
        "scale_12": (98, 46, 24, 48),
    }
    boxes = sre_boxes([99, 49, 20, 40])
    assert tuple(boxes) == SRE_SHIFTS == tuple(expected)
    assert {name: tuple(box + [1, 1, 0, 0]) for name, box in boxes.items()} == expected


def test_a_corner_shift_keeps_the_opposite_corner() -> None:
    x, y, w, h = box = np.array([50.0, 60, 30, 20])
    boxes = sre_boxes(box)
    assert boxes["topLeft"][:2] + boxes["topLeft"][2:] == pytest.approx((x + w, y + h))
    assert boxes["bottomRight"][:2] == pytest.approx((x, y))
    assert boxes["topRight"][0] == x and boxes["topRight"][1] + boxes["topRight"][3] == y + h
    assert boxes["bottomLeft"][1] == y and boxes["bottomLeft"][0] + boxes["bottomLeft"][2] == x + w


def test_sre_stays_in_the_image() -> None:
    boxes = sre_boxes([0, 0, 60, 50], (64, 52))
    for name, (x, y, w, h) in boxes.items():
        assert x >= 0 and y >= 0 and x + w <= 64 and y + h <= 52 and w > 0 and h > 0, name
    assert boxes["left"].tolist() == [0, 0, 60, 50]  # moved inside, not cut, as in the toolkit
    assert boxes["right"].tolist() == [7, 0, 57, 50]  # cut
    tiny = sre_boxes([63, 51, 1, 1], (64, 52))
    assert all(w >= 1 and h >= 1 for _, _, w, h in tiny.values())


def test_sre_runs() -> None:
    made = list_runs("sre", truth(9), (30, 45))
    assert [run.key for run in made] == list(SRE_SHIFTS) and {run.start for run in made} == {0}
    assert made[3].box.tolist() == [0, 5, 20, 40]
