from __future__ import annotations

import gc
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.cache import ENTRY_BYTES
from tracker.data.images import as_rgb, read_image, write_png
from tracker.data.sequences import (
    FRAME_CACHE,
    ArrayFrames,
    FrameCache,
    Frames,
    ImageFiles,
    SelectedFrames,
    Sequence,
    VideoFile,
    evenly_spaced,
)
from tracker.data.streams import open_stream
from tracker.errors import InputError

COUNT, HEIGHT, WIDTH = 90, 48, 64


BITS, BAND = 8, HEIGHT // 8


def picture(t: int) -> np.ndarray:
    """The right half tells the frame in bands of black and white; the red left half tells RGB from BGR."""
    frame = np.full((HEIGHT, WIDTH, 3), (250, 10, 10), np.uint8)
    for bit in range(BITS):
        frame[bit * BAND : (bit + 1) * BAND, WIDTH // 2 :] = 230 if t >> bit & 1 else 20
    return frame


def shown(frame: np.ndarray) -> int:
    """Which frame `picture` made."""
    bands = frame[:, WIDTH // 2 + 8 :].reshape(BITS, -1).mean(axis=1) > 125
    return sum(int(high) << bit for bit, high in enumerate(bands))


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for t in range(COUNT):
        writer.write(picture(t)[..., ::-1].copy())
    writer.release()
    return path


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec with frames that depend on others, so that a jump is more than a seek."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
    if not writer.isOpened():
        pytest.skip("this OpenCV does not write MPEG-4")
    for t in range(COUNT):
        writer.write(picture(t)[..., ::-1].copy())
    writer.release()
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{t:03d}.png" for t in range(5)]
    for t, path in enumerate(paths):
        write_png(path, picture(t))
    return paths


def sequence(count: int = 10, **changes: Any) -> Sequence:
    fields: dict[str, Any] = {
        "name": "toy",
        "frames": ArrayFrames([picture(t) for t in range(count)]),
        "boxes": np.tile([4.0, 5, 10, 8], (count, 1)),
        "visibility": np.ones(count),
        "origin": "synthetic:0",
        "box_source": "exact",
    }
    return Sequence(**(fields | changes))


def check_protocol(frames: Frames, count: int) -> None:
    assert isinstance(frames, Frames)
    assert len(frames) == count
    for index in (0, count - 1, -1, -count, np.int64(1)):
        frame = frames[index]
        assert frame.dtype == np.uint8 and frame.shape == (HEIGHT, WIDTH, 3)
        assert shown(frame) == index % count
        assert frame[:, :8].mean(axis=(0, 1)) == pytest.approx([250, 10, 10], abs=12)
        assert frames.name(index)
    for index in (count, -count - 1):
        with pytest.raises(IndexError):
            frames[index]
        with pytest.raises(IndexError):
            frames.name(index)
    frame = frames[0]
    frame[:] = 0
    assert shown(frames[0]) == 0
    copy = pickle.loads(pickle.dumps(frames))
    assert len(copy) == count and shown(copy[count - 1]) == count - 1


def test_image_files(files: list[Path]) -> None:
    frames = ImageFiles(files)
    check_protocol(frames, 5)
    assert frames.name(-1) == "004.png"


def test_image_files_keep_what_was_decoded_within_bounds(files: list[Path]) -> None:
    one = HEIGHT * WIDTH * 3
    frames = ImageFiles(files, FrameCache(2 * (one + ENTRY_BYTES)))
    first = [frames[t] for t in range(5)]
    for path in files:
        path.unlink()
    assert (frames[4] == first[4]).all() and (frames[3] == first[3]).all()
    with pytest.raises(InputError, match="000.png' does not exist"):
        frames[0]
    assert len(pickle.dumps(frames)) < one


def test_one_cache_bounds_the_frames_of_all_videos(tmp_path: Path) -> None:
    """The process's own cache holds at most its limit however many videos are read; dropped videos leave it."""
    one = HEIGHT * WIDTH * 3 + ENTRY_BYTES
    cache = FrameCache(5 * one)
    videos = []
    for video in range(4):
        for t in range(3):
            write_png(tmp_path / f"{video}-{t}.png", picture(t))
        videos.append(ImageFiles([tmp_path / f"{video}-{t}.png" for t in range(3)], cache))
    for frames in videos:
        for t in range(3):
            frames[t]
            assert cache.bytes <= cache.limit
    assert cache.bytes == 5 * one
    for path in tmp_path.iterdir():
        path.unlink()
    assert shown(videos[3][0]) == 0 and shown(videos[2][1]) == 1, "the five frames read last are cached"
    with pytest.raises(InputError, match="does not exist"):
        videos[2][0]
    del videos[3], frames
    assert cache.bytes == 2 * one
    cache.limit = one
    assert cache.bytes == one
    with pytest.raises(InputError, match="is -1 bytes"):
        cache.limit = -1


def test_videos_share_the_cache_of_the_process(files: list[Path], mp4: Path) -> None:
    before = FRAME_CACHE.bytes
    every = [ImageFiles(files), ImageFiles(files), VideoFile(mp4)]
    for frames in every:
        frames[1]
    assert FRAME_CACHE.bytes == min(before + 3 * (HEIGHT * WIDTH * 3 + ENTRY_BYTES), FRAME_CACHE.limit)
    own = FrameCache(10**6)
    copies = pickle.loads(pickle.dumps([*every, ImageFiles(files, own), ImageFiles(files, own)]))
    assert [copy._cache is FRAME_CACHE for copy in copies] == [True] * 3 + [False] * 2
    assert copies[3]._cache is copies[4]._cache and copies[3]._cache.limit == 10**6
    assert shown(copies[4][2]) == 2


def thermal(path: Path, values: np.ndarray) -> Path:
    cv2.imwrite(str(path), values.astype(np.uint16))
    return path


@pytest.mark.parametrize(
    ("low", "high"),
    [(7424, 8000), (0, 1023), (0, 16383), (29315, 31000), (3, 7)],
    ids="14bit 10bit full kelvin few".split(),
)
def test_sensor_values_in_16_bits_keep_their_contrast(tmp_path: Path, low: int, high: int) -> None:
    """The whole range is used, in order, and a value has the same grey in each frame."""
    values = np.linspace(low, high, 12).round().reshape(3, 4)
    paths = [thermal(tmp_path / "0.png", values), thermal(tmp_path / "1.png", np.full((3, 4), values[1, 2]))]
    first, second = (ImageFiles(paths)[t] for t in range(2))
    assert first.min() == 0 and first.max() == 255
    order = first[..., 0].ravel().astype(int)
    assert (np.diff(order)[np.diff(values.ravel()) > 0] > 0).all()
    assert (second == first[1, 2]).all()
    assert (read_image(paths[0]) == first).all()
    opened = open_stream(tmp_path)
    assert [(frame == both).all() for frame, both in zip(opened, (first, second), strict=True)] == [True, True]


@pytest.mark.parametrize("dead", [0, 65535])
def test_dead_pixels_do_not_take_the_contrast(tmp_path: Path, dead: int) -> None:
    """One pixel in a thousand, or one frame's."""
    values = np.linspace(7000, 8000, 2000).reshape(40, 50)
    for t in range(3):
        shown = values.copy()
        shown[t, t] = dead
        thermal(tmp_path / f"{t}.png", shown)
    frame = ImageFiles(sorted(tmp_path.iterdir()))[0][..., 0]
    assert frame[0, 1] < 3 and frame[-1, -1] > 252 and 110 < frame[20, 0] < 145


def test_colours_in_16_bits_keep_their_contrast_too(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 3 * 12).reshape(3, 4, 3)  # BGR
    for name in ("0.png", "1.tiff"):
        frame = ImageFiles([thermal(tmp_path / name, values)])[0]
        assert np.array_equal(frame[..., ::-1], (values.astype(np.uint16) / 4095 * 255).round())


def test_16_bits_that_are_used_keep_the_high_byte(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 12).reshape(3, 4)
    paths = [thermal(tmp_path / "0.png", values), thermal(tmp_path / "1.png", np.full((3, 4), 512))]
    frames = ImageFiles(paths)
    assert (frames[0][..., 1] == values.astype(np.uint16) >> 8).all() and (frames[1] == 2).all()
    with pytest.warns(UserWarning, match="The frame holds 16-bit values from 100 to 900, whose high byte"):
        assert as_rgb(np.array([[100, 900]], np.uint16), "The frame").max() == 3


def test_array_frames() -> None:
    check_protocol(ArrayFrames(np.stack([picture(t) for t in range(4)])), 4)
    with pytest.raises(InputError, match="Frame 1 is float64"):
        ArrayFrames([picture(0), picture(1).astype(float)])  # type: ignore[list-item]


def test_selected_frames(files: list[Path]) -> None:
    check_protocol(SelectedFrames(ArrayFrames([picture(t) for t in range(4)]), range(4)), 4)
    chosen = SelectedFrames(ImageFiles(files), [3, -1, 0])
    assert [shown(chosen[t]) for t in range(3)] == [3, 4, 0]
    assert chosen.name(1) == "004.png"
    with pytest.raises(IndexError):
        SelectedFrames(ImageFiles(files), [5])


@pytest.mark.parametrize("kind", ["avi", "mp4"])
def test_video_file(kind: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(kind)
    check_protocol(VideoFile(path), COUNT)
    in_turn = VideoFile(path, FrameCache(0))
    assert [shown(in_turn[t]) for t in range(COUNT)] == list(range(COUNT))
    order = np.random.default_rng(0).permutation(COUNT)
    assert [shown(in_turn[t]) for t in order] == order.tolist()
    assert VideoFile(path).name(7) == "7"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_video_file_in_a_forked_process(mp4: Path) -> None:
    frames = VideoFile(mp4, FrameCache(0))
    assert shown(frames[40]) == 40
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # Closing an inherited decoder that had threads would wait for ever.
        right = [shown(frames[t]) for t in (41, 5, 42)] == [41, 5, 42]
        del frames
        gc.collect()
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shown(frames[41]) == 41


def test_video_file_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none.mp4' does not exist"):
        VideoFile(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video at all" * 100)
    with pytest.raises(InputError, match="text.mp4' cannot be decoded; .*ffmpeg -i .*text.mp4"):
        VideoFile(tmp_path / "text.mp4")


def test_sequence_keeps_what_it_is_given() -> None:
    toy = sequence(visibility=np.array([1, 0.5, 0, 1, 1, 0, 1, 1, 1, 1]))
    assert len(toy) == 10
    assert toy.boxes.dtype == toy.visibility.dtype == np.float64
    assert toy.exemplar_box.tolist() == [4, 5, 10, 8]
    assert toy.present.tolist() == [0, 1, 3, 4, 6, 7, 8, 9]
    assert toy.exemplar().shape == (8, 10, 3)
    assert toy.exemplar(16).shape == (16, 16, 3)
    assert (toy.crop(-1) == picture(9)[5:13, 4:14]).all()
    with pytest.raises(InputError, match="absent in frame 2"):
        toy.crop(2)
    with pytest.raises(IndexError):
        toy.crop(10)


def test_sequence_cannot_be_changed() -> None:
    given_boxes = np.tile([4.0, 5, 10, 8], (10, 1))
    toy = sequence(boxes=given_boxes)
    for frozen in (toy, pickle.loads(pickle.dumps(toy))):
        with pytest.raises(ValueError):
            frozen.boxes[0] = 0
        with pytest.raises(ValueError):
            frozen.visibility[0] = 0
        with pytest.raises(AttributeError):
            frozen.name = "other"
    given_boxes[0] = 0
    assert toy.boxes[0, 2] == 10


def test_subset_and_limit() -> None:
    toy = sequence(visibility=np.linspace(1, 0.1, 10))
    some = toy.subset([2, 5, -1], name="some")
    assert some.name == "some" and len(some) == 3
    assert some.visibility == pytest.approx(toy.visibility[[2, 5, 9]])
    assert [shown(some.frames[t]) for t in range(3)] == [2, 5, 9]
    assert some.frames.name(1) == "5"
    few = toy.limit(4)
    assert [shown(few.frames[t]) for t in range(4)] == [0, 3, 6, 9]
    assert few.name == "toy" and toy.limit(10) is toy and toy.limit(99) is toy
    assert len(toy.limit(1)) == 1
    with pytest.raises(InputError, match="at least 1"):
        toy.limit(0)
    with pytest.raises(IndexError):
        toy.subset([10])
    with pytest.raises(InputError, match="has no frames"):
        toy.subset(np.zeros(0, int))


@given(st.integers(1, 3000), st.integers(1, 400))
def test_evenly_spaced(count: int, at_most: int) -> None:
    indices = evenly_spaced(count, at_most)
    assert indices[0] == 0 and len(indices) == min(count, at_most)
    assert (np.diff(indices) > 0).all() and indices[-1] < count
    assert len(indices) < 3 or np.ptp(np.diff(indices)) <= 1


def boxes_with(t: int, row: list[float]) -> np.ndarray:
    boxes = np.tile([4.0, 5, 10, 8], (10, 1))
    boxes[t] = row
    return boxes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frames": ArrayFrames([])}, "'toy' has no frames"),
        ({"boxes": np.ones((9, 4))}, r"has 10 frames but boxes of shape \[9, 4\]"),
        ({"visibility": np.ones(9)}, r"has 10 frames but visibilities of shape \[9\]"),
        ({"visibility": np.full(10, 1.5)}, "visibility 1.5 in frame 0"),
        ({"visibility": np.full(10, np.nan)}, "visibility nan in frame 0"),
        ({"visibility": np.array([0.0] + [1] * 9)}, "starts without its target"),
        ({"boxes": boxes_with(3, [4, 5, np.nan, 8])}, "box of frame 3 of 'toy' .* not finite"),
        ({"boxes": boxes_with(3, [4, 5, 0, 8])}, "box of frame 3 of 'toy' .* no area"),
        ({"boxes": boxes_with(3, [64, 5, 9, 8])}, "box of frame 3 of 'toy' .* outside the image of 64 x 48"),
        ({"box_source": "guess"}, "box source 'guess'"),
    ],
)
def test_sequence_refuses(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sequence(**changes)


def test_an_absent_target_needs_no_box() -> None:
    visibility = np.ones(10)
    visibility[3] = 0
    assert sequence(boxes=boxes_with(3, [0, 0, 0, 0]), visibility=visibility).present.size == 9
    with pytest.raises(InputError, match="frame 3 .* not finite; write zeros"):
        sequence(boxes=boxes_with(3, [np.nan] * 4), visibility=visibility)
