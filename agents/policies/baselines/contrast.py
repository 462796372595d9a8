"""Patches of the second search, ranked by their difference from the covered part of the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from occlusion_env.envs.background import BackgroundSearch
from occlusion_env.scene.occluders import measure_contrast
from occlusion_env.search.core import Search
from tracker.data.images import crop
from tracker.errors import InputError

from .proposing import Generators, Proposals

CANDIDATES = 256
"""Random boxes that are compared for each target; each costs a crop of 16 x 16 pixels and no scorer query."""


def rank_by_contrast(search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """Propose boxes of the background, first the one that differs most from the region that it covers.

    Of `CANDIDATES` random boxes, `BackgroundSearch.small_boxes`, by `measure_contrast`.

    Raises:
        InputError: If the search is not one for a patch.
    """
    if not isinstance(search, BackgroundSearch):
        raise InputError("Contrast ranks patches; give another method to find the region.")
    ranked = []
    for slot, rng in zip(slots, generators, strict=True):
        target, boxes = search.targets[slot], search.small_boxes(np.full(CANDIDATES, slot), rng)
        assert target is not None
        height, width = target.frame.shape[:2]
        covered = crop(target.crop, search.covered[slot] * np.tile(target.crop.shape[1::-1], 2))
        contrast = measure_contrast(target.frame, boxes * [width, height, width, height], covered)
        ranked.append(boxes[np.argsort(-contrast, kind="stable")[:most]])
    yield np.stack(ranked)
