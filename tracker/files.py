"""Atomic writing of files, their temporary folders, and bounded reading."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError, shorten


def inside_folder(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of a file that a record names, relative to the record's folder.

    Raises:
        InputError: If it is no text or leads out of the folder: an absolute path, `..`, a link.

    >>> inside_folder("out", "ball/000001.png").as_posix()
    'out/ball/000001.png'
    """
    path = Path(folder) / name if isinstance(name, str) and "\0" not in name else None
    if path is None or not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise InputError(
            f"{shorten(name)} is no path inside of '{os.fspath(folder)}'; name a file in that folder."
        )
    return path


def read_text(path: str | os.PathLike[str], most: int = 2**24) -> str:
    """Read a file of text, UTF-8, of at most `most` bytes (16 MiB).

    Raises:
        OSError: If it cannot be read.
        InputError: If it is longer, or a pipe or a device, whose reading may never end.
        UnicodeDecodeError: If it is no text.
    """
    if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
        raise InputError(f"'{os.fspath(path)}' is a pipe or a device; give a file.")
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"'{os.fspath(path)}' is longer than {most} bytes; give a shorter file.")
    return content.decode("utf-8-sig")


@contextmanager
def replacing_file(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
    """Yield a temporary name, renamed to `path` when the block ends well and deleted when not.

    It lies in a `temporary_folder` beside `path`, with whatever else a library puts beside it while it writes.

    A link is followed, and the file that it leads to is replaced. A replaced file keeps its mode; a new file gets
    the mode that the umask leaves. Devices, pipes and the process's own standard output and error are written into
    when the block has ended well.

    Args:
        path: The file.
        durable: Wait until the disk has the file, and then its name, so that a loss of power leaves the earlier or
            the new file. It takes about 10 ms; leave it out for files that are made again where they are damaged.

    Raises:
        OSError: If the disk refuses; its `filename` is `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing_file(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    target, temporary = Path(os.path.realpath(path)), None
    try:
        try:
            status = path.stat()
        except FileNotFoundError:
            status = None
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        stream = None if status is None else _standard_stream(status)
        if status is not None and (stream is not None or not stat.S_ISREG(status.st_mode)):
            with tempfile.TemporaryDirectory() as folder:
                temporary = Path(folder) / path.name
                yield temporary
                sys.stdout.flush()
                with (
                    temporary.open("rb") as source,
                    open(path if stream is None else os.dup(stream), "wb") as sink,
                ):
                    shutil.copyfileobj(source, sink)
            return
        beside = temporary_folder(target)
        temporary = beside / target.name
        temporary.touch()
        mode = stat.S_IMODE((status or temporary.stat()).st_mode)
        try:
            yield temporary
            if durable:
                _flush(temporary)
            temporary.chmod(mode)
            os.replace(temporary, target)
            if durable:
                _flush(target.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(target), temporary, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        # Rust's libraries, such as safetensors, name the disk's error in the text of their own.
        if (code := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error


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


def _standard_stream(status: os.stat_result) -> int | None:
    """Return the descriptor of the standard output or error if that is the file of this status."""
    for descriptor in (1, 2):
        try:
            if os.path.samestat(os.fstat(descriptor), status):
                return descriptor
        except OSError:
            continue
    return None


_TEMPORARY = re.compile(r"\..*\.[a-z0-9_]{8}\.(?P<pid>\d+)-(?P<start>\d+)\.occlusion-search", re.DOTALL)


def temporary_folder(target: Path) -> Path:
    """Make a hidden folder beside a file or folder to be written, named `.NAME.RANDOM.PID-START.occlusion-search`.

    NAME is cut to 50 characters; PID and START are those of this process. Everything unfinished lies in such
    folders, so that `remove_leftovers` finds it by its name.

    Raises:
        OSError: If the disk refuses; its `filename` is `target`.
    """
    process = f".{os.getpid()}-{_start_of(os.getpid())}.occlusion-search"
    try:
        return Path(tempfile.mkdtemp(suffix=process, prefix=f".{target.name[:50]}.", dir=target.parent))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def is_leftover(name: str) -> bool:
    """Return whether a name is that of a temporary folder whose process has ended."""
    found = _TEMPORARY.fullmatch(name)
    return found is not None and _start_of(int(found["pid"])) != found["start"]


def remove_leftovers(target: Path) -> None:
    """Remove the temporary folders that killed processes left; those of living processes stay.

    Args:
        target: A folder, in which they are removed at any depth (links are not followed), or the path of a file,
            beside which those of this file are removed.
    """
    prefix = "." if target.is_dir() else f".{target.name[:50]}."
    for parent, folders, _ in os.walk(target) if target.is_dir() else itertools.islice(os.walk(target.parent), 1):
        for name in [name for name in folders if _TEMPORARY.fullmatch(name)]:
            folders.remove(name)
            if name.startswith(prefix) and is_leftover(name):
                shutil.rmtree(Path(parent) / name, ignore_errors=True)


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
