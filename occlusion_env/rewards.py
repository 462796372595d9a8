"""The rewards of the search, as the paper prints them (section 4.2.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["movement_reward", "trigger_reward"]


def movement_reward(score: ArrayLike, previous: ArrayLike) -> NDArray[np.float64]:
    """Reward of a move, eq. 5: +1 where S_t - S_{t-1} < 0, else -1; a tie costs.

    >>> movement_reward([0.5, 0.6, 0.7], [0.6, 0.6, 0.6]).tolist()
    [1.0, -1.0, -1.0]
    """
    return np.where(np.subtract(score, previous) < 0, 1.0, -1.0)


def trigger_reward(score: ArrayLike, phi: ArrayLike, eta: float) -> NDArray[np.float64]:
    """Reward of the trigger, eq. 6: +eta where S <= phi, else -eta.

    >>> trigger_reward([0.4, 0.5, 0.6], 0.5, eta=3).tolist()
    [3.0, 3.0, -3.0]
    """
    return np.where(np.less_equal(score, phi), float(eta), -float(eta))
