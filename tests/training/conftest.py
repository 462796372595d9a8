"""Small networks and videos to train on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tracker.data.images import resize
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.models.backbones import Slim
from tracker.models.sint import SintConfig
from tracker.training import SintTraining


class Tiny(Slim):
    """The slim net's layers with a few channels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 4, 6, 6, 6, 5)
        for i in range(1, 6):
            old = self.get_submodule(f"conv{i}")
            assert isinstance(old, nn.Conv2d)
            kernel, stride, padding = old.kernel_size, old.stride, old.padding
            setattr(self, f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], kernel, stride, padding))
        self.fc6, self.fc7, self.fc8 = nn.Linear(5 * 49, 8), nn.Linear(8, 8), nn.Linear(8, 4)


@pytest.fixture(autouse=True)
def tiny_slim(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever loads `slim` gets the tiny one."""
    monkeypatch.setattr("tracker.models.backbones.loading.Slim", Tiny)
    yield


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the tiny net."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Tiny()
    file = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_file(net.state_dict(), file)
    return file


def video(frames: int, seed: int) -> Sequence:
    """A coarse texture moves over another one that changes: what a random network tells apart badly."""
    rng = np.random.default_rng(seed)
    texture = resize(rng.integers(60, 200, (5, 6, 3), dtype=np.uint8), 24, 18).astype(int)
    images, boxes = [], []
    for t in range(frames):
        image = resize(rng.integers(60, 200, (18, 24, 3), dtype=np.uint8), 96, 72).astype(int)
        x, y = 30 + 3 * t, 24 + t
        image[y : y + 18, x : x + 24] = texture
        image += rng.integers(-40, 40, image.shape)
        images.append(image.clip(0, 255).astype(np.uint8))
        boxes.append((x, y, 24, 18))
    return Sequence(
        f"noise-{seed}", ArrayFrames(images), np.array(boxes, float), np.ones(frames), f"noise:{seed}", "exact"
    )


@pytest.fixture(scope="session")
def videos() -> tuple[list[Sequence], list[Sequence]]:
    """Two videos to train on and one to validate on."""
    return [video(5, 1), video(5, 2)], [video(4, 3)]


@pytest.fixture(scope="session")
def config() -> SintConfig:
    return SintConfig("slim", side=64)


@pytest.fixture(scope="session")
def settings() -> SintTraining:
    """Ten steps in which every layer moves."""
    return SintTraining(
        steps=10, learning_rate=0.2, schedule="cosine", layer_rates=(("*", 1.0),), auxiliary_weight=0.5,
        boxes_per_frame=8, validate_every=4, validation_frames=3,
    )  # fmt: skip
