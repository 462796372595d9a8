"""JSON files with a checksum, by which damage is detected on reading."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import replacing_file

_CHECKSUM = "sha256"


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data as JSON with its checksum; the file appears whole or not at all.

    Raises:
        OSError: If the disk refuses.
    """
    plain = json.loads(json.dumps(content))
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps({**plain, _CHECKSUM: _digest(plain)}, indent=2) + "\n", encoding="utf-8")


def read_record(path: Path) -> dict[str, Any] | None:
    """Read what `write_record` wrote.

    Returns:
        The content; `None` where there is no such file or, with a warning, where it is damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     write_record(file, {"scores": [0.25]})
    ...     content = read_record(file)
    ...     content, read_record(Path(folder) / "b.json")
    ({'scores': [0.25]}, None)
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and content.pop(_CHECKSUM, None) == _digest(content):
        return content
    warn_of_damage(path)
    return None


def warn_of_damage(path: Path, remedy: str = "it is made again") -> None:
    """Warn that a file is missing or not as it was written, and say what happens."""
    warnings.warn(f"'{path}' is damaged or missing; {remedy}.", stacklevel=3)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
