from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from agents import tracking
from agents.cli import main
from agents.tracking import COLOUR, LOST_COLOUR, draw_box, track_video
from tracker.data.images import write_png
from tracker.data.sequences import VideoFile
from tracker.data.streams import Stream, open_stream
from tracker.errors import InputError
from tracker.trackers.following import open_sequence

WIDTH, HEIGHT, COUNT = 96, 64, 12
BOX = (20.0, 15.0, 24.0, 20.0)


def picture(t: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Blue, with a white square that moves two pixels a frame."""
    frame = np.full((height, width, 3), (20, 40, 160), np.uint8)
    frame[15:35, 20 + 2 * t : 44 + 2 * t] = 255
    return frame


class Walker:
    name = "walker"

    def init(self, image: np.ndarray, box: Any) -> None:
        self.box = np.array(box, float)

    def update(self, image: np.ndarray) -> np.ndarray:
        self.box = self.box + [2, 0, 0, 0]
        return self.box.copy()


class Frames(Stream):
    """Pictures, and then what is told: an exception, or the end."""

    def __init__(self, end: BaseException | None = None, count: int = COUNT, **options: Any) -> None:
        super().__init__("The stream", self.pictures(end, count), self.note_end, **options)
        self.closed = False

    def pictures(self, end: BaseException | None, count: int) -> Iterator[np.ndarray]:
        yield from map(picture, range(count))
        if end is not None:
            raise end

    def note_end(self) -> None:
        self.closed = True


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (WIDTH, HEIGHT))
    for t in range(COUNT):
        writer.write(picture(t)[..., ::-1].copy())
    writer.release()
    return path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    """Run `track` in the temporary folder; returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    def call(*arguments: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["occlusion-search", "track", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code or 0, printed.out + printed.err

    return call


def properties(path: Path) -> tuple[int, int, float, int]:
    capture = cv2.VideoCapture(str(path))
    width, height, fps = (capture.get(key) for key in (3, 4, 5))
    frames = len(VideoFile(path))
    return int(width), int(height), fps, frames


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("in.avi", "frames"))


def test_a_video_comes_out_as_large_and_as_fast(video: Path, tmp_path: Path, command: Callable) -> None:
    code, text = command(
        *("--data", video, "--box", "20,15,24,20", "--tracker", "mil", "--out", "out.mp4", "--boxes", "boxes.txt")
    )
    assert code == 0 and "12 frames with the boxes of mil are in out.mp4" in text
    assert properties(tmp_path / "out.mp4") == (WIDTH, HEIGHT, 12.5, COUNT)
    assert left_over(tmp_path) == ["boxes.txt", "out.mp4"]
    again = open_sequence(video, tmp_path / "boxes.txt")
    assert again.boxes[0].tolist() == list(BOX)
    assert np.abs(again.boxes[:, 0] - (20 + 2 * np.arange(COUNT))).max() < 8


def test_the_box_is_drawn_where_it_is(tmp_path: Path) -> None:
    report = track_video(Frames(fps=20), Walker(), BOX, tmp_path / "o.mp4", progress=False)
    assert report == tracking.TrackReport(COUNT, None)
    frames = VideoFile(tmp_path / "o.mp4")
    for t in (0, COUNT - 1):
        column = frames[t][25].astype(int)
        yellow = np.flatnonzero((column[:, 0] > 150) & (column[:, 2] < 120))
        assert abs(yellow.min() - (20 + 2 * t)) <= 2 and abs(yellow.max() - (43 + 2 * t)) <= 2
        assert column[8][2] > column[8][0] + 60, "the blue ground must stay blue"


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65)])
def test_odd_sizes_get_a_pixel(tmp_path: Path, size: tuple[int, int], command: Callable) -> None:
    (tmp_path / "frames").mkdir()
    for t in range(4):
        write_png(tmp_path / "frames" / f"{t}.png", picture(t, *size))
    code, _ = command("--data", "frames", "--box", "20,15,24,20", "--tracker", "mil", "--out", "o.mp4")
    assert code == 0
    assert properties(tmp_path / "o.mp4") == (size[0] + size[0] % 2, size[1] + size[1] % 2, 25, 4)


