"""Things by name: from a table of known names, or as `module:attribute` from anywhere that Python can import."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from tracker.errors import InputError

__all__ = ["imported", "is_import", "made", "named"]

T = TypeVar("T")

_PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_import(name: str) -> bool:
    """Whether a name has the form `module:attribute`.

    >>> is_import("my_package.scorers:ncc"), is_import("sint")
    (True, False)
    """
    return _PATTERN.fullmatch(name) is not None


def imported(what: str, name: str) -> Any:
    """The attribute that `module:attribute` names.

    Args:
        what: What it is to be, for the error's sentence.
        name: `module:attribute`.

    Raises:
        InputError: If the module cannot be imported or has no such attribute.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise InputError(f"The {what} '{name}' cannot be imported: {error}.") from None
    except AttributeError:
        raise InputError(f"The {what} '{name}' cannot be imported: '{module}' has no '{attribute}'.") from None


@lru_cache(maxsize=64)
def made(what: str, name: str) -> Any:
    """What the function that `module:function` names returns; a process calls each once.

    Raises:
        InputError: See `imported`; and if it is no function, or fails.
    """
    function = imported(what, name)
    if not callable(function):
        raise InputError(f"The {what} '{name}' is no function; name one that returns a {what}.")
    try:
        return function()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"The {what} '{name}' failed: {type(error).__name__}: {error}") from error


def named(what: str, name: str, known: Mapping[str, T]) -> T:
    """Look a name up.

    Args:
        what: What is looked for, for the error's sentence.
        name: One of `known`, or `module:attribute`.
        known: What the package has.

    Raises:
        InputError: If it is neither.

    >>> named("colour", "red", {"red": 1})
    1
    """
    if name in known:
        return known[name]
    if isinstance(name, str) and is_import(name):
        return imported(what, name)
    raise InputError(f"{name!r} is no {what}; choose {', '.join(known)}, or give module:name.")
