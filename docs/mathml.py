"""Formulas of the pages as MathML: browsers show it by themselves, without a script from elsewhere."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', flags=re.DOTALL
)


def on_page_content(content: str, **_: Any) -> str:
    """Replace what `pymdownx.arithmatex` marked as a formula; MkDocs calls it for each page."""
    return _FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    alone = found["tag"] == "div"
    formula = convert(html.unescape(found["tex"]).strip(), display="block" if alone else "inline")
    return f'<div class="formula">{formula}</div>' if alone else formula
