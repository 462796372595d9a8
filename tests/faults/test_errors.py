"""Bad files for every path-valued option of every command, full disks and lack of memory: one sentence, code 2."""

from __future__ import annotations

import errno
import gzip
import io
import itertools
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import get_args, get_type_hints

import cv2
import pytest
import safetensors
import yaml

from agents.cli import main
from agents.cli.commands import COMMANDS as FUNCTIONS
from agents.cli.shared import on_interrupt
from tracker.errors import InputError, describe_error, reading_errors
from tracker.models.backbones import save_weights
from tracker.models.siamfc import SiamFCNet

DEEP = "[" * 50_000
LONG = "n" * 300


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("data", "{not json")
    return content.getvalue()


CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "bytes": bytes(range(256)) * 8,
    "latin": "name: na\u00e9, z\u00fcrich, 1, 2\n".encode("latin-1"),
    "text": b"not, what, is, wanted\n",
    "torn": b'{"a": {"b": [1, 2',
    "list": b"[1, 2, 3]",
    "object": b'{"a": 1}',
    "deep": DEEP.encode(),
    "zip": _zip(),
    "torn zip": _zip()[:40],
    "gzip": gzip.compress(b"x" * 100),
    "safetensors": (1 << 60).to_bytes(8, "little") + b"{}",
    "safetensors without tensors": (2).to_bytes(8, "little") + b"{}",
}
"""What a damaged or foreign file holds."""

PLACES = ("missing", "folder", "pipe", "loop", "long", "below a file", "null")
"""What may stand where a file is expected."""


