"""Look-up of classes and functions by name: in a table, or as `module:attribute` of any importable module.

Programs and command lines may give `module:attribute`. A file (an agent's card, a run's folder, a hyper-parameter
file) may only name objects of this package: see `check_built_in`.
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

T = TypeVar("T")

_PATTERN = re.compile(r"\w[\w.]*:[A-Za-z_]\w*")
_OWN = ("occlusion_env.scene.oracle:OracleScorer", "occlusion_env.scene.oracle:OracleFeatures")
"""Names of this package in the arguments that its ids are registered with, which runs record."""
_PATHS = ("weights", "base_weights")
"""Arguments of environments that are paths of files."""


def is_import_path(name: str) -> bool:
    """Whether a name has the form `module:attribute`.

    >>> is_import_path("my_package.scorers:ncc"), is_import_path("sint")
    (True, False)
    """
    return _PATTERN.fullmatch(name) is not None


def find_import_paths(content: Any) -> Iterator[str]:
    """Every `module:attribute` among the values of plain data, in the data's order.

    >>> list(find_import_paths({"reward": "mine:Reward", "features": "torchvision:resnet18", "scorer": ["a.b:c"]}))
    ['mine:Reward', 'a.b:c']
    """
    if isinstance(content, Mapping):
        for name, value in content.items():
            of_torchvision = name == "features" and str(value).startswith("torchvision:")
            if name not in _PATHS and not of_torchvision:
                yield from find_import_paths(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from find_import_paths(value)
    elif isinstance(content, str) and is_import_path(content):
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
    for name in find_import_paths(content):
        if name not in allowed and name not in _OWN:
            raise InputError(
                f"'{source}' names {shorten(name)}, and files may name built-in things only; if you trust that"
                f" code, allow it: --allow {name} (allowed={[name]} in Python)."
            )


def import_by_name(role: str, name: str) -> Any:
    """Import what `module:attribute` names; its role, such as "scorer", is for the error's sentence.

    Raises:
        InputError: If the module cannot be imported or has no such attribute.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise InputError(f"The {role} '{name}' cannot be imported: {error}.") from None
    except AttributeError:
        raise InputError(f"The {role} '{name}' cannot be imported: '{module}' has no '{attribute}'.") from None


@lru_cache(maxsize=64)
def call_by_name(role: str, name: str) -> Any:
    """The result of the function that `module:function` names; a process calls each function once.

    Raises:
        InputError: If it cannot be imported, is no function, or fails.
    """
    function = import_by_name(role, name)
    if not callable(function):
        raise InputError(f"The {role} '{name}' is no function; name one that returns a {role}.")
    try:
        return function()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"The {role} '{name}' failed: {type(error).__name__}: {error}") from error


def look_up(role: str, name: str, table: Mapping[str, T | str]) -> T:
    """Look a name up in a table, or import it.

    Args:
        role: Use of the object, for the error's sentence.
        name: A key of `table`, or `module:attribute`.
        table: Objects by name; a text is `module:attribute` of this distribution, imported when it is used.

    Raises:
        InputError: If the name is neither a key nor `module:attribute`, or cannot be imported.

    >>> look_up("colour", "red", {"red": 1})
    1
    """
    found: Any = table.get(name) if isinstance(name, str) else None
    if isinstance(found, str):
        _check_own(role, found)
        return import_by_name(role, found)
    if found is not None:
        return found
    if isinstance(name, str) and is_import_path(name):
        return import_by_name(role, name)
    raise InputError(f"{shorten(name)} is no {role}; choose {', '.join(table)}, or give module:name.")


def _check_own(role: str, name: str) -> None:
    """Refuse an object of this distribution whose package is hidden by another one of the same name."""
    package = name.partition(".")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or Path(spec.origin).parents[1] != Path(__file__).parents[1]:
        fault = "is not installed" if spec is None else f"is hidden by '{spec.origin}'"
        raise InputError(f"The {role} '{name}' cannot be imported: the package '{package}' {fault}.")
