"""How images of targets are embedded: whole, or from what the scorer keeps of the unoccluded target."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker.scorers import IncrementalScorer, KnownImage, Scorer

__all__ = ["KNOWN_BYTES", "TargetEmbedding"]

KNOWN_BYTES = 512 * 2**20
"""What may be kept of unoccluded targets, all together; VGG-16's maps in bf16 take 10 MB a target."""

_CHUNK = 64

Slots = NDArray[np.int64]


class TargetEmbedding:
    """Embeds images of the targets of N searches.

    An `IncrementalScorer` is shown a target once, as it is, as long as a search is at it, and then only what an
    occlusion changes. Another scorer, and a target for which there is no room, is shown the whole image.

    Args:
        scorer: The matcher.
        count: N.
        limit: Bytes that may be kept.
    """

    def __init__(self, scorer: Scorer, count: int, limit: int = KNOWN_BYTES) -> None:
        """See the class."""
        self.scorer = scorer
        self.limit = limit
        self._incremental = scorer if isinstance(scorer, IncrementalScorer) else None
        self._keys: list[bytes | None] = [None] * count
        self._known: dict[bytes, KnownImage] = {}

    def begin(self, slots: Slots, keys: Many[bytes]) -> None:
        """Put targets into slots, and evict the cached maps of targets that are in none.

        Args:
            slots: `int[M]`.
            keys: What stands for the M targets.
        """
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot] = key
        self._known = {key: image for key, image in self._known.items() if key in self._keys}

    def keys(self, slots: Slots) -> list[bytes | None]:
        """What stands for the targets of slots."""
        return [self._keys[slot] for slot in slots]

    def embed(self, images: Tensor, keys: Many[bytes | None], targets: Callable[[Slots], Tensor]) -> Tensor:
        """Embed images.

        Args:
            images: `[M, 3, S, S]` in [0, 1].
            keys: M; what stands for the target that each shows, as it is or occluded, `None` for another image.
            targets: Takes slots and gives their unoccluded targets, `[K, 3, S, S]`.

        Returns:
            `[M, ...]`.
        """
        if self._incremental is None:
            return torch.cat([self.scorer.embed(part) for part in images.split(_CHUNK)])
        known = [self._know(self._incremental, key, targets) for key in keys]
        whole = [row for row, image in enumerate(known) if image is None]
        partly = {row: image for row, image in enumerate(known) if image is not None}
        found = [self.scorer.embed(part) for part in images[whole].split(_CHUNK)] if whole else []
        rows = list(partly)
        for low in range(0, len(rows), _CHUNK):
            part = rows[low : low + _CHUNK]
            found.append(self._incremental.embed_changed(images[part], [partly[row] for row in part]))
        order = torch.tensor(whole + rows, device=images.device).argsort()
        return torch.cat(found)[order]

    def _know(
        self, scorer: IncrementalScorer, key: bytes | None, targets: Callable[[Slots], Tensor]
    ) -> KnownImage | None:
        """What is kept of a target; the first time, it is shown to the scorer."""
        if key is not None and key not in self._known and key in self._keys:
            # All are of one size.
            size = next((image.nbytes for image in self._known.values()), 0)
            if size * (len(self._known) + 1) <= self.limit:
                slot = np.array([self._keys.index(key)])
                (self._known[key],) = scorer.know(targets(slot))
        return None if key is None else self._known.get(key)
