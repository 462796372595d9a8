"""The command line `occlusion-search`: one module a command; heavy imports wait until a command runs."""

from __future__ import annotations

import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import TextIO

import tyro

from tracker.errors import InputError, describe_error

from .agents.enjoy import enjoy
from .agents.evaluate import evaluate
from .agents.export_agent import export_agent
from .agents.fit_prior import fit_prior
from .agents.train import train
from .data.evaluate_vae import evaluate_vae
from .data.generate import generate
from .data.train_vae import train_vae
from .signals import exit_code, interruption, raised_signals
from .start.demo import demo
from .start.doctor import doctor
from .start.reproduce import reproduce
from .streams import CLOSED_PIPE, Output, open_closed_streams
from .trackers.benchmark import benchmark
from .trackers.check_tracker import check_tracker
from .trackers.track import track
from .trackers.train_siamfc import train_siamfc
from .trackers.train_tracker import train_tracker

__all__ = ["main"]

app = tyro.extras.SubcommandApp()
app.command(name="demo")(demo)
app.command(name="export-agent")(export_agent)
app.command(name="fit-prior")(fit_prior)
app.command(name="doctor")(doctor)
app.command(name="train-vae")(train_vae)
app.command(name="train-tracker")(train_tracker)
app.command(name="train-siamfc")(train_siamfc)
app.command(name="evaluate-vae")(evaluate_vae)
app.command(name="train")(train)
app.command(name="enjoy")(enjoy)
app.command(name="evaluate")(evaluate)
app.command(name="generate")(generate)
app.command(name="reproduce")(reproduce)
app.command(benchmark, name="benchmark")
app.command(name="track")(track)
app.command(name="check-tracker")(check_tracker)


def main() -> None:
    """Run a command.

    Bad input and what the disk or the memory refuses are one sentence and exit code 2; a closed standard stream is
    silent.
    """
    open_closed_streams()
    with (
        warnings.catch_warnings(),
        redirect_stdout(Output(sys.stdout)),
        redirect_stderr(Output(sys.stderr)),
        raised_signals(),
    ):
        warnings.showwarning = _show_warning
        _run()


def _run() -> None:
    try:
        try:
            app.cli(prog="occlusion-search", description="Hard positives for visual trackers (SINT++).")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # a result that was written to a pipe
        sys.exit(CLOSED_PIPE)
    except Exception as error:
        sentence = str(error) if isinstance(error, _input_errors()) else describe_error(error)
        if sentence is None:
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


def _input_errors() -> tuple[type[ValueError], ...]:
    """What a person's input raises; `vae` stands alone and, if it raised anything, is imported by now."""
    module = sys.modules.get("vae")
    return (InputError,) if module is None else (InputError, module.VAEError)
