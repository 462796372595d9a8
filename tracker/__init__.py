"""Videos, the Siamese matcher SINT, and what it is made of.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .backbones import Backbone, FeatureExtractor, load_backbone
    from .errors import InputError
    from .images import crop, read_image
    from .losses import contrastive_loss
    from .readers import list_sequences, open_sequence, open_sequences
    from .scorers import Scorer, SintScorer, load_scorer
    from .sequences import Sequence
    from .synthetic import synthetic_sequence

__all__ = [
    "Backbone",
    "FeatureExtractor",
    "InputError",
    "Scorer",
    "Sequence",
    "SintScorer",
    "contrastive_loss",
    "crop",
    "list_sequences",
    "load_backbone",
    "load_scorer",
    "open_sequence",
    "open_sequences",
    "read_image",
    "synthetic_sequence",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backbones": ["Backbone", "FeatureExtractor", "load_backbone"],
        "errors": ["InputError"],
        "images": ["crop", "read_image"],
        "losses": ["contrastive_loss"],
        "readers": ["list_sequences", "open_sequence", "open_sequences"],
        "scorers": ["Scorer", "SintScorer", "load_scorer"],
        "sequences": ["Sequence"],
        "synthetic": ["synthetic_sequence"],
    },
)