def test_frames_and_fps_can_be_told(video: Path, tmp_path: Path, command: Callable) -> None:
    code, _ = command(
        *(
            "--data",
            video,
            "--box",
            "20,15,24,20",
            "--tracker",
            "mil",
            "--out",
            "o.mp4",
            "--frames",
            5,
            "--fps",
            50,
        )
    )
    assert code == 0 and properties(tmp_path / "o.mp4")[2:] == (50, 5)


def test_a_video_that_breaks_off_is_written_so_far(video: Path, tmp_path: Path, command: Callable) -> None:
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    there = sum(1 for _ in open_stream(video))
    assert 1 < there < COUNT - 1
    code, text = command("--data", video, "--box", "20,15,24,20", "--tracker", "mil", "--out", "o.mp4")
    assert code == 1 and f"broke off after {there} of its {COUNT} frames, which were written" in text
    assert properties(tmp_path / "o.mp4")[3] == there


def test_frames_that_change_their_size_are_tracked_and_scaled(tmp_path: Path, command: Callable) -> None:
    (tmp_path / "frames").mkdir()
    for t in range(4):
        frame = picture(t)
        write_png(tmp_path / "frames" / f"{t}.png", frame if t < 2 else np.repeat(np.repeat(frame, 2, 0), 2, 1))
    code, _ = command(
        *("--data", tmp_path / "frames", "--box", "20,15,24,20", "--tracker", "mil", "--out", "out.mp4"),
        *("--boxes", "boxes.txt"),
    )
    assert code == 0 and properties(tmp_path / "out.mp4")[:2] == picture(0).shape[1::-1]
    boxes = np.loadtxt(tmp_path / "boxes.txt", delimiter=",")
    assert boxes[:2, 2].tolist() == [24, 24] and boxes[2:, 2].tolist() == [48, 48]


def test_a_broken_image_ends_the_video(tmp_path: Path, command: Callable) -> None:
    (tmp_path / "frames").mkdir()
    for t in range(4):
        write_png(tmp_path / "frames" / f"{t}.png", picture(t))
    (tmp_path / "frames" / "3.png").write_bytes(b"no image")
    line = ("--data", "frames", "--box", "20,15,24,20", "--tracker", "mil", "--out", "o.mp4")
    code, text = command(*line)
    assert code == 1 and "broke off after 3 frames, which were written" in text and "3.png" in text
    assert properties(tmp_path / "o.mp4")[3] == 3
    (tmp_path / "frames" / "0.png").write_bytes(b"no image")
    (tmp_path / "o.mp4").unlink()
    code, text = command(*line)
    assert code == 2 and "0.png' cannot be read" in text and left_over(tmp_path) == []


def test_one_frame_more_than_can_be_decoded_is_no_break(tmp_path: Path) -> None:
    assert (
        track_video(Frames(declared_frames=COUNT + 1), Walker(), BOX, tmp_path / "a.mp4", progress=False).broken
        is None
    )
    assert track_video(Frames(declared_frames=COUNT + 2), Walker(), BOX, tmp_path / "b.mp4", progress=False).broken
    told = track_video(
        Frames(declared_frames=99), Walker(), BOX, tmp_path / "c.mp4", most_frames=4, progress=False
    )
    assert told == tracking.TrackReport(4, None)


