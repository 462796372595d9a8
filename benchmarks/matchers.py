"""The matchers of `benchmarks/scorers.py`, by names that the commands take, and how their agents see them.

SiamFC's and Nano's weights are read from the folder in the environment variable OCCLUSION_SEARCH_WEIGHTS, the
predictors of the drops from that in OCCLUSION_SEARCH_FORESIGHT, the training videos from that in
OCCLUSION_SEARCH_TRAIN, where the benchmark says they are.
"""

import os
from pathlib import Path

from agents.foresight import DropPredictor, Foresight, load_predictor
from occlusion_env import TargetSet, load_targets
from tracker.foreign_scorers import ConfidenceScorer, SiamFCScorer
from tracker.readers import list_targets
from tracker.sequences import evenly_spaced
from tracker.tracking.peers.opencv import NanoTracker

__all__ = ["NanoForesight", "SiamFCForesight", "nano", "siamfc", "training_targets"]

PER_VIDEO = 10
"""Training targets a video: few enough that an agent meets each several times, and its scores are remembered."""


def siamfc() -> SiamFCScorer:
    """SiamFC's response."""
    return SiamFCScorer.load(_folder("WEIGHTS") / "siamfc3s_alexnet_fp16.safetensors")


def nano() -> ConfidenceScorer:
    """Nano's confidence; its unit as `occlusion-search train-foresight` measured it on the training videos."""
    return ConfidenceScorer(NanoTracker(_folder("WEIGHTS") / "nanotrackv2"), unit=0.053)


class SiamFCForesight(Foresight):
    """What covering a region takes off SiamFC's response."""

    def predictor(self) -> DropPredictor:
        """The network that has learned it."""
        return load_predictor(_folder("FORESIGHT") / "siamfc.safetensors")


class NanoForesight(Foresight):
    """What covering a region takes off Nano's confidence."""

    def predictor(self) -> DropPredictor:
        """The network that has learned it."""
        return load_predictor(_folder("FORESIGHT") / "nano.safetensors")


def training_targets() -> TargetSet:
    """`PER_VIDEO` targets of each training video, evenly spaced."""
    videos = [load_targets(str(path)) for path, _ in list_targets(_folder("TRAIN")).values()]
    return TargetSet.join(each.subset(evenly_spaced(len(each), PER_VIDEO)) for each in videos)


def _folder(name: str) -> Path:
    return Path(os.environ[f"OCCLUSION_SEARCH_{name}"])
