"""Files that are damaged between the parts of a run are made again and said; it ends as an unbroken run does."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from agents.cli import main
from agents.training.runs import RunFolder
from tracker.models.backbones import Slim
from tracker.models.siamfc import SiamFCNet
from vae import TrainingConfig, VAEBank, VAEConfig

ORACLE = "OcclusionSearchOracle-v0"
MODULE = """
import numpy as np
import torch

class Dark:
    input_size = 16
    device = torch.device("cpu")

    def embed(self, crops):
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars, candidates):
        return candidates[:, 0]

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))

class Walker:
    name = "walker"

    def init(self, image, box):
        self.box = np.array(box, dtype=float)

    def update(self, image):
        self.box = self.box + [1, 0, 0, 0]
        return self.box.copy()
"""


class TinySlim(Slim):
    """The slim net's layers with a few channels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 4, 6, 6, 6, 5)
        for i in range(1, 6):
            old = self.get_submodule(f"conv{i}")
            setattr(
                self, f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], old.kernel_size, old.stride, old.padding)
            )
        self.fc6, self.fc7, self.fc8 = nn.Linear(5 * 49, 8), nn.Linear(8, 8), nn.Linear(8, 4)


class TinySiamFC(SiamFCNet):
    """SiamFC's layers with a few channels."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(1, 6):
            layer = getattr(self, f"conv{number}")
            cut = nn.Conv2d(
                3 if number == 1 else 6, 6, layer.kernel_size, layer.stride,
                groups=min(2, layer.groups),
            )  # fmt: skip
            setattr(self, f"conv{number}", cut)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def change(file: Path) -> None:
    """One bit in the last quarter, where data lies."""
    content = bytearray(file.read_bytes())
    content[len(content) * 7 // 8] ^= 1
    file.write_bytes(content)


def remove(file: Path) -> None:
    file.unlink()


Damage = Callable[[Path], None]
ALL: tuple[Damage, ...] = (empty, cut, change, remove)

COMMANDS = {
    "generate": "generate --data {data} --scorer damage_scorer:Dark --agent best-of-2-random --batch 4",
    "train-vae": "train-vae --data {data} --only a --epochs 2 --max-crops 2",
    "train-tracker": "train-tracker --data {data} --weights {slim} --side 64 --steps 2 --validate-every 1",
    "train-siamfc": "train-siamfc --data {data} --weights {siamfc} --steps 2 --pairs 2",
    "benchmark run": "benchmark run --data {data} --tracker damage_scorer:Walker",
    "evaluate": "evaluate --data {data} --scorer damage_scorer:Dark --per-sequence 1 --seeds 1",
}
VOLATILE = {"evaluation.json", "closure.png", "index.html", "settings.json"}
"""Times and the command line are in them, or they are drawn anew each time."""

# The command, the file and what happens to it.
CASES: list[tuple[str, str, Damage]] = [
    *(("generate", ".parts/a-000000.json", damage) for damage in ALL[:3]),
    *(("generate", "a/000002-0.png", damage) for damage in ALL),
    ("generate", "metadata.jsonl", cut),
    *(("train-vae", f"a/{name}.safetensors", change) for name in ("codes", "model")),
    *(("train-vae", f"a/{name}.json", cut) for name in ("config", "training")),
    *(("train-vae", "a/manifold.png", damage) for damage in (cut, change)),
    *(("train-tracker", "work/checkpoint.safetensors", damage) for damage in ALL[:3]),
    ("train-tracker", "slim.safetensors", cut),
    *(("train-siamfc", "work/checkpoint.safetensors", damage) for damage in ALL[:3]),
    *(("benchmark run", "walker/ope/a.txt", damage) for damage in ALL[:3]),
    *(("benchmark run", "walker/ope/times/a_time.txt", damage) for damage in ALL),
    *(("benchmark run", "walker/ope/data.json", damage) for damage in ALL[:3]),
    *(("evaluate", "sequences/a.json", damage) for damage in ALL[:3]),
    *(("evaluate", "pictures/a.png", damage) for damage in ALL),
]
SAID_BY_NOBODY = {"metadata.jsonl", "slim.safetensors"}
"""Written anew by every run."""


@pytest.fixture(scope="module")
def world(tmp_path_factory, make_video, write_otb) -> dict[str, Path]:
    """Videos, weights and a module with a scorer and a tracker."""
    root = tmp_path_factory.mktemp("world")
    for seed, name in enumerate("abc"):
        write_otb(root / "data" / name, make_video(frames=4, width=96, height=72, seed=seed))
    (root / "damage_scorer.py").write_text(MODULE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(TinySlim().state_dict(), root / "slim.safetensors")
        save_file(TinySiamFC().state_dict(), root / "siamfc.safetensors")
    names = {"slim": root / "slim.safetensors", "siamfc": root / "siamfc.safetensors"}
    return {"root": root, "data": root / "data", **names}


@pytest.fixture
def run(monkeypatch, capsys, world, tmp_path):
    """Run a command line in this process; returns what it said on standard error."""
    monkeypatch.syspath_prepend(str(world["root"]))
    monkeypatch.setattr("tracker.models.siamfc.SiamFCNet", TinySiamFC)

    def call(line: str, *arguments: object, code: int = 0) -> str:
        if "{slim}" in line:
            monkeypatch.setattr("tracker.models.backbones.loading.Slim", TinySlim)
        words = [word.format(**world) for word in line.split()]
        monkeypatch.setattr(sys, "argv", ["occlusion-search", *words, *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        try:
            main()
            ended = 0
        except SystemExit as end:
            ended = end.code
        errors = capsys.readouterr().err
        assert ended == code, errors[-800:]
        return errors

    return call


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> dict[str, Path]:
    """The folders of the runs that nothing interrupted, by command; filled as they are needed."""
    return {}


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in sorted(out.rglob("*"))
        if file.is_file() and file.name not in VOLATILE
    }


def comparable(name: str, found: dict[str, bytes]) -> dict[str, object]:
    """Contents without the seconds that they took."""
    given: dict[str, object] = dict(found)
    for file, content in found.items():
        if file.endswith("_time.txt"):
            given[file] = content.count(b"\n")
        elif name == "benchmark run" and file.endswith("data.json"):
            given[file] = sorted(json.loads(content)["results"])
        elif name == "train-vae" and file.endswith("training.json"):
            given[file] = json.loads(content) | {"seconds": 0, "sha256": ""}
        elif name == "evaluate" and file.endswith(".json"):
            given[file] = json.loads(content)["videos"]
    return given


@pytest.mark.parametrize(
    ("name", "file", "damage"), CASES, ids=[f"{name}-{file}-{damage.__name__}" for name, file, damage in CASES]
)
def test_what_is_damaged_is_made_again_and_said(
    run, unbroken, tmp_path_factory, tmp_path, name: str, file: str, damage: Damage
) -> None:
    line = f"{COMMANDS[name]} --device cpu --out"
    if name not in unbroken:
        whole = tmp_path_factory.mktemp("unbroken") / "out"
        run(line, whole)
        unbroken[name] = whole
    out = tmp_path / "out"
    shutil.copytree(unbroken[name], out)
    wanted = comparable(name, contents(out))
    damage(out / file)
    assert contents(out) != contents(unbroken[name])
    errors = run(line, out)
    said = [line for line in errors.replace("\r", "\n").splitlines() if "warning:" in line and "damaged" in line]
    if file not in SAID_BY_NOBODY:
        assert len(said) == 1 and Path(file).name in said[0], errors
    assert comparable(name, contents(out)) == wanted
    errors = run(line, out)
    assert "damaged" not in errors, "it is whole now"


@pytest.mark.parametrize("name", ["generate", "train-tracker", "train-siamfc", "benchmark run"])
def test_a_frame_that_changed_is_refused(run, world, tmp_path, name: str) -> None:
    """The last frame, of which nothing was looked at before."""
    data = tmp_path / "data"
    shutil.copytree(world["data"], data)
    line = COMMANDS[name].replace("{data}", str(data)) + f" --device cpu --out {tmp_path / 'out'}"
    run(line)
    change(data / "a" / "img" / "0004.png")
    errors = run(line, code=2)
    assert "give another --out" in errors and " was " in errors


@pytest.mark.parametrize("damage", ALL[:3])
def test_a_checkpoint_of_a_manifold_that_is_damaged_is_discarded(tmp_path, monkeypatch, damage: Damage) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    recipe = {"model_config": VAEConfig(image_size=8, hidden=8), "training": TrainingConfig(epochs=3)}
    VAEBank(tmp_path / "whole").train("a", images, **recipe)
    bank = VAEBank(tmp_path / "out")

    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VAEBank, "_store", stop)
        bank.train("a", images, **recipe)
    damage(bank.path("a") / "checkpoint.safetensors")
    with pytest.warns(
        UserWarning, match="checkpoint.safetensors' is damaged or missing; the model of 'a' is trained"
    ):
        bank.train("a", images, **recipe)
    model = "a/model.safetensors"
    assert (tmp_path / "out" / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()


TRAIN = f"train --env {ORACLE} --save-freq 40 --eval-episodes 1 --n-eval-envs 1 --device cpu"
OFF_POLICY = f"{TRAIN} --algo dqn -n 120 --eval-freq 40 -params n_envs:4 learning_starts:20 batch_size:8"
ON_POLICY = f"{TRAIN} --algo a2c -n 120 --eval-freq 40 -params n_envs:4 n_steps:5"
PICKLE, ZIP = "rl_model_replay_buffer_120_steps.pkl", "rl_model_120_steps.zip"
TRAININGS: list[tuple[str, str, Damage, str]] = [
    *((ON_POLICY, ZIP, damage, "the run goes on from 80 steps") for damage in ALL[:3]),
    *((OFF_POLICY, "evaluations.npz", damage, "the evaluations start anew") for damage in (empty, cut)),
    (OFF_POLICY, "best_model.zip", cut, "the best agent of the evaluations to come replaces it"),
    *((OFF_POLICY, "0.monitor.csv", damage, "missing in the learning curve") for damage in (empty,)),
    *((OFF_POLICY, f"{ORACLE}.zip", damage, "it is made again") for damage in (empty, cut)),
    *((OFF_POLICY, f"{ORACLE}/{name}.yml", cut, "it is made again") for name in ("args", "config")),
    (OFF_POLICY, f"{ORACLE}/args.yml", empty, "it is made again"),
]
if not os.environ.get("OCCLUSION_SEARCH_FAULTS"):  # each takes 2 s: one damage of a file
    TRAININGS = list({file: (line, file, damage, said) for line, file, damage, said in TRAININGS}.values())


def trained(run, unbroken, tmp_path_factory, tmp_path, line: str) -> RunFolder:
    """A copy of a run that was cut off before its end."""
    if line not in unbroken:
        logs = tmp_path_factory.mktemp("trained")
        run(line, "-f", logs)
        unbroken[line] = logs
    shutil.copytree(unbroken[line], tmp_path / "logs")
    return RunFolder.open(next((tmp_path / "logs").glob(f"*/{ORACLE}_1")))


@pytest.mark.parametrize(("line", "file", "damage", "said"), TRAININGS)
def test_a_training_goes_on_from_what_is_intact(
    run, unbroken, tmp_path_factory, tmp_path, line: str, file: str, damage: Damage, said: str
) -> None:
    folder = trained(run, unbroken, tmp_path_factory, tmp_path, line)
    wanted = {str(each.relative_to(folder.path)) for each in folder.path.rglob("*")}
    if file != f"{ORACLE}.zip":
        folder.model.unlink()
    damage(folder.path / file)
    errors = run("train --resume", folder.path)
    assert f"{Path(file).name}' is damaged or missing; " in errors and said in errors
    rest = wanted - {file, "evaluations.npz", "best_model.zip"}  # no evaluation was left to make
    assert rest <= {str(each.relative_to(folder.path)) for each in folder.path.rglob("*")}
    assert folder.arguments()["n_timesteps"] == 120 and folder.config()["n_envs"] == 4
    assert "is complete" in run("train --resume", folder.path, code=2)


@pytest.mark.parametrize(("file", "remedy"), [(PICKLE, "with --trained-agent"), (ZIP, "train anew")])
@pytest.mark.parametrize("damage", ALL[:3])
def test_a_training_that_cannot_go_on_says_why(
    run, unbroken, tmp_path_factory, tmp_path, file: str, remedy: str, damage: Damage
) -> None:
    """Of DQN's checkpoints the last one alone has its replay memory."""
    folder = trained(run, unbroken, tmp_path_factory, tmp_path, OFF_POLICY)
    folder.model.unlink()
    damage(folder.path / file)
    errors = run("train --resume", folder.path, code=2)
    assert file in errors and "cannot go on" in errors and remedy in errors


