"""One process at a time in a folder of results."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tracker.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


LOCK_NAME = ".occlusion-search.lock"
"""The lock file of a folder, present while a process works in it, or after one was killed."""

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs.

    The lock is the operating system's (`flock`) on a file in the folder, so it ends with the process, however that
    ends; the file holds the process's number, machine and start for the sentence that another process prints. On
    Windows, and on network file systems without locks, nothing is locked.

    Args:
        folder: Made where it does not exist; removed at the end if it was made here and is empty.

    Raises:
        InputError: If another process holds the lock, or the folder cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    file = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(file)
    except OSError as error:
        remove_empty(made)
        raise InputError(f"'{folder}' cannot be written ({error.strerror}); give another folder.") from None
    try:
        yield
    finally:
        if descriptor is not None:
            file.unlink(missing_ok=True)  # before the lock ends, so that no other process's file is removed
            os.close(descriptor)
        remove_empty(made)


def _lock(file: Path) -> int | None:
    """Lock the file and write this process into it; returns its descriptor, `None` where there are no locks."""
    if fcntl is None:
        return None
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, file):
                break
        except BlockingIOError:
            holder = os.read(descriptor, 1000)
            os.close(descriptor)
            raise InputError(f"'{file.parent}' is in use by {_describe(holder)}; wait until it ends.") from None
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _WITHOUT_LOCKS:
                raise
            file.unlink(missing_ok=True)
            return None
        os.close(descriptor)  # the file of a process that ended in between
    this = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(this).encode())
    return descriptor


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _describe(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return f"process {holder['pid']} on {holder['host']}, which began at {holder['started']}"
    except (ValueError, TypeError, KeyError):
        return "another process"


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove the empty ones among folders; a folder inside another comes before it."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
