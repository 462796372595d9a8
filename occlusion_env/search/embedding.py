"""Embeddings of targets: of whole images, or of the part that an occlusion changes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker.scorers import IncrementalScorer, KnownImage, Scorer

STORED_BYTES = 512 * 2**20
"""Bytes of the stored feature maps of unoccluded targets; VGG-16's maps in bf16 take 10 MB a target."""

_CHUNK = 64

Slots = NDArray[np.int64]


class TargetEmbedding:
    """Embeds images of the targets of N searches.

    An `IncrementalScorer` gets each unoccluded target once, as long as a search is at it; of its occluded images
    it then computes only the changed part. Another scorer, and a target whose maps would exceed `limit`
    bytes in all, gets the whole image.
    """

    def __init__(self, scorer: Scorer, count: int, limit: int = STORED_BYTES) -> None:
        self.scorer = scorer
        self.limit = limit
        self._incremental = scorer if isinstance(scorer, IncrementalScorer) else None
        self._keys: list[bytes | None] = [None] * count
        self._stored: dict[bytes, KnownImage] = {}

    def begin(self, slots: Slots, keys: Many[bytes]) -> None:
        """Put the targets of M keys into slots, and evict the feature maps of targets that are in none."""
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot] = key
        self._stored = {key: image for key, image in self._stored.items() if key in self._keys}

    def keys(self, slots: Slots) -> list[bytes | None]:
        """Keys of the targets of slots."""
        return [self._keys[slot] for slot in slots]

    def embed(self, images: Tensor, keys: Many[bytes | None], targets: Callable[[Slots], Tensor]) -> Tensor:
        """Embed images.

        The images of stored targets go through `IncrementalScorer.embed_changed`, the others through `embed`.

        Args:
            images: `[M, 3, S, S]` in [0, 1].
            keys: M keys of the targets in the images, occluded or not; `None` for any other image.
            targets: Takes slots and gives their unoccluded targets, `[K, 3, S, S]`.

        Returns:
            `[M, ...]`.
        """
        if self._incremental is None:
            return torch.cat([self.scorer.embed(part) for part in images.split(_CHUNK)])
        stored = [self._find_stored(self._incremental, key, targets) for key in keys]
        whole = [row for row, image in enumerate(stored) if image is None]
        changed = [row for row, image in enumerate(stored) if image is not None]
        parts = [self.scorer.embed(images[rows]) for rows in _chunks(whole)]
        for rows in _chunks(changed):
            unoccluded = [image for row in rows if (image := stored[row]) is not None]
            parts.append(self._incremental.embed_changed(images[rows], unoccluded))
        order = torch.tensor(whole + changed, device=images.device).argsort()
        return torch.cat(parts)[order]

    def _find_stored(
        self, scorer: IncrementalScorer, key: bytes | None, targets: Callable[[Slots], Tensor]
    ) -> KnownImage | None:
        """The feature maps of a target, computed the first time; `None` beyond the limit."""
        if key is not None and key not in self._stored and key in self._keys:
            size = next((image.nbytes for image in self._stored.values()), 0)  # all are of one size
            if size * (len(self._stored) + 1) <= self.limit:
                slot = np.array([self._keys.index(key)])
                (self._stored[key],) = scorer.know(targets(slot))
        return None if key is None else self._stored.get(key)


def _chunks(rows: list[int]) -> list[list[int]]:
    return [rows[low : low + _CHUNK] for low in range(0, len(rows), _CHUNK)]
