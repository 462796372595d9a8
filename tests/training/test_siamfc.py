"""SiamFC's training: what it is shown, its loss, and that it learns, resumes and takes hard positives."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from agents.hard_positives.transforms import HardPositiveBatch
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.models.siamfc import SiamFCNet, load_siamfc
from tracker.scorers.foreign import SiamFCScorer
from tracker.trackers.siamfc import SiamFCTracker
from tracker.training import SiamFCTraining, TrainingRun, loop, train_siamfc
from tracker.training.losses import balanced_logistic
from tracker.training.siamfc import SearchPairs, SiamFCPairs, response_labels

QUIET = TrainingRun("fp32", progress=False)
OFTEN = replace(QUIET, checkpoint_seconds=0.0)
SHORT = SiamFCTraining(steps=3, pairs=1, learning_rate=1e-5, frozen=2, validate_pairs=1)


class Tiny(SiamFCNet):
    """SiamFC's strides with a few channels."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.conv1 = nn.Conv2d(3, 4, 11, stride=2)
        self.conv2 = nn.Conv2d(4, 8, 5, groups=2)
        self.conv3 = nn.Conv2d(8, 8, 3)
        self.conv4 = nn.Conv2d(8, 8, 3, groups=2)
        self.conv5 = nn.Conv2d(8, 6, 3, groups=2)


def network(kind: type[SiamFCNet] = Tiny) -> SiamFCNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind()


@pytest.fixture(scope="module")
def clips() -> tuple[list[Sequence], list[Sequence]]:
    found = [synthetic_sequence(seed, 4, 96, 96) for seed in range(2)]
    return found[:1], found[1:]


def marked(shape: tuple[float, float]) -> Sequence:
    """A white target on grey, which moves."""
    w, h = shape
    images, boxes = [], []
    for t in range(4):
        image = np.full((160, 200, 3), 90, np.uint8)
        x, y = 60 + 10 * t, 50 + 5 * t
        image[y : y + int(h), x : x + int(w)] = 255
        images.append(image)
        boxes.append((x, y, w, h))
    return Sequence("marked", ArrayFrames(images), np.array(boxes, float), np.ones(4), "marked", "exact")


@pytest.mark.parametrize("shape", [(24.0, 24.0), (40.0, 16.0)])
def test_the_boxes_are_where_the_targets_are(shape: tuple[float, float]) -> None:
    drawn = SearchPairs.load(SiamFCPairs([marked(shape)], SiamFCTraining()).draw(3, 6))
    assert drawn.exemplars.shape == (6, 3, 127, 127) and drawn.searched.shape == (6, 3, 255, 255)
    for image, (x, y, w, h) in zip(drawn.searched[:, 0], drawn.boxes.tolist(), strict=True):
        rows, columns = np.nonzero((image > 0.7).numpy())
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found == pytest.approx([x, y, x + w, y + h], abs=1.5)
    centre = drawn.boxes[:, :2] + drawn.boxes[:, 2:] / 2
    assert (centre - 127.5).abs().max() <= 32 and (centre - 127.5).abs().max() > 8
    rows, columns = np.nonzero((drawn.exemplars[0, 0] > 0.7).numpy())
    assert columns.mean() == pytest.approx(63, abs=1) and rows.mean() == pytest.approx(63, abs=1)
    assert (drawn.targets > 0.9).all()


def test_a_draw_depends_on_the_seed_and_the_step(clips) -> None:
    first, again = (SiamFCPairs(clips[0], SHORT).draw(5, 2) for _ in range(2))
    assert torch.equal(first.searched, again.searched) and torch.equal(first.boxes, again.boxes)
    for other in (
        SiamFCPairs(clips[0], SHORT).draw(6, 2),
        SiamFCPairs(clips[0], replace(SHORT, seed=1)).draw(5, 2),
    ):
        assert not torch.equal(first.boxes, other.boxes)


