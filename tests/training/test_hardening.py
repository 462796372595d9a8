from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tracker.errors import InputError
from tracker.models.sint import Sint
from tracker.training import FrameHardening, Hardening, SintTraining, TrainingRun, train_sint
from tracker.training.hardening import harden_frames, step_generator

QUIET = TrainingRun("fp32", progress=False, checkpoint_seconds=0.0)


class Noise(Hardening):
    """Draws in both places, and remembers what it was shown."""

    def __init__(self, sint: Sint) -> None:
        self.sint = sint
        self.shown: list[tuple] = []

    def on_frames(self, images: Tensor, boxes: Tensor, exemplars: Tensor, generator: torch.Generator) -> Tensor:
        self.shown.append((images.clone(), boxes, exemplars))
        return images + 0.1 * torch.rand(images.shape, generator=generator)

    def on_features(
        self, pooled: list[Tensor], same: Tensor, exemplars: list[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        self.shown.append((pooled, same, exemplars))
        return [part * torch.rand((), generator=generator) for part in pooled]


def test_only_second_frames_are_changed_and_each_sees_its_own_pair() -> None:
    images = torch.stack([torch.full((3, 20, 20), value) for value in (0.1, 0.2, 0.3, 0.4)])
    images[0, :, 4:8, 2:6] = 0.9
    rois = torch.tensor([[n, 2.0 + n, 4.0, 6.0 + n, 8.0] for n in range(4) for _ in range(2)])
    seen: list[tuple] = []

    def transform(given: Tensor, boxes: Tensor, exemplars: Tensor, generator: torch.Generator) -> Tensor:
        seen.append((given, boxes, exemplars))
        return given + 1

    found = harden_frames(FrameHardening(transform), images, rois, 4, torch.Generator())
    assert torch.equal(found[[0, 2]], images[[0, 2]]) and torch.equal(found[[1, 3]], images[[1, 3]] + 1)
    ((given, boxes, exemplars),) = seen
    assert torch.equal(given, images[[1, 3]])
    assert boxes.tolist() == [[3, 4, 4, 4], [5, 4, 4, 4]]
    assert exemplars.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.9, 0.3])


def test_a_training_asks_its_hardening_and_tells_it(tmp_path: Path, videos, config, settings, tiny_file) -> None:
    made: list[Noise] = []

    def harden(sint: Sint) -> Hardening:
        made.append(Noise(sint))
        return made[0]

    settings = replace(settings, steps=2, image_pairs=3)
    card = train_sint(*videos, tmp_path / "hard", config, settings, tiny_file, run=QUIET, harden=harden)
    assert card["hardening"] == "Noise" and len(made) == 1 and len(made[0].shown) == 4
    images, boxes, exemplars = made[0].shown[0]
    assert images.shape == (3, 3, 64, 64) and boxes.shape == (3, 4)
    assert exemplars.shape == (3, 3, made[0].sint.backbone.input_size, made[0].sint.backbone.input_size)
    pooled, same, known = made[0].shown[1]
    assert [part.shape[:2] for part in pooled] == [(3, 8), (3, 8)] and same.shape == (3, 8)
    assert same[:, 0].all() and [part.shape[0] for part in known] == [3, 3]
    train_sint(*videos, tmp_path / "plain", config, settings, tiny_file, run=QUIET)
    hard, plain = (load_file(tmp_path / name / "slim.safetensors") for name in ("hard", "plain"))
    assert any(not torch.equal(hard[name], plain[name]) for name in plain)


def test_what_does_nothing_changes_nothing(tmp_path: Path, videos, config, settings, tiny_file) -> None:
    train_sint(*videos, tmp_path / "a", config, settings, tiny_file, run=QUIET, harden=lambda sint: Hardening())
    train_sint(*videos, tmp_path / "b", config, settings, tiny_file, run=QUIET)
    a, b = (load_file(tmp_path / name / "slim.safetensors") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_cut_run_goes_on_with_the_same_draws(tmp_path: Path, videos, config, settings, tiny_file) -> None:
    train_sint(*videos, tmp_path / "whole", config, settings, tiny_file, run=QUIET, harden=Noise)

    class Killed(Noise):
        def record(self) -> str:
            return "Noise"

        def on_frames(self, *args) -> Tensor:  # type: ignore[no-untyped-def,override]
            if len(self.shown) == 12:
                raise KeyboardInterrupt
            return super().on_frames(*args)

    with pytest.raises(KeyboardInterrupt):
        train_sint(*videos, tmp_path / "cut", config, settings, tiny_file, run=QUIET, harden=Killed)
    train_sint(*videos, tmp_path / "cut", config, settings, tiny_file, run=QUIET, harden=Noise)
    whole, cut = ((tmp_path / name / "slim.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_another_hardening_is_another_run(tmp_path: Path, videos, config, settings, tiny_file) -> None:
    train_sint(*videos, tmp_path, config, settings, tiny_file, run=QUIET)
    with pytest.raises(InputError, match="other settings"):
        train_sint(*videos, tmp_path, config, settings, tiny_file, run=QUIET, harden=Noise)


def test_the_last_step_can_be_kept(tmp_path: Path, videos, config, settings, tiny_file) -> None:
    cards = {}
    for keep in ("best", "last"):
        chosen = replace(settings, keep=keep, learning_rate=2.0)
        cards[keep] = train_sint(*videos, tmp_path / keep, config, chosen, tiny_file, run=QUIET)
    best, last = (load_file(tmp_path / keep / "slim.safetensors") for keep in ("best", "last"))
    assert cards["best"]["best_step"] < settings.steps, "so high a rate has to do harm, or this tests nothing"
    assert any(not torch.equal(best[name], last[name]) for name in best)
    assert cards["last"]["validation"]["after"]["step"] == settings.steps
    with pytest.raises(InputError, match="keep is 'first'; it must be best or last"):
        SintTraining(keep="first")  # type: ignore[arg-type]


def test_draws_of_a_step_differ_from_those_of_others() -> None:
    drawn = {float(torch.rand((), generator=step_generator(seed, step))) for seed in range(3) for step in range(3)}
    assert len(drawn) == 9
