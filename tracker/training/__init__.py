"""Training on annotated videos: SINT by pairs of boxes and the contrastive loss, SiamFC by its response."""

from .data import held_out_names, open_folder, otb_names
from .hard_positives import HardPositive, read_hard_positives, take_hard_positives
from .hardening import FramesHardened, FrameTransform, Hardening, MakeHardening
from .runs import TrainingRun
from .sampling import ImagePair, LabelledFrame, PairSampler
from .settings import SintTraining
from .siamfc import train_siamfc
from .siamfc_pairs import SiamFCTraining
from .train import train_sint

__all__ = [
    "FrameTransform",
    "FramesHardened",
    "HardPositive",
    "Hardening",
    "ImagePair",
    "LabelledFrame",
    "MakeHardening",
    "PairSampler",
    "SiamFCTraining",
    "SintTraining",
    "TrainingRun",
    "held_out_names",
    "open_folder",
    "otb_names",
    "read_hard_positives",
    "take_hard_positives",
    "train_siamfc",
    "train_sint",
]
