"""Arguments, notes and interrupts that the commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tracker.errors import InputError, describe_error

from ..common.results import command_line
from .signals import exit_code, interruption

if TYPE_CHECKING:
    from tracker.data.sequences import Sequence

__all__ = [
    "Allow",
    "BaseWeights",
    "GOES_ON",
    "Json",
    "NOTHING_WRITTEN",
    "Device",
    "Precision",
    "Seed",
    "command_line",
    "note",
    "on_interrupt",
    "warn",
    "warn_of_otb",
]

_DEVICES = "auto|cpu|cuda|cuda:N|mps"


def _device(given: list[str]) -> str:
    """Refuse a device that this machine does not have, before a command does anything."""
    from tracker.models.backbones import resolve_device

    if given[0] != "auto":
        resolve_device(given[0])
    return given[0]


Device = Annotated[
    str,
    tyro.conf.arg(metavar=_DEVICES, help="Where the networks run."),
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=_DEVICES,
        instance_from_str=_device,
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [value],
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    tyro.conf.arg(help="Arithmetic of the networks; auto takes bfloat16 where the hardware has it."),
]
Json = Annotated[Path | None, tyro.conf.arg(help="Write the figures to this file too.")]
BaseWeights = Annotated[
    str | None, tyro.conf.arg(help="The initial weights of the training, for weights that train-tracker wrote.")
]
Allow = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="MODULE:NAME ...",
        help="Names of your own code that files of agents, runs and hyper-parameters may contain.",
    ),
]

LARGEST_SEED = 2**32 - 1
"""The largest seed that numpy's global generator takes."""


def _seed(given: list[str]) -> int:
    """Refuse a seed that a library would refuse in mid-run."""
    seed = int(given[0])
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed is {seed}; it must lie between 0 and {LARGEST_SEED}.")
    return seed


Seed = Annotated[
    int,
    tyro.conf.arg(metavar="INT", help="Seed of all random numbers."),
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=_seed,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]


NOTHING_WRITTEN = "nothing was written"
GOES_ON = "run the same command again to resume"


@contextmanager
def on_interrupt(state: str | Callable[[], str] = NOTHING_WRITTEN) -> Iterator[None]:
    """End a command that is interrupted or terminated, or refused disk or memory, and say what it leaves.

    The exit code is 130, 143 or 2.

    Args:
        state: What was written and how to go on, without a full stop; a function is called at the interrupt.
    """
    try:
        yield
    except Exception as error:
        sentence = None if isinstance(error, ValueError | BrokenPipeError) else describe_error(error)
        if sentence is None:
            raise
        said = state if isinstance(state, str) else state()
        print(f"occlusion-search: error: {sentence.rstrip('.')}; {said}.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        said = state if isinstance(state, str) else state()
        print(f"occlusion-search: {interruption(interrupt)}; {said}.", file=sys.stderr)
        sys.exit(exit_code(interrupt))


def warn(sentence: str) -> None:
    """Print a warning to the standard error."""
    print(f"occlusion-search: warning: {sentence}", file=sys.stderr)


def note(sentence: str) -> None:
    """Print a note to the standard error."""
    print(f"occlusion-search: note: {sentence}", file=sys.stderr)


def warn_of_otb(train: Iterable[Sequence]) -> None:
    """Say so where videos that a tracker is trained on have the names of OTB's."""
    from tracker.training import otb_names

    if shared := otb_names(sequence.name for sequence in train):
        warn(f"{', '.join(shared)} are names of OTB's targets; a tracker trained on them cannot be judged on OTB.")
