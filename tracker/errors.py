"""The one error that a person's input raises."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """What a person gave cannot be used.

    The message is one sentence that names the thing and says what to do. The command line prints it and
    exits with code 2; a library user catches it as a `ValueError`.
    """
