"""What every command shares."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..results import command_line

if TYPE_CHECKING:
    from tracker.sequences import Sequence

__all__ = [
    "Allow",
    "GOES_ON",
    "NOTHING_WRITTEN",
    "Device",
    "Precision",
    "command_line",
    "on_interrupt",
    "warn",
    "warn_of_otb",
]

_DEVICES = "auto|cpu|cuda|cuda:N|mps"


def _device(given: list[str]) -> str:
    """Refuse a device that this machine does not have, before a command does anything."""
    from tracker.backbones import resolve_device

    if given[0] != "auto":
        resolve_device(given[0])
    return given[0]


Device = Annotated[
    str,
    tyro.conf.arg(metavar=_DEVICES),
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=_DEVICES,
        instance_from_str=_device,
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [value],
    ),
]
Precision = Literal["auto", "fp32", "bf16"]
Allow = Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODULE:NAME ...")]
"""Names `module:attribute` that files of agents, runs and hyper-parameters may hold, so that they are imported."""


NOTHING_WRITTEN = "nothing was written"
GOES_ON = "run the same command again to resume"


@contextmanager
def on_interrupt(state: str | Callable[[], str] = NOTHING_WRITTEN) -> Iterator[None]:
    """End a command with exit code 130 when it is interrupted, and say what it leaves.

    Args:
        state: What was written and how to go on, without a full stop; a function is called at the interrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        said = state if isinstance(state, str) else state()
        print(f"occlusion-search: interrupted; {said}.", file=sys.stderr)
        sys.exit(130)


def warn(sentence: str) -> None:
    """Print a warning to the standard error."""
    print(f"occlusion-search: warning: {sentence}", file=sys.stderr)


def warn_of_otb(train: Iterable[Sequence]) -> None:
    """Say so where videos that a tracker is trained on have the names of OTB's."""
    from tracker.training import otb_names

    if shared := otb_names(sequence.name for sequence in train):
        warn(f"{', '.join(shared)} are names of OTB's targets; a tracker trained on them cannot be judged on OTB.")
