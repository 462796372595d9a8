"""What `train-tracker` wrote runs as it was trained: as a tracker, as a scorer, in an environment."""

from __future__ import annotations

import json
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.cli import main
from occlusion_env import OcclusionSearchEnv, TargetSet
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.models.sint import Sint, SintConfig, load_sint, save_sint, trained_weights
from tracker.scorers import load_scorer
from tracker.trackers.check import check_tracker
from tracker.trackers.registry import load_tracker
from tracker.trackers.sint.tracker import SintTracker
from tracker.training import SintTraining, TrainingRun, train_sint

Videos = tuple[list[Sequence], list[Sequence]]
RESNET = "torchvision:resnet18"


@pytest.fixture
def trained(tmp_path: Path, videos: Videos, settings: SintTraining, tiny_file: Path) -> Path:
    """The folder of a slim net, trained for a step on views of 160 pixels."""
    train_sint(
        *videos, tmp_path / "slim", SintConfig(side=160), replace(settings, steps=1), tiny_file,
        run=TrainingRun("fp32", progress=False),
    )  # fmt: skip
    return tmp_path / "slim"


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory, videos: Videos) -> Path:
    """The folder of a ResNet with an fc6, trained for a step from random weights."""
    folder = tmp_path_factory.mktemp("resnet")
    settings = SintTraining(steps=1, learning_rate=0.1, boxes_per_frame=4, validation_frames=2)
    with pytest.warns(UserWarning, match="random weights"):
        train_sint(
            *videos, folder, SintConfig(RESNET, side=64, fc_size=8, fc_rank=2), settings, "random",
            run=TrainingRun("fp32", progress=False),
        )  # fmt: skip
    return folder


def follow(tracker: SintTracker, video: Sequence) -> list[list[float]]:
    tracker.init(video.frames[0], video.boxes[0])
    return [tracker.update(video.frames[t]).tolist() for t in range(1, 3)]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_tracker_sees_frames_at_the_side_it_was_trained_on(trained: Path, videos: Videos, kind: str) -> None:
    weights = trained if kind == "folder" else trained / "slim.safetensors"
    tracker = load_tracker("sint-slim", weights, "cpu", "fp32")
    assert isinstance(tracker, SintTracker) and tracker.sint.config == SintConfig(side=160)
    assert follow(tracker, videos[0][0]) == follow(SintTracker(load_sint(trained), precision="fp32"), videos[0][0])


def test_each_trained_network_has_a_name_of_its_own(trained: Path, tmp_path: Path) -> None:
    name = load_tracker("sint-slim", trained).name
    assert re.fullmatch("sint-slim-[0-9a-f]{8}", name) and load_tracker("sint-slim", trained).name == name
    assert load_tracker("sint", trained).name == name
    card = json.loads((trained / "slim.json").read_text())
    card["config"]["side"] = 96
    shutil.copytree(trained, tmp_path / "other")
    (tmp_path / "other" / "slim.json").write_text(json.dumps(card))
    assert load_tracker("sint-slim", tmp_path / "other").name != name


def test_a_scorer_has_the_layers_that_were_trained(tiny_file: Path, tmp_path: Path) -> None:
    """The file of the slim net always holds its fc6; the card says that this network leaves it out."""
    save_sint(tmp_path, Sint.load(SintConfig(fc_size=None), tiny_file), [], {})
    scorer = load_scorer("slim", tmp_path, "cpu", "fp32")
    assert scorer.backbone.fully_connected == ()
    assert scorer.embed(torch.rand(1, 3, 112, 112)).shape == (1, (6 + 5) * 49)


