"""The one error that a person's input raises, and how its sentence quotes a value."""

from __future__ import annotations

import reprlib

__all__ = ["InputError", "shorten"]

_LENGTH = 100
"""Characters of a value that a sentence shows."""


class InputError(ValueError):
    """What a person gave cannot be used.

    The message is one sentence that names the thing and says what to do. The command line prints it and
    exits with code 2; a library user catches it as a `ValueError`.
    """


class _Repr(reprlib.Repr):
    """Looks into a value only as far as it is shown: not deep, and not at all of a long container."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, _LENGTH, _LENGTH

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write whole numbers of more than 4,300 digits."""
        return super().repr_int(x, level) if x.bit_length() < 4096 else f"a whole number of {x.bit_length()} bits"


def shorten(value: object) -> str:
    """Return the repr of a value for an error's sentence, cut to about 100 characters.

    Nested and long containers are not looked at beyond what is shown.

    >>> shorten("sint"), shorten([1, 2]), len(shorten("x" * 10**6)), shorten(10**9999)
    ("'sint'", '[1, 2]', 100, 'a whole number of 33216 bits')
    """
    text = _Repr().repr(value)
    return text if len(text) <= _LENGTH + 2 else f"{text[:_LENGTH]} ..."
