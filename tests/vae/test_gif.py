from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vae.pictures.gif
from vae.pictures import write_animation


def times(path: Path) -> list[int]:
    with Image.open(path) as gif:
        found = []
        for number in range(getattr(gif, "n_frames", 1)):
            gif.seek(number)
            found.append(int(gif.info["duration"]))
        return found


@pytest.mark.parametrize(("fps", "shown"), [(0.5, 2000), (12, 80), (30, 30), (50, 20), (120, 20), (1000, 20)])
def test_no_picture_is_shown_so_shortly_that_browsers_slow_it_down(tmp_path: Path, fps: float, shown: int) -> None:
    images = np.full((3, 8, 9, 3), 40, np.uint8) * np.arange(1, 4, dtype=np.uint8)[:, None, None, None]
    write_animation(tmp_path / "a.gif", images, fps)
    assert times(tmp_path / "a.gif") == [shown] * 3


def test_equal_neighbours_keep_their_time(tmp_path: Path) -> None:
    images = np.zeros((5, 8, 9, 3), np.uint8)
    images[3:] = 200
    write_animation(tmp_path / "a.gif", images, 10)
    write_animation(tmp_path / "b.gif", images[:1], 10)
    assert (sum(times(tmp_path / "a.gif")), times(tmp_path / "b.gif")) == (500, [100])


def test_a_truncated_file_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = vae.pictures.gif._total_time

    def truncated(path: Path) -> int:
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) // 2])
        return total(path)

    monkeypatch.setattr(vae.pictures.gif, "_total_time", truncated)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(OSError, match="GIF lasts 0 of 320 ms"):
        write_animation(tmp_path / "a.gif", images)
    assert not list(tmp_path.iterdir())


def test_a_cut_is_found_wherever_it_is(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    write_animation(tmp_path / "a.gif", images)
    content = (tmp_path / "a.gif").read_bytes()
    for end in [*range(0, len(content), 9), len(content) - 2, len(content) - 1]:
        (tmp_path / "a.gif").write_bytes(content[:end])
        assert vae.pictures.gif._total_time(tmp_path / "a.gif") < 240
