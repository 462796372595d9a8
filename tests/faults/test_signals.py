"""Signals, closed streams, and a second process in the same folder."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.common.locks import LOCK_NAME, lock_folder
from tracker.errors import InputError

from .launcher import COMMANDS, Launcher, processes_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="reads Linux's /proc")

ALL = bool(os.environ.get("OCCLUSION_SEARCH_FAULTS"))
QUICK = ("generate", "benchmark run", "track")
SOME = [name for name in COMMANDS if (ALL and "workers" not in name) or name in QUICK]
FOLDERS = [name for name, command in COMMANDS.items() if "--out out " in command and "workers" not in name]
WORKERS = COMMANDS["generate, 2 workers"]


@pytest.fixture
def inputs(launcher: Launcher) -> Iterator[set[str]]:
    """The files of the folder before a command; others are removed afterwards."""
    import shutil

    before = set(os.listdir(launcher.folder)) | {"stdout.txt", "stderr.txt", "__pycache__"}
    yield before
    for name in set(os.listdir(launcher.folder)) - before:
        file = launcher.folder / name
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()


def wait_for(condition: Callable[[], object], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def temporaries(folder: Path) -> list[Path]:
    return [file for file in folder.rglob(".*") if file.name.endswith(".tmp") or file.name == LOCK_NAME]


@pytest.fixture
def busy(launcher: Launcher, inputs: set[str]) -> int:
    """A command whose two workers are in a call that takes a minute."""
    (launcher.folder / "slow").touch()
    pid = launcher.start(WORKERS.split())
    wait_for(lambda: len(list(launcher.folder.glob("busy-*"))) == 2)
    return pid


def test_workers_end_with_a_killed_parent(launcher: Launcher, busy: int) -> None:
    assert len(processes_of(busy)) >= 3
    os.kill(busy, signal.SIGKILL)
    ended = launcher.end(busy)
    assert ended.code == -signal.SIGKILL and ended.outliving == 0 and "Traceback" not in ended.errors


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (signal.SIGINT, "interrupted"),
        pytest.param(
            signal.SIGTERM, "terminated", marks=pytest.mark.skipif(not ALL, reason="workers start slowly")
        ),
    ],
)
def test_a_signal_ends_busy_workers(launcher: Launcher, busy: int, number: int, word: str) -> None:
    """Ctrl-C goes to all processes of the terminal, SIGTERM to the command alone."""
    began = time.monotonic()
    if number == signal.SIGINT:
        os.killpg(busy, number)
    else:
        os.kill(busy, number)
    ended = launcher.end(busy)
    assert time.monotonic() - began < 5 and ended.outliving == 0
    assert ended.code == 128 + number and "Traceback" not in ended.errors
    assert ended.errors.splitlines()[-1] == f"occlusion-search: {word}; run the same command again to resume."
    assert not temporaries(launcher.folder)


def test_an_interrupt_while_workers_start(launcher: Launcher, inputs: set[str]) -> None:
    pid = launcher.start(WORKERS.split())
    wait_for(lambda: len(processes_of(pid)) >= 3)
    time.sleep(0.3)
    os.killpg(pid, signal.SIGINT)
    ended = launcher.end(pid)
    assert ended.code == 130 and ended.outliving == 0 and "Traceback" not in ended.errors
    assert not temporaries(launcher.folder)


def test_a_terminated_training_names_its_checkpoint(launcher: Launcher, inputs: set[str]) -> None:
    pid = launcher.start(COMMANDS["train"].replace("-n 240", "-n 100000").split())
    run = launcher.folder / "out/dqn/OcclusionSearchOracle-v0_1"
    wait_for((run / "rl_model_40_steps.zip").exists)
    os.kill(pid, signal.SIGTERM)
    ended = launcher.end(pid)
    assert ended.code == 143 and "terminated; go on with --resume out/dqn/Occl" in ended.errors
    assert "Traceback" not in ended.errors and not temporaries(launcher.folder)


def test_a_terminated_demo_leaves_nothing(launcher: Launcher, inputs: set[str]) -> None:
    pid = launcher.start(COMMANDS["demo"].split())
    wait_for(lambda: list(launcher.folder.glob("**/manifold.png")))
    os.kill(pid, signal.SIGTERM)
    ended = launcher.end(pid)
    assert ended.code == 143 and "terminated; nothing was written" in ended.errors
    assert set(os.listdir(launcher.folder)) <= inputs


@pytest.mark.parametrize("name", FOLDERS)
def test_a_second_process_is_refused(launcher: Launcher, inputs: set[str], name: str) -> None:
    folder = launcher.folder / "out" / ("mil/ope" if name == "benchmark run" else "")
    with lock_folder(folder):
        ended = launcher.run(COMMANDS[name].split())
        assert ended.code == 2 and f"is in use by process {os.getpid()} on " in ended.errors, ended.errors
        assert [file.name for file in (launcher.folder / "out").rglob("*") if file.is_file()] == [LOCK_NAME]
    assert not (launcher.folder / "out").exists()


def test_a_second_resume_is_refused(launcher: Launcher, inputs: set[str]) -> None:
    run = launcher.folder / "out/dqn/OcclusionSearchOracle-v0_1"
    pid = launcher.start(COMMANDS["train"].split())
    wait_for((run / "rl_model_40_steps.zip").exists)
    with pytest.raises(InputError, match=f"in use by process {pid} on"), lock_folder(run):
        pass
    os.kill(pid, signal.SIGKILL)
    launcher.end(pid)
    assert (run / LOCK_NAME).exists()
    ended = launcher.run(["train", "--resume", str(run)])
    assert ended.code == 0 and not (run / LOCK_NAME).exists()


def test_a_lock_of_an_ended_process_is_taken_over(tmp_path: Path) -> None:
    """A number that another process has by now changes nothing."""
    stale = {"pid": os.getppid(), "host": "here", "started": "2020-01-01 00:00:00"}
    (tmp_path / LOCK_NAME).write_text(json.dumps(stale))
    with lock_folder(tmp_path):
        assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()
        with pytest.raises(InputError, match=f"'{tmp_path}' is in use by process {os.getpid()}"):
            with lock_folder(tmp_path):
                pass
    assert not (tmp_path / LOCK_NAME).exists() and tmp_path.exists()


def test_a_lock_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "a/b"):
        pass
    assert not (tmp_path / "a").exists()
    with lock_folder(tmp_path / "a/b"):
        (tmp_path / "a/b/result").touch()
    assert [file.name for file in (tmp_path / "a/b").iterdir()] == ["result"]
    with pytest.raises(InputError, match="result' cannot be written"), lock_folder(tmp_path / "a/b/result"):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("agents.common.locks.fcntl.flock", refuse)
    with lock_folder(tmp_path), lock_folder(tmp_path):
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["--help", "doctor", *SOME])
@pytest.mark.parametrize(("stdout", "stderr"), [("closed", "file"), ("closed", "closed")])
def test_closed_streams(launcher: Launcher, inputs: set[str], name: str, stdout: str, stderr: str) -> None:
    pid = launcher.start(COMMANDS.get(name, name).split(), stdout, stderr)
    ended = launcher.end(pid)
    assert ended.code == 0 and "Traceback" not in ended.errors and "Error" not in ended.errors


@pytest.mark.parametrize("name", ["--help", "doctor", *SOME])
@pytest.mark.parametrize(("stdout", "stderr"), [("unread", "file"), ("unread", "unread")])
def test_streams_without_a_reader(
    launcher: Launcher, inputs: set[str], name: str, stdout: str, stderr: str
) -> None:
    """As `| head -1` and `2>&1 | head -1` leave them; a lost progress bar is no failure of a sequence."""
    pid = launcher.start(COMMANDS.get(name, name).split(), stdout, stderr)
    ended = launcher.end(pid)
    assert ended.code == 141 and "Traceback" not in ended.errors and "Error" not in ended.errors
    assert not temporaries(launcher.folder) and not list(launcher.folder.rglob("*failures.json"))
