"""What the images of hard positives show of their frames, and where the target is in them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from agents.hard_positives.image_targets import image_targets
from agents.hard_positives.pictures import draw_contact_sheet
from agents.hard_positives.records import remake_hard_positive
from agents.hard_positives.views import View, covered_pixels
from occlusion_env.scene.targets import Target
from tracker.data.images import crop
from tracker.errors import InputError
from tracker.training.hard_positives import take_hard_positives

from .test_generator import BOXES, Brightness, HardPositiveGenerator, images  # noqa: F401  (a fixture)

VIEWS = [View(), View("region"), View("region", 1.0), View("frame")]


def target_of(box: tuple[float, ...], width: int = 60, height: int = 40) -> Target:
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image_targets([frame], [box])[0]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "box", [(20, 10, 10, 8), (20.5, 10.4, 9.7, 8.3), (-3.2, 30, 20, 20), (0, 0, 60, 40), (5, 1, 1, 38)]
)
def test_the_box_cuts_the_occluded_target_out(view: View, box: tuple[float, ...]) -> None:
    target = target_of(box)
    occluded = 255 - target.crop
    image, found = view.show(target, occluded), view.box(target)
    assert found[2:].tolist() == pytest.approx(list(box[2:]))
    cut = crop(image, found)
    assert cut.shape == occluded.shape
    x, y = np.floor(np.array(box[:2]) + 0.5).astype(int)
    inside = (slice(max(0, -y), 40 - y), slice(max(0, -x), 60 - x))  # the part of the target in the frame
    assert (cut[inside] == occluded[inside]).all()


@pytest.mark.parametrize(
    ("box", "context", "side", "inside"),
    [
        ((20, 10, 10, 10), 2.0, 40, [15, 15, 10, 10]),  # SiamFC: 2 sqrt((10 + 10) (10 + 10))
        ((20, 10, 10, 10), 1.0, 20, [5, 5, 10, 10]),
        ((2, 1, 1, 38), 1.0, 39, [19, 0, 1, 38]),  # as wide as the target is high, and a pixel
        ((20.5, 10, 10, 10), 2.0, 40, [14.5, 15, 10, 10]),
    ],
)
def test_a_region_is_a_square_around_the_target(box, context: float, side: int, inside: list[float]) -> None:
    target = target_of(box)
    image = View("region", context).show(target, target.crop)
    assert image.shape == (side, side, 3) and View("region", context).box(target).tolist() == inside
    left, top = np.array(box[:2]) - inside[:2]
    expected = np.empty_like(image)
    expected[:] = target.frame.reshape(-1, 3).mean(axis=0).round()
    for y in range(side):
        for x in range(side):
            if 0 <= y + top < 40 and 0 <= x + left < 60:
                expected[y, x] = target.frame[int(y + top), int(x + left)]
    assert (image == expected).all()


@pytest.mark.parametrize("box", [(300, 160, 48, 80), (300.5, 160.2, 80.3, 20.7), (2, 3, 31, 30), (100, 90, 5, 90)])
def test_a_region_is_pysots_crop511(box) -> None:
    """Pysot puts the target in the middle, its size scaled by 127 / sqrt((w + p) (h + p)), p = (w + h) / 2."""
    target, view = target_of(box, 640, 480), View("region", 511 / 127)
    side = view.show(target, target.crop).shape[0]
    w, h = box[2:]
    scale = 127 / math.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))
    expected = [255 - w * scale / 2, 255 - h * scale / 2, w * scale, h * scale]
    assert view.box(target) * 511 / side == pytest.approx(expected, abs=511 / side + 0.5)


def test_a_frame_changes_in_the_target_alone() -> None:
    target = target_of((20, 10, 10, 8))
    frame = View("frame").show(target, 255 - target.crop)
    changed = (frame != target.frame).any(axis=2)
    assert frame.shape == target.frame.shape and changed.sum() == changed[10:18, 20:30].sum() > 70


@pytest.mark.parametrize("view", VIEWS)
def test_views_change_the_image_and_no_search(images, view: View, tmp_path) -> None:  # noqa: F811
    crops = HardPositiveGenerator("random", Brightness())(images, BOXES, draws=2)
    found = HardPositiveGenerator("random", Brightness(), view=view)(images, BOXES, draws=2)
    assert (found.regions == crops.regions).all() and (found.scores_after == crops.scores_after).all()
    assert found.boxes.shape == (6, 4)
    taken = take_hard_positives((one.image, one.record()) for one in found)
    for one, plain, positive in zip(found, crops, taken, strict=True):
        assert (crop(one.image, one.box) == plain.image).all() and (positive.load() == plain.image).all()
        assert (
            remake_hard_positive(json.loads(json.dumps(one.record())), image_targets(images, BOXES)) == one.image
        ).all()
        x, y, w, h = covered_pixels(one.box, one.region)
        rows, columns = slice(math.floor(y), math.ceil(y + h)), slice(math.floor(x), math.ceil(x + w))
        whole = view.show(one.target, one.target.crop)
        changed = (one.image != whole).any(axis=2)
        assert changed.sum() == changed[rows, columns].sum() > 0
    draw_contact_sheet(tmp_path / "sheet.png", list(found), "title", rows=1)


def test_records_of_before_are_crops() -> None:
    assert View.from_record({}) == View()
    assert View.from_record(View("region", 4.0).record(target_of((20, 10, 10, 8)))) == View("region", 4.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: View("window"), "'window' is no view; choose crop, region, frame"),  # type: ignore[arg-type]
        (lambda: View("region", 0.5), "The context is 0.5; it must lie between 1 and 16"),
        (lambda: View("region", float("nan")), "The context is nan"),
        (lambda: View.from_record({"view": "region", "context": "wide"}), "has the context 'wide'"),
        (lambda: View.from_record({"view": "region", "context": 10**400}), "has the context 1000"),
        (lambda: View.from_record({"view": ["region"]}), "is no view"),
        (
            lambda: View("region", 16).show(t := target_of((0, 0, 600, 600), 600, 600), t.crop),
            "The region around 'image-000000/000000' would have 19200 x 19200 pixels; lower the context",
        ),
    ],
)
def test_what_cannot_be_is_told(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_damaged_box_is_told() -> None:
    record = {"source": {"video": "a", "frame": 0, "box": [0, 0, 5, 5]}, "view": "region", "box": [0, 0, -1, 5]}
    with pytest.raises(InputError, match="has the box 0,0,-1,5"):
        take_hard_positives([(np.zeros((9, 9, 3), np.uint8), record)])
