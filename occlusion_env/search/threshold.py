"""The trigger's threshold phi (eq. 6), relative to the usual drop of the score under an occlusion."""

from __future__ import annotations

import numpy as np

from tracker.data.sequences import evenly_spaced
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from ..scene.targets import TargetSet
from .core import Search, SearchSettings


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
    search_class: type[Search] = Search,
) -> float:
    """The drop of the score that only the share `quantile` of random regions reaches.

    A fixed phi on the wrong scale fails silently, and between two frames the clean score differs by more than
    an occlusion changes it. So phi is a target's clean score less this drop on the training targets.

    Args:
        targets: The training targets; at most `at_most` of them, evenly spaced, are used, and none without room
            for a patch.
        scorer: The matcher.
        features: The network of the state; a search needs it, the drop does not.
        settings: Of the search.
        quantile: Share of the random regions that would earn the trigger's reward.
        at_most: Largest number of targets.
        regions_each: Random regions a target, of the largest area.
        seed: Of the regions and the patches.
        occluder: One of `occluders.OCCLUDERS`; a search over the background has no other.
        search_class: The class of the search.

    Returns:
        The drop, in units of the score.

    Raises:
        InputError: If no target has room for a patch.
    """
    rng = np.random.default_rng(seed)
    evenly = targets.subset(evenly_spaced(len(targets), at_most))
    chosen = [target for target in evenly if search_class.has_room(target, settings)]
    if not chosen:
        raise InputError("None of the targets leaves room for a patch beside it in its frame; give other videos.")
    search = search_class(len(chosen), scorer, features, settings)
    search.begin_random(chosen, rng, occluder, targets)
    slots = np.repeat(np.arange(len(chosen)), regions_each)
    drops = search.clean_score[slots] - search.scores(slots, search.random_regions(slots, rng))
    return float(np.quantile(drops, 1 - quantile))
