from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from slim_training import BackboneTraining, contrastive, distillation, train_backbone

from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor, Slim, Vgg16, load_backbone

SETTINGS = BackboneTraining(
    validation=("held",), epochs=2, batch_size=6, boxes_per_frame=8, fc_steps=2, frame_pairs=2, learning_rate=1e-3
)
FRAMES = 3
TEACHER_SIDE = 32
"""Side of the teacher's input in place of 224, fifty times as cheap; its maps are pooled to the same grid."""


@pytest.fixture(scope="module", autouse=True)
def small_teacher() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Vgg16, "input_size", TEACHER_SIDE)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_video: Callable, write_otb: Callable) -> Path:
    root = tmp_path_factory.mktemp("sequences")
    write_otb(root / "train", make_video(FRAMES, seed=1))
    write_otb(root / "held", make_video(2, seed=2))
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path, vgg_file: Path) -> tuple[Path, dict]:
    """The folder of a run that nothing interrupted, and what it returned."""
    out = tmp_path_factory.mktemp("whole")
    return out, train_backbone(data, vgg_file, out, SETTINGS, progress=False)


def same_weights(first: Path, second: Path) -> bool:
    a, b = load_file(first / "slim.safetensors"), load_file(second / "slim.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@contextmanager
def cut_after_the_first_epoch() -> Iterator[None]:
    """The process dies as soon as the first checkpoint stands."""
    real = distillation.save_weights

    def save_weights(path: Path, *rest: Any) -> None:
        real(path, *rest)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation, "save_weights", save_weights)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_it_writes_weights_that_load(whole) -> None:
    out, _ = whole
    file = out / "slim.safetensors"
    assert file.stat().st_size < 6_000_000
    assert sorted(path.name for path in out.iterdir()) == ["slim.json", "slim.safetensors", "work"]
    state = load_file(file)
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in state.values())
    net = load_backbone("slim", file)
    assert isinstance(net, Slim) and torch.equal(net.fc6.weight, state["fc6.weight"].float())
    assert FeatureExtractor(net, "fc7", "fp32")(torch.rand(1, 3, 112, 112)).abs().sum() > 0


def test_the_card_says_what_it_was_trained_on(whole) -> None:
    out, card = whole
    assert json.loads((out / "slim.json").read_text()) == json.loads(json.dumps(card))
    assert card["trained_on"] == ["train"] and card["validated_on"] == ["held"] and card["frames"] == FRAMES
    assert card["settings"]["epochs"] == 2 and card["parameters"] == sum(p.numel() for p in Slim().parameters())
    figures = card["validation"]
    assert [row["step"] for row in figures["contrastive_curve"]] == [1, 2]
    for name in ("slim", "slim_convolutions_alone", "vgg16_convolutions"):
        assert 0 <= figures[name]["pair_auc"] <= 1 and 0 <= figures[name]["top1"] <= 1
    best = max(row["pair_auc"] for row in figures["contrastive_curve"])
    assert figures["slim"]["pair_auc"] == best


def test_every_part_has_been_trained(whole) -> None:
    """The convolutions moved from where the seed put them, in two epochs of three steps."""
    trained = load_file(whole[0] / "slim.safetensors")
    first = Slim().to(memory_format=torch.channels_last).conv1.weight
    torch.manual_seed(SETTINGS.seed)
    torch.nn.init.kaiming_normal_(first, nonlinearity="relu")
    moved = (trained["conv1.weight"].float() - first).abs()
    assert 1e-4 < moved.mean() < 0.01
    assert all(trained[f"conv{i}.bias"].abs().max() > 0 for i in range(1, 6))
    assert all(trained[f"fc{i}.bias"].abs().max() > 0 for i in (6, 7))


def test_what_the_convolutions_learn_from_is_kept(whole) -> None:
    work = whole[0] / "work"
    count = FRAMES * 6
    crops = np.fromfile(work / "train.crops", np.uint8).reshape(count, 112, 112, 3)
    maps = np.fromfile(work / "train.maps", np.float16).reshape(count, 2, 512, 7, 7)
    assert (work / "train.done").read_text() == str(FRAMES)
    assert np.isfinite(maps).all() and (maps.astype(np.float32).std(axis=(1, 2, 3, 4)) > 0).all()
    assert len({crop.tobytes() for crop in crops}) == count


