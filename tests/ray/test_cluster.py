"""Jobs and commands on a cluster of three nodes."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agents.cli import main, run_command
from tracker import cluster as cluster_module
from tracker.cluster import TOKEN_NAME, RayCluster
from tracker.errors import InputError
from tracker.files import is_leftover
from tracker.processes import run_jobs

ROOT = Path(__file__).parents[2]
PATIENCE = 240
"""Seconds until a wait fails; on a busy machine Ray's processes start slowly."""


@pytest.fixture
def jobs(cluster: Any) -> Any:
    return importlib.import_module("jobs")


@pytest.fixture
def data(tmp_path: Path, make_video: Callable[..., Any], write_otb: Callable[..., Any]) -> Path:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        write_otb(tmp_path / "data" / name, make_video(frames=5, seed=seed))
    return tmp_path / "data"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder; without the page, which names the command, and without the seconds of a training."""
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    found.pop("index.html", None)
    for name in [name for name in found if name.endswith("training.json")]:
        found[name] = json.dumps(json.loads(found[name]) | {"seconds": 0.0}).encode()
    return found


def test_every_job_runs_once_with_its_threads(cluster: Any, jobs: Any, tmp_path: Path) -> None:
    (tmp_path / "starts").mkdir()
    given = RayCluster(cluster.address)
    named = [(number, partial(jobs.write_job, tmp_path, number)) for number in range(7)]
    assert dict(run_jobs(given, named, tmp_path)) == {number: number**2 for number in range(7)}
    starts = Counter(file.name.partition("-")[0] for file in (tmp_path / "starts").iterdir())
    assert starts == Counter(str(number) for number in range(7))
    assert list(run_jobs(given, [("one", jobs.threads)], tmp_path)) == [("one", (1, 1))]
    assert not (tmp_path / TOKEN_NAME).exists()


def test_a_job_that_no_node_can_run_is_refused(cluster: Any, jobs: Any, tmp_path: Path) -> None:
    for given in ({"cpus": 2}, {"gpus": 0.25}):
        with pytest.raises(InputError, match="No node of the Ray cluster has . processors and .* GPUs for a job"):
            list(run_jobs(RayCluster(cluster.address, **given), [("a", jobs.threads)], tmp_path))


def test_a_job_that_is_killed_each_time_ends_the_run(cluster: Any, jobs: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Ray could not finish a job .* the same command resumes the run"):
        list(run_jobs(RayCluster(cluster.address), [("a", jobs.kill_itself)], tmp_path))


def test_an_error_of_a_job_is_its_sentence(cluster: Any, jobs: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(run_jobs(RayCluster(cluster.address), [("a", jobs.refuse)], tmp_path))
    assert str(caught.value) == "The video 'a' has no frame; give another."
    assert not list(tmp_path.iterdir())


def test_a_node_that_does_not_see_the_folder_is_named(
    cluster: Any, jobs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the driver's token is another one, as that of a folder of the same name on another disk is."""
    monkeypatch.setattr(cluster_module, "_token", lambda folder: _OtherToken())
    sentence = f"The node {socket.gethostname()} does not see the folder '{tmp_path}' of this machine; give the"
    with pytest.raises(InputError, match=sentence):
        list(run_jobs(RayCluster(cluster.address), [("a", jobs.threads)], tmp_path))


class _OtherToken:
    def __enter__(self) -> str:
        return "of another disk"

    def __exit__(self, *of: object) -> None:
        pass


def test_closing_ends_running_jobs(cluster: Any, jobs: Any, tmp_path: Path) -> None:
    """What was interrupted may have half an import, so that the next run gets other processes."""
    (tmp_path / "starts").mkdir()
    first = ("first", partial(jobs.write_job, tmp_path, 0))
    endless = [(number, partial(jobs.write_job, tmp_path, number, "*")) for number in (1, 2)]
    running = run_jobs(RayCluster(cluster.address), [first, *endless], tmp_path)
    assert next(running) == ("first", 0)
    began = time.monotonic()
    running.close()
    assert time.monotonic() - began < 30
    assert not (tmp_path / TOKEN_NAME).exists() and not (tmp_path / "1.json").exists()
    assert list(run_jobs(RayCluster(cluster.address), [("one", jobs.threads)], tmp_path)) == [("one", (1, 1))]


