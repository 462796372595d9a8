"""HTML pages of results: one file with its tables, pictures and the command that made it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ...files import replacing_file

INDEX = "index.html"
"""Name of the page in a command's output folder."""


@dataclass
class Picture:
    """A picture of the page.

    Attributes:
        file: Its name; where `data` is `None`, its path relative to the page.
        data: The file, a PNG, JPEG or GIF, which the page then contains; `None` to load it from `file`, for
            pictures that are too many for one page.
        alt: Alternative text, for readers who do not see it.
        caption: Text below it.
    """

    file: str
    data: bytes | None
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        """The picture as a data URI, or the address of its file."""
        if self.data is None:
            return quote(self.file)
        kind = {".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif"}.get(Path(self.file).suffix, "png")
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass
class PageTable:
    """A table of the page; a click on the name of a column sorts it.

    Attributes:
        caption: Text above it.
        head: Names of the columns.
        rows: The first cell of each is its name.
        colours: Colours of names in the plots, such as `#0072B2`, shown beside them in the table.
    """

    caption: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    colours: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_numeric(self) -> list[bool]:
        """Whether most cells of each column begin with a number; such columns are aligned to the right."""
        columns = [[row[column] for row in self.rows] for column in range(len(self.head))]
        return [sum(cell.lstrip("+-")[:1].isdigit() for cell in cells) > len(cells) / 2 for cells in columns]


@dataclass
class Section:
    """A section of a result's page; its parts are shown in the order of the attributes.

    Attributes:
        title: Its heading.
        text: Paragraphs.
        pictures: Shown side by side where the window is wide enough.
        tables: Tables.
        least_width: Width of a picture in pixels, from which on it gets a column.
    """

    title: str
    text: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[PageTable] = ()
    least_width: int = 560


def write_index(
    folder: Path,
    title: str,
    lead: str,
    sections: Sequence[Section],
    command: str,
    *,
    settings: Sequence[tuple[str, str]] = (),
    next_steps: Sequence[tuple[str, str]] = (),
    warnings: Sequence[str] = (),
) -> Path:
    """Write `index.html`, the page of a command's output folder; it appears complete or not at all.

    Args:
        folder: The output folder, which exists.
        title: Heading of the page.
        lead: The result in a sentence or two.
        sections: What the command found.
        command: The command line.
        settings: Names and values, shown with the command at the end.
        next_steps: What a reader may do now, and the command for it.
        warnings: Shown above the sections.

    Returns:
        The file.
    """
    ends = [("next", "Where to go next")] if next_steps else []
    page = render_page(
        __package__,
        "index.html.j2",
        title=title,
        lead=lead,
        warnings=warnings,
        sections=[
            *((f"section-{number}", section.title) for number, section in enumerate(sections, start=1)),
            *ends,
            ("made", "How this was made"),
        ],
        content=sections,
        next_steps=next_steps,
        settings=[*settings, ("command", command)],
    )
    with replacing_file(folder / INDEX) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / INDEX


def render_page(package: str, template: str, **values: Any) -> str:
    """Render a template.

    Args:
        package: Package whose folder `templates` holds it. The template may use those of this package:
            `page.html.j2`, the page, and `parts.html.j2`, tables and pictures.
        template: Name of the template.
        values: Values of the template's variables; `page.html.j2` takes `title`, `lead`, `sections`, `warnings`.

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
