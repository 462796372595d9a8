"""Named jobs as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputError
from .files import remove_leftovers

Key = TypeVar("Key")
Result = TypeVar("Result")

TOKEN_NAME = ".occlusion-search.token"
"""File in the results' folder by which a node recognises the folder, present while a run uses Ray."""

_LOCAL_OBJECTS = 200 * 2**20
"""Bytes of a local Ray's object store; jobs and results are small, the data lie in files."""

_CONNECT = 5.0
"""Seconds for the head to accept a connection."""

_GRACE = 3.0
"""Seconds for tasks to remove their temporary files at an interrupt."""


@dataclass(frozen=True)
class RayCluster:
    """Runs jobs as Ray's tasks, which Ray places on the nodes and repeats where a node is lost.

    All nodes need this package, the data and the results' folder at the same paths.

    Attributes:
        address: The head, such as `10.0.0.1:6379`, or `auto` for a cluster that this machine belongs to; `None`
            starts Ray on this machine.
        cpus: Processors of a job, which are its threads too.
        gpus: GPUs of a job; a share such as 0.25 lets four jobs use one GPU. Without any a job sees no GPU.

    Raises:
        InputError: If a number is out of range.
    """

    address: str | None = None
    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise InputError(f"A job with {self.cpus} processors cannot run; give cpus=1 or more.")
        if self.gpus < 0:
            raise InputError(f"A job with {self.gpus:g} GPUs cannot run; give gpus=0 or more.")

    def run_jobs(
        self, jobs: Iterable[tuple[Key, Callable[[], Result]]], folder: Path
    ) -> Generator[tuple[Key, Result], None, None]:
        """Run jobs on the nodes; see `processes.run_jobs`.

        Raises:
            InputError: If Ray is not installed, the head cannot be reached, a node does not see the folder, or a
                job's process was killed more often than Ray repeats it.
        """
        ray = self._connect()
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "scheduling_strategy": "SPREAD"}
        task = ray.remote(**options)(_run_job)
        waiting: dict[Any, Key] = {}
        rest = iter(jobs)
        with _token(folder) as token:
            try:
                while True:
                    for key, job in islice(rest, max(0, 2 * self._slots(ray) - len(waiting))):
                        waiting[task.remote(job, self.cpus, os.getcwd(), folder, token)] = key
                    if not waiting:
                        return
                    (done, *_), _ = ray.wait(list(waiting), num_returns=1)
                    yield waiting.pop(done), ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                sentence = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
                raise InputError(
                    f"Ray could not finish a job ({sentence}); the same command resumes the run."
                ) from None
            finally:
                if waiting:
                    _end(ray, list(waiting))
                remove_leftovers(folder)  # of nodes that were lost

    def _slots(self, ray: Any) -> int:
        """Number of jobs that the living nodes run at a time.

        Raises:
            InputError: If none can run one, which Ray would wait for.
        """
        slots = 0
        for node in ray.nodes():
            if node["Alive"]:
                cpus, gpus = (node["Resources"].get(kind, 0.0) for kind in ("CPU", "GPU"))
                slots += int(min(cpus // self.cpus, gpus // self.gpus if self.gpus else math.inf))
        if not slots:
            raise InputError(
                f"No node of the Ray cluster has {self.cpus} processors and {self.gpus:g} GPUs for a job; give"
                " fewer cpus= and gpus=, or start such a node."
            )
        return slots

    def _connect(self) -> Any:
        """Connect to the cluster, or start a local one, which ends with this process."""
        try:
            import ray
        except ImportError:
            raise InputError("Ray is not installed; pip install 'occlusion-search[ray]'.") from None
        if ray.is_initialized():
            return ray
        before = signal.getsignal(signal.SIGTERM)
        try:
            if self.address is None:
                ray.init(
                    "local",
                    object_store_memory=_LOCAL_OBJECTS,
                    include_dashboard=False,
                    logging_level=logging.WARNING,
                )
            else:
                _check_reachable(self.address)
                ray.init(self.address, logging_level=logging.WARNING)
        except Exception as error:  # Ray raises plain ones too
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise InputError(
                f"The Ray cluster '{self.address or 'local'}' cannot be reached ({reason}); give the address that"
                " `ray start --head` printed."
            ) from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # ray.init replaces it
        return ray


def _check_reachable(address: str) -> None:
    """Raise an OSError at once where Ray would try for minutes; addresses without a port are left to Ray."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT).close()


def _run_job(job: Callable[[], Result], threads: int, directory: str, folder: Path, token: str) -> Result:
    """Run a job on a node, in the driver's directory and with its number of threads."""
    with suppress(OSError):
        os.chdir(directory)
    try:
        found = (folder / TOKEN_NAME).read_text()
    except OSError:
        found = ""
    if found != token:
        raise InputError(
            f"The node {socket.gethostname()} does not see the folder '{folder}' of this machine; give the full"
            " path of a folder that all nodes share."
        )
    set_threads({"opencv": threads, "torch": threads})
    return job()


def set_threads(threads: dict[str, int]) -> None:
    """Set the number of threads of `opencv` and `torch` in this process."""
    import cv2
    import torch

    cv2.setNumThreads(threads["opencv"])
    torch.set_num_threads(threads["torch"])


@contextmanager
def _token(folder: Path) -> Iterator[str]:
    """Leave a token in the folder while the block runs."""
    file, token = folder / TOKEN_NAME, uuid.uuid4().hex
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(token)
    except OSError as error:
        raise InputError(f"'{folder}' cannot be written ({error.strerror}); give another folder.") from None
    try:
        yield token
    finally:
        file.unlink(missing_ok=True)


def _end(ray: Any, tasks: list[Any]) -> None:
    """Interrupt tasks, and disconnect after at most `_GRACE` seconds, which ends their processes.

    A process whose import was interrupted could run no other job.
    """
    for task in tasks:
        ray.cancel(task)
    ray.wait(tasks, num_returns=len(tasks), timeout=_GRACE, fetch_local=False)
    ray.shutdown()