def test_an_interrupt_ends_a_camera_and_drops_a_file(tmp_path: Path) -> None:
    camera = Frames(KeyboardInterrupt(), live=True)
    assert track_video(camera, Walker(), BOX, tmp_path / "o.mp4", progress=False).frames == COUNT
    assert camera.closed and properties(tmp_path / "o.mp4")[3] == COUNT
    (tmp_path / "o.mp4").write_bytes(b"earlier")
    with pytest.raises(KeyboardInterrupt):
        track_video(Frames(KeyboardInterrupt()), Walker(), BOX, tmp_path / "o.mp4", progress=False)
    with pytest.raises(KeyboardInterrupt):
        track_video(Frames(KeyboardInterrupt(), 0, live=True), Walker(), BOX, tmp_path / "o.mp4", progress=False)
    assert left_over(tmp_path) == ["o.mp4"] and (tmp_path / "o.mp4").read_bytes() == b"earlier"


def test_a_tracker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Bad(Walker):
        def update(self, image: np.ndarray) -> np.ndarray:
            return super().update(image) * (np.nan if self.box[0] > 24 else 1)

    stream = Frames()
    with pytest.raises(InputError, match="'walker' returned the box .* not finite, in frame 3"):
        track_video(stream, Bad(), BOX, tmp_path / "o.mp4", boxes_file=tmp_path / "b.txt", progress=False)
    assert stream.closed and left_over(tmp_path) == []


def test_frames_are_not_kept(tmp_path: Path) -> None:
    import weakref

    alive: list[weakref.ref[np.ndarray]] = []

    class Watched(Frames):
        def __iter__(self) -> Iterator[np.ndarray]:
            for t in range(COUNT):
                frame = picture(t)
                alive.append(weakref.ref(frame))
                yield frame
                del frame
                assert sum(reference() is not None for reference in alive) <= 2

    assert track_video(Watched(), Walker(), BOX, tmp_path / "o.mp4", progress=False).frames == COUNT


def test_the_window_ends_at_q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setattr(tracking, "has_display", lambda: True)
    monkeypatch.setattr(cv2, "imshow", lambda name, frame: shown.append(frame))
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    monkeypatch.setattr(cv2, "waitKey", lambda delay: ord("q") if len(shown) == 3 else -1)
    report = track_video(
        Frames(declared_frames=COUNT), Walker(), BOX, tmp_path / "o.mp4", show=True, progress=False
    )
    assert report == tracking.TrackReport(3, None)
    assert shown[0][60, 90, 0] > shown[0][60, 90, 2], "a window wants BGR"


def test_the_first_box_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "has_display", lambda: True)
    monkeypatch.setattr(cv2, "destroyWindow", lambda name: None)
    monkeypatch.setattr(cv2, "selectROI", lambda name, frame, **options: (20, 15, 24, 20))
    track_video(Frames(), Walker(), None, tmp_path / "o.mp4", boxes_file=tmp_path / "b.txt", progress=False)
    assert (tmp_path / "b.txt").read_text().splitlines()[1] == "22.0000,15.0000,24.0000,20.0000"
    monkeypatch.setattr(cv2, "selectROI", lambda name, frame, **options: (0, 0, 0, 0))
    with pytest.raises(InputError, match="No box was drawn"):
        track_video(Frames(), Walker(), None, tmp_path / "p.mp4", progress=False)


def test_what_is_drawn() -> None:
    frame = np.full((200, 300, 3), 128, np.uint8)
    plain = draw_box(frame, (100, 80, 50, 40), 7)
    assert (frame == 128).all()
    assert plain[80, 120].tolist() == list(COLOUR) and plain[119, 120].tolist() == list(COLOUR)
    assert plain[100, 100].tolist() == list(COLOUR) and plain[100, 149].tolist() == list(COLOUR)
    assert (plain[90:110, 110:140] == 128).all()
    lost = draw_box(frame, (100, 80, 50, 40), 7, found=False)
    assert lost[80, 120].tolist() == list(LOST_COLOUR)
    assert (draw_box(frame, (100, 80, 50, 40), 8)[:40] != plain[:40]).any()
    assert (draw_box(frame, (100, 80, 50, 40), 7, score=0.5)[:40] != plain[:40]).any()
    draw_box(frame, (-1e9, 1e9, 1e12, 0.01), 7)


