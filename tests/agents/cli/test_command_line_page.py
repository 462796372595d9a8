"""`docs/command_line.md` says what the commands say themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line_page import PAGE, command_line_page, write_command_line_page

from agents.cli import run_command
from agents.cli.commands import COMMANDS

ROOT = Path(__file__).parents[3]
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
OPTION = re.compile(r"^[│|]? {1,2}(-.*?)(?:  |$)", flags=re.MULTILINE)
"""The beginning of an option in tyro's help, in a box or without one; its description stands further in."""


def section(name: str) -> str:
    return command_line_page().partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_the_page_is_what_the_code_says() -> None:
    """Where this fails, run `python docs/command_line_page.py`."""
    assert (ROOT / PAGE).read_text() == command_line_page()


def test_it_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert write_command_line_page(tmp_path).read_text() == command_line_page()
    assert [file.name for file in (tmp_path / "docs").iterdir()] == ["command_line.md"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_flags_of_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command([*name.split(), "--help"])
    told = {flag for option in OPTION.findall(capsys.readouterr().out) for flag in FLAG.findall(option)}
    rows = [line for line in section(name).splitlines() if line.startswith("| `-")]
    written = {flag for row in rows for flag in FLAG.findall(row.split(" | ")[0])}
    assert {"-h", "--help"} <= told and written == told - {"-h", "--help"}
