"""The matchers of `benchmarks/scorers.py`, by names that the commands take, and what their agents observe.

SiamFC's and Nano's weights are read from the folder in the environment variable OCCLUSION_SEARCH_WEIGHTS, the
priors of the belief from that in OCCLUSION_SEARCH_PRIORS, the training videos from that in OCCLUSION_SEARCH_TRAIN,
where the benchmark says they are.
"""

import os
from pathlib import Path

from agents.belief import BeliefObservation, FittedPrior, load_prior
from occlusion_env import TargetSet, load_targets
from tracker.foreign_scorers import ConfidenceScorer, SiamFCScorer
from tracker.readers import list_targets
from tracker.sequences import evenly_spaced
from tracker.tracking.peers.opencv import NanoTracker

__all__ = ["NanoBelief", "SiamFCBelief", "nano", "siamfc", "training_targets"]

PER_VIDEO = 10
"""Training targets a video: few enough that an agent meets each several times, and its scores are remembered."""


def siamfc() -> SiamFCScorer:
    """SiamFC's response."""
    return SiamFCScorer.load(_folder("WEIGHTS") / "siamfc3s_alexnet_fp16.safetensors")


def nano() -> ConfidenceScorer:
    """Nano's confidence."""
    return ConfidenceScorer(NanoTracker(_folder("WEIGHTS") / "nanotrackv2"))


class SiamFCBelief(BeliefObservation):
    """The belief over the drops of SiamFC's response."""

    def prior(self) -> FittedPrior:
        """The prior that the benchmark fitted."""
        return load_prior(_folder("PRIORS") / "siamfc.safetensors")


class NanoBelief(BeliefObservation):
    """The belief over the drops of Nano's confidence."""

    def prior(self) -> FittedPrior:
        """The prior that the benchmark fitted."""
        return load_prior(_folder("PRIORS") / "nano.safetensors")


def training_targets() -> TargetSet:
    """`PER_VIDEO` targets of each training video, evenly spaced."""
    videos = [load_targets(str(path)) for path, _ in list_targets(_folder("TRAIN")).values()]
    return TargetSet.join(each.subset(evenly_spaced(len(each), PER_VIDEO)) for each in videos)


def _folder(name: str) -> Path:
    return Path(os.environ[f"OCCLUSION_SEARCH_{name}"])
