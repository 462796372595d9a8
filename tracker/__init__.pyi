from .data.images import crop, read_image
from .data.readers import list_sequences, list_targets, open_sequences
from .data.sequences import Sequence
from .data.synthetic import synthetic_sequence
from .errors import InputError
from .models.backbones import Backbone, FeatureExtractor, load_backbone
from .scorers import Scorer, SintScorer, load_scorer
from .scorers.check import check_scorer
from .scorers.foreign import ConfidenceScorer, EmbeddingScorer, SiamFCScorer
from .trackers.check import check_tracker
from .trackers.following import open_sequence
from .trackers.protocol import Tracker
from .trackers.registry import load_tracker
from .trackers.siamfc import SiamFCTracker
from .trackers.sint.tracker import SintTracker
from .training.losses import contrastive_loss
from .training.sint import train_sint

__all__ = [
    "Backbone",
    "ConfidenceScorer",
    "EmbeddingScorer",
    "FeatureExtractor",
    "InputError",
    "Scorer",
    "Sequence",
    "SiamFCScorer",
    "SiamFCTracker",
    "SintScorer",
    "SintTracker",
    "Tracker",
    "check_scorer",
    "check_tracker",
    "contrastive_loss",
    "crop",
    "list_sequences",
    "list_targets",
    "load_backbone",
    "load_scorer",
    "load_tracker",
    "open_sequence",
    "open_sequences",
    "read_image",
    "synthetic_sequence",
    "train_sint",
]
