"""The command line `occlusion-search`: one module a command; heavy imports wait until a command runs."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TextIO

import tyro

from tracker.errors import InputError

from .backbone import train_backbone
from .benchmark import benchmark
from .check_tracker import check_tracker
from .demo import demo
from .doctor import doctor
from .enjoy import enjoy
from .evaluate import evaluate
from .evaluate_vae import evaluate_vae
from .export_agent import export_agent
from .fit_prior import fit_prior
from .generate import generate
from .reproduce import reproduce
from .track import track
from .train import train
from .train_siamfc import train_siamfc
from .train_tracker import train_tracker
from .train_vae import train_vae

__all__ = ["main"]

app = tyro.extras.SubcommandApp()
app.command(name="demo")(demo)
app.command(name="train-backbone")(train_backbone)
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
    """Run a command: bad input is one sentence and exit code 2; a closed pipe on standard output is silent."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        _run()


def _run() -> None:
    try:
        try:
            app.cli(prog="occlusion-search", description="Hard positives for visual trackers (SINT++).")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:  # so that Python's own flush at exit does not fail again
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        sys.exit(128 + 13)  # as a program that SIGPIPE ends
    except ValueError as error:
        if not isinstance(error, _input_errors()):
            raise
        print(f"occlusion-search: error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"occlusion-search: error: '{error.filename}': {error.strerror}.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # of a command without a state to report; see shared.on_interrupt
        print("occlusion-search: interrupted.", file=sys.stderr)
        sys.exit(130)


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
