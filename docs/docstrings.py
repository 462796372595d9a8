"""What the docstrings need to become pages: Griffe reads them, and knows this module by mkdocs.yml."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

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
