from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tracker.data.sequences import ArrayFrames
from tracker.errors import InputError
from tracker.models.backbones import Precision
from tracker.models.sint import Sint, SintConfig, to_rois
from tracker.training import (
    PairSampler,
    TrainingPositive,
    TrainingRun,
    held_out_names,
    loop,
    open_folder,
    otb_names,
    sint,
    train_sint,
)
from tracker.training.frames import FrozenMaps, PairViews, Views, ViewSampler, change_colours
from tracker.training.losses import contrastive_loss
from tracker.training.sint import SintTrainer

QUIET = TrainingRun("fp32", progress=False)
OFTEN = replace(QUIET, checkpoint_seconds=0.0)


@pytest.fixture
def whole(tmp_path: Path, videos, config, settings, tiny_file: Path) -> tuple[Path, dict]:
    """A run that nothing interrupted, and its card."""
    out = tmp_path / "whole"
    return out, train_sint(*videos, out, config, settings, tiny_file, run=QUIET)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def cut_after(step: int) -> Iterator[None]:
    """The process dies as soon as the checkpoint of that step stands."""
    real = loop.write_checkpoint

    def write(file: Path, *args: object) -> None:
        real(file, *args)  # type: ignore[arg-type]
        if args[-1]["step"] == step:  # type: ignore[index]
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "write_checkpoint", write)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_what_is_written(whole, tiny_file: Path, settings) -> None:
    out, card = whole
    assert set(outputs(out)) == {"slim.safetensors", "slim.json"}
    assert {**json.loads((out / "slim.json").read_text())} == json.loads(
        json.dumps({"config": asdict(SintConfig(side=64)), "base": card_base(out), **card})
    )
    trained, start = load_file(out / "slim.safetensors"), load_file(tiny_file)
    assert card["best_step"] > 0
    assert all((trained[name].float() - start[name]).abs().max() > 1e-3 for name in start)
    assert card["trained_on"] == ["noise-1", "noise-2"] and card["validated_on"] == ["noise-3"]
    steps = [row["step"] for row in card["validation"]["curve"]]
    assert steps == [0, 4, 8, 10] and card["best_step"] in steps
    assert card["validation"]["after"]["pair_auc"] == max(row["pair_auc"] for row in card["validation"]["curve"])


def card_base(out: Path) -> dict:
    return json.loads((out / "slim.json").read_text())["base"]


