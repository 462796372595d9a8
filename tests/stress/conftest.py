"""Two small videos of a target that moves over a textured background, as a benchmark's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.data.sequences import ArrayFrames, Sequence

FRAMES = 62


def moving_target(name: str, seed: int, frames: int = FRAMES, width: int = 140, height: int = 90) -> Sequence:
    """A target of 24 x 20 pixels that moves on whole pixels and is in no place twice."""
    rng = np.random.default_rng(seed)
    background = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (width, height))
    target = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    images, boxes = [], []
    for t in range(frames):
        x, y = (20 + t % 90, 30 + t // 4) if seed % 2 else (30 + t // 2, 20 + (t + 1) // 2)
        image = background.copy()
        image[y : y + 20, x : x + 24] = target
        images.append(image)
        boxes.append((x, y, 24, 20))
    return Sequence(name, ArrayFrames(images), np.array(boxes, float), np.ones(frames), name, "exact")


@pytest.fixture(scope="session")
def make_moving() -> Callable[..., Sequence]:
    """Make a video of a moving target."""
    return moving_target


@pytest.fixture(scope="session")
def video() -> Sequence:
    """One video."""
    return moving_target("one", 1)


@pytest.fixture(scope="session")
def other_video() -> Sequence:
    """Another one."""
    return moving_target("two", 2)


@pytest.fixture(scope="session")
def benchmark(
    tmp_path_factory: pytest.TempPathFactory,
    write_otb: Callable[[Path, Sequence], Path],
    video: Sequence,
    other_video: Sequence,
) -> Path:
    """A folder with both videos."""
    folder = tmp_path_factory.mktemp("benchmark")
    for sequence in (video, other_video):
        write_otb(folder / sequence.name, sequence)
    return folder
