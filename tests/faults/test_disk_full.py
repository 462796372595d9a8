"""A full disk is one sentence and exit code 2; the earlier result stays, and nothing half-written."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import agents.common.output
from agents.cli import main
from agents.common.output import MARKER, check_file, check_folder, replacing_folder, write_json
from tracker.data.images import read_image, write_png
from tracker.errors import InputError
from tracker.files import replacing_file


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MB, where root may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk, left):
    """Fill the disk but for `left` bytes."""
    space = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(max(space.f_bavail * space.f_bsize - left, 0)))


def run(monkeypatch, capsys, *words):
    """Run a command; return its exit code and standard error without progress bars."""
    monkeypatch.setattr(sys, "argv", ["occlusion-search", *map(str, words)])
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    return (
        code,
        [line for line in said.replace("\r", "\n").splitlines() if line.startswith("occlusion-search:")],
        said,
    )


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WRITERS = {
    "bytes": lambda path: path.write_bytes(bytes(2_000_000)),
    "png": lambda path: write_png(path, np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)),
    "json": lambda path: write_json(path, {"numbers": list(range(400_000))}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_does_not_fit(disk, writer):
    for text in ("older", "old"):
        with replacing_folder(disk / "out", "demo") as folder:
            (folder / "a.txt").write_text(text)
    before = contents(disk)
    for out in (disk / "out", disk / "new" / "out"):
        with pytest.raises(
            InputError, match=r"'.*out' cannot be written \(No space left.*nothing there was changed"
        ):
            with replacing_folder(out, "demo") as folder:
                WRITERS[writer](folder / "large")
    assert contents(disk) == before and sorted(os.listdir(disk)) == ["out"]
    assert (
        sorted(os.listdir(disk / "out")) == [MARKER, "a.txt"]
        and json.loads((disk / "out" / MARKER).read_text())["work"] is None
    )


@pytest.mark.parametrize("left", [0, 4096, 8192, 12288, 16384, 20480, 24576, 28672])
def test_a_disk_that_fills_while_files_are_moved(disk, left):
    """Either nothing was changed, or the next run completes the result once there is space."""
    with replacing_folder(disk / "out", "demo") as folder:
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text("old")
    before, new = contents(disk / "out"), {"a.txt": b"new", "more/c.txt": b"new"}
    error = None
    try:
        with replacing_folder(disk / "out", "demo") as folder:
            (folder / "more").mkdir()
            for name in new:
                (folder / name).write_text("new")
            fill(disk, left)
    except InputError as found:
        error = found
        assert "No space left on device" in str(found)
    (disk / "filler").unlink()
    if error is None or "nothing there was changed" not in str(error):
        with pytest.raises(RuntimeError), replacing_folder(disk / "out", "demo"):
            raise RuntimeError
        found = contents(disk / "out")
        assert {name: found[name] for name in found if name != MARKER} == new
    else:
        assert contents(disk / "out") == before
    assert json.loads((disk / "out" / MARKER).read_text())["work"] is None and not list(
        disk.rglob(".*.occlusion-search")
    )


def test_a_file_that_does_not_fit(disk):
    write_json(disk / "a.json", {"old": 1})
    before = contents(disk)
    with (
        pytest.raises(OSError, match="No space left on device") as said,
        replacing_file(disk / "a.json") as temporary,
    ):
        temporary.write_bytes(bytes(2_000_000))
    assert said.value.filename == str(disk / "a.json")
    assert contents(disk) == before and os.listdir(disk) == ["a.json"]


def test_the_least_space_is_asked_for_before_the_work(disk):
    with pytest.raises(InputError, match=r"1\.0 MB are free and at least 10 MB are needed"):
        check_folder(disk / "a" / "b")
    with pytest.raises(InputError, match=r"at least 100 MB are needed"):
        check_folder(disk, least_bytes=agents.common.output.TRAINING_BYTES)
    with pytest.raises(InputError, match=r"0\.5 MB are free and at least 1 MB are needed"):
        fill(disk, 500_000)
        check_file(disk / "a.json", option="--json")
    (disk / "filler").unlink()
    fill(disk, 0)
    for check in (lambda: check_folder(disk / "a"), lambda: check_file(disk / "a.json", option="--json")):
        with pytest.raises(InputError, match="No space left on device"):
            check()
    assert os.listdir(disk) == ["filler"]


COMMANDS = {
    "generate": (16_384, "--data {data} --out {disk}/out --agent random --device cpu"),
    "benchmark run": (16_384, "--tracker mil --data {data} --out {disk}/out"),
    "benchmark report": (65_536, "--results {results} --annotations {data} --out {disk}/out"),
}
"""Commands, and the space in bytes with which they start but do not end."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_a_disk_that_fills(tmp_path, disk, monkeypatch, capsys, make_video, write_otb, command):
    """It ends with one sentence, leaves nothing incomplete, and does the rest once there is space."""
    left, arguments = COMMANDS[command]
    for number, name in enumerate("ab"):
        write_otb(tmp_path / "data" / name, make_video(frames=6, seed=number))
    arguments = arguments.format(data=tmp_path / "data", results=tmp_path / "results", disk=disk).split()
    words = [*command.split(), *arguments]
    if command == "benchmark report":
        given = "benchmark run --tracker mil --data".split()
        assert run(monkeypatch, capsys, *given, tmp_path / "data", "--out", tmp_path / "results")[0] == 0
        with replacing_folder(disk / "out", "benchmark report") as folder:
            (folder / "report.html").write_text("old")
    monkeypatch.setattr(agents.common.output, "_why_unwritable", lambda folder, least_bytes: None)
    fill(disk, left)
    before = contents(disk)
    code, sentences, said = run(monkeypatch, capsys, *words)
    assert code == 2 and "Traceback" not in said
    assert len(sentences) == 1 and "No space left on device" in sentences[0], sentences
    found = contents(disk)
    assert found.items() >= before.items() and not list(disk.rglob(".*.occlusion-search"))
    if command == "benchmark report":
        assert found == before
    for name, content in found.items():
        if name.endswith(".json"):
            json.loads(content)
        if name.endswith(".png"):
            read_image(disk / name)
    (disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    code, _, said = run(monkeypatch, capsys, *words)
    assert code == 0, said
    assert contents(disk).keys() > found.keys() - {"filler"} or command == "benchmark report"