def test_it_learns(tmp_path: Path, videos, config, settings, tiny_file: Path) -> None:
    longer = replace(settings, steps=60, validate_every=20, learning_rate=0.05)
    card = train_sint(*videos, tmp_path, config, longer, tiny_file, run=QUIET)
    losses = [row["training_loss"] for row in card["validation"]["curve"][1:]]
    assert losses[-1] < 0.7 * losses[0]
    assert card["validation"]["after"]["pair_auc"] > card["validation"]["before"]["pair_auc"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("step", [3, 8])
def test_a_cut_off_run_ends_with_the_same_bytes(
    videos, config, settings, tiny_file: Path, tmp_path: Path, step: int, optimizer: str
) -> None:
    settings = replace(settings, optimizer=optimizer, learning_rate=0.01, flip=0.5, jitter=0.1)
    train_sint(*videos, tmp_path / "whole", config, settings, tiny_file, run=QUIET)
    with cut_after(step):
        train_sint(*videos, tmp_path / "cut", config, settings, tiny_file, run=OFTEN)
    assert outputs(tmp_path / "cut") == {}
    torch.manual_seed(99)
    train_sint(*videos, tmp_path / "cut", config, settings, tiny_file, run=OFTEN)
    assert outputs(tmp_path / "cut") == outputs(tmp_path / "whole")
    before = outputs(tmp_path / "cut")
    train_sint(*videos, tmp_path / "cut", config, settings, tiny_file, run=OFTEN)
    assert outputs(tmp_path / "cut") == before


SCRIPT = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tracker.data.synthetic import synthetic_sequence
from tracker.models.sint import SintConfig
from tracker.training import SintTraining, TrainingRun, loop, train_sint
real = loop.write_checkpoint
def write(*args):
    real(*args)
    if args[-1]["step"] == 2:
        Path(sys.argv[2]).touch()
        time.sleep(60)
if len(sys.argv) > 2:
    loop.write_checkpoint = write
videos = [synthetic_sequence(seed, 3, 96, 96) for seed in (0, 1)]
settings = SintTraining(steps=3, learning_rate=0.1, layer_rates=(("*", 1.0),), boxes_per_frame=8)
quiet = TrainingRun("fp32", 0.0, progress=False)
for out in sys.argv[1].split(":"):
    train_sint(videos[:1], videos[1:], out, SintConfig(side=48), settings, run=quiet)
"""


def test_a_killed_process_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL while the real slim net trains."""

    def start(*arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    cut, whole, ready = tmp_path / "cut", tmp_path / "whole", tmp_path / "ready"
    killed = start(str(cut), str(ready))
    for _ in range(600):
        if ready.exists() or killed.poll() is not None:
            break
        time.sleep(0.1)
    assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert [path.name for path in cut.iterdir()] == ["work"]
    assert start(f"{cut}:{whole}").wait(120) == 0
    assert outputs(cut) == outputs(whole) and set(outputs(whole)) == {"slim.safetensors", "slim.json"}


def test_the_loss_is_sints_two_directions(videos, config, settings, tiny_file: Path) -> None:
    """(Target of m) x (boxes of n) and (boxes of m) x (target of n), by hand."""
    sampler = PairSampler(videos[0], replace(settings, image_pairs=2, auxiliary_weight=0))
    trainer = SintTrainer(Sint.load(config, tiny_file), sampler, videos[1], QUIET)
    found: list[Tensor] = []
    for pair in sampler.draw(7):
        drawn = PairViews.cut(trainer.views, [pair])
        first, second = trainer.sint(drawn.load(torch.device("cpu")), to_rois(drawn.corners)).split(8)
        for anchor, others, same in ((first, second, pair.second.same), (second, first, pair.first.same)):
            found.append(contrastive_loss(anchor[:1].expand(8, -1), others, torch.from_numpy(same)))
    expected = torch.stack(found).mean().item()
    assert trainer.loss(7, trainer.draw(7)).item() == pytest.approx(expected, abs=1e-6)


def test_the_rate_falls_by_the_cosine_and_with_each_layers_factor(videos, config, settings, tiny_file) -> None:
    rates = (("conv*", 0.5), ("*", 1.0))
    sampler = PairSampler(videos[0], replace(settings, learning_rate=0.01, layer_rates=rates))
    trainer = SintTrainer(Sint.load(config, tiny_file), sampler, videos[1], QUIET)
    for step, share in ((0, 1.0), (5, 0.5), (9, 0.0245)):
        trainer.step(step, trainer.draw(step))
        found = sorted(group["lr"] / share for group in trainer.optimizer.param_groups)
        assert found == pytest.approx([0.005, 0.01, 0.01, 0.02], rel=1e-2)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-3), ("bf16", 0.05)])
@pytest.mark.parametrize(("rates", "names"), [((("conv*", 0.0),), ("conv4", "conv5")), ((), ("conv3",))])
def test_maps_of_the_fixed_part_are_those_of_the_whole(
    videos, config, settings, tiny_file: Path, rates: tuple, names: tuple, precision: Precision, tolerance: float
) -> None:
    """All convolutions fixed, and SINT's rule; only float16 is between them."""
    sampler = PairSampler(videos[0], replace(settings, layer_rates=rates))
    run = replace(QUIET, precision=precision)
    trainer = SintTrainer(Sint.load(config, tiny_file), sampler, videos[1], run)
    assert trainer.maps is not None and trainer.maps.names == names
    same = torch.ones(1, 2, settings.boxes_per_frame, dtype=torch.bool)
    kept = trainer._describe(sampler.draw(0), same, 0)[0]
    draw = ViewSampler(sampler, trainer.views)
    assert torch.allclose(trainer._describe(draw(0), same, 0)[0], kept, atol=tolerance)
    assert not torch.equal(trainer._describe(draw(1), same, 1)[0], kept)


