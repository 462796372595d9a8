"""SINT's training on annotated videos: pairs of boxes, the margin contrastive loss, hard positives mixed in."""

from .data import held_out_names, open_folder, otb_names
from .hard_positives import HardPositive, read_hard_positives, take_hard_positives
from .hardening import FramesHardened, FrameTransform, Hardening, MakeHardening
from .sampling import ImagePair, LabelledFrame, PairSampler
from .settings import SintTraining
from .train import TrainingRun, train_sint

__all__ = [
    "FrameTransform",
    "FramesHardened",
    "HardPositive",
    "Hardening",
    "ImagePair",
    "LabelledFrame",
    "MakeHardening",
    "PairSampler",
    "SintTraining",
    "TrainingRun",
    "held_out_names",
    "open_folder",
    "otb_names",
    "read_hard_positives",
    "take_hard_positives",
    "train_sint",
]
