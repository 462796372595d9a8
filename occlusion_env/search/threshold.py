"""The trigger's threshold phi (eq. 6), relative to what an occlusion usually does to the score."""

from __future__ import annotations

import numpy as np

from tracker.data.sequences import evenly_spaced
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from ..scene.occluders import draw_occluder
from ..scene.targets import TargetSet
from .core import Search, SearchSettings

__all__ = ["usual_drop"]


def usual_drop(
    targets: TargetSet,
    scorer: Scorer,
    features: FeatureExtractor,
    settings: SearchSettings,
    quantile: float = 0.1,
    at_most: int = 32,
    regions_each: int = 8,
    seed: int = 0,
    occluder: str = "background",
) -> float:
    """How far the score falls under a lucky random occlusion.

    A fixed phi on the wrong scale fails silently, and between two frames the clean score differs by more than
    an occlusion changes it. So phi is a target's clean score less a drop that only the share `quantile` of
    random regions of the largest area reaches on the training targets.

    Args:
        targets: The training targets; at most `at_most` of them, evenly spaced, are used.
        scorer: Gives the score.
        features: The state's features; unused, a search carries them.
        settings: Of the search.
        quantile: Share of the random regions that would earn the trigger's reward.
        at_most: Bounds the cost.
        regions_each: Random regions a target.
        seed: Of the regions and the patches.
        occluder: What covers them, one of `occluders.OCCLUDERS`.

    Returns:
        The drop, in units of the score.
    """
    rng = np.random.default_rng(seed)
    chosen = list(targets.subset(evenly_spaced(len(targets), at_most)))
    share = settings.limits.max_area
    patches = [draw_occluder(occluder, target, share, rng, targets)[0] for target in chosen]
    search = Search(len(chosen), scorer, features, settings)
    slots = np.arange(len(chosen))
    search.begin(slots, chosen, patches)
    rows = np.repeat(slots, regions_each)
    regions = settings.limits.random(np.full(len(rows), share), rng)
    return float(np.quantile(search.clean_score[rows] - search.scores(rows, regions), 1 - quantile))
