"""The paper's ladder: SINT trained with and without generated positives, and judged (section 5, Table 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .arms import ARMS, Arm
    from .report import write_ladder_report
    from .running import run_ladder
    from .settings import LadderRun
    from .summary import summarise_ladder

__all__ = ["ARMS", "Arm", "LadderRun", "run_ladder", "summarise_ladder", "write_ladder_report"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arms": ["ARMS", "Arm"],
        "report": ["write_ladder_report"],
        "running": ["run_ladder"],
        "settings": ["LadderRun"],
        "summary": ["summarise_ladder"],
    },
)
