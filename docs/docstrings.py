"""What the docstrings need to become pages: Griffe reads them, and knows this module by mkdocs.yml."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from griffe import Extension, Module, Object

_DOCTEST = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", flags=re.MULTILINE)


class Docstrings(Extension):
    """Doctests become code blocks, for Markdown takes `>>>` for three nested quotations.

    A constructor's docstring that only points to its class's is left out, since the page shows the two as one.
    """

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Griffe calls it for every object that it has read."""
        if obj.docstring is None:
            return
        if obj.docstring.value == "See the class.":
            obj.docstring = None
        else:
            obj.docstring.value = _DOCTEST.sub(r"\1```pycon\n\g<0>\n\1```", obj.docstring.value)

    def on_module(self, *, mod: Module, **_: Any) -> None:
        """Griffe calls it for every module that it has read: a stub's names are what its package exports."""
        if not isinstance(mod.filepath, Path) or not (stub := mod.filepath.with_suffix(".pyi")).exists():
            return
        imports = [line for line in ast.parse(stub.read_text()).body if isinstance(line, ast.ImportFrom)]
        mod.exports = [name.name for line in imports for name in line.names]
