"""Hard positives in a person's own training code: a torchvision transform, and a module for whole batches.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .batch import HardPositiveBatch, Occlusions
    from .hurting import MarginLeft, ScoreLeft
    from .patches import Background, Cutouts, Lookalikes
    from .single import HardPositive

__all__ = [
    "Background",
    "Cutouts",
    "HardPositive",
    "HardPositiveBatch",
    "Lookalikes",
    "MarginLeft",
    "Occlusions",
    "ScoreLeft",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batch": ["HardPositiveBatch", "Occlusions"],
        "hurting": ["MarginLeft", "ScoreLeft"],
        "patches": ["Background", "Cutouts", "Lookalikes"],
        "single": ["HardPositive"],
    },
)