def bad_file(folder: Path, kind: str, suffix: str) -> str:
    """Make a bad input and return its path."""
    path = folder / f"bad{suffix}"
    if kind in CONTENTS:
        path.write_bytes(CONTENTS[kind])
        if suffix == ".safetensors":
            path.with_suffix(".json").write_bytes(CONTENTS[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "long":
        path = folder / f"{LONG}{suffix}"
    elif kind == "below a file":
        (folder / "file").write_text("")
        path = folder / "file" / path.name
    return str(path)


@pytest.fixture(scope="module")
def good(tmp_path_factory, make_video, write_otb):
    """Videos, result files and weights that nothing is wrong with, by the letters of `COMMANDS`."""
    root = tmp_path_factory.mktemp("good")
    for seed in range(2):
        video = write_otb(root / "videos" / f"clip{seed}", make_video(frames=8, seed=seed))
        write_otb(root / "judge" / f"judge{seed}", make_video(frames=8, seed=9 + seed))
        (root / "results").mkdir(exist_ok=True)
        shutil.copy(video / "groundtruth_rect.txt", root / "results" / f"clip{seed}.txt")
    save_weights(root / "siamfc.safetensors", SiamFCNet().state_dict())
    return {"v": root / "videos", "j": root / "judge", "r": root / "results", "s": root / "siamfc.safetensors"}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process: exit code, standard error."""
    monkeypatch.setattr("tracker.evaluation.vot.check_extra", lambda: None)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["occlusion-search", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        return code, capsys.readouterr().err

    return call


COMMANDS = {
    "demo": "--quick --steps 20 --data {v}/clip0 --out {o}",
    "train-vae": "--data {v} --out {o} --epochs 1",
    "evaluate-vae": "--data {v} --bank {o} --out {o}",
    "train-tracker": "--data {v} --out {o} --validation clip1 --steps 1",
    "train-siamfc": "--data {v} --weights {s} --out {o}",
    "fit-prior": "--data {v} --out {o}.safetensors --per-sequence 1 --folds 2",
    "train": "-n 1 --data {v} --out {o} --eval-freq -1 --n-envs 1",
    "plot": "--run {o} --out {o}.png",
    "tune": "-n 1 --trials 1 --data {v} --out {o}",
    "enjoy": "--data {v} -n 1 --agent pretrained",
    "play": "-n 1",
    "evaluate": "--data {v} --out {o} --seeds 1 --per-sequence 1 --checks none",
    "generate": "--data {v} --out {o} --agent random --per-sequence 1",
    "reproduce": "--data {v} --judge {j} --out {o} --only sint --seeds 1 --steps 1",
    "benchmark run": "--tracker sint-slim --data {v} --out {o}",
    "stress": "--tracker sint-slim --data {v} --out {o}",
    "benchmark score": "--results {r} --annotations {v}",
    "benchmark report": "--results {r} --annotations {v} --out {o}",
    "benchmark export": "--results {r} --layout pysot --out {o}",
    "benchmark vot": "--tracker sint-slim --workspace {o}",
    "track": "--data {v}/clip0 --box 10,10,9,9 --tracker sint-slim --out {o}.mp4",
    "check-tracker": "--tracker sint-slim",
    "export-agent": "--agent {o} --out {o}.safetensors",
    "doctor": "",
}
"""The arguments of each command beside the option that is tried."""

TEXTS = {"weights", "base_weights", "agent", "box", "conf_file", "data"}
"""Options that name a file or a folder in text, beside those of the type `Path`."""

ELSEWHERE = {
    ("play", "data"),  # read once there is a display
    ("explore", "data"),  # read once Gradio is there: tests/explore
    ("tune", "data"),  # read once there is Optuna
    ("plot", "out"),  # needs a run
    ("benchmark run", "targets"),  # the name of a list
    ("export-agent", "out"),  # needs a trained agent
    ("reproduce", "agent"),  # not read by the arm that is fast
    ("reproduce", "bank"),
}

OUTPUTS = {"out", "json", "boxes", "gif", "tensorboard_log", "tensorboard"}

SUFFIXES = {
    "weights": ".safetensors", "base_weights": ".safetensors", "teacher": ".safetensors", "agent": ".zip",
    "annotations": ".json", "attributes": ".json", "conf_file": ".yml", "json": ".json", "gif": ".gif",
    "box": ".txt", "boxes": ".txt",
}  # fmt: skip


def path_options():
    """Every path-valued option: command and name."""
    for command, function in FUNCTIONS.items():
        for name, kind in get_type_hints(function).items():
            if name != "return" and (kind is Path or Path in get_args(kind) or name in TEXTS):
                if (command, name) not in ELSEWHERE:
                    yield command, name


def cases():
    """Each option with two kinds of bad files, or `OCCLUSION_SEARCH_FAULTS` kinds; every kind comes up."""
    budget = int(os.environ.get("OCCLUSION_SEARCH_FAULTS", "2"))
    drawn = {False: itertools.cycle((*CONTENTS, *PLACES)), True: itertools.cycle(("long", "below a file"))}
    for command, name in path_options():
        for _ in range(min(budget, len(CONTENTS) + len(PLACES)) if name not in OUTPUTS else 1):
            yield command, name, next(drawn[name in OUTPUTS])


@pytest.mark.parametrize(("command", "option", "kind"), list(cases()))
def test_a_bad_file_is_one_sentence(run, good, tmp_path, command, option, kind):
    if (option, kind) == ("attributes", "object"):
        pytest.skip("a file of attributes that names no target")
    place = tmp_path / "made"
    place.mkdir()
    suffix = SUFFIXES.get(option, "")
    if option == "out":
        suffix = {"track": ".mp4", "export-agent": ".safetensors", "fit-prior": ".safetensors"}.get(command, "")
    if (command, option) == ("track", "data"):
        suffix = ".mp4"
    path = bad_file(place, kind, suffix)
    arguments = COMMANDS[command].format(**good, o=tmp_path / "out").split()
    if option == "folder":  # read where no model is named
        arguments = arguments[:-2]
    if option == "prior" and command == "generate":  # of the belief alone
        arguments[arguments.index("random")] = "belief"
    flag = f"--{option.replace('_', '-')}"
    if flag in arguments:
        arguments[arguments.index(flag) + 1] = path
    else:
        arguments += [flag, path]
    code, error = run(*command.split(), *arguments)
    sentences = [line for line in error.splitlines() if line.startswith("occlusion-search: error: ")]
    assert code == 2 and len(sentences) == 1 and sentences[0].endswith((".", ".mp4")), error
    if ("box", "long") == (option, kind):  # its name is shortened
        return
    if option != "base_weights" and command != "benchmark vot":  # these first miss the weights, or the workspace
        assert str(place)[-30:] in sentences[0], sentences[0]


@pytest.mark.parametrize(("error", "words"), [
    (OSError(errno.ENOSPC, "No space left on device", "out/a.json"), "'out/a.json': No space left on device"),
    (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
    (MemoryError(), "not enough memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
    (OverflowError("Python int too large to convert to C long"), "too large"),
])  # fmt: skip
def test_what_the_system_refuses_says_what_was_written(capsys, error, words):
    with pytest.raises(SystemExit) as end, on_interrupt("the models so far are in out"):
        raise error
    text = capsys.readouterr().err
    assert end.value.code == 2 and words in text and text.endswith("; the models so far are in out.\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("bug"), TypeError("bug"), RuntimeError("bug"), ValueError("bug")])
def test_a_fault_of_the_program_keeps_its_traceback(error):
    assert describe_error(error) is None
    with pytest.raises(type(error)), on_interrupt():
        raise error


@pytest.mark.parametrize("fault", [
    json.JSONDecodeError("bad", "", 0), zipfile.BadZipFile("bad"), yaml.YAMLError("bad"), RecursionError("bad"),
    safetensors.SafetensorError("bad"), cv2.error("bad"), EOFError("bad"), KeyError("bad"), MemoryError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), OSError(errno.EIO, "Input/output error"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path, fault):
    file = tmp_path / "a.json"
    with pytest.raises(InputError, match=r"a.json' cannot be read as JSON \(.+\); check it\.") as found:
        with reading_errors(file, "JSON"):
            raise fault
    assert found.value.__cause__ is fault
