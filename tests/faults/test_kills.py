"""Commands that are killed at random moments lose nothing: started again, they end as if they had not been.

`OCCLUSION_SEARCH_FAULTS` is the budget of all fault tests; a kill costs 100 of it, so 20,000 are 200 kills over
all commands. Without it the quickest command is killed twice.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from agents.training.learning_curves import read_monitors
from agents.training.runs import RunFolder

from .launcher import COMMANDS, Launcher, Run

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="reads Linux's /proc")

BUDGET = int(os.environ.get("OCCLUSION_SEARCH_FAULTS") or 0)
KILLS = -(-BUDGET // 100) or 2
SEED = int(os.environ.get("OCCLUSION_SEARCH_FAULTS_SEED") or 0)
CHOSEN = os.environ.get("OCCLUSION_SEARCH_FAULTS_COMMAND")
"""Kill this command alone, to repeat a failure."""

RARE = ("generate, 2 workers", "reproduce")
"""Commands that take longest; they get one kill in forty."""

RECORDED = ("command", "fps", "seconds", "sha256", "skipped", "trained")
"""Keys of results that differ from run to run: when and how long it ran, what it found there already, and the
checksum of a record with such a key."""

TRAINED = "out/dqn/OcclusionSearchOracle-v0_"


@dataclass
class Tally:
    """What came of the kills, and how to repeat what went wrong."""

    counts: Counter[str] = field(
        default_factory=lambda: Counter(kills=0, losses=0, tracebacks=0, workers=0, leftovers=0)
    )
    faults: list[str] = field(default_factory=list)

    def add(self, kind: str, number: int, what: str) -> None:
        self.counts[kind] += 1
        self.faults.append(f"{kind}, kill {number}: {what}")

    def __str__(self) -> str:
        return ", ".join(f"{number} {kind}" for kind, number in self.counts.items())


def test_killed_commands_lose_nothing(launcher: Launcher, capsys: pytest.CaptureFixture[str]) -> None:
    tally, unbroken = Tally(), dict[str, tuple[float, dict[str, Any]]]()
    for number in range(KILLS):
        name = CHOSEN or choose(number)
        if name not in unbroken:
            ended = launcher.run(COMMANDS[name].split())
            assert ended.code == 0, (name, ended.errors)
            unbroken[name] = ended.seconds, contents(launcher.folder)
            clear(launcher.folder)
        kill(launcher, name, number, *unbroken[name], tally)
        clear(launcher.folder)
    if BUDGET:
        with capsys.disabled():
            print(f"\n{tally}")
    assert not tally.faults, "\n".join([str(tally), *tally.faults])


def choose(number: int) -> str:
    """The command of a kill: each in turn; the fastest without a budget."""
    if not BUDGET:
        return "generate"
    if number % 40 in (10, 30):
        return RARE[number % 40 // 20]
    often = [name for name in COMMANDS if name not in RARE]
    return often[(number - number // 20) % len(often)]


def kill(launcher: Launcher, name: str, number: int, seconds: float, wanted: dict[str, Any], tally: Tally) -> None:
    """Kill a command once or twice, run it to its end, and compare."""
    draw = random.Random(f"{SEED} {number} {name}")
    arguments = COMMANDS[name].split()
    for _ in range(1 + (draw.random() < 0.25)):
        moment = draw.uniform(0, 1) * seconds
        where = f"'{name}' after {moment:.2f} of {seconds:.2f} s"
        ended = launcher.run(arguments, moment)
        judge(ended, where, number, tally)
        tally.counts["kills"] += ended.code < 0
        for fault in half_written(launcher.folder):
            tally.add("losses", number, f"{where}: {fault}")
        arguments = next_arguments(name, launcher.folder, arguments)
    ended = launcher.run(arguments)
    judge(ended, where, number, tally)
    complete = name == "train" and "is complete" in ended.errors
    if ended.code != 0 and not complete:
        tally.add("losses", number, f"{where}: exit code {ended.code} afterwards: {ended.errors[-300:]}")
        return
    if name == "train":
        if fault := training_fault(launcher.folder, wanted[f"{TRAINED}1/evaluations.npz"]["timesteps"]):
            tally.add("losses", number, f"{where}: {fault}")
        for file in launcher.folder.glob(f"{TRAINED}*/.*.tmp"):
            tally.add("leftovers", number, f"{where}: {file.name}")
        return
    found = contents(launcher.folder)
    for file in sorted(found.keys() | wanted.keys()):
        if file not in wanted:
            tally.add("leftovers", number, f"{where}: {file}")
        elif found.get(file) != wanted[file]:
            tally.add("losses", number, f"{where}: '{file}' is {'another' if file in found else 'missing'}")


def judge(ended: Run, where: str, number: int, tally: Tally) -> None:
    """Count the tracebacks and the workers that a run left."""
    if "Traceback" in ended.errors:
        tally.add("tracebacks", number, f"{where}: {ended.errors[-600:]}")
    if ended.outliving:
        tally.add("workers", number, f"{where}: {ended.outliving} processes")


def next_arguments(name: str, folder: Path, arguments: list[str]) -> list[str]:
    """How a killed command goes on: by itself, or by --resume where there is a checkpoint."""
    if name != "train":
        return arguments
    runs = sorted(folder.glob(f"{TRAINED}*"))
    if runs and list(runs[-1].glob("rl_model_*_steps.zip")):
        return ["train", "--resume", str(runs[-1])]
    return COMMANDS[name].split()


def clear(folder: Path) -> None:
    """Remove what a command wrote."""
    for file in folder.iterdir():
        if re.fullmatch(r"\.?out(\..*)?", file.name):
            shutil.rmtree(file) if file.is_dir() else file.unlink()


def outputs(folder: Path) -> list[Path]:
    """The files that a command wrote."""
    top = [file for file in folder.iterdir() if re.fullmatch(r"\.?out(\..*)?", file.name)]
    return [file for each in top for file in (each, *each.rglob("*")) if file.is_file()]


def contents(folder: Path) -> dict[str, Any]:
    """The results by name: bytes, and values where times are recorded."""
    return {str(file.relative_to(folder)): content(file) for file in outputs(folder)}


def content(file: Path) -> Any:
    if file.name == "data.json":  # digests of boxes and of times
        found = json.loads(file.read_text())
        return {**found, "sha256": None, "results": {run: digests[0] for run, digests in found["results"].items()}}
    if file.suffix == ".json":
        return without_times(json.loads(file.read_text()))
    if file.parent.name == "times" or file.suffix == ".html":
        return file.stat().st_size > 0
    if file.suffix == ".npz":
        with np.load(file) as found:
            return {name: found[name].tolist() for name in found}
    return file.read_bytes()


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name not in RECORDED}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def half_written(folder: Path) -> Iterator[str]:
    """Files under their final names that are not complete."""
    for file in outputs(folder):
        if any(part.startswith(".") and part != ".parts" for part in file.relative_to(folder).parts):
            continue
        try:
            check(file)
        except Exception as error:
            yield f"'{file.relative_to(folder)}' is half-written ({type(error).__name__}: {error})"


def check(file: Path) -> None:
    """Read a file to its end.

    Raises:
        Exception: If it is not complete.
    """
    data = file.read_bytes()
    if not data and not file.name.endswith(".monitor.csv"):
        raise ValueError("empty")
    if file.suffix in (".png", ".gif", ".jpg"):
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    elif file.suffix == ".json":
        json.loads(data)
    elif file.suffix == ".jsonl":
        for line in data.decode().splitlines():
            json.loads(line)
    elif file.suffix == ".safetensors":
        with safe_open(file, "np") as found:
            for name in found.keys():
                found.get_tensor(name)
    elif file.suffix in (".zip", ".npz"):
        if zipfile.ZipFile(file).testzip() is not None:
            raise ValueError("a bad member")
    elif file.suffix == ".mp4":
        with av.open(str(file)) as video:
            if sum(1 for _ in video.decode(video=0)) != 6:
                raise ValueError("too few frames")
    elif file.suffix == ".pkl":
        if not data.endswith(b"."):
            raise ValueError("no end")
    elif file.suffix == ".html":
        if not data.rstrip().endswith(b"</html>"):
            raise ValueError("no end")
    elif file.suffix in (".txt", ".csv") and file.name != "command.txt" and "monitor" not in file.name:
        if not data.endswith(b"\n"):
            raise ValueError("no end of the last line")


def training_fault(folder: Path, evaluated: list[int]) -> str | None:
    """What is wrong with a resumed training run; it draws anew, so its steps are compared, not its bytes."""
    runs = [
        RunFolder.open(path) for path in sorted(folder.glob(f"{TRAINED}*")) if (path / "0.monitor.csv").exists()
    ]
    run = runs[-1]
    if not run.model.is_file():
        return "no agent"
    with np.load(run.evaluations) as found:
        if found["timesteps"].tolist() != evaluated:
            return f"evaluations at {found['timesteps'].tolist()}"
    if run.checkpoints()[-1].steps != 240:
        return "no last checkpoint"
    steps = read_monitors(run.monitors)["steps"]
    if (np.diff(steps) < 0).any() or not 0 < steps[-1] <= 240:
        return f"episodes end at {steps}"
    return None
