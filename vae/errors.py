"""The errors this package raises for bad input, and how their sentences quote a value."""

import reprlib

_LENGTH = 100
"""Characters of a value that a sentence shows."""

_LONGEST, _END = 580, 195
"""Characters of a message, and of its end where its middle is left out."""


class VAEError(ValueError):
    """Bad images, codes, configuration or files; the message is one sentence that says what to change.

    Characters that cannot be printed are escaped, and the middle of a long message is left out.
    """

    def __init__(self, message: str = "") -> None:
        plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
        super().__init__(
            plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - _END - 5]} ... {plain[-_END:]}"
        )


class CheckpointError(VAEError):
    """A checkpoint that is damaged, of another training, or further on than is asked for."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that cannot be read, or whose content is not what was written."""


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

    >>> shorten([1, 2]), len(shorten("x" * 10**6)), shorten(10**9999)
    ('[1, 2]', 100, 'a whole number of 33216 bits')
    """
    text = _Repr().repr(value)
    return text if len(text) <= _LENGTH + 2 else f"{text[:_LENGTH]} ..."