def test_labels_are_a_disc_around_the_target() -> None:
    middle = torch.tensor([[107.5, 117.5, 40.0, 20.0]])
    labels = response_labels(middle, 16.0)[0]
    assert int(labels.sum()) == 13 and labels[8, 6:11].all() and labels[6:11, 8].all()
    right = response_labels(middle + torch.tensor([24.0, 0, 0, 0]), 16.0)[0]
    assert torch.equal(right[:, 3:], labels[:, :-3])


def test_positives_and_negatives_weigh_the_same() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.bool)
    labels[0, 0, 0] = True
    logits = torch.zeros(1, 4, 4)
    assert float(balanced_logistic(logits, labels)) == pytest.approx(np.log(2))
    missed, wrong = logits.clone(), logits.clone()
    missed[0, 0, 0], wrong[~labels] = -2.0, 2.0
    assert float(balanced_logistic(missed, labels)) == pytest.approx(float(balanced_logistic(wrong, labels)))


def test_it_learns(clips, tmp_path: Path) -> None:
    settings = replace(SHORT, steps=40, pairs=4, learning_rate=1e-6, frozen=0, shift=8.0)
    card = train_siamfc(network(), *clips, tmp_path, settings, run=QUIET)
    assert np.mean(card["training_loss"][-10:]) < 0.7 * np.mean(card["training_loss"][:10])
    assert card["logits"]["slope"] > 0 and set(card["validation_loss"]) == {"before", "after"}


def test_a_tracker_reads_what_is_written(clips, tmp_path: Path) -> None:
    net, start = network(SiamFCNet), network(SiamFCNet).state_dict()
    card = train_siamfc(net, *clips, tmp_path, replace(SHORT, steps=1, learning_rate=1e-5, frozen=0), run=QUIET)
    trained = load_file(tmp_path / "siamfc.safetensors")
    assert all(not torch.equal(trained[name], start[name]) for name in start if name.endswith("weight"))
    assert json.loads((tmp_path / "siamfc.json").read_text())["trained_on"] == card["trained_on"]
    tracker = SiamFCTracker(tmp_path / "siamfc.safetensors", "cpu", "fp32")
    video = clips[1][0]
    tracker.init(video.frames[0], video.boxes[0])
    assert tracker.update(video.frames[1]).shape == (4,)
    assert torch.equal(load_siamfc(tmp_path / "siamfc.safetensors").conv5.weight, net.conv5.weight.detach())


def test_frozen_layers_stay(clips, tmp_path: Path) -> None:
    net, start = network(), network().state_dict()
    train_siamfc(net, *clips, tmp_path, replace(SHORT, steps=1), run=QUIET)
    for name, value in net.state_dict().items():
        assert torch.equal(value, start[name]) == (name[:5] in ("conv1", "conv2")), name


class Noise(nn.Module):
    """A transform whose draws come from the generator alone."""

    def forward(self, images, boxes, exemplars, generator):
        assert boxes.shape == (len(images), 4) and exemplars.shape[1:] == (3, 64, 64)
        return images * torch.rand(len(images), 1, 1, 1, generator=generator)


