"""Every path-valued option of every command, given every kind of bad file: one sentence, exit code 2, no traceback."""

from __future__ import annotations

import errno
import gzip
import inspect
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from agents.cli import main
from agents.cli.documentation import commands

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
    "latin": "name: caf\u00e9, z\u00fcrich, 1, 2\n".encode("latin-1"),
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
def place(tmp_path_factory, make_video, write_otb):
    """Videos and result files that nothing is wrong with."""
    root = tmp_path_factory.mktemp("good")
    for seed in range(2):
        write_otb(root / "videos" / f"clip{seed}", make_video(frames=8, seed=seed))
        boxes = (root / "videos" / f"clip{seed}" / "groundtruth_rect.txt").read_text()
        (root / "results").mkdir(exist_ok=True)
        (root / "results" / f"clip{seed}.txt").write_text(boxes)
    return root


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["occlusion-search", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


# Each command's arguments but for the option that is tried; {v} a folder of videos, {r} result files, {o} the output.
COMMANDS = {
    "demo": "--quick --steps 20 --sequence {v}/clip0 --out {o}",
    "train-backbone": "--data {v} --teacher {v}/clip0/groundtruth_rect.txt --out {o} --validation clip1",
    "train-vae": "--data {v} --out {o} --epochs 1",
    "evaluate-vae": "--data {v} --epochs 1 --out {o}",
    "train-tracker": "--data {v} --out {o} --validation clip1 --steps 1",
    "train-siamfc": "--data {v} --weights {v}/clip0/groundtruth_rect.txt --out {o}",
    "train-foresight": "--targets {v} --out {o}.safetensors --per-sequence 1 --patches 1 --regions 1 --epochs 1 --folds 2",
    "train": "-n 1 --targets {v} --log-folder {o} --eval-freq -1 --n-envs 1",
    "enjoy": "--model pretrained --targets {v} -n 1",
    "evaluate": "--targets {v} --out {o} --seeds 1 --per-sequence 1 --checks none",
    "generate": "--data {v} --out {o} --agent random --per-sequence 1",
    "reproduce": "--data {v} --judge {v} --out {o} --arms sint --seeds 1 --steps 1",
    "benchmark run": "--tracker mil --data {v} --out {o}",
    "benchmark score": "--results {r} --annotations {v}",
    "benchmark report": "--results {r} --annotations {v} --out {o}",
    "benchmark vot": "mil --workspace {o}",
    "track": "--video {v}/clip0 --box 10,10,9,9 --tracker mil --out {o}.mp4",
    "check-tracker": "mil",
    "export-agent": "{o} --out {o}.safetensors",
    "doctor": "",
}

# Options that name a file or folder in text, beside those of the type Path.
TEXTS = {"weights", "base_weights", "agent", "box", "video", "conf_file", "model", "targets"}
OUTPUTS = {"out", "json", "boxes", "gif", "log_folder", "tensorboard_log", "tensorboard"}


def options():
    found = []
    for command, function in commands().items():
        hints = get_type_hints(function, include_extras=True)
        for name, kind in hints.items():
            while get_origin(kind) is Annotated:
                kind = get_args(kind)[0]
            if name != "return" and (kind is Path or Path in get_args(kind) or name in TEXTS):
                if (command, name) not in {("benchmark run", "targets")}:
                    found.append((command, name))
    return found


if __name__ == "__main__":
    print(options())
