"""The trackers and their trainings on a GPU give what they give on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from agents.ablation.adversary import train_adversary
from agents.ablation.arms import hardening_of
from agents.hard_positives.transforms import HardPositiveBatch
from occlusion_env.scene.targets import load_targets
from tracker.data.synthetic import synthetic_sequence
from tracker.models.siamfc import SiamFCNet
from tracker.models.sint import Sint, SintConfig
from tracker.scorers.foreign import SiamFCScorer
from tracker.trackers.registry import load_tracker
from tracker.trackers.siamfc import SiamFCTracker
from tracker.trackers.sint.tracker import SintTracker, TrackingSettings
from tracker.training import SiamFCTraining, SintTraining, TrainingRun, loop, train_siamfc, train_sint

QUIET = TrainingRun("fp32", progress=False)


def follow(tracker: Any) -> np.ndarray:
    video = synthetic_sequence(0, 4, 160, 120)
    tracker.init(video.frames[0], video.boxes[0])
    return np.array([tracker.update(video.frames[t]) for t in range(1, len(video))])


@pytest.mark.parametrize(
    "settings",
    [{}, {"motion": "flow", "regression": "ridge"}, {"candidates": "rings"}],
    ids=["lattice", "flow", "rings"],
)
def test_sint_tracks(device: str, settings: dict[str, Any]) -> None:
    """Boxes within 0.1 pixels: a candidate that scores best on one device does so on the other."""
    found = []
    for place in ("cpu", device):
        sint = Sint.load(SintConfig("slim", side=160), device=place).eval()
        tracker = SintTracker(sint, TrackingSettings(**settings), precision="fp32")
        assert tracker.device == torch.device(place)
        found.append(follow(tracker))
    np.testing.assert_allclose(*found, atol=0.1)


def test_siamfc_tracks(device: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "random.safetensors"
    save_file(SiamFCNet().state_dict(), file)
    found = [follow(SiamFCTracker(file, place, "fp32")) for place in ("cpu", device)]
    np.testing.assert_allclose(*found, atol=0.1)


def test_a_tracker_by_name_runs_where_it_is_told(device: str) -> None:
    tracker: Any = load_tracker("sint-slim", device=device, precision="fp32")
    assert tracker.device == torch.device(device)


def weights_are_close(first: Path, second: Path, tolerance: float) -> None:
    one, two = load_file(first), load_file(second)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name].float(), two[name].float(), rtol=tolerance, atol=tolerance)


def test_sint_learns(device: str, tmp_path: Path) -> None:
    """Weights within 1e-2 after three steps: gradients of a max pooling jump where two numbers nearly agree."""
    videos = [synthetic_sequence(seed, 3, 96, 72) for seed in range(3)]
    settings = SintTraining(
        steps=3, learning_rate=1e-3, boxes_per_frame=4, validate_every=3, validation_frames=2, auxiliary_weight=0.5
    )
    for place in ("cpu", device):
        train_sint(
            videos[:2], videos[2:], tmp_path / place.replace(":", ""), SintConfig("slim", side=64), settings,
            device=place, run=QUIET,
        )  # fmt: skip
    weights_are_close(
        tmp_path / "cpu/slim.safetensors", tmp_path / device.replace(":", "") / "slim.safetensors", 1e-2
    )


def test_an_interrupted_training_goes_on(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimiser's state comes back to the device."""
    videos = [synthetic_sequence(seed, 3, 96, 72) for seed in range(2)]
    settings = SintTraining(steps=3, boxes_per_frame=4, validate_every=3, validation_frames=2)
    often = replace(QUIET, checkpoint_seconds=0.0)
    real = loop.write_checkpoint

    def write(file: Path, *args: Any) -> None:
        real(file, *args)
        if args[-1]["step"] == 2:
            raise KeyboardInterrupt

    given = videos[:1], videos[1:], tmp_path / "out", SintConfig("slim", side=64), settings
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "write_checkpoint", write)
        train_sint(*given, device=device, run=often)
    train_sint(*given, device=device, run=often)
    train_sint(*given[:2], tmp_path / "at once", *given[3:], device=device, run=QUIET)
    weights_are_close(tmp_path / "out/slim.safetensors", tmp_path / "at once/slim.safetensors", 1e-3)


class Small(SiamFCNet):
    """SiamFC's strides with a few channels."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.conv1 = nn.Conv2d(3, 4, 11, stride=2)
        self.conv2 = nn.Conv2d(4, 8, 5, groups=2)
        self.conv3 = nn.Conv2d(8, 8, 3)
        self.conv4 = nn.Conv2d(8, 8, 3, groups=2)
        self.conv5 = nn.Conv2d(8, 6, 3, groups=2)


def test_siamfc_learns(device: str, tmp_path: Path) -> None:
    videos = [synthetic_sequence(seed, 3, 96, 96) for seed in range(2)]
    settings = SiamFCTraining(steps=2, pairs=1, learning_rate=1e-5, frozen=2, validate_pairs=1)
    for place in ("cpu", device):
        torch.manual_seed(0)
        net = Small().to(place)
        scorer = SiamFCScorer(net, precision="fp32")
        transform = HardPositiveBatch("best-of-3-random", scorer, 0.5)
        train_siamfc(net, videos[:1], videos[1:], tmp_path / place.replace(":", ""), settings, transform, QUIET)
    weights_are_close(
        next((tmp_path / "cpu").glob("*.safetensors")),
        next((tmp_path / device.replace(":", "")).glob("*.safetensors")),
        1e-3,
    )


def test_the_adversary_learns(device: str) -> None:
    targets = load_targets("synthetic").subset(range(4))
    found = []
    for place in ("cpu", device):
        adversary = train_adversary(
            Sint.load(SintConfig("slim", side=64), device=place), targets, steps=2, batch=2
        )
        found.append({name: value.cpu() for name, value in adversary.state_dict().items()})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["roi-holes", "blur", "lookalikes", "margin"])
def test_hardened_frames(device: str, tmp_path: Path, name: str) -> None:
    videos = [synthetic_sequence(seed, 3, 96, 72) for seed in range(2)]
    settings = SintTraining(steps=1, boxes_per_frame=4, validate_every=1, validation_frames=2, learning_rate=1e-3)
    for place in ("cpu", device):
        train_sint(
            videos[:1], videos[1:], tmp_path / place.replace(":", ""), SintConfig("slim", side=64), settings,
            device=place, run=QUIET, harden=hardening_of(name, 1.0),
        )  # fmt: skip
    weights_are_close(
        tmp_path / "cpu/slim.safetensors", tmp_path / device.replace(":", "") / "slim.safetensors", 1e-2
    )
