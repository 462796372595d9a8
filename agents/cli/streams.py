"""Standard streams: closed ones, those whose reader leaves, as in `| head -1` and `>&-`, and progress in logs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

CLOSED_PIPE = 141
"""Exit code of a process that writes to a pipe without a reader: 128 plus SIGPIPE."""

PROGRESS_SECONDS = 10.0
"""Least time between two lines of progress where the output is no terminal."""

_CURSOR_UP = "\x1b[A"

_Result = TypeVar("_Result")


class Output:
    """A standard stream that ends the process where it cannot be written to, silently if its reader has left.

    It raises `SystemExit`, which no `except Exception` around one sequence or video takes for that one's failure.
    """

    def __init__(self, stream: TextIO) -> None:
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


class ProgressLines(Output):
    """Standard error that is no terminal: a progress bar becomes a line every `PROGRESS_SECONDS` at most.

    tqdm draws a bar after a carriage return, and then writes a line feed or moves the cursor up.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._printed = time.monotonic()
        self._in_bar = False

    def write(self, text: str) -> int:
        """Write a text, unless it draws a bar that was drawn a moment ago; see `TextIO`."""
        bar = text.replace(_CURSOR_UP, "").strip()
        if text.startswith("\r"):
            self._in_bar = True
            if bar and time.monotonic() - self._printed >= PROGRESS_SECONDS:
                self._printed = time.monotonic()
                super().write(f"{bar}\n")
        elif bar or not self._in_bar:
            self._in_bar = False
            super().write(text)
        return len(text)


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
