from pathlib import Path

import av
import numpy as np
import pytest

import vae.pictures.mp4
from vae.files import replacing_file
from vae.pictures import write_animation
from vae.pictures.mp4 import write_mp4


def read(path: Path) -> tuple[str, str | None, float, list[np.ndarray]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return stream.codec_context.name, stream.codec_context.pix_fmt, float(stream.average_rate or 0), frames


@pytest.mark.parametrize("fps", [0.5, 12, 25, 30000 / 1001, 29.97, 60, 1000])
def test_browsers_play_it(tmp_path: Path, fps: float) -> None:
    """They decode H.264 in 4:2:0, and start before all is there where the index comes first."""
    write_animation(tmp_path / "a.mp4", np.full((5, 32, 48, 3), 90, np.uint8), fps)
    codec, layout, rate, frames = read(tmp_path / "a.mp4")
    assert (codec, layout, len(frames)) == ("h264", "yuv420p", 5)
    assert rate == pytest.approx(fps, rel=1e-6)
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 200), (33, 47)])
def test_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    with write_mp4(tmp_path / "a.tmp", 10) as append:
        for value in (0, 250):
            append(np.full((*size, 3), value, np.uint8))
    frames = read(tmp_path / "a.tmp")[3]
    assert [frame.shape for frame in frames] == [(size[0] + size[0] % 2, size[1] + size[1] % 2, 3)] * 2
    assert frames[0].max() < 40 and frames[1].min() > 200


def test_an_error_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="no frame"),
        replacing_file(tmp_path / "a.mp4") as file,
        write_mp4(file, 25),
    ):
        raise RuntimeError("no frame")
    assert not list(tmp_path.iterdir())


def test_a_file_with_fewer_frames_than_were_written_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = vae.pictures.mp4._count_frames

    def truncated(file: str) -> int:
        content = Path(file).read_bytes()
        Path(file).write_bytes(content[: content.index(b"mdat") + 20])
        return count(file)

    monkeypatch.setattr(vae.pictures.mp4, "_count_frames", truncated)
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(OSError, match=r"holds \d of 9 frames"):
        write_animation(tmp_path / "a.mp4", images)
    assert not list(tmp_path.iterdir())


def test_a_cut_last_frame_is_found(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    write_animation(tmp_path / "a.mp4", images)
    content = (tmp_path / "a.mp4").read_bytes()
    assert vae.pictures.mp4._count_frames(str(tmp_path / "a.mp4")) == 9
    for lost in (1, 100, 500):
        (tmp_path / "b.mp4").write_bytes(content[:-lost])
        assert vae.pictures.mp4._count_frames(str(tmp_path / "b.mp4")) < 9
