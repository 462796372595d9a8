"""When to stop before the last epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..config import Plateau


def has_plateaued(loss: ArrayLike, rule: Plateau) -> bool:
    """Return whether the training should stop after the epochs so far.

    The answer follows from the losses alone, so a resumed training stops where an unbroken one does.

    Args:
        loss: The negative of eq. 4 at each epoch so far, `[epochs]`.
        rule: What counts as standing still. Between the ends of windows, and before the end of the second, the
            answer is no.

    >>> has_plateaued([9.0, 9.0, 5.0, 5.0], Plateau(window=2, tolerance=1.0))
    False
    >>> has_plateaued([9.0, 9.0, 5.0, 5.0, 4.5, 4.5], Plateau(window=2, tolerance=1.0))
    True
    """
    losses = np.asarray(loss, dtype=np.float64)
    if len(losses) % rule.window or len(losses) < 2 * rule.window:
        return False
    before, now = losses[-2 * rule.window :].reshape(2, -1).mean(axis=1)
    return bool(before - now < rule.tolerance)
