"""Hard positives in a person's own training code: a torchvision transform, and a module for whole batches."""

from .batch import HardPositiveBatch, Occlusions
from .objectives import OccludedMargin, OccludedScore
from .patches import Background, Contrasting, Cutouts, Lookalikes
from .single import HardPositiveTransform

__all__ = [
    "Background",
    "Contrasting",
    "Cutouts",
    "HardPositiveBatch",
    "HardPositiveTransform",
    "Lookalikes",
    "OccludedMargin",
    "OccludedScore",
    "Occlusions",
]