def test_a_cut_off_run_ends_with_the_same_bytes(clips, tmp_path: Path, monkeypatch) -> None:
    train_siamfc(network(), *clips, tmp_path / "whole", SHORT, Noise(), QUIET)
    real = loop.write_checkpoint

    def write(*args):
        real(*args)
        if args[-1]["step"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_checkpoint", write)
        with pytest.raises(KeyboardInterrupt):
            train_siamfc(network(), *clips, tmp_path / "cut", SHORT, Noise(), OFTEN)
    assert not (tmp_path / "cut/siamfc.safetensors").exists()
    torch.manual_seed(99)
    train_siamfc(network(), *clips, tmp_path / "cut", SHORT, Noise(), OFTEN)
    for name in ("siamfc.safetensors", "siamfc.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(InputError, match="holds a run with other settings"):
        train_siamfc(network(), *clips, tmp_path / "cut", SHORT, None, QUIET)


def test_hard_positives_ask_the_network_as_it_is(clips, tmp_path: Path) -> None:
    net, asked = network(), []

    class Watching(SiamFCScorer):
        def embed(self, crops):
            asked.append(self.net.conv5.bias.detach().clone())
            return super().embed(crops)

    method = HardPositiveBatch("best of 2 random", Watching(net, "cpu", "fp32"), 1.0)
    card = train_siamfc(net, *clips, tmp_path, SHORT, method, QUIET)
    assert "RandomRegions, 2" in card["transform"]
    assert not torch.equal(asked[0], asked[-1])
    assert net.conv5.weight.requires_grad


def test_what_cannot_be() -> None:
    still = marked((20.0, 20.0)).subset([0])
    for make, message in (
        (lambda: SiamFCTraining(steps=0), "steps is 0"),
        (lambda: SiamFCTraining(learning_rate=0), "learning rate is 0"),
        (lambda: SiamFCTraining(momentum=1), "momentum is 1"),
        (lambda: SiamFCTraining(shift=60), "can leave the response"),
        (lambda: SiamFCTraining(frozen=5), "frozen is 5"),
        (lambda: SiamFCPairs([], SHORT), "no video"),
        (lambda: SiamFCPairs([still], SHORT), "no two frames"),
    ):
        with pytest.raises(InputError, match=message):
            make()


def test_a_video_is_one_of_the_two(clips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trained on and held out"):
        train_siamfc(network(), clips[0], clips[0], tmp_path, SHORT, run=QUIET)
    with pytest.raises(InputError, match="lower learning rate"):
        train_siamfc(network(), *clips, tmp_path, replace(SHORT, learning_rate=1e9, steps=9), run=QUIET)


def test_the_command(tmp_path: Path, make_video, write_otb, capsys, monkeypatch) -> None:
    from agents.cli import main

    monkeypatch.setattr("tracker.models.siamfc.SiamFCNet", Tiny)
    save_file(network().state_dict(), tmp_path / "tiny.safetensors")
    for name, seed in (("Deer", 1), ("zebra", 2)):
        write_otb(tmp_path / "data" / name, make_video(3, 96, 72, seed))
    command = [
        "occlusion-search", "train-siamfc", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"),
        "--weights", str(tmp_path / "tiny.safetensors"), "--steps", "2", "--pairs", "2", "--learning-rate", "1e-6",
        "--device", "cpu", "--json", str(tmp_path / "card.json"), "--hard-positives",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [*command, "best-of-2-random"])
    main()
    printed = capsys.readouterr()
    assert "warning: Deer are names of OTB" in printed.err and "The loss on zebra" in printed.out
    card = json.loads((tmp_path / "card.json").read_text())
    assert (
        card["settings"]["steps"] == 2
        and "RandomRegions, 2" in card["transform"]
        and "train-siamfc" in card["command"]
    )
    assert load_siamfc(tmp_path / "out/siamfc.safetensors").conv5.out_channels == 6
    monkeypatch.setattr(sys, "argv", [*command, "worst"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and "'worst' is no method" in capsys.readouterr().err


def test_loader_workers_change_nothing(clips, tmp_path: Path, monkeypatch) -> None:
    """The same bytes with none, one or two, and when a run is cut off with two and resumed with one."""
    settings = replace(SHORT, steps=5)
    for workers in (0, 1, 2):
        torch.manual_seed(workers)
        state = torch.get_rng_state()
        run = replace(QUIET, loader_workers=workers)
        train_siamfc(network(), *clips, tmp_path / str(workers), settings, Noise(), run)
        assert torch.equal(torch.get_rng_state(), state)
    real = loop.write_checkpoint

    def write(*args):
        real(*args)
        if args[-1]["step"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_checkpoint", write)
        with pytest.raises(KeyboardInterrupt):
            train_siamfc(network(), *clips, tmp_path / "cut", settings, Noise(), replace(OFTEN, loader_workers=2))
    train_siamfc(network(), *clips, tmp_path / "cut", settings, Noise(), replace(OFTEN, loader_workers=1))
    for name in ("siamfc.safetensors", "siamfc.json"):
        assert len({(tmp_path / folder / name).read_bytes() for folder in ("0", "1", "2", "cut")}) == 1