def test_fixed_maps_are_made_once(videos, config, settings, tiny_file: Path) -> None:
    network = Sint.load(config, tiny_file)
    calls: list[int] = []
    real = network.backbone.maps
    network.backbone.maps = lambda *args: calls.append(1) or real(*args)  # type: ignore[method-assign,func-returns-value]
    maps = FrozenMaps(network.backbone, "conv5", Views(config, videos[0]), torch.float32)
    pair = PairSampler(videos[0], settings).draw(0)[0]
    for _ in range(3):
        maps([pair.first, pair.second])
    assert len(calls) == 2


def test_no_maps_are_kept_where_frames_change(videos, config, settings, tiny_file: Path) -> None:
    for change in ({"flip": 0.5}, {"jitter": 0.1}, {"shift": 0.1}, {"layer_rates": (("*", 1.0),)}):
        changed_settings = replace(settings, **{"layer_rates": (("conv*", 0.0),), **change})
        sampler = PairSampler(videos[0], changed_settings)
        assert SintTrainer(Sint.load(config, tiny_file), sampler, videos[1], QUIET).maps is None


def test_a_mirrored_pair(videos, config) -> None:
    from tracker.training import SintTraining

    plain = PairSampler(videos[0], SintTraining(boxes_per_frame=8)).draw(0)
    mirrored = [replace(pair, flip=True) for pair in plain]
    views = Views(config, videos[0])
    still, turned = PairViews.cut(views, plain), PairViews.cut(views, mirrored)
    assert torch.equal(turned.load(torch.device("cpu")).flip(3), still.load(torch.device("cpu")))
    for before, after in zip(still.corners, turned.corners, strict=True):
        assert np.allclose(after[:, [0, 2]], 64 - before[:, [2, 0]]) and np.allclose(after[:, 1], before[:, 1])
        assert (after[:, 2] > after[:, 0]).all()


def test_colours_change_by_their_factors() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.5
    assert change_colours(image, (1.0, 1.0, 1.0)) is image
    assert torch.allclose(change_colours(image, (1.5, 1.0, 1.0)), image * 1.5, atol=1e-6)
    grey = change_colours(image, (1.0, 1.0, 0.0))
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)


def test_a_shifted_region_holds_the_target_elsewhere(videos, config, settings) -> None:
    (pair,) = PairSampler(videos[0], settings).draw(0)
    views = Views(config, videos[0], shifts=True)
    still, moved = views(pair.first), views(replace(pair.first, shift=(0.25, 0.0)))
    box = pair.first.boxes[:1]
    assert moved.corners(box)[0, 0] - still.corners(box)[0, 0] == pytest.approx(-16, abs=2)
    assert moved.corners(box)[0, 1] == pytest.approx(still.corners(box)[0, 1], abs=2)


def test_hard_positives_reach_the_card_and_the_weights(
    whole, videos, config, settings, tiny_file: Path, tmp_path: Path
) -> None:
    video = videos[0][0]
    image = np.random.default_rng(5).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    positives = [
        TrainingPositive(image, video.name, 1, tuple(video.boxes[1].tolist())),
        TrainingPositive(image, "noise-3", 1, tuple(video.boxes[1].tolist())),
    ]
    settings = replace(settings, hard_share=1.0)
    positives.append(replace(positives[0], video=videos[0][1].name))
    card = train_sint(*videos, tmp_path / "hard", config, settings, tiny_file, positives, run=QUIET)
    assert card["hard_positives"]["used"] == 2 and card["hard_positives"]["of_other_videos"] == 1
    assert outputs(tmp_path / "hard")["slim.safetensors"] != outputs(whole[0])["slim.safetensors"]
    assert whole[1]["hard_positives"] is None
    with pytest.raises(InputError, match="None of the 1 hard positives"):
        train_sint(*videos, tmp_path / "none", config, settings, tiny_file, positives[1:2], run=QUIET)


