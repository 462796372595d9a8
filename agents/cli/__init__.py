"""The command line `occlusion-search`: one module a command; heavy imports wait until a command runs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from typing import TextIO

import tyro

from ..common.scripts import describe_refusal
from .commands import COMMANDS, check_required, examples_of, find_command, rename_flags, root_help
from .shared import note
from .signals import exit_code, interruption, raised_signals
from .streams import CLOSED_PIPE, Output, ProgressLines, open_closed_streams

__all__ = ["main", "run_command"]


def main() -> None:
    """Run a command.

    Bad input and what the disk or the memory refuses are one sentence and exit code 2; a closed standard stream is
    silent.
    """
    open_closed_streams()
    with (
        warnings.catch_warnings(),
        redirect_stdout(Output(sys.stdout)),
        redirect_stderr(Output(sys.stderr) if sys.stderr.isatty() else ProgressLines(sys.stderr)),
        raised_signals(),
    ):
        warnings.showwarning = _show_warning
        _run()


def run_command(words: Sequence[str]) -> None:
    """Run the command that a command line names, or print its help or the root's."""
    if list(words) in ([], ["benchmark"]):
        print(root_help(" ".join([*words, ""]).lstrip()), file=sys.stderr)
        sys.exit(2)
    if words[0] in ("-h", "--help"):
        print(root_help())
    elif words[0] == "--version":
        print(f"occlusion-search {_version()}")
    elif words[0] == "benchmark" and words[1:] in (["-h"], ["--help"]):
        print(root_help("benchmark "))
    else:
        name, rest = find_command(words)
        rest, notes = rename_flags(name, rest)
        for each in notes:
            note(each)
        check_required(name, rest)
        try:
            tyro.cli(COMMANDS[name], args=rest, prog=f"occlusion-search {name}")
        except SystemExit as end:
            if end.code == 0 and {"-h", "--help"} & set(rest):
                print("\n".join(["examples:", *(f"  {example}" for example in examples_of(COMMANDS[name]))]))
            raise


def _version() -> str:
    try:
        return metadata.version("occlusion-search")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def _run() -> None:
    try:
        try:
            run_command(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # a result that was written to a pipe
        sys.exit(CLOSED_PIPE)
    except Exception as error:
        if (sentence := describe_refusal(error)) is None:
            raise
        print(f"occlusion-search: error: {sentence}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:  # of a command without a state to report; see shared.on_interrupt
        print(f"occlusion-search: {interruption(interrupt)}.", file=sys.stderr)
        sys.exit(exit_code(interrupt))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print what concerns the user's input as one line, and warnings to developers in Python's form."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    print(f"occlusion-search: warning: {message}" if category is UserWarning else text.rstrip(), file=sys.stderr)
