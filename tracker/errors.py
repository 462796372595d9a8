"""The error for unusable input, and sentences for errors of files, disks and memory.

A file that is read and cannot be used (missing, damaged, foreign, unreadable) is an `InputError`. What the system
refuses while results are written (a full disk, a read-only folder) stays the plain `OSError`, with the file as its
`filename`. The command line prints both as one sentence and exits with code 2.
"""

from __future__ import annotations

import os
import reprlib
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_LENGTH = 100
"""Characters of a value that a sentence shows."""

_DAMAGE = (
    ("json", "JSONDecodeError"),
    ("zipfile", "BadZipFile"),
    ("zlib", "error"),
    ("lzma", "LZMAError"),
    ("xml.etree.ElementTree", "ParseError"),
    ("yaml", "YAMLError"),
    ("safetensors", "SafetensorError"),
    ("av", "FFmpegError"),
    ("cv2", "error"),
    ("scipy.io.matlab", "MatReadError"),
)
"""Errors by which libraries say that a file is damaged."""

_LONGEST, _END = 580, 195
"""Characters of a message, and of its end where its middle is left out."""


class InputError(ValueError):
    """Input from a user that cannot be used.

    The message is one sentence that names the thing and says what to do. The command line prints it and
    exits with code 2; a library user catches it as a `ValueError`.

    Characters that cannot be printed, line ends among them, are escaped, and the middle of a long message is left
    out, so that a message that quotes a file stays one short line.

    >>> len(str(InputError("x" * 10_000)))
    580
    """

    def __init__(self, message: str = "") -> None:
        plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
        super().__init__(
            plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - _END - 5]} ... {plain[-_END:]}"
        )


class _Repr(reprlib.Repr):
    """Reads no more of a value than is shown, which bounds the time for deep and long containers."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, _LENGTH, _LENGTH

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write whole numbers of more than 4,300 digits."""
        return super().repr_int(x, level) if x.bit_length() < 4096 else f"a whole number of {x.bit_length()} bits"


def shorten(value: object) -> str:
    """Return the repr of a value for an error's sentence, cut to about 100 characters.

    Only the part of nested and long containers that is shown is read.

    >>> shorten("sint"), shorten([1, 2]), len(shorten("x" * 10**6)), shorten(10**9999)
    ("'sint'", '[1, 2]', 100, 'a whole number of 33216 bits')
    """
    text = _Repr().repr(value)
    return text if len(text) <= _LENGTH + 2 else f"{text[:_LENGTH]} ..."


def check_choice(value: object, choices: Collection[str], what: str) -> None:
    """Raise an `InputError` if a value is none of the choices; `what` names its kind in the sentence."""
    if value not in choices:
        raise InputError(f"{shorten(value)} is no {what}; choose {', '.join(choices)}.")


@contextmanager
def reading_errors(path: str | os.PathLike[str], what: str, remedy: str = "check it") -> Iterator[None]:
    """Turn every error that a file's content raises in the block into an `InputError` that names the file.

    Args:
        path: The file; a pipe or a device is refused, because reading one may never end.
        what: What the file should be, with its article, such as `a JSON file`.
        remedy: What to do, for the end of the sentence.

    Raises:
        InputError: If the block raises any `Exception`; one of its own `InputError`s as it is.

    >>> import json
    >>> with reading_errors("card.json", "a card", "train again"):
    ...     json.loads("[" * 100_000)
    Traceback (most recent call last):
    tracker.errors.InputError: 'card.json' cannot be read as a card (nested too deeply); train again.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"'{path}' is a pipe or a device; give a file.")
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"'{path}' cannot be read as {what} ({_reason(error)}); {remedy}.") from error


def describe_error(error: BaseException) -> str | None:
    """Return the sentence for an error that a file, the disk or the memory causes; `None` for any other error.

    >>> describe_error(FileNotFoundError(2, "No such file or directory", "a.txt"))
    "'a.txt': No such file or directory."
    >>> describe_error(KeyError("bug")) is None
    True
    """
    if isinstance(error, OSError):
        if error.filename is None:
            return f"The system refuses to read or write ({_reason(error)})."
        second = f" (to '{os.fsdecode(error.filename2)}')" if error.filename2 is not None else ""
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
        return f"'{name}'{second}: {error.strerror}."
    if isinstance(error, OverflowError):
        return f"A number that was given is too large ({_reason(error)})."
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return f"There is not enough memory ({_reason(error)}); ask for less at a time, or free some."
    if isinstance(error, RuntimeError) and str(error).startswith(
        "Symlink loop"
    ):  # of Path.resolve before Python 3.13
        return f"A link leads to itself ({_reason(error)})."
    if isinstance(error, UnicodeDecodeError | RecursionError) or isinstance(error, _damage_errors()):
        return f"A file that was read is damaged or of another kind ({type(error).__name__}: {_reason(error)})."
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that an allocation failed: its own class on a GPU, a `RuntimeError` on a CPU."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def _damage_errors() -> tuple[type[BaseException], ...]:
    """The classes of `_DAMAGE` whose modules are imported; the others cannot have been raised."""
    kinds = [getattr(sys.modules[module], name, None) for module, name in _DAMAGE if module in sys.modules]
    return tuple(kind for kind in kinds if isinstance(kind, type))


def _reason(error: BaseException) -> str:
    """An error's first line, at most 200 characters, without its full stop."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    if isinstance(error, KeyError):
        text = f"no {text}"
    line = (text.strip().splitlines() or [type(error).__name__])[0]
    return (line if len(line) <= 200 else f"{line[:200]} ...").rstrip(".")
