"""What several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from tracker.data.images import write_png
from tracker.data.sequences import ArrayFrames, Sequence

hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for each process, those that tests start among them: two run side by side (`make test`)."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def sb3_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The folders that Stable-Baselines3 makes for each training: among what goes with the tests."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Sequence]:
    """Make a video of noise whose target, brighter than the rest, flickers and moves to the right."""

    def make(frames: int = 5, width: int = 64, height: int = 48, seed: int = 0) -> Sequence:
        rng = np.random.default_rng(seed)
        images, boxes = [], []
        pattern = rng.integers(140, 200, (height // 4, width // 4, 3), dtype=np.uint8)
        for t in range(frames):
            image = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
            x, y = width // 3 + t, height // 3
            image[y : y + height // 4, x : x + width // 4] = pattern + rng.integers(0, 56, pattern.shape, np.uint8)
            images.append(image)
            boxes.append((x, y, width // 4, height // 4))
        return Sequence(
            f"noise-{seed}", ArrayFrames(images), np.array(boxes, float), np.ones(frames), f"noise:{seed}", "exact"
        )

    return make


@pytest.fixture(scope="session")
def write_otb() -> Callable[[Path, Sequence], Path]:
    """Write a video in OTB's format."""

    def write(folder: Path, sequence: Sequence) -> Path:
        (folder / "img").mkdir(parents=True)
        for t in range(len(sequence)):
            write_png(folder / "img" / f"{t + 1:04d}.png", sequence.frames[t])
        rows = sequence.boxes + [1, 1, 0, 0]
        (folder / "groundtruth_rect.txt").write_text(
            "".join(",".join(f"{v:g}" for v in row) + "\n" for row in rows)
        )
        return folder

    return write


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with VGG-16's convolutions alone, random, float16."""
    from safetensors.torch import save_file
    from torch import nn
    from torchvision.models.vgg import cfgs, make_layers

    generator = torch.Generator().manual_seed(0)
    state = {}
    for position, layer in enumerate(make_layers(cfgs["D"])):
        if isinstance(layer, nn.Conv2d):
            spread = (2 / (9 * layer.in_channels)) ** 0.5
            weight = torch.empty(layer.weight.shape).normal_(0, spread, generator=generator)
            state[f"features.{position}.weight"] = weight.half()
            state[f"features.{position}.bias"] = torch.full((layer.out_channels,), 0.01).half()
    file = tmp_path_factory.mktemp("vgg") / "vgg16_conv.safetensors"
    save_file(state, file)
    return file


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real frames; a test that asks for it is skipped where there is none."""
    if not (root := os.environ.get("OCCLUSION_SEARCH_DATA")):
        pytest.skip("OCCLUSION_SEARCH_DATA is not set")
    return Path(root)
