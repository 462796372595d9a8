"""Things by name: from a table of known names, or as `module:attribute` from anywhere that Python can import.

`module:attribute` comes from a program or a command line. A file (an agent's card, a run's folder, a
hyper-parameter file) may name the package's own things only: see `check_built_in`.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from tracker.errors import InputError, shorten

__all__ = ["check_built_in", "imported", "imports_in", "is_import", "made", "named"]

T = TypeVar("T")

_PATTERN = re.compile(r"\w[\w.]*:[A-Za-z_]\w*")
_OWN = ("occlusion_env.scene.oracle:OracleScorer", "occlusion_env.scene.oracle:OracleFeatures")
"""Names of this package in the arguments that its ids are registered with, which runs record."""
_PATHS = ("weights", "base_weights")
"""Arguments of environments that are paths."""


def is_import(name: str) -> bool:
    """Whether a name has the form `module:attribute`.

    >>> is_import("my_package.scorers:ncc"), is_import("sint")
    (True, False)
    """
    return _PATTERN.fullmatch(name) is not None


def imports_in(content: Any) -> Iterator[str]:
    """Every `module:attribute` among the values of plain data, in the data's order.

    >>> list(imports_in({"reward": "mine:Reward", "features": "torchvision:resnet18", "scorer": ["a.b:c"]}))
    ['mine:Reward', 'a.b:c']
    """
    if isinstance(content, Mapping):
        for name, value in content.items():
            of_torchvision = name == "features" and str(value).startswith("torchvision:")
            if name not in _PATHS and not of_torchvision:
                yield from imports_in(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from imports_in(value)
    elif isinstance(content, str) and is_import(content):
        yield content


def check_built_in(content: Any, source: str | Path, allowed: Collection[str] = ()) -> None:
    """Refuse a file's content that names `module:attribute`, so that reading a file imports nothing.

    Args:
        content: Plain data.
        source: The file.
        allowed: Names `module:attribute` that the command line or the caller gave.

    Raises:
        InputError: Naming the file, the name, and how to allow it.
    """
    for name in imports_in(content):
        if name not in allowed and name not in _OWN:
            raise InputError(
                f"'{source}' names {shorten(name)}, and files may name built-in things only; if you trust that"
                f" code, allow it: --allow {name} (allowed={[name]} in Python)."
            )


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


def named(what: str, name: str, known: Mapping[str, T | str]) -> T:
    """Look a name up.

    Args:
        what: What is looked for, for the error's sentence.
        name: One of `known`, or `module:attribute`.
        known: What the package has; a text is `module:attribute` of this distribution, imported when it is used.

    Raises:
        InputError: If it is neither.

    >>> named("colour", "red", {"red": 1})
    1
    """
    found = known.get(name) if isinstance(name, str) else None
    if isinstance(found, str):
        _check_own(what, found)
        own: T = imported(what, found)
        return own
    if found is not None:
        return found
    if isinstance(name, str) and is_import(name):
        foreign: T = imported(what, name)
        return foreign
    raise InputError(f"{shorten(name)} is no {what}; choose {', '.join(known)}, or give module:name.")


def _check_own(what: str, name: str) -> None:
    """Refuse a package of the same name as one of this distribution, in another folder than this one's."""
    package = name.partition(".")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or Path(spec.origin).parents[1] != Path(__file__).parents[1]:
        found = "is not installed" if spec is None else f"is hidden by '{spec.origin}'"
        raise InputError(f"The {what} '{name}' cannot be imported: the package '{package}' {found}.")
