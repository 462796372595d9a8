"""Signals that end a command clean up as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised where the process was; what handles Ctrl-C handles it too.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def raised_signals() -> Iterator[None]:
    """Raise `Terminated` in the main thread at the first SIGTERM or SIGHUP, and ignore further ones.

    A signal that is ignored already stays so, as SIGHUP is under `nohup`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interruption(interrupt: KeyboardInterrupt) -> str:
    """Return the word for it in a message."""
    return "terminated" if isinstance(interrupt, Terminated) else "interrupted"


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return 128 plus the number of the signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT)


def _raise(number: int, frame: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _raise:
            signal.signal(each, signal.SIG_IGN)  # so that the cleaning up is not ended halfway
    raise Terminated(number)
