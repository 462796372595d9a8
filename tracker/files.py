"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing_file"]


@contextmanager
def replacing_file(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside `path`, renamed to it when the block ends well and deleted when not.

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
    temporary: Path | None = None
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
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{target.name[:100]}.{os.getpid()}.tmp")
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
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary, str(temporary)):
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
