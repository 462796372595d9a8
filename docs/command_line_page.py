"""`docs/command_line.md`, made from the commands' docstrings: `python docs/command_line_page.py` writes it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro
from environments_page import described

from agents.cli.commands import COMMANDS, GROUPS, RENAMED, examples_of, summary_of
from tracker.files import replacing_file

__all__ = ["command_line_page", "write_command_line_page"]

PAGE = Path("docs") / "command_line.md"

_HEAD = """\
# Command line

<!-- Written by `python docs/command_line_page.py` from the docstrings; edit those. -->

`occlusion-search COMMAND --help` prints the same in the terminal. Bad input is one sentence on the standard error
and exit code 2. A command that failed on a part of its input, or found something wrong, names it and exits with 1.
Ctrl-C and SIGTERM end a command with 130 and 143: temporary files are removed, worker processes end within five
seconds, and the command prints what was written and how to resume. Workers also end when the command is killed. A
command refuses an output folder that another process works in; the lock ends with that process, however it ends.
On Windows, and on network file systems without `flock`, there is no such lock. Progress is a bar on a terminal,
and elsewhere one line every ten seconds at most.

{table}

Flags have the same name in all commands: `--data` for videos, `--agent`, `--steps`, `--out`, `--only` for a choice
of sequences or arms, and `--json`. These names of the last version are accepted with a note until the next one:

{renamed}
"""


def command_line_page() -> str:
    """The whole page, in Markdown."""
    rows = [
        f"| {group} | [`{name}`](#{name.replace(' ', '-')}) | {summary_of(COMMANDS[name])} |"
        for group, names in GROUPS.items()
        for name in names
    ]
    table = "\n".join(["| group | command | does |", "|---|---|---|", *rows])
    renamed = [
        f"| `{name}` | `{old}` | `{new}` |" for name, flags in RENAMED.items() for old, new in flags.items()
    ]
    renamed_table = "\n".join(["| command | old | new |", "|---|---|---|", *renamed])
    parts = [_HEAD.format(table=table, renamed=renamed_table)]
    return "\n".join([*parts, *(_section(name, function) for name, function in COMMANDS.items())])


def write_command_line_page(root: Path) -> Path:
    """Write the page below the repository's root."""
    with replacing_file(root / PAGE) as temporary:
        temporary.write_text(command_line_page())
    return root / PAGE


def _section(name: str, function: Callable[..., None]) -> str:
    about = re.split(r"\n(?:Args|Examples):\n", inspect.cleandoc(function.__doc__ or ""))[0].rstrip()
    examples = "\n".join(["```sh", *examples_of(function), "```"])
    texts = described(function, "Args")
    kinds = get_type_hints(function, include_extras=True)
    rows = [
        _row(each, kinds[each.name], texts.get(each.name, ""))
        for each in inspect.signature(function).parameters.values()
    ]
    table = "\n".join(["| argument | value | default | is |", "|---|---|---|---|", *rows])
    return f"## {name}\n\n{about}\n\n{examples}\n\n{table}\n"


def _row(parameter: inspect.Parameter, kind: Any, text: str) -> str:
    """A row of a command's table: how it is written, what it takes, what it is if left out, what it is for."""
    kind, *marks = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    told: Any = next((mark for mark in marks if hasattr(mark, "metavar")), tyro.conf.arg())
    name = (told.name or parameter.name).replace("_", "-")
    written = [f"`--{name}`", *(f"`{alias}`" for alias in told.aliases or ())]
    if kind is bool:
        written += [f"`--no-{name}`"]
    value = " or ".join(f"`{one.strip()}`" for one in told.metavar.split("|")) if told.metavar else _value(kind)
    return f"| {' '.join(written)} | {value} | {_default(parameter.default)} | {text or told.help} |"


def _value(kind: Any) -> str:
    """What stands behind a flag."""
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (kind,) = (one for one in of if one is not type(None))
        return _value(kind)
    if origin is Literal:
        return " ".join(f"`{choice}`" for choice in of)
    if origin is tuple:
        return f"`{of[0].__name__.upper()} ...`"
    return "" if kind is bool else f"`{kind.__name__.upper()}`"


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value is False or value == ():
        return ""
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    print(write_command_line_page(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