def test_a_second_run_ends_alike(whole, data: Path, vgg_file: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    train_backbone(data, vgg_file, tmp_path, SETTINGS, progress=False)
    assert same_weights(tmp_path, whole[0])
    assert json.loads((tmp_path / "slim.json").read_text()) == json.loads((whole[0] / "slim.json").read_text())


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_run_that_was_cut_off_goes_on(whole, data: Path, vgg_file: Path, tmp_path: Path, monkeypatch) -> None:
    with cut_after_the_first_epoch():
        train_backbone(data, vgg_file, tmp_path, SETTINGS, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]
    assert load_file(tmp_path / "work" / "convolutions.safetensors")["epoch"] == 1

    def no_teacher(*_: object) -> None:
        raise AssertionError("the teacher's maps were there")

    monkeypatch.setattr(distillation, "_views", no_teacher)
    train_backbone(data, vgg_file, tmp_path, SETTINGS, progress=False)
    assert same_weights(tmp_path, whole[0])


def test_the_teachers_pass_goes_on_by_frame(
    whole, data: Path, vgg_file: Path, tmp_path: Path, monkeypatch
) -> None:
    """Two of three frames done: only the third is cut and seen again."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("run.json", "train.crops", "train.maps"):
        (work / name).write_bytes((whole[0] / "work" / name).read_bytes())
    (work / "train.done").write_text("2")
    with (work / "train.maps").open("r+b") as file:
        file.seek(-1000, 2)
        file.write(bytes(1000))
    calls = []
    real = distillation._views
    monkeypatch.setattr(distillation, "_views", lambda *args: calls.append(args) or real(*args))
    with cut_after_the_first_epoch():
        train_backbone(data, vgg_file, tmp_path, SETTINGS, progress=False)
    assert len(calls) == 1
    assert (work / "train.maps").read_bytes() == (whole[0] / "work" / "train.maps").read_bytes()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_finished_run_is_repeated_without_its_outputs(whole, data: Path, vgg_file: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for file in (whole[0] / "work").iterdir():
        (tmp_path / "work" / file.name).write_bytes(file.read_bytes())
    train_backbone(data, vgg_file, tmp_path, SETTINGS, progress=False)
    assert (tmp_path / "slim.safetensors").read_bytes() == (whole[0] / "slim.safetensors").read_bytes()


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 3}, {"validation": ("train",)}])
def test_other_settings_in_the_same_folder_are_refused(whole, data: Path, vgg_file: Path, change: dict) -> None:
    before = (whole[0] / "slim.safetensors").read_bytes()
    with pytest.raises(InputError, match="other settings"):
        train_backbone(data, vgg_file, whole[0], replace(SETTINGS, **change), progress=False)
    assert (whole[0] / "slim.safetensors").read_bytes() == before


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_run_that_named_the_usual_videos_goes_on_without_names(
    whole, data: Path, vgg_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.training.data.HELD_OUT", ("held",))
    unnamed = replace(SETTINGS, validation=())
    assert train_backbone(data, vgg_file, whole[0], unnamed, progress=False) == whole[1]


def test_what_is_missing_is_named(data: Path, vgg_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'fernando' is not among"):
        train_backbone(data, vgg_file, tmp_path, replace(SETTINGS, validation=("fernando",)), progress=False)
    with pytest.raises(InputError, match="none is left to train on"):
        train_backbone(data, vgg_file, tmp_path, replace(SETTINGS, validation=("train", "held")), progress=False)
    with pytest.raises(InputError, match="absent.safetensors"):
        train_backbone(data, tmp_path / "absent.safetensors", tmp_path, SETTINGS, progress=False)
    with pytest.raises(InputError, match="nowhere"):
        train_backbone(tmp_path / "nowhere", vgg_file, tmp_path, SETTINGS, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_the_best_step_is_kept(whole, data: Path, vgg_file: Path, tmp_path: Path, monkeypatch) -> None:
    """The figures of the first step are made the best ones; what is written are its weights, not the last ones."""
    (tmp_path / "work").mkdir()
    for file in (whole[0] / "work").iterdir():
        (tmp_path / "work" / file.name).write_bytes(file.read_bytes())
    seen = []

    def falling(slim: Slim, held_out: list) -> dict[str, float]:
        seen.append(slim.fc6.weight.detach().half().clone())
        return {"pair_auc": 1 / len(seen), "top1": 0.0}

    monkeypatch.setattr(contrastive, "matching_figures", falling)
    train_backbone(data, vgg_file, tmp_path, SETTINGS, progress=False)
    written = load_file(tmp_path / "slim.safetensors")["fc6.weight"]
    assert len(seen) == 2 and torch.equal(written, seen[0]) and not torch.equal(written, seen[1])


def test_another_teacher_or_other_data_in_the_same_folder_is_refused(
    whole, data: Path, vgg_file: Path, tmp_path: Path, make_video: Callable, write_otb: Callable
) -> None:
    from safetensors.torch import save_file

    other = load_file(vgg_file)
    other["features.0.bias"] = other["features.0.bias"] + 1
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="teacher was"):
        train_backbone(data, tmp_path / "other.safetensors", whole[0], SETTINGS, progress=False)
    write_otb(tmp_path / "more" / "train", make_video(FRAMES + 1, seed=1))
    write_otb(tmp_path / "more" / "held", make_video(2, seed=2))
    with pytest.raises(InputError, match=r"frames\.train was .* and is"):
        train_backbone(tmp_path / "more", vgg_file, whole[0], SETTINGS, progress=False)


def test_too_little_to_learn_from(data: Path, vgg_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="18 crops do not fill a batch of 999; .* smaller --batch-size"):
        train_backbone(data, vgg_file, tmp_path / "a", replace(SETTINGS, batch_size=999), progress=False)
    with pytest.raises(InputError, match="12 crops"):  # the last in alphabetical order, train, is held out
        own = replace(SETTINGS, batch_size=999, validation=())
        train_backbone(data, vgg_file, tmp_path / "a", own, progress=False)
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match="two frames with"):
        few = replace(SETTINGS, boxes_per_frame=500, epochs=1)
        train_backbone(data, vgg_file, tmp_path / "c", few, progress=False)


def test_bad_input_to_the_script_is_one_sentence(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "tools" / "train_slim.py"
    words = ["--data", tmp_path / "nowhere", "--teacher", tmp_path / "vgg.pth", "--out", tmp_path / "out"]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("train_slim.py: error: ") and "nowhere' does not exist" in done.stderr
