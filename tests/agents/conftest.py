"""What the tests of commands share."""

from __future__ import annotations

import sys

import pytest

from agents.cli import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["occlusion-search", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
