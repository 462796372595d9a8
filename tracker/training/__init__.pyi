from .data import held_out_names, open_folder, otb_names
from .hard_positives import TrainingPositive, read_hard_positives, take_hard_positives
from .hardening import FrameHardening, FrameTransform, Hardening, MakeHardening
from .sampling import ImagePair, LabelledFrame, PairSampler
from .settings import SiamFCTraining, SintTraining, TrainingRun
from .siamfc import train_siamfc
from .sint import train_sint

__all__ = [
    "FrameHardening",
    "FrameTransform",
    "Hardening",
    "ImagePair",
    "LabelledFrame",
    "MakeHardening",
    "PairSampler",
    "SiamFCTraining",
    "SintTraining",
    "TrainingPositive",
    "TrainingRun",
    "held_out_names",
    "open_folder",
    "otb_names",
    "read_hard_positives",
    "take_hard_positives",
    "train_siamfc",
    "train_sint",
]