LADDER: list[tuple[str, Damage]] = [
    ("results/vae-random/0.json", cut), ("positives/vae-random/metadata.jsonl", remove),
    ("positives/vae-random/000001.png", change), ("adversary.safetensors", cut),
    ("bank/a/codes.safetensors", empty), ("networks/vae-random/0/work/checkpoint.safetensors", cut),
]  # fmt: skip


@pytest.mark.parametrize(("file", "damage"), LADDER)
def test_the_ladder_makes_again_what_is_damaged(
    run, unbroken, world, tmp_path_factory, tmp_path, monkeypatch, make_video, write_otb, file: str, damage: Damage
) -> None:
    """Its results are removed, so that all that they are made of is read."""
    if not os.environ.get("OCCLUSION_SEARCH_FAULTS"):
        pytest.skip("takes 10 s; set OCCLUSION_SEARCH_FAULTS")
    monkeypatch.setattr("agents.ablation.making.train_adversary", _short_adversary)
    judge = world["root"] / "judge"
    line = (
        f"reproduce --data {{data}} --judge {judge} --only vae-random adv-net --seeds 1 --steps 1 --epochs 1"
        " --boxes-per-frame 4 --per-video 1 --sweep-frames 1 --device cpu --weights {slim} --out"
    )
    if "ladder" not in unbroken:
        for seed, name in ((7, "d"), (8, "e")):
            write_otb(judge / name, make_video(frames=3, width=96, height=72, seed=seed))
        whole = tmp_path_factory.mktemp("ladder") / "out"
        run(line, whole)
        unbroken["ladder"] = whole
    out = tmp_path / "out"
    shutil.copytree(unbroken["ladder"], out)
    wanted = json.loads((out / "results/vae-random/0.json").read_text())
    damage(out / file)
    if not file.startswith("results"):
        shutil.rmtree(out / "results")
    if file.startswith("bank"):
        (out / "positives" / "vae-random.json").unlink()
    errors = run(line, out)
    named = file if file.startswith("results") else Path(file).parts[1] if "positives" in file else Path(file).name
    assert "damaged or missing" in errors and Path(named).name in errors
    found = json.loads((out / "results/vae-random/0.json").read_text())
    assert found["ope"] == wanted["ope"] and found["sweep"] == wanted["sweep"]


def _short_adversary(sint, targets):
    from agents.ablation.adversary import train_adversary

    return train_adversary(sint, targets, steps=1, batch=2)