def test_the_best_step_is_kept(videos, config, settings, tiny_file: Path, tmp_path: Path, monkeypatch) -> None:
    seen: list[Tensor] = []

    def falling(describe: object, *_: object, **__: object) -> object:
        seen.append(trainers[0].parameters["fc6.weight"].detach().half().clone())
        return {"pair_auc": (0.1, 0.9, 0.8, 0.7)[len(seen) - 1], "top1": 0.0, "loss": 0.0}

    trainers: list[SintTrainer] = []
    real = SintTrainer.__init__
    monkeypatch.setattr(SintTrainer, "__init__", lambda self, *args: (trainers.append(self), real(self, *args))[1])
    monkeypatch.setattr(sint, "matching_figures", falling)
    card = train_sint(*videos, tmp_path, config, settings, tiny_file, run=QUIET)
    written = load_file(tmp_path / "slim.safetensors")["fc6.weight"]
    assert len(seen) == 4 and torch.equal(written, seen[1]) and not torch.equal(written, seen[3])
    assert card["best_step"] == 4 and card["validation"]["after"]["pair_auc"] == 0.9


def test_another_run_in_the_same_folder_is_refused(whole, videos, config, settings, tiny_file: Path) -> None:
    before = outputs(whole[0])
    for other in ({"seed": 1}, {"steps": 11}, {"layer_rates": ()}):
        with pytest.raises(InputError, match="other settings"):
            train_sint(*videos, whole[0], config, replace(settings, **other), tiny_file, run=QUIET)
    with pytest.raises(InputError, match=r"arithmetic was .*float32.* and is .*bfloat16"):
        train_sint(*videos, whole[0], config, settings, tiny_file, run=replace(QUIET, precision="bf16"))
    with pytest.raises(InputError, match=r"frames\..* was .* and is"):
        train_sint(videos[0][:1], videos[1], whole[0], config, settings, tiny_file, run=QUIET)
    assert outputs(whole[0]) == before


@pytest.mark.parametrize("damage", ["empty", "cut", "changed"])
def test_a_damaged_checkpoint_is_said_and_the_run_starts_anew(
    whole, videos, config, settings, tiny_file: Path, damage: str
) -> None:
    before, file = outputs(whole[0]), whole[0] / "work" / "checkpoint.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes({"empty": b"", "cut": content[:-100], "changed": content}[damage])
    with pytest.warns(
        UserWarning, match=r"checkpoint.safetensors' is damaged or missing; the training starts anew"
    ):
        train_sint(*videos, whole[0], config, settings, tiny_file, run=QUIET)
    assert outputs(whole[0]) == before


def test_a_run_whose_frames_changed_is_refused(whole, videos, config, settings, tiny_file: Path) -> None:
    train, held_out = videos
    frames = [train[0].frames[t].copy() for t in range(len(train[0]))]
    frames[-1][0, 0, 0] ^= 1
    changed = replace(train[0], frames=ArrayFrames(frames))
    with pytest.raises(InputError, match=r"data.noise-1 was"):
        train_sint([changed, *train[1:]], held_out, whole[0], config, settings, tiny_file, run=QUIET)


