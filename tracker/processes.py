"""Named jobs in worker processes with a share of the threads each, which end with their parent, or on Ray."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from .cluster import RayCluster, set_threads
from .errors import InputError, shorten

Key = TypeVar("Key")
Result = TypeVar("Result")

Workers = int | RayCluster
"""Number of processes of this machine, or the cluster that runs the jobs."""

_MOST = 1000
"""Largest number of processes."""

_GRACE = 3.0
"""Seconds for workers to remove their temporary files at an interrupt."""


def serialised(make: Callable[[], object] | None, name: str) -> bytes:
    """The bytes in which worker processes get a function that makes an object, such as a tracker.

    Args:
        make: The function.
        name: Names the object in the error.

    Raises:
        InputError: If it cannot be serialised.
    """
    try:
        if make is None:
            raise TypeError("no function was given")
        return bytes(ForkingPickler.dumps(make))
    except Exception as error:  # Objects of other libraries refuse in any way.
        raise InputError(
            f"{name} cannot be sent to other processes ({' '.join(str(error).split())}); give a"
            " function or class of a module that makes it, or one process."
        ) from None


def check_workers(workers: Workers) -> None:
    """Check the number of processes before anything is done.

    Raises:
        InputError: If it is out of range.
    """
    if not isinstance(workers, RayCluster) and not 1 <= workers <= _MOST:
        raise InputError(f"--workers is {shorten(workers)}; it must lie between 1 and {_MOST}.")


def run_jobs(
    workers: Workers,
    jobs: Iterable[tuple[Key, Callable[[], Result]]],
    folder: Path,
    remedy: str = "fewer --workers",
) -> Generator[tuple[Key, Result], None, None]:
    """Run jobs in worker processes, on a Ray cluster, or one after the other in this process if `workers` is 1.

    When the generator is closed, or at an interrupt, running jobs are ended too, within four seconds. Workers
    leave Ctrl-C to this process, and end when it is killed. They are spawned, so that they work with a GPU.

    Args:
        workers: Number of processes, each of which has its share of the threads; or the cluster.
        jobs: A key and a picklable function for each job; at most two a process are taken ahead. On a cluster a
            job whose node is lost runs again, so a job must be able to be repeated.
        folder: Folder of the results, which all nodes of a cluster must see.
        remedy: Advice for the error where a process was killed.

    Yields:
        Each key with the function's result, when it is done.

    Raises:
        InputError: If a process was killed; see also `RayCluster.run_jobs`.
    """
    if isinstance(workers, RayCluster):
        yield from workers.run_jobs(jobs, folder)
        return
    if workers == 1:
        for key, job in jobs:
            yield key, job()
        return
    context = _Context()
    pool = ProcessPoolExecutor(workers, context, _set_up, (threads_of(workers),))
    waiting: dict[Future[Result], Key] = {}
    rest = iter(jobs)
    try:
        while True:
            for key, job in itertools.islice(rest, 2 * workers - len(waiting)):
                waiting[pool.submit(job)] = key
            if not waiting:
                return
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield waiting.pop(future), future.result()
    except (BrokenProcessPool, _Terminated):
        raise InputError(
            "A process of the run was killed, as happens where memory is short; the same command resumes it, with"
            f" {remedy}."
        ) from None
    except Exception:
        raise
    except BaseException:
        context.end_workers()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def threads_of(workers: Workers) -> dict[str, int]:
    """The number of threads of each library in each of several processes."""
    if isinstance(workers, RayCluster):
        return {"opencv": workers.cpus, "torch": workers.cpus}
    import cv2
    import torch

    threads = {"opencv": cv2.getNumThreads(), "torch": torch.get_num_threads()}
    return {library: max(1, number // workers) for library, number in threads.items()}


def _set_up(threads: dict[str, int]) -> None:
    try:
        set_threads(threads)
    except _Terminated:  # The pool would print it; no job has begun, so there is nothing to remove.
        os._exit(128 + signal.SIGTERM)


class _Terminated(BaseException):
    """SIGTERM in a worker."""


class _Worker(SpawnProcess):
    """A process that leaves Ctrl-C to its parent, ends with it, and unwinds its call at SIGTERM."""

    def start(self) -> None:
        """Start the process with Ctrl-C blocked."""
        # A blocked signal stays blocked in the new process, from its first instruction; here it waits.
        if not hasattr(signal, "pthread_sigmask"):
            return super().start()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self) -> None:
        """Work until the pool ends, or the parent."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows
        signal.signal(signal.SIGTERM, _terminate)
        parent = multiprocessing.parent_process()
        assert parent is not None

        def end_with_parent() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            super().run()
        except _Terminated:
            sys.exit(128 + signal.SIGTERM)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


class _Context(SpawnContext):
    """Starts `_Worker`s, and can end them."""

    def __init__(self) -> None:
        self._workers: list[_Worker] = []

    def Process(self, *args: Any, **kwargs: Any) -> _Worker:  # type: ignore[override]
        """Return a worker that is not started; named by `multiprocessing`."""
        self._workers.append(_Worker(*args, **kwargs))
        return self._workers[-1]

    def end_workers(self) -> None:
        """Terminate the workers, and kill those that run after `_GRACE` seconds."""
        deadline = time.monotonic() + _GRACE
        # Signalled more than once, because a worker whose call has ended takes the next.
        while alive := [worker for worker in self._workers if worker.is_alive()]:
            for worker in alive:
                if time.monotonic() < deadline:
                    worker.terminate()
                else:
                    worker.kill()
            alive[0].join(0.5)
