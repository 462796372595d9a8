"""Records of what a result was made with, and how two of them differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import replacing_file

__all__ = ["difference", "note_run"]

_MOST = 120
_ABSENT = object()


def difference(recorded: Any, wanted: Any, name: str = "") -> str | None:
    """The first setting in which two records differ, with both values, for an error's sentence.

    Args:
        recorded: Plain data.
        wanted: Plain data.
        name: Of the setting that they are the values of.

    Returns:
        `None` where they are equal.

    >>> difference({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 4})
    'a.b was 1 and is 3'
    >>> difference({"a": [1, 2]}, {"a": [1, 2]})
    """
    if isinstance(recorded, Mapping) and isinstance(wanted, Mapping):
        for key in sorted(recorded.keys() | wanted.keys()):
            found = difference(recorded.get(key, _ABSENT), wanted.get(key, _ABSENT), f"{name}.{key}".strip("."))
            if found is not None:
                return found
        return None
    return None if recorded == wanted else f"{name} was {_text(recorded)} and is {_text(wanted)}"


def note_run(path: Path, record: Mapping[str, Any], folder: Path) -> None:
    """Note what a run is made with, or compare it with what has been noted.

    Args:
        path: The JSON file.
        record: Plain data.
        folder: The run's, for the error's sentence.

    Raises:
        InputError: If a run that was made with something else has been noted there.
    """
    wanted = json.loads(json.dumps(record))
    if path.exists():
        try:
            recorded = json.loads(path.read_text())
        except ValueError:
            raise InputError(f"'{path}' is truncated; give another --out.") from None
        if (found := difference(recorded, wanted)) is not None:
            raise InputError(f"'{folder}' holds a run with other settings: {found}; give another --out.")
        return
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1))


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = json.dumps(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]} ..."
