"""Where a cover hurts most: the region that lowers a matcher's score, or a tracker's own confidence, most.

The candidates are the regions of three quarters of the box on a small grid, scored in one batch. They differ by
little, as each leaves a quarter of the target, so a search has nothing to gain; and the belief's priors are of
regions of at most a quarter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from occlusion_env.mdp.actions import RegionLimits
from tracker.data.images import crop
from tracker.scorers.outputs import score_images
from tracker.scorers.sint import Scorer
from tracker.trackers.protocol import Tracker

from .moments import Region
from .scene import Scene
from .settings import BASE, LEAD

CANDIDATES: tuple[Region, ...] = tuple(
    (float(x), float(y), float(w), float(h))
    for x, y, w, h in RegionLimits(max_area=BASE.strength).grid(BASE.strength, places=3, shapes=3)
)
"""The candidate regions, relative to the box."""


def hardest_region(scene: Scene, scorer: Scorer) -> Region:
    """The candidate whose cover makes the target of frame t0 least similar to the target of the first frame.

    Args:
        scene: The moment's frames.
        scorer: The matcher.
    """
    boxes = scene.moment.boxes
    exemplar = crop(scene.frames[0], boxes[0])
    covered = [crop(scene.first_corrupted(BASE, region), boxes[LEAD]) for region in CANDIDATES]
    return CANDIDATES[int(score_images(scorer, [exemplar] * len(covered), covered).argmin())]


def hardest_for_tracker(scene: Scene, tracker: Tracker) -> Region | str:
    """The candidate whose cover lowers a tracker's confidence most.

    For each candidate the tracker is initialised on the last frame before the moment and sees the covered one.

    Returns:
        The region, or one sentence that says why there is none.
    """
    if not hasattr(tracker, "score"):
        return "The tracker reports no confidence (an attribute score)."
    confident: Any = tracker
    scores = []
    for region in CANDIDATES:
        try:
            tracker.init(scene.frames[LEAD - 1].copy(), np.array(scene.moment.boxes[LEAD - 1]))
            tracker.update(scene.first_corrupted(BASE, region))
            scores.append(float(confident.score))
        except Exception as error:
            return f"The tracker failed ({type(error).__name__}: {' '.join(str(error).split())})."
    if not np.isfinite(scores).all():
        return "The tracker's confidence is not finite."
    if max(scores) == min(scores):
        return "The tracker's confidence is the same for all covers."
    return CANDIDATES[int(np.argmin(scores))]
