"""Doctests of the docstrings as code blocks: Markdown takes `>>>` for three nested quotations."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_DOCTEST = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", flags=re.MULTILINE)


class Doctests(Extension):
    """Fences every run of lines that begins with `>>>`, up to the next blank line."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Griffe calls it for every object whose docstring it has read."""
        if obj.docstring is not None:
            obj.docstring.value = _DOCTEST.sub(r"\1```pycon\n\g<0>\n\1```", obj.docstring.value)
