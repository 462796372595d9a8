from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PILImage

from tracker.data.images import as_rgb, read_image
from tracker.errors import InputError

COLOURS = np.array([[[200, 30, 90], [0, 255, 7]]], np.uint8)
GREY = np.array([[0, 200]], np.uint8)
DEEP = np.array([[0, 300, 40000, 65535]], np.uint16)
HIGH_BYTES = [0, 1, 156, 255]


def test_rgb_is_returned_itself() -> None:
    assert as_rgb(COLOURS) is COLOURS


@pytest.mark.parametrize("grey", [GREY, GREY[..., None], PILImage.fromarray(GREY)])
def test_grey_becomes_three_equal_channels(grey: object) -> None:
    assert as_rgb(grey).tolist() == [[[0, 0, 0], [200, 200, 200]]]


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_alpha_is_dropped(alpha: int) -> None:
    layer = np.full((1, 2, 1), alpha, np.uint8)
    four = np.concatenate([COLOURS, layer], axis=2)
    assert (as_rgb(four) == COLOURS).all() and as_rgb(four).flags.c_contiguous
    assert (as_rgb(PILImage.fromarray(four)) == COLOURS).all()
    two = np.concatenate([GREY[..., None], layer], axis=2)
    assert (as_rgb(two) == as_rgb(GREY)).all() and (as_rgb(PILImage.fromarray(two)) == as_rgb(GREY)).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, channels: int) -> None:
    deep = DEEP if channels == 1 else np.repeat(DEEP[..., None], channels, axis=2)
    assert as_rgb(deep)[0, :, 1].tolist() == HIGH_BYTES
    for name in ("a.png", "a.tiff"):
        if (channels, name) == (4, "a.tiff"):
            continue
        cv2.imwrite(str(tmp_path / name), deep)
        assert read_image(tmp_path / name)[0].tolist() == [[value] * 3 for value in HIGH_BYTES]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_pillows_modes_of_sixteen_bits(mode: str) -> None:
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = PILImage.frombytes(mode, (4, 1), DEEP.astype(kind).tobytes())
    assert as_rgb(image)[0, :, 0].tolist() == HIGH_BYTES


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = PILImage.fromarray(COLOURS).quantize(2)
    image.save(tmp_path / "p.png", transparency=0)
    assert (read_image(tmp_path / "p.png") == COLOURS).all()


def test_files_with_alpha_are_read_by_the_same_rule(tmp_path: Path) -> None:
    PILImage.fromarray(np.dstack([COLOURS, [[0, 9]]]).astype(np.uint8)).save(tmp_path / "a.png")
    frame = read_image(tmp_path / "a.png")
    assert (frame == COLOURS).all() and frame.flags.writeable


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (None, "The frame is a NoneType; give a PIL image or an array of uint8 or uint16"),
        ([[1]], "The frame is a list"),
        (np.zeros((4, 4, 3)), "The frame is an array of float64"),
        (np.zeros((4, 4, 3), np.int64), "The frame is an array of int64"),
        (np.zeros((4, 4), bool), "The frame is an array of bool"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"The frame is an array \[2, 4, 4, 3\]; give \[height, width\]"),
        (np.zeros((4, 4, 5), np.uint8), r"The frame is an array \[4, 4, 5\]"),
        (np.zeros(4, np.uint8), r"The frame is an array \[4\]"),
        (np.zeros((0, 4), np.uint8), r"The frame is empty \(4 x 0 pixels\)"),
        (PILImage.new("F", (2, 2)), "The frame holds floating-point values"),
        (PILImage.new("I", (2, 2), 70000), "The frame holds whole numbers beyond 16 bits"),
    ],
)
def test_what_is_refused(bad: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        as_rgb(bad, "The frame")


def test_a_file_of_floating_point_values_is_refused_by_name(tmp_path: Path) -> None:
    PILImage.new("F", (2, 2)).save(tmp_path / "f.tiff")
    with pytest.raises(
        InputError, match="f.tiff' holds floating-point values; convert it to 8 or 16 bits a channel.$"
    ):
        read_image(tmp_path / "f.tiff")


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    PILImage.fromarray(noise).save(tmp_path / "t.jpg")
    (tmp_path / "t.jpg").write_bytes((tmp_path / "t.jpg").read_bytes()[:900])
    with pytest.raises(InputError, match="t.jpg' cannot be read"):
        read_image(tmp_path / "t.jpg")
