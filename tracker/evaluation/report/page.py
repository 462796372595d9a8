"""HTML reports in a single file: pictures, tables and the page's template."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


@dataclass
class Picture:
    """A picture of the page; the same bytes are in the page and in the file.

    Attributes:
        file: Its name.
        data: The file, a PNG or a JPEG.
        alt: Alternative text, for readers who do not see it.
        caption: Text below it.
    """

    file: str
    data: bytes
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        kind = "jpeg" if self.file.endswith(".jpg") else "png"
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass
class PageTable:
    """A table of the page.

    Attributes:
        caption: Text above it.
        head: Names of the columns.
        rows: The first cell of each is its name.
    """

    caption: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)


def render_page(package: str, template: str, **values: Any) -> str:
    """Render a template.

    Args:
        package: Package whose folder `templates` holds it. The template may use those of this package:
            `page.html.j2`, the page, and `parts.html.j2`, tables and pictures.
        template: Name of the template.
        values: Values of the template's variables; `page.html.j2` takes `title`, `lead`, `sections`, `warnings`,
            and `parts.html.j2` the `pictures` by name.

    Raises:
        jinja2.UndefinedError: If a value is missing.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("tracker.evaluation.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)
