"""The batches of training steps, drawn by worker processes ahead of the step that takes them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import InputError


class StepDataset(Dataset[Any]):
    """The batches of all steps, by the step's number.

    Args:
        draw: Returns the batch of a step; what it draws depends on the step's number alone.
    """

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self._draw = draw

    def __getitem__(self, step: int) -> Any:
        """The batch of a step, or the error of a frame that cannot be read.

        The error is returned because a `DataLoader` would put the worker's traceback into its message.
        """
        try:
            return self._draw(step)
        except (InputError, MemoryError, OSError) as error:
            return error


@contextmanager
def drawing(draw: Callable[[int], Any], steps: range, workers: int, pinned: bool) -> Iterator[Iterator[Any]]:
    """Draw the batches of steps, in their order, while the block runs.

    Args:
        draw: See `StepDataset`; picklable where processes are not forked.
        steps: Numbers of the steps.
        workers: Processes that draw, each two steps ahead; 0 draws in this process.
        pinned: Whether the tensors of a batch lie in pinned memory, which a CUDA GPU copies faster.

    Raises:
        InputError: If a worker was killed.
    """
    loader = DataLoader(
        StepDataset(draw), sampler=steps, batch_size=None, num_workers=workers, collate_fn=_as_drawn,
        pin_memory=pinned, worker_init_fn=_prepare_worker,
        generator=torch.Generator(),  # torch's own generator is left as it is
    )  # fmt: skip
    try:
        with closing(_batches(_start(loader))) as batches:
            yield batches
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise InputError(
            "A loader worker was killed, as happens where memory is short; the same command resumes the training,"
            " with fewer --loader-workers."
        ) from None


def _start(loader: DataLoader[Any]) -> Iterator[Any]:
    """Start the workers while OpenCV has no threads of its own, whose locks a forked process would wait for."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)


def _batches(drawn_batches: Iterator[Any]) -> Generator[Any, None, None]:
    for drawn in drawn_batches:
        if isinstance(drawn, Exception):
            raise drawn
        yield drawn


def _as_drawn(drawn: Any) -> Any:
    return drawn


def _prepare_worker(worker: int) -> None:
    """Limit OpenCV to one thread, as `DataLoader` limits torch, and leave signals to the main process.

    Ctrl-C and SIGTERM often reach all processes of a command. A worker that a signal kills raises an error of torch
    in the main process, which is then about to end.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
