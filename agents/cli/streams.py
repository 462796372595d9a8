"""Standard streams that are closed, or whose reader leaves, as in `| head -1` and `>&-`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

__all__ = ["CLOSED_PIPE", "Output", "open_closed_streams"]

CLOSED_PIPE = 141
"""Exit code of a process that writes to a pipe without a reader: 128 plus SIGPIPE."""

_Result = TypeVar("_Result")


class Output:
    """A standard stream that ends the process where it cannot be written to, silently if its reader has left.

    It raises `SystemExit`, which no `except Exception` around one sequence or video takes for that one's failure.
    """

    def __init__(self, stream: TextIO) -> None:
        """Wrap a stream, such as `sys.stdout`."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; see `TextIO`."""
        return self._try(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Flush the stream; see `TextIO`."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        """Every other attribute is the stream's own."""
        return getattr(self._stream, name)

    def _try(self, call: Callable[[], _Result]) -> _Result:
        try:
            return call()
        except OSError as error:
            with open(os.devnull, "w") as nowhere:  # where Python's own flush at exit goes, too
                os.dup2(nowhere.fileno(), self._stream.fileno())
            if isinstance(error, BrokenPipeError):
                raise SystemExit(CLOSED_PIPE) from None
            name = self._stream.name.strip("<>")
            print(f"occlusion-search: error: '{name}' cannot be written ({error.strerror}).", file=sys.stderr)
            raise SystemExit(1) from None


def open_closed_streams() -> None:
    """Open the null device in place of standard streams that the process was started without.

    Otherwise a result file gets the number of a closed stream, and what C libraries print is written into it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
        setattr(sys, name, open(number, mode, closefd=False))