def test_jobs_of_a_lost_node_run_again_on_the_others(
    cluster: Any, jobs: Any, tmp_path: Path, add_node: Callable[[], Any]
) -> None:
    """Its jobs do not end, so that it is killed while it works."""
    (tmp_path / "starts").mkdir()
    lost = add_node()
    named = [(number, partial(jobs.write_job, tmp_path, number, lost.node_id)) for number in range(12)]

    def kill_busy_node() -> None:
        wait_until(lambda: list((tmp_path / "starts").glob(f"*-{lost.node_id}-*")))
        cluster.remove_node(lost, allow_graceful=False)

    killer = threading.Thread(target=kill_busy_node)
    killer.start()
    found = list(run_jobs(RayCluster(cluster.address), named, tmp_path))
    killer.join()
    assert sorted(found) == [(number, number**2) for number in range(12)]
    starts = [file.name.split("-")[:2] for file in (tmp_path / "starts").iterdir()]
    interrupted = [number for number, node in starts if node == lost.node_id]
    assert len(interrupted) == 1
    assert Counter(number for number, _ in starts) == Counter([*map(str, range(12)), *interrupted])
    shutil.rmtree(tmp_path / "starts")
    assert sorted(contents(tmp_path)) == sorted(f"{number}.json" for number in range(12))


def test_generate_writes_what_one_worker_writes(cluster: Any, data: Path, tmp_path: Path) -> None:
    command = ["generate", "--data", str(data), "--agent", "best-of-3-random", "--batch", "2", "--device", "cpu"]
    for out, words in (("one", ["--workers", "1"]), ("ray", ["--ray", cluster.address])):
        run_command([*command, "--out", str(tmp_path / out), *words])
    one, many = contents(tmp_path / "one"), contents(tmp_path / "ray")
    assert one == many and len(one) > 10


def test_train_vae_that_loses_a_node_writes_what_one_worker_writes(
    cluster: Any, data: Path, tmp_path: Path, add_node: Callable[[], Any]
) -> None:
    command = ["train-vae", "--data", str(data), "--epochs", "40", "--device", "cpu"]
    run_command([*command, "--out", str(tmp_path / "one")])
    lost, out, ended = cluster.worker_nodes.copy().pop(), tmp_path / "ray", threading.Event()
    trained_then: list[int] = []

    def kill_working_node() -> None:
        wait_until(lambda: ended.is_set() or len(list(out.glob("[abc]"))) == 3)
        cluster.remove_node(lost, allow_graceful=False)
        trained_then.append(len(list(out.glob("*/training.json"))))

    killer = threading.Thread(target=kill_working_node)
    killer.start()
    try:
        run_command([*command, "--out", str(out), "--ray", cluster.address])
    finally:
        ended.set()
        killer.join()
    add_node()
    assert trained_then[0] < 3, "the node was lost before the end"
    one, many = contents(tmp_path / "one"), contents(out)
    assert one == many and len(one) > 10
    assert not any(is_leftover(folder.name) for folder in out.rglob("*"))


def test_a_head_that_cannot_be_reached_is_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("ray").shutdown()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    command = ["train-vae", "--data", data, "--out", tmp_path / "bank", "--device", "cpu", "--ray", address]
    monkeypatch.setattr(sys, "argv", ["occlusion-search", *map(str, command)])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert ended.value.code == 2 and "Traceback" not in err and time.monotonic() - began < 60
    (sentence,) = [line for line in err.splitlines() if "cannot be reached" in line]
    assert f"The Ray cluster '{address}' cannot be reached (" in sentence
    assert not list((tmp_path / "bank").glob("*/")) and not (tmp_path / "bank" / TOKEN_NAME).exists()


def test_a_local_ray_ends_with_a_killed_command(tmp_path: Path) -> None:
    (tmp_path / "starts").mkdir()
    program = (
        "import sys; from functools import partial; from pathlib import Path; from jobs import write_job;"
        "from tracker.cluster import RayCluster; from tracker.processes import run_jobs;"
        "folder = Path(sys.argv[1]);"
        "list(run_jobs(RayCluster(), [('a', partial(write_job, folder, 0, '*'))], folder))"
    )
    paths = [str(Path(__file__).parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OCCLUSION_TEST": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    wait_until(lambda: list((tmp_path / "starts").iterdir()) or process.poll() is not None)
    assert len(_processes_of(str(tmp_path))) > 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not _processes_of(str(tmp_path)))


def _processes_of(mark: str) -> list[int]:
    """The living processes that inherited the mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"OCCLUSION_TEST={mark}".encode() in environment and state != "Z":
            found.append(int(folder.name))
    return found