def test_the_environment_takes_a_trained_network(trained: Path, resnet: Path, videos: Videos) -> None:
    targets = TargetSet.from_sequence(videos[0][0])
    for kwargs in (
        {"weights": str(trained)},
        {"features": RESNET, "weights": str(resnet), "base_weights": "random"},
    ):
        env = OcclusionSearchEnv(targets, device="cpu", precision="fp32", **kwargs)
        observation, info = env.reset(seed=0)
        expected = load_sint(kwargs["weights"], kwargs.get("base_weights")).backbone.state_dict()
        found = env.search.scorer.backbone.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert np.isfinite(observation["features"] if isinstance(observation, dict) else observation).all()
    with pytest.raises(InputError, match=f"'slim' is requested.*'{RESNET}'"):
        OcclusionSearchEnv(targets, device="cpu", weights=str(resnet), base_weights="random")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_trained_resnet_tracks(resnet: Path, videos: Videos, precision: str) -> None:
    tracker = load_tracker(f"sint-{RESNET}", resnet, "cpu", precision, "random")
    assert isinstance(tracker, SintTracker) and re.fullmatch(r"sint-torchvision-resnet18-\w{8}", tracker.name)
    assert tracker.sint.config.side == 64 and tracker.sint.backbone.fully_connected == ("fc6",)
    assert np.isfinite(follow(tracker, videos[0][0])).all()


def test_a_trained_resnet_keeps_to_the_interface(resnet: Path) -> None:
    assert check_tracker(load_tracker(f"sint-{RESNET}", resnet, "cpu", "fp32", "random")) == []


def test_an_untrained_resnet_tracks(videos: Videos) -> None:
    with pytest.warns(UserWarning, match="random weights"):
        tracker = load_tracker(f"sint-{RESNET}", "random", "cpu")
    assert tracker.name == "sint-torchvision-resnet18-random"
    assert np.isfinite(follow(tracker, videos[0][0])).all()


def test_a_network_runs_under_its_own_name_alone(resnet: Path, trained: Path) -> None:
    with pytest.raises(InputError, match=f"'slim' is requested, but by its card.*is of '{RESNET}'"):
        load_tracker("sint-slim", resnet, base_weights="random")
    with pytest.raises(InputError, match="'vgg16' is requested.*'slim'"):
        load_scorer("vgg16", trained)


def test_base_weights_are_checked(resnet: Path, trained: Path, tiny_file: Path) -> None:
    with pytest.raises(InputError, match="give the base weights too"):
        load_tracker(f"sint-{RESNET}", resnet)
    assert load_sint(trained, tiny_file).config.side == 160
    with pytest.raises(InputError, match="trained from other weights"):
        load_tracker("sint-slim", trained, base_weights=trained / "slim.safetensors")
    for load in (load_tracker, load_scorer):
        with pytest.raises(InputError, match="and 'None' is none; leave them out"):
            load("sint-slim" if load is load_tracker else "slim", base_weights=tiny_file)


def test_trained_weights_need_their_card(trained: Path, tiny_file: Path) -> None:
    file = trained / "slim.safetensors"
    assert trained_weights(trained) == trained_weights(file) == file
    assert trained_weights(tiny_file) is trained_weights("imagenet") is trained_weights(None) is None
    (trained / "slim.json").write_text("{")
    with pytest.raises(InputError, match=r"slim.json' cannot be read as JSON"):
        load_tracker("sint-slim", file)
    (trained / "slim.json").unlink()
    for load in (lambda: load_tracker("sint-slim", file), lambda: load_scorer("slim", file)):
        with pytest.raises(InputError, match=r"no '.*slim.json' beside the weights"):
            load()


def test_benchmark_run_keeps_the_results_of_each_network_apart(
    trained: Path, resnet: Path, make_video: Callable, write_otb: Callable, monkeypatch, tmp_path: Path
) -> None:
    write_otb(tmp_path / "data" / "Mine", make_video(frames=3))
    common = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    for given in (
        ["sint-slim", "--weights", str(trained)],
        [f"sint-{RESNET}", "--weights", "random"],
        [f"sint-{RESNET}", "--weights", str(resnet), "--base-weights", "random"],
    ):
        monkeypatch.setattr(sys, "argv", ["occlusion-search", "benchmark", "run", "--tracker", *given, *common])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            main()
    names = sorted(folder.name for folder in (tmp_path / "out").iterdir())
    pattern = r"sint-slim-\w{8} sint-torchvision-resnet18-\w{8} sint-torchvision-resnet18-random"
    assert re.fullmatch(pattern, " ".join(names))
    for name in names:
        settings = json.loads((tmp_path / "out" / name / "ope" / "settings.json").read_text())
        assert settings["tracker"] == name
        assert len((tmp_path / "out" / name / "ope" / "Mine.txt").read_text().splitlines()) == 3
