"""What every command shares."""

from __future__ import annotations

import shlex
import sys
from typing import Literal

__all__ = ["Device", "Precision", "command_line"]

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]


def command_line() -> str:
    """The command as it was given, for the record in a result."""
    return shlex.join(["occlusion-search", *sys.argv[1:]])
