"""Work for several processes: each with its share of the threads, and what goes wrong with one in a sentence."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch

from tracker.errors import InputError

__all__ = ["process_pool"]


@contextmanager
def process_pool(workers: int, remedy: str = "fewer --workers") -> Iterator[ProcessPoolExecutor]:
    """Start processes; what is under way when the block ends is finished, what waits is dropped.

    An interrupt is left to the process that waits. The processes are spawned, so that they work with a GPU.

    Args:
        workers: How many.
        remedy: What the person may give where one was killed.

    Raises:
        InputError: If one was killed.
    """
    threads = max(1, torch.get_num_threads() // workers)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (threads,))
    try:
        yield pool
    except BrokenProcessPool:
        raise InputError(
            "A process of the run was killed, as happens where memory is short; the same command goes on, with"
            f" {remedy}."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
