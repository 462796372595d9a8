from __future__ import annotations

from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from tracker.data.sequences import FrameCache, VideoFile
from tracker.data.streams import open_stream
from tracker.errors import InputError
from tracker.trackers.following import open_sequence

INTERLACED = Path(__file__).parent / "interlaced.mp4"
"""Five frames of colour bars, H.264, interlaced: OpenCV reads them as black."""

COUNT, WIDTH, HEIGHT = 60, 64, 48


def write_video(path: Path, count: int = COUNT, codec: str = "mpeg4") -> Path:
    """Frames whose noise does not compress, so that the file may be cut anywhere; the top left is bright."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(count):
            image = rng.integers(0, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            image[:16, :32] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_interlaced_video_is_decoded() -> None:
    frames = VideoFile(INTERLACED)
    assert len(frames) == 5
    for t in range(5):
        grey, red = frames[t][10, [4, 55]].astype(int)
        assert grey.min() > 160 and red[1:].max() < 40 and red[0] > 150
    with closing(open_stream(INTERLACED)) as stream:
        shown = list(stream)
    assert len(shown) == 5 and (shown[3] == frames[3]).all()
    assert open_sequence(INTERLACED, [(2, 2, 9, 9)] * 5).crop(4).mean() > 150


@pytest.mark.parametrize(("turn", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_frames_are_turned_upright(tmp_path: Path, turn: int, corner: tuple[int, int]) -> None:
    """The bright corner goes where the matrix of the track says, as a telephone writes it."""
    path = write_video(tmp_path / "phone.mp4", 3)
    content = bytearray(path.read_bytes())
    one = 2**16
    matrix = {90: (0, -one, one, 0), 180: (-one, 0, 0, -one), 270: (0, one, -one, 0)}[turn]
    a, b, c, d = (value.to_bytes(4, "big", signed=True) for value in matrix)
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = a + b + bytes(4) + c + d + bytes(8) + bytes(4) + (2**30).to_bytes(4, "big")
    path.write_bytes(content)
    frames = VideoFile(path)
    size = (WIDTH, HEIGHT) if turn == 180 else (HEIGHT, WIDTH)
    assert frames.size(1) == size and frames[1].shape == (size[1], size[0], 3)
    corners = {place: int(frames[1][place].min()) for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert max(corners, key=lambda place: corners[place]) == corner


@pytest.mark.parametrize(("name", "codec"), [("cut.mp4", "mpeg4"), ("cut.avi", "mpeg4"), ("cut.avi", "mjpeg")])
def test_a_truncated_video_is_refused_with_the_remedy(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, codec=codec)
    assert len(VideoFile(path)) == COUNT
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"Only \d+ of the {COUNT} frames .* ffmpeg -i .*{name} .*cut-h264.mp4"):
        VideoFile(path)


@pytest.mark.parametrize("share", [0.5, 0.85])
def test_a_truncated_matroska_file_is_refused(tmp_path: Path, share: float) -> None:
    """It declares seconds, no number of frames; 12 frames are less than half a second."""
    path = write_video(tmp_path / "cut.mkv", 12)
    assert len(VideoFile(path)) == 12
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"Only 0\.\d+ of the 0\.48 seconds .* ffmpeg -i .*cut-h264.mp4"):
        VideoFile(path)


def test_a_short_truncated_avi_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.avi", 12, "mjpeg")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"Only \d of the 12 frames"):
        VideoFile(path)


def test_a_damaged_video_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "bad.mp4")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\x55" * 3000
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"Only \d+ of the {COUNT} frames"):
        VideoFile(path)


def test_a_jump_finds_its_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 90)
    frames = VideoFile(path, FrameCache(0))
    in_turn = [frames[t] for t in range(90)]
    for t in (80, 2, 45, 44, 89, 0):
        assert (frames[t] == in_turn[t]).all()
