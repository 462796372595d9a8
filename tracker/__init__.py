"""Videos, the Siamese matcher SINT, and what it is made of.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .data.images import crop, read_image
    from .data.readers import list_sequences, open_sequences
    from .data.sequences import Sequence
    from .data.synthetic import synthetic_sequence
    from .errors import InputError
    from .models.backbones import Backbone, FeatureExtractor, load_backbone
    from .scorers import Scorer, SintScorer, load_scorer
    from .scorers.check import check_scorer
    from .scorers.foreign import ConfidenceScorer, EmbeddingScorer, SiamFCScorer
    from .trackers.check import check_tracker
    from .trackers.following import open_sequence
    from .trackers.registry import load_tracker
    from .trackers.sint.tracker import SintTracker
    from .training.losses import contrastive_loss

__all__ = [
    "Backbone",
    "ConfidenceScorer",
    "EmbeddingScorer",
    "FeatureExtractor",
    "InputError",
    "Scorer",
    "Sequence",
    "SiamFCScorer",
    "SintScorer",
    "SintTracker",
    "check_scorer",
    "check_tracker",
    "contrastive_loss",
    "crop",
    "list_sequences",
    "load_backbone",
    "load_scorer",
    "load_tracker",
    "open_sequence",
    "open_sequences",
    "read_image",
    "synthetic_sequence",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "models.backbones": ["Backbone", "FeatureExtractor", "load_backbone"],
        "errors": ["InputError"],
        "data.images": ["crop", "read_image"],
        "scorers.check": ["check_scorer"],
        "scorers.foreign": ["ConfidenceScorer", "EmbeddingScorer", "SiamFCScorer"],
        "trackers.check": ["check_tracker"],
        "trackers.following": ["open_sequence"],
        "trackers.registry": ["load_tracker"],
        "trackers.sint.tracker": ["SintTracker"],
        "training.losses": ["contrastive_loss"],
        "data.readers": ["list_sequences", "open_sequences"],
        "scorers": ["Scorer", "SintScorer", "load_scorer"],
        "data.sequences": ["Sequence"],
        "data.synthetic": ["synthetic_sequence"],
    },
)
