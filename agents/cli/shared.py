"""What every command shares."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..results import command_line

if TYPE_CHECKING:
    from tracker.sequences import Sequence

__all__ = ["Device", "Precision", "command_line", "warn_of_otb"]

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


def warn_of_otb(train: Iterable[Sequence]) -> None:
    """Say so where videos that a tracker is trained on have the names of OTB's."""
    from tracker.training import otb_names

    if shared := otb_names(sequence.name for sequence in train):
        print(
            f"occlusion-search: warning: {', '.join(shared)} are names of OTB's targets; a tracker trained on them"
            " cannot be judged on OTB.",
            file=sys.stderr,
        )
