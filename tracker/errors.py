"""The one error that a person's input raises."""

from __future__ import annotations

__all__ = ["InputError"]

_LONGEST, _END = 580, 195
"""Characters of a message, and of its end where its middle is left out."""


class InputError(ValueError):
    """What a person gave cannot be used.

    The message is one sentence that names the thing and says what to do. The command line prints it and
    exits with code 2; a library user catches it as a `ValueError`.

    Characters that cannot be printed, line ends among them, are escaped, and the middle of a long message is left
    out, so that a message that quotes a file stays one short line.

    >>> len(str(InputError("x" * 10_000)))
    580
    """

    def __init__(self, message: str = "") -> None:
        """See the class."""
        plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
        super().__init__(
            plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - _END - 5]} ... {plain[-_END:]}"
        )
