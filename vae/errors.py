"""The errors this package raises for bad input."""

_LONGEST, _END = 580, 195
"""Characters of a message, and of its end where its middle is left out."""


class VAEError(ValueError):
    """Bad images, codes, configuration or files; the message is one sentence that says what to change.

    Characters that cannot be printed are escaped, and the middle of a long message is left out.
    """

    def __init__(self, message: str = "") -> None:
        """See the class."""
        plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
        super().__init__(
            plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - _END - 5]} ... {plain[-_END:]}"
        )


class CheckpointError(VAEError):
    """A checkpoint that is damaged, of another training, or further on than is asked for."""
