import inspect
import os
import stat
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from agents.cli import main
from agents.cli.commands import COMMANDS
from agents.common.output import MARKER, check_apart, check_file, check_json_path, replacing_folder, write_json
from tracker.errors import InputError


def write(out, text="x"):
    with replacing_folder(out, result="demo") as folder:
        (folder / "report.json").write_text(text)


def test_the_folder_appears_whole(tmp_path):
    with replacing_folder(tmp_path / "a" / "b", result="demo") as folder:
        (folder / "report.json").write_text("1")
        assert not (tmp_path / "a" / "b" / "report.json").exists()
    assert (tmp_path / "a" / "b" / "report.json").read_text() == "1"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_an_earlier_result_is_replaced_whole(tmp_path):
    with replacing_folder(tmp_path / "out", result="demo") as folder:
        (folder / "pictures").mkdir()
        (folder / "pictures" / "stale.png").write_text("stale")
    write(tmp_path / "out", "new")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MARKER, "report.json"]
    assert (tmp_path / "out" / "report.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_earlier_result_and_nothing_else(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "out", result="demo") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert (tmp_path / "out" / "report.json").read_text() == "old"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MARKER, "report.json"]
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "a" / "b", result="demo"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_somebody_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        write(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="cannot be written"):
        check_json_path(tmp_path / "missing" / "a.json")
    with pytest.raises(InputError, match="cannot be written"):
        check_json_path(tmp_path)


def test_json(tmp_path):
    write_json(tmp_path / "a.json", {"ratio": 2.0})
    assert (tmp_path / "a.json").read_text() == '{\n  "ratio": 2.0\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_folders_have_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o077)
    try:
        write(tmp_path / "out")
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
        (tmp_path / "out").chmod(0o750)
        write(tmp_path / "out", "new")
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
        write_json(tmp_path / "a.json", {})
        assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_devices_take_output(tmp_path):
    for device in ("/dev/null", "/dev/stdout"):
        check_json_path(Path(device))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        check_json_path(tmp_path / "file" / "a.json")


def test_an_output_that_would_destroy_an_input(tmp_path):
    data = tmp_path / "data"
    (data / "clip").mkdir(parents=True)
    video, inside = data / "a.mp4", data / "clip" / "boxes.txt"
    video.write_text("frames")
    inside.write_text("1,1,2,2")
    (tmp_path / "soft.mp4").symlink_to(video)
    (tmp_path / "hard.mp4").hardlink_to(video)
    (tmp_path / "folder").symlink_to(data)
    for out in (video, data / "clip" / ".." / "a.mp4", tmp_path / "soft.mp4", tmp_path / "hard.mp4"):
        with pytest.raises(InputError, match="is an input"):
            check_file(out, None, "imagenet", video, option="--out")
    with pytest.raises(InputError, match="is an input"):
        check_apart(tmp_path / "folder", data)
    for out, given in ((tmp_path, data), (tmp_path / "folder", video), (data, data / "clip")):
        with pytest.raises(InputError, match="contains the input"):
            check_apart(out, given)
    for out in (inside, data / "new.json", data / "results" / "x"):
        with pytest.raises(InputError, match="lies in the input"):
            check_apart(out, tmp_path / "folder")
    check_json_path(data / "new.json", video)
    check_json_path(tmp_path / "other.mp4", data, video)
    check_apart(tmp_path / "results", data, video)
    check_json_path(Path("/dev/null"), "/dev/null")
    assert (video.read_text(), inside.read_text()) == ("frames", "1,1,2,2")


def test_a_full_disk_is_one_sentence(monkeypatch, capsys):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    monkeypatch.setattr(sys, "argv", ["occlusion-search", "doctor", "--json", "/dev/full"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "'/dev/full': No space left on device." in capsys.readouterr().err


FILE_COMMANDS = {"track": ".mp4", "fit-prior": ".safetensors", "export-agent": ".safetensors", "plot": ".png"}
"""Commands whose `out` is a file, and its ending."""
FOLDERS = {
    "generate": "--data {data}",
    "demo": "--data {clip} --box 1,1,4,4",
    "evaluate": "--data {data}",
    "evaluate-vae": "--data {data}",
    "reproduce": "--data {data} --judge {data}",
    "train-siamfc": "--data {data} --weights {clip}",
    "train-tracker": "--data {data}",
    "train-vae": "--data {data}",
    "benchmark run": "--tracker mil --data {data}",
    "benchmark report": "--results {data} --annotations {clip}",
    "stress": "--tracker mil --data {data}",
    "tune": "--data {data}",
}
FILES = {
    "track": "--data {clip} --box 1,1,4,4 --out",
    "enjoy": "--agent pretrained --gif",
    "fit-prior": "--data {data} --out",
    "check-tracker": "--tracker mil --json",
    "export-agent": "--agent {data} --out",
    "plot": "--run {data} --out",
    "doctor": "--json",
}


@pytest.mark.parametrize("command", [*FOLDERS, *FILES])
def test_places_that_no_command_can_write(tmp_path, monkeypatch, capsys, command):
    """A folder where a file is, or below one; a file where a folder is, below a file, or in no folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clip.mp4").write_text("clip")
    for name in ("file", "file.mp4", "file.png", "file.safetensors"):
        (tmp_path / name).write_text("x")
    ending = FILE_COMMANDS.get(command, "")
    (tmp_path / f"folder{ending}").mkdir()
    arguments = {**FOLDERS, **FILES}[command].format(data=tmp_path / "data", clip=tmp_path / "data" / "clip.mp4")
    places = ["file", "file/below"]
    if command in FILES:
        places = [f"folder{ending}", f"file/below{ending}", f"nowhere/x{ending}"]
    before = sorted(tmp_path.rglob("*"))
    for place in places:
        out = ["--out"] if command in FOLDERS else []
        words = [*command.split(), *arguments.split(), *out, str(tmp_path / place)]
        monkeypatch.setattr(sys, "argv", ["occlusion-search", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1, said
        assert f"'{tmp_path / place}' " in said and ("cannot be written" in said or "is a file" in said)
    assert sorted(tmp_path.rglob("*")) == before


FOLDERS_OUT = {"tensorboard", "tensorboard_log"}
FILES_OUT = {"json", "boxes", "gif"}
NEITHER = {
    "train": {"resume", "agent"},  # goes on in a run's folder; a run's folder is new
    "enjoy": {"folder"},  # tested in test_enjoy.py, which has a run
    "benchmark vot": {"workspace"},  # its trackers.ini is read and written
}
INPUTS = {
    "check-tracker": {"weights": "file folder", "base_weights": "file folder"},
    "demo": {"data": "file folder", "box": "file", "weights": "file"},
    "doctor": {},
    "enjoy": {"agent": "file", "data": "folder"},
    "evaluate": {"data": "folder", "agent": "file folder", "prior": "file", "weights": "file"},
    "evaluate-vae": {"data": "folder", "bank": "folder", "weights": "file"},
    "explore": {"data": "file folder"},
    "export-agent": {"agent": "folder"},
    "generate": {
        **{"data": "folder", "agent": "file folder", "prior": "file"},
        **{"bank": "folder", "weights": "file"},
    },
    "reproduce": {
        **{"data": "folder", "judge": "folder", "otb": "folder", "vot": "folder", "attributes": "file"},
        **{"weights": "file", "bank": "folder", "agent": "file folder"},
    },
    "track": {"data": "file folder", "weights": "file folder", "base_weights": "file folder"},
    "train": {"data": "folder"},
    "play": {"data": "folder"},
    "plot": {"run": "folder"},
    "tune": {"data": "folder"},
    "fit-prior": {"data": "folder", "weights": "file"},
    "train-siamfc": {"data": "folder", "weights": "file"},
    "train-tracker": {"data": "folder", "weights": "file", "hard_positives": "folder"},
    "train-vae": {"data": "folder"},
    "benchmark export": {"results": "folder"},
    "benchmark report": {
        **{"results": "folder", "annotations": "file folder", "attributes": "file"},
        "data": "folder",
    },
    "benchmark run": {"data": "folder", "weights": "file folder", "base_weights": "file folder"},
    "benchmark score": {"results": "folder", "annotations": "file folder", "attributes": "file"},
    "benchmark vot": {"weights": "file folder", "base_weights": "file folder"},
    "stress": {"data": "folder", "weights": "file folder", "base_weights": "file folder"},
}
"""Inputs of each command that are paths, and what they may be."""
FIXED = {
    "track": {"box": "1,1,4,4"},
    "check-tracker": {"tracker": "mil"},
    **dict.fromkeys(("benchmark run", "stress"), {"tracker": ("mil",)}),
    "benchmark export": {"layout": "pysot"},
}
"""Other arguments that a command needs."""


def outputs(command):
    names = inspect.signature(COMMANDS[command]).parameters
    return [name for name in names if name == "out" or name in FOLDERS_OUT | FILES_OUT]


def test_every_path_of_every_command_is_an_input_or_an_output():
    """A new command or option has to be entered above."""
    assert set(INPUTS) == set(COMMANDS)
    for command, function in COMMANDS.items():
        kinds = get_type_hints(function)
        paths = {name for name, kind in kinds.items() if kind in (Path, Path | None)}
        known = {*INPUTS[command], *outputs(command), *NEITHER.get(command, ())}
        assert paths <= known and known <= set(kinds), (command, paths ^ known)


CASES = [
    (command, output, name, kind)
    for command, inputs in INPUTS.items()
    for output in outputs(command)
    for name, kinds in inputs.items()
    for kind in kinds.split()
]


@pytest.mark.parametrize("command, output, name, kind", CASES, ids=lambda value: value.replace(" ", "-"))
def test_no_output_is_contains_or_lies_in_an_input(tmp_path, monkeypatch, command, output, name, kind):
    monkeypatch.chdir(tmp_path)
    ending = FILE_COMMANDS.get(command, "") if output == "out" else ""
    arguments = {}
    for each, kinds in INPUTS[command].items():
        folder = tmp_path / "inputs" / each
        folder.mkdir(parents=True)
        place = folder / f"input{ending}"
        if (kind if each == name else kinds.split()[0]) == "file":
            place.write_text(each)
        else:
            (place / "inner").mkdir(parents=True)
            (place / "inner" / "mine.txt").write_text(each)
        arguments[each] = place
    given = arguments[name]
    is_file = output in FILES_OUT or (output == "out" and command in FILE_COMMANDS)
    places = [given]
    if kind == "folder":
        places.append(given / "inner" / "new" if not is_file else given / f"new{ending}")
    if not is_file:
        places.append(given.parent)
    if (command, output) == ("train", "out"):  # the run's folder is below OUT/ALGO
        places = [given, given / "inner"]
    both = ("weights", "base_weights")
    tuples = {"evaluate": ("agent",), "plot": ("run",), "benchmark run": both, "stress": both}.get(command, ())
    kinds = get_type_hints(COMMANDS[command])
    values = {
        each: value if kinds[each] in (Path, Path | None) else str(value) for each, value in arguments.items()
    }
    values |= {each: (values[each],) for each in tuples} | FIXED.get(command, {})
    if command == "reproduce":  # one or the other
        del values["judge" if name == "otb" else "otb"]
    new = tmp_path / f"new{FILE_COMMANDS.get(command, '')}"
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    for place in places:
        chosen = {"out": new} if "out" in outputs(command) else {}
        with pytest.raises(InputError, match=r"is an input|contains the input|lies in the input") as said:
            COMMANDS[command](**values | chosen | {output: place})
        assert f"'{given}'" in str(said.value) or f"'{place}'" in str(said.value)
        assert {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")} == before
