"""Jobs for the nodes of a cluster; they write into a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import ray

from tracker.errors import InputError
from tracker.records import write_record


def write_job(folder: Path, number: int, forever_on: str = "") -> int:
    """Note the start and the node in `starts/`, and write a record, as the jobs of the commands do.

    On the node `forever_on` (all of them: "*") the job does not end.
    """
    node = ray.get_runtime_context().get_node_id()
    (folder / "starts" / f"{number}-{node}-{time.time_ns()}").touch()
    while forever_on in (node, "*"):
        time.sleep(0.1)
    write_record(folder / f"{number}.json", {"number": number, "square": number**2})
    return number**2


def threads() -> tuple[int, int]:
    import cv2
    import torch

    return torch.get_num_threads(), cv2.getNumThreads()


def refuse() -> None:
    raise InputError("The video 'a' has no frame; give another.")


def kill_itself() -> None:
    os.kill(os.getpid(), 9)
