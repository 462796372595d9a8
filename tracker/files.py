"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError, shorten

__all__ = ["inside_folder", "replacing_file"]


def inside_folder(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of a file that a record names, relative to the record's folder.

    Args:
        folder: The record's folder.
        name: What the record says.

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


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`, renamed to it when the block ends well and deleted when not.

    A link is followed, and the file that it leads to is replaced. A replaced file keeps its mode; a new file gets
    the mode that the umask leaves. Devices, pipes and the process's own standard output and error are written into
    when the block has ended well.

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
            temporary.chmod(mode)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _standard_stream(status: os.stat_result) -> int | None:
    """Return the descriptor of the standard output or error if that is the file of this status."""
    for descriptor in (1, 2):
        try:
            if os.path.samestat(os.fstat(descriptor), status):
                return descriptor
        except OSError:
            continue
    return None
