from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.data import boxes, images
from tracker.errors import InputError

WIDTH, HEIGHT = 40, 30
number = st.floats(-60, 60, allow_nan=False).map(lambda value: round(value, 3))
length = st.floats(0.01, 50).map(lambda value: round(value, 3))
box = st.tuples(number, number, length, length)


def ramp() -> np.ndarray:
    """Every pixel says where it lies: red is its column, green its row."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = np.arange(WIDTH)
    image[..., 1] = np.arange(HEIGHT)[:, None]
    return image


@given(box, box)
def test_iou_is_symmetric_and_bounded(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    value = float(boxes.iou(a, b))
    assert 0 <= value <= 1 + 1e-12
    assert value == float(boxes.iou(b, a))


@given(box, number, number)
def test_iou_of_itself_is_one_and_moves_with_both(a: tuple[float, ...], dx: float, dy: float) -> None:
    assert float(boxes.iou(a, a)) == pytest.approx(1, abs=1e-6)
    other = (a[0] + a[2] / 3, a[1], a[2], a[3])
    moved = [(p[0] + dx, p[1] + dy, p[2], p[3]) for p in (a, other)]
    assert float(boxes.iou(*moved)) == pytest.approx(float(boxes.iou(a, other)), abs=1e-6)


@given(st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_iou_agrees_with_counting_pixels(n: list[int]) -> None:
    a, b = (n[0], n[1], n[2] + 1, n[3] + 1), (n[4], n[5], n[6] + 1, n[7] + 1)
    masks = np.zeros((2, 30, 30), bool)
    for mask, (x, y, w, h) in zip(masks, (a, b), strict=True):
        mask[y : y + h, x : x + w] = True
    assert float(boxes.iou(a, b)) == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def test_iou_broadcasts() -> None:
    many = np.tile([0.0, 0, 2, 2], (3, 1, 1))
    assert boxes.iou(many, [[0, 0, 2, 2], [1, 0, 2, 2]]).shape == (3, 2)
    assert float(boxes.iou([0, 0, 0, 0], [0, 0, 0, 0])) == 0


@given(box)
def test_visible_fraction(a: tuple[float, ...]) -> None:
    share = float(boxes.visible_fraction(a, WIDTH, HEIGHT))
    assert 0 <= share <= 1 + 1e-9
    wholly = a[0] >= 0 and a[1] >= 0 and a[0] + a[2] <= WIDTH and a[1] + a[3] <= HEIGHT
    assert not wholly or share == pytest.approx(1)


@given(st.lists(number, min_size=8, max_size=8))
def test_hull_holds_every_corner(polygon: list[float]) -> None:
    x, y, w, h = boxes.hull(polygon)
    corners = np.reshape(polygon, (-1, 2))
    assert (corners >= [x - 1e-9, y - 1e-9]).all()
    assert (corners <= [x + w + 1e-9, y + h + 1e-9]).all()
    assert (corners[:, 0] == x).any() and (corners[:, 1] == y).any()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ((1, 2, 3), "has 3 numbers"),
        ((1, 2, float("nan"), 4), "not finite"),
        ((1, 2, 0, 4), "has no area"),
        ((1, 2, 3, -4), "has no area"),
        ((40, 2, 3, 4), "lies outside the image of 40 x 30"),
        ((1, -9, 3, 9), "lies outside the image of 40 x 30"),
    ],
)
def test_check_box_refuses(bad: tuple[float, ...], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        boxes.check_box(bad, WIDTH, HEIGHT, "The box of 'x'")
    assert "The box of 'x'" in str(caught.value)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1 2 3 4"])
def test_parse_box_refuses(text: str) -> None:
    with pytest.raises(InputError, match="four numbers"):
        boxes.parse_box(text)


@given(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, WIDTH), st.integers(1, HEIGHT))
def test_crop_inside_is_a_slice(x: int, y: int, w: int, h: int) -> None:
    w, h = min(w, WIDTH - x), min(h, HEIGHT - y)
    image = ramp()
    patch = images.crop(image, (x, y, w, h))
    assert (patch == image[y : y + h, x : x + w]).all()
    patch[:] = 0
    assert (image == ramp()).all()


@settings(max_examples=200)
@given(box)
def test_crop_anywhere_repeats_the_border(a: tuple[float, ...]) -> None:
    image = ramp()
    if float(boxes.intersection(a, (0, 0, WIDTH, HEIGHT))) <= 0:
        with pytest.raises(InputError):
            images.crop(image, a)
        return
    patch = images.crop(image, a)
    assert patch.dtype == np.uint8
    assert abs(patch.shape[1] - a[2]) <= 1 and abs(patch.shape[0] - a[3]) <= 1
    columns, rows = patch[..., 0].astype(int), patch[..., 1].astype(int)
    left, top = int(np.floor(a[0] + 0.5)), int(np.floor(a[1] + 0.5))
    assert (columns == np.clip(left + np.arange(patch.shape[1]), 0, WIDTH - 1)).all()
    assert (rows == np.clip(top + np.arange(patch.shape[0]), 0, HEIGHT - 1)[:, None]).all()


def test_crop_to_a_size() -> None:
    image = np.full((20, 30, 3), 77, np.uint8)
    assert images.crop(image, (5, 5, 9, 4), 16).shape == (16, 16, 3)
    assert (images.crop(image, (5, 5, 9, 4), 16) == 77).all()


def test_resize_shrinks_by_area() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (images.resize(stripes, 4, 4) == 100).all()


def test_png_round_trip(tmp_path: Path) -> None:
    images.write_png(tmp_path / "a.png", ramp())
    assert (images.read_image(tmp_path / "a.png") == ramp()).all()


def test_read_image_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        images.read_image(tmp_path / "none.png")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(InputError, match="text.jpg' cannot be read"):
        images.read_image(tmp_path / "text.jpg")


@pytest.mark.parametrize(
    "bad", [None, [[0]], np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_check_image_refuses(bad: object) -> None:
    with pytest.raises(InputError, match="The frame is"):
        images.check_image(bad, "The frame")


def test_tensors_and_back() -> None:
    batch = np.stack([ramp(), ramp()[::-1]])
    tensor = images.to_tensor(batch)
    assert tuple(tensor.shape) == (2, 3, HEIGHT, WIDTH)
    assert float(tensor.max()) == pytest.approx(39 / 255)
    assert float(tensor[0, 0, 3, 7]) == pytest.approx(7 / 255)
    assert (images.to_images(tensor) == batch).all()
    assert tuple(images.to_tensor(ramp()).shape) == (1, 3, HEIGHT, WIDTH)