def test_a_camera_is_opened_by_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Camera:
        left = 4

        def __init__(self, source: Any) -> None:
            asked.append(source)

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def get(self, key: int) -> float:
            return -1.0

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.left -= 1
            return (True, picture(0)[..., ::-1].copy()) if self.left >= 0 else (False, None)

        def release(self) -> None:
            asked.append("released")

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    stream = open_stream("3")
    assert stream.live and stream.fps is None and stream.declared_frames is None
    frames = list(stream)
    stream.close()
    assert asked == [3, "released"] and len(frames) == 4 and (frames[0] == picture(0)).all()


LINE = {"--data": "in.avi", "--box": "20,15,24,20", "--tracker": "mil", "--out": "o.mp4"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"--data": "none.mp4"}, "'none.mp4' does not exist; give a video file, a folder of images or a camera"),
        ({"--data": "987"}, "Camera 987 cannot be opened"),
        ({"--data": "text.txt"}, "'text.txt' is no video file by its name"),
        ({"--data": "empty.mp4"}, "'empty.mp4' cannot be decoded"),
        ({"--data": "folder"}, "holds no images"),
        ({"--box": "1,2,3"}, "'1,2,3' is not a box"),
        ({"--box": "1,2,3,0"}, "has no area"),
        ({"--box": "900,1,9,9"}, "lies outside the image of 96 x 64"),
        ({"--box": None}, "Drawing the box of the first frame needs a display, and there is none; give --box"),
        ({"--show": ""}, "--show needs a display"),
        ({"--out": "o.avi"}, "'o.avi' is no MP4 file; give --out FILE.mp4"),
        ({"--out": "none/o.mp4"}, "'none/o.mp4' cannot be written"),
        ({"--boxes": "none/b.txt"}, "'none/b.txt' cannot be written"),
        ({"--frames": "0"}, "--frames 0 leaves nothing to track"),
        ({"--fps": "0"}, "--fps 0 is no rate"),
        ({"--tracker": "camshift"}, "'camshift' is no tracker"),
        ({"--tracker": "nano"}, "'nano' needs weights"),
    ],
)
def test_what_is_refused(
    video: Path, tmp_path: Path, command: Callable, changed: dict[str, str | None], says: str
) -> None:
    (tmp_path / "text.txt").write_text("words\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    line = [word for pair in (LINE | changed).items() if pair[1] is not None for word in pair if word]
    code, text = command(*line)
    assert code == 2 and says in " ".join(text.split()), text
    assert left_over(tmp_path) == ["empty.mp4", "folder", "text.txt"]


def test_the_video_is_h264(video: Path, tmp_path: Path, command: Callable) -> None:
    """Browsers show no MPEG-4 part 2."""
    assert command("--data", video, "--box", "20,15,24,20", "--tracker", "mil", "--out", "o.mp4")[0] == 0
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_a_video_is_not_written_over_itself(video: Path, tmp_path: Path, command: Callable) -> None:
    video = video.rename(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").symlink_to(video)
    before = video.read_bytes()
    for out in ("a.mp4", "b.mp4", "../" + tmp_path.name + "/a.mp4"):
        code, text = command("--data", "a.mp4", "--box", "20,15,24,20", "--tracker", "mil", "--out", out)
        assert code == 2 and "is an input of this command too" in text
    command("--data", "a.mp4", "--box", "1,1,9,9", "--tracker", "mil", "--out", "o.mp4", "--boxes", "o.mp4")
    assert video.read_bytes() == before and left_over(tmp_path) == ["a.mp4", "b.mp4"]


def test_a_video_goes_to_a_device(video: Path, command: Callable) -> None:
    link = video.parent / "o.mp4"
    link.symlink_to("/dev/null")
    code, _ = command("--data", video, "--box", "20,15,24,20", "--tracker", "mil", "--out", "o.mp4")
    assert code == 0 and link.is_symlink()
