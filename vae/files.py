"""Files that appear whole or not at all, and what to say of one that cannot be read."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"\..*\.[a-z0-9_]{8}\.(?P<pid>\d+)-(?P<start>\d+)\.occlusion-search", re.DOTALL)


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name, renamed to `path` when the block ends well and deleted when not.

    It lies in a hidden folder beside `path`, named `.NAME.RANDOM.PID-START.occlusion-search` after this process. A
    link is followed. A replaced file keeps its mode; a new file gets the mode that the umask leaves. The disk has
    the file before its name, so that a loss of power leaves the earlier or the new file.

    Raises:
        OSError: If the disk refuses, or `path` is there and no file; its `filename` is `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing_file(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    target, process = Path(os.path.realpath(path)), f".{os.getpid()}-{_start_of(os.getpid())}.occlusion-search"
    try:
        if target.exists() and not target.is_file():
            code = errno.EISDIR if target.is_dir() else errno.EINVAL
            raise OSError(code, os.strerror(code))
        beside = Path(tempfile.mkdtemp(suffix=process, prefix=f".{target.name[:50]}.", dir=target.parent))
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    temporary = beside / target.name
    try:
        temporary.touch()
        mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
        yield temporary
        _flush(temporary)
        temporary.chmod(mode)
        os.replace(temporary, target)
        _flush(target.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    except Exception as error:
        # Rust's libraries, such as safetensors, name the disk's error in the text of their own.
        if (found := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), os.fspath(path)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's names where the system can."""
    folder = path.is_dir()
    if folder and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not folder or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary folders that killed processes left, at any depth; links are not followed."""
    for parent, folders, _ in os.walk(folder):
        for found in filter(None, map(_TEMPORARY.fullmatch, list(folders))):
            folders.remove(found[0])
            if _start_of(int(found["pid"])) != found["start"]:
                shutil.rmtree(Path(parent) / found[0], ignore_errors=True)


def _start_of(pid: int) -> str | None:
    """Return when a process started, in clock ticks since boot, or `None` if it does not live.

    Where the system has no /proc, a living process started at "0".
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    return "0"


def first_line(error: Exception) -> str:
    """Return an error's first line without its full stop, or its type where it says nothing.

    >>> first_line(OSError("The disk is full.")), first_line(OSError())
    ('The disk is full', 'OSError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
