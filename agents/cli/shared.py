"""What every command shares."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from ..results import command_line

if TYPE_CHECKING:
    from tracker.sequences import Sequence

__all__ = ["Device", "Precision", "command_line", "warn_of_otb"]

Device = Literal["auto", "cpu", "cuda"]
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