def test_what_cannot_be_trained_is_told(videos, config, settings, tiny_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no validation video"):
        train_sint(videos[0], [], tmp_path, config, settings, tiny_file, run=QUIET)
    with pytest.raises(InputError, match="'noise-1' is trained on and held out"):
        train_sint(videos[0], videos[0][:1], tmp_path, config, settings, tiny_file, run=QUIET)
    with pytest.raises(InputError, match="shift of 0.4"):
        train_sint(*videos, tmp_path, config, replace(settings, shift=0.4), tiny_file, run=QUIET)
    with pytest.raises(InputError, match="loss is nan.*lower learning rate"):
        train_sint(*videos, tmp_path, config, replace(settings, learning_rate=1e30), tiny_file, run=QUIET)


def test_the_squared_form_and_bfloat16(whole, videos, config, settings, tiny_file: Path, tmp_path: Path) -> None:
    for name, change, run in (
        ("squared", {"loss": "squared"}, QUIET),
        ("rough", {}, replace(QUIET, precision="bf16")),
    ):
        train_sint(*videos, tmp_path / name, config, replace(settings, **change), tiny_file, run=run)
        assert outputs(tmp_path / name)["slim.safetensors"] != outputs(whole[0])["slim.safetensors"]


def test_scalars_for_tensorboard(videos, config, settings, tiny_file: Path, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = replace(QUIET, tensorboard=tmp_path / "board")
    card = train_sint(*videos, tmp_path / "out", config, settings, tiny_file, run=run)
    board = events.EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    assert [event.step for event in board.Scalars("training/loss")] == list(range(1, 11))
    losses = [event.value for event in board.Scalars("training/loss")]
    means = [np.mean(losses[:4]), np.mean(losses[4:8]), np.mean(losses[8:])]
    assert [row["training_loss"] for row in card["validation"]["curve"][1:]] == pytest.approx(means, abs=1e-5)
    found = [(event.step, round(event.value, 4)) for event in board.Scalars("validation/pair_auc")]
    assert found == [(row["step"], pytest.approx(row["pair_auc"])) for row in card["validation"]["curve"]]


def test_missing_tensorboard_is_told(videos, config, settings, tiny_file, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"occlusion-search\[tensorboard\]"):
        train_sint(*videos, tmp_path, config, settings, tiny_file, run=replace(QUIET, tensorboard=tmp_path))


def test_which_videos_are_held_out() -> None:
    ten = [f"v{i}" for i in range(10)]
    assert held_out_names(ten) == ["v8", "v9"] and held_out_names(ten, ("v3",)) == ["v3"]
    with pytest.raises(InputError, match="'w'"):
        held_out_names(ten, ("w",))
    with pytest.raises(InputError, match="none is left"):
        held_out_names(["a"])


@pytest.mark.filterwarnings("ignore:The sequence 'c' is left out")
def test_videos_that_cannot_be_used_are_left_out(make_video, write_otb, tmp_path: Path) -> None:
    for seed, name in enumerate("abcd"):
        write_otb(tmp_path / name, make_video(frames=3, seed=seed))
    (tmp_path / "b" / "groundtruth_rect.txt").write_text("20,16,16,12\n" * 2)
    (tmp_path / "c" / "groundtruth_rect.txt").write_text("20,16,16,12\n0,0,0,0\n0,0,0,0\n")
    with pytest.warns(UserWarning, match="'[bc]' is left out: .*(2 boxes but|in a single frame)") as warned:
        train, held_out = open_folder(tmp_path)
    assert len(warned) == 2
    assert [video.name for video in train] == ["a"] and [video.name for video in held_out] == ["d"]
    with (
        pytest.warns(UserWarning, match="'b' is left out"),
        pytest.raises(InputError, match="video 'b' is not among"),
    ):
        open_folder(tmp_path, ["b"])


def test_names_of_otb_are_found() -> None:
    assert otb_names(["david", "ball", "Jogging", "skating2-1"]) == ["david", "Jogging", "skating2-1"]


def test_the_command(
    tmp_path: Path, make_video: Callable, write_otb: Callable, tiny_file: Path, capsys, monkeypatch
) -> None:
    from agents.cli import main

    for name, seed in (("Deer", 1), ("other", 2), ("zebra", 3)):
        write_otb(tmp_path / "data" / name, make_video(4, 96, 72, seed))
    command = [
        "occlusion-search", "train-tracker", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"),
        "--weights", str(tiny_file), "--steps", "2", "--side", "48", "--device", "cpu",
        "--layer-rates", "conv*=0.1", "fc*=1", "--json", str(tmp_path / "card.json"),
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    main()
    printed = capsys.readouterr()
    assert "warning: Deer are names of OTB" in printed.err and "zebra" in printed.out
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["settings"]["layer_rates"] == [["conv*", 0.1], ["fc*", 1.0]] and card["validated_on"] == ["zebra"]
    assert (tmp_path / "out" / "slim.safetensors").is_file() and "train-tracker" in card["command"]
    for wrong, match in (("conv*=fast", "conv*=fast"), ("conv9=1", "conv9")):
        monkeypatch.setattr(sys, "argv", [*command[:-4], wrong])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2 and match in capsys.readouterr().err
