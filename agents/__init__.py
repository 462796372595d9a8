"""Agents of the search and their applications: Algorithm 1, evaluation, hard positives, the command line.

Importing this package imports no torch; each name of `__init__.pyi` is loaded on first use.
"""

import warnings
from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load a public name on first use; a name of the last version comes with a warning."""
    if name not in ("Comparison", "begin_all", "find_hard_positives"):
        return _load(name)
    from . import former

    warnings.warn(
        f"agents.{name} is now {former.RENAMED[name]}; the old name goes in the next version.",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(former, name)
