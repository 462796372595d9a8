import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vae import Checkpoint, FitResult, Plateau, TrainingConfig, TrainingState, VAEConfig, VAEError, fit
from vae.images import Images

SMALL = VAEConfig(image_size=16, hidden=16)
CONV = VAEConfig(image_size=16, hidden=16, architecture="conv", channels=(4, 8))
OFTEN = 1e-9


def recipe(epochs: int = 40, **values: object) -> TrainingConfig:
    return TrainingConfig.from_dict({"epochs": epochs, "seed": 5, **values})


def same(a: FitResult, b: FitResult) -> bool:
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    losses = np.array_equal(a.history.reconstruction, b.history.reconstruction)
    return losses and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("shape", "breaks"), [(SMALL, (7, 100)), (CONV, (7, 65))], ids=["mlp", "conv"])
def test_a_broken_training_ends_with_an_unbroken_ones_bytes(
    crops: Images, tmp_path: Path, shape: VAEConfig, breaks: tuple[int, int], precision: str
) -> None:
    training = recipe(breaks[1] + 5, precision=precision, samples=2)
    whole = fit(crops, model_config=shape, training=training)
    checkpoint = Checkpoint(tmp_path / "deep" / "c.safetensors")
    for epoch in breaks:
        part = fit(
            crops, model_config=shape, training=training, checkpoint=checkpoint,
            callbacks=[lambda state, epoch=epoch: state.epoch == epoch],
        )  # fmt: skip
        assert len(part.history.loss) == epoch
    rest = fit(crops, model_config=shape, training=training, checkpoint=checkpoint)
    assert same(rest, whole)
    assert os.listdir(tmp_path / "deep") == ["c.safetensors"]


def test_a_killed_process_ends_with_an_unbroken_ones_bytes(crops: Images, tmp_path: Path) -> None:
    path, source = tmp_path / "c.safetensors", tmp_path / "crops.npy"
    np.save(source, crops)
    program = f"""
import numpy as np, torch
from vae import Checkpoint, TrainingConfig, VAEConfig, fit
torch.set_num_threads(1)
fit(np.load({str(source)!r}), model_config=VAEConfig(image_size=16, hidden=16),
    training=TrainingConfig(epochs=10**7, seed=5), checkpoint=Checkpoint({str(path)!r}, 0.02))
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        patience = time.monotonic() + 60
        while not path.exists():
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.01)
        time.sleep(0.2)  # long enough for several more writings
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for leftover in tmp_path.glob(".*.occlusion-search"):
        shutil.rmtree(leftover)
    epochs = len(load_file(path)["history"]) + 25
    resumed = fit(crops, model_config=SMALL, training=recipe(epochs), checkpoint=Checkpoint(path))
    assert len(resumed.history.loss) == epochs
    assert same(resumed, fit(crops, model_config=SMALL, training=recipe(epochs)))


def test_it_is_written_when_its_time_has_come(crops: Images, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    seen: list[int] = []

    def look(state: TrainingState) -> bool:
        seen.append(len(load_file(path)["history"]) if path.exists() else 0)
        return False

    fit(crops, model_config=SMALL, training=recipe(4), checkpoint=Checkpoint(path, OFTEN), callbacks=[look])
    assert seen == [0, 1, 2, 3]
    seen.clear()
    path.unlink()
    fit(crops, model_config=SMALL, training=recipe(4), checkpoint=Checkpoint(path, 1e6), callbacks=[look])
    assert seen == [0, 0, 0, 0]
    assert len(load_file(path)["history"]) == 4


def test_a_finished_training_is_read_back_and_can_be_prolonged(crops: Images, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    done = fit(crops, model_config=SMALL, training=recipe(30), checkpoint=checkpoint)
    calls: list[int] = []
    again = fit(
        crops, model_config=SMALL, training=recipe(30), checkpoint=checkpoint,
        callbacks=[lambda state: bool(calls.append(state.epoch))],
    )  # fmt: skip
    assert same(done, again)
    assert calls == []
    longer = fit(crops, model_config=SMALL, training=recipe(50), checkpoint=checkpoint)
    assert same(longer, fit(crops, model_config=SMALL, training=recipe(50)))
    with pytest.raises(VAEError, match="50 epochs on, more than the 30 asked for"):
        fit(crops, model_config=SMALL, training=recipe(30), checkpoint=checkpoint)
    checkpoint.discard()
    assert os.listdir(tmp_path) == []


def test_a_plateau_is_a_plateau_after_a_break(crops: Images, tmp_path: Path) -> None:
    training = recipe(2000, plateau={"window": 20, "tolerance": 30.0})
    assert training.plateau == Plateau(20, 30.0)
    whole = fit(crops, model_config=SMALL, training=training)
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    fit(
        crops, model_config=SMALL, training=training, checkpoint=checkpoint,
        callbacks=[lambda state: state.epoch == 27],
    )  # fmt: skip
    assert same(fit(crops, model_config=SMALL, training=training, checkpoint=checkpoint), whole)
    assert same(fit(crops, model_config=SMALL, training=training, checkpoint=checkpoint), whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": 0.01}, "learning_rate 0.001 .asked is 0.01."),
        ({"alpha": 0.5}, "alpha 0.9"),
        ({"samples": 3}, "samples 1"),
        ({"seed": 1}, "seed 5"),
        ({"precision": "bf16"}, "precision float32"),
    ],
)
def test_another_trainings_file_is_refused(
    crops: Images, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    fit(crops, model_config=SMALL, training=recipe(3, precision="fp32"), checkpoint=checkpoint)
    with pytest.raises(VAEError, match=f"{words}.*delete it"):
        fit(
            crops, model_config=SMALL, training=recipe(3, **{"precision": "fp32", **change}), checkpoint=checkpoint
        )
    with pytest.raises(VAEError, match="other images"):
        fit(crops[::-1], model_config=SMALL, training=recipe(3, precision="fp32"), checkpoint=checkpoint)
    other = VAEConfig(image_size=16, hidden=8)
    with pytest.raises(VAEError, match="hidden 16"):
        fit(crops, model_config=other, training=recipe(3, precision="fp32"), checkpoint=checkpoint)


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "no header", "tensor", "folder"])
def test_a_damaged_file_is_refused_in_one_line(crops: Images, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.safetensors"
    fit(crops, model_config=SMALL, training=recipe(3), checkpoint=Checkpoint(path))
    whole, tensors = path.read_bytes(), load_file(path)
    length = int.from_bytes(whole[:8], "little")
    metadata = json.loads(whole[8 : 8 + length])["__metadata__"]
    if damage == "no header":
        save_file(tensors, path)
    elif damage == "tensor":
        del tensors["average.mean.bias"]
        save_file(tensors, path, metadata=metadata)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\xff" * 100}[damage])
    with pytest.raises(VAEError, match="c.safetensors is .*delete it") as caught:
        fit(crops, model_config=SMALL, training=recipe(3), checkpoint=Checkpoint(path))
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_is_never_kept(crops: Images, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(VAEError, match="not finite"):
        fit(crops, model_config=SMALL, training=recipe(50, learning_rate=1e30), checkpoint=Checkpoint(path, OFTEN))
    assert not path.exists() or torch.isfinite(load_file(path)["history"]).all()


def test_the_interval_is_checked() -> None:
    with pytest.raises(VAEError, match="above 0"):
        Checkpoint("c", 0)
