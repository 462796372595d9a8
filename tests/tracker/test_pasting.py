"""Training videos made by pasting targets into other videos."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.data.pasting import LARGEST, paste_across
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError


def plain(name: str, colour: int, size: tuple[int, int] = (120, 160)) -> Sequence:
    """A grey video whose target is brighter by 40, 20 x 30 pixels."""
    frame = np.full((*size, 3), colour, dtype=np.uint8)
    frame[40:70, 50:70] += 40
    return Sequence(name, ArrayFrames([frame] * 4), np.tile([50.0, 40, 20, 30], (4, 1)), np.ones(4), name, "exact")


def test_the_box_holds_the_other_videos_target_and_nothing_else_changes() -> None:
    videos = [plain("dark", 20), plain("light", 180)]
    for number, pasted in enumerate(paste_across(videos, 4, frames=12)):
        source, background = videos[number % 2], videos[1 - number % 2]
        assert pasted.name == f"pasted-{number}" and pasted.origin == source.name
        for t, (x, y, w, h) in enumerate(pasted.boxes.astype(int)):
            frame, before = pasted.frames[t], background.frames[0]
            inside = np.zeros(frame.shape[:2], dtype=bool)
            inside[y : y + h, x : x + w] = True
            assert (frame[~inside] == before[~inside]).all()
            # The target's own grey level, times the least and the largest brightness.
            level = {"dark": 60, "light": 220}[source.name]
            assert 0.74 * level <= frame[inside].mean() <= min(255, 1.26 * level)
            assert 0.7 * 20 - 1 <= w <= 1.4 * 20 and w <= LARGEST * 160 and h <= LARGEST * 120


def test_a_large_target_is_made_to_fit() -> None:
    small = plain("small", 20, (80, 90))
    pasted = paste_across([plain("light", 180, (200, 300)), small], 1, frames=30)[0]
    assert (pasted.boxes[:, 2] <= LARGEST * 90).all() and (pasted.boxes[:, 3] <= LARGEST * 80).all()
    assert (pasted.boxes[:, :2] >= 0).all() and (pasted.boxes[:, 3] + pasted.boxes[:, 1] <= 80).all()


def test_the_seed_decides_and_a_longer_list_starts_alike() -> None:
    videos = [plain("dark", 20), plain("light", 180), plain("mid", 100)]
    few, many, other = (paste_across(videos, count, 5, seed) for count, seed in ((1, 0), (3, 0), (1, 1)))
    assert np.array_equal(few[0].boxes, many[0].boxes) and not np.array_equal(few[0].boxes, other[0].boxes)
    assert np.array_equal(few[0].frames[2], many[0].frames[2])


def test_one_video_has_nowhere_to_go() -> None:
    assert paste_across([plain("dark", 20)], 0) == []
    with pytest.raises(InputError, match="there is 1 to train on; give two or more"):
        paste_across([plain("dark", 20)], 1)
