"""How far the scores of different trackers fall when their targets are occluded: at random, and by search.

SINT is the package's own, the grey correlation that of `matcher.py`; SiamFC and OpenCV's Nano are added where
their weights are given. Each is checked first. All cover a quarter of the target with a piece of the background.

Usage: python examples/05_hard_positives_for_any_tracker.py [SEQUENCES [TARGETS]] [--siamfc FILE] [--nano FOLDER]

Prints:

    Occluding 8 targets
    SINT: score of 8 targets 0.774; random -0.125, best of 20 random -0.164, grid -0.185
    grey correlation: score of 8 targets 0.549; random -0.188, best of 20 random -0.303, grid -0.330
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matcher import GreyCorrelation

from agents import HardPositiveGenerator
from occlusion_env import load_targets
from tracker import Scorer, load_scorer
from tracker.data.sequences import evenly_spaced
from tracker.scorers.check import check_scorer
from tracker.scorers.foreign import ConfidenceScorer, SiamFCScorer
from tracker.trackers.opencv import NanoTracker


@dataclass
class Arguments:
    """Videos, trackers and methods.

    Attributes:
        sequences: A folder of annotated sequences, or one; `synthetic` for a rendered one.
        targets: Number of targets.
        siamfc: SiamFC's safetensors file.
        nano: The folder with Nano's two ONNX files.
        methods: Names of `agents.policies.methods.METHODS`.
    """

    sequences: tyro.conf.Positional[str] = "synthetic"
    targets: tyro.conf.Positional[int] = 8
    siamfc: Path | None = None
    nano: Path | None = None
    methods: tuple[str, ...] = ("random", "best of 20 random", "grid")


def main(given: Arguments) -> None:
    """Print a row for each tracker."""
    scorers: dict[str, Scorer] = {"SINT": load_scorer(), "grey correlation": GreyCorrelation()}
    if given.siamfc is not None:
        scorers["SiamFC"] = SiamFCScorer.load(given.siamfc)
    if given.nano is not None:
        scorers["Nano"] = ConfidenceScorer(NanoTracker(given.nano))
    every = load_targets(given.sequences)
    targets = every.subset(evenly_spaced(len(every), given.targets))
    print(f"Occluding {len(targets)} targets", flush=True)
    for name, scorer in scorers.items():
        for finding in check_scorer(scorer):
            print(f"{name}: {finding}")
        parts = []
        for method in given.methods:
            found = list(HardPositiveGenerator(method, scorer).of_targets(targets))
            drops = np.array([hard.score_before - hard.score_after for hard in found])
            parts.append(f"{method} -{drops.mean():.3f}")
        clean = np.mean([hard.score_before for hard in found])
        print(f"{name}: score of {len(targets)} targets {clean:.3f}; " + ", ".join(parts), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
