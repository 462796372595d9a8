"""Hard positives in a person's own training code: a torchvision transform, and a module for whole batches.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .batch import HardPositiveBatch, Occlusions
    from .objectives import OccludedMargin, OccludedScore
    from .patches import Background, Cutouts, Lookalikes
    from .single import HardPositiveTransform

__all__ = [
    "Background",
    "Cutouts",
    "HardPositiveBatch",
    "HardPositiveTransform",
    "Lookalikes",
    "OccludedMargin",
    "OccludedScore",
    "Occlusions",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batch": ["HardPositiveBatch", "Occlusions"],
        "objectives": ["OccludedMargin", "OccludedScore"],
        "patches": ["Background", "Cutouts", "Lookalikes"],
        "single": ["HardPositiveTransform"],
    },
)
