"""The interface of trackers: two methods, as in the got10k toolkit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray


@runtime_checkable
class Tracker(Protocol):
    """Follows a target, whose box in the first frame is given, through a video.

    A tracker may also have an attribute `identity`, plain data of everything that changes its boxes (settings, a
    digest of its weights, its precision): `run_benchmark` refuses to mix results of different ones.

    Attributes:
        name: Name in result folders and tables.
    """

    name: str

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        """Take the target.

        A second call starts anew; nothing of an earlier video may remain.

        Args:
            image: The first frame, `uint8[H, W, 3]`, RGB (the got10k toolkit passes a PIL image; take both).
            box: `(x, y, w, h)`, 0-based pixels.
        """
        ...

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find the target in the next frame.

        Args:
            image: As in `init`; its size may differ from the first frame's.

        Returns:
            `float64[4]`: `(x, y, w, h)`, 0-based pixels, finite, with an area.
        """
        ...


def maker_of(tracker: Tracker | Callable[[], Tracker]) -> Callable[[], Tracker]:
    """The function that makes a tracker; for a tracker, one that returns it and can be pickled where it can."""
    if isinstance(tracker, Tracker) and not isinstance(tracker, type):
        return partial(_same, tracker)
    return tracker


def _same(tracker: Tracker) -> Tracker:
    return tracker
