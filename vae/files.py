"""Files that appear whole or not at all, and what to say of one that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_FILES = ".*.tmp"
"""What matches the names that `replacing_file` yields, and a killed process leaves."""


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`, renamed to it when the block ends well and deleted when not.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing_file(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def first_line(error: Exception) -> str:
    """Return an error's first line without its full stop, or its type where it says nothing.

    >>> first_line(OSError("The disk is full.")), first_line(OSError())
    ('The disk is full', 'OSError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
