"""Acting on foresight without having learned to act."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.actions import MOVES

from .planning import PER_MOVE

__all__ = ["GreedyForesight"]

_PLAN = 2


class GreedyForesight:
    """Takes the move whose plan promises most, with the least `planning.PATIENCE`: what Q-learning has to beat.

    It never pulls the trigger. `predict` is Stable-Baselines3's; the observations are `Foresight`'s.
    """

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """The moves, `int64[N]`, and the state as it was."""
        per_move = observation[:, : len(MOVES) * PER_MOVE].reshape(len(observation), len(MOVES), PER_MOVE)
        return per_move[:, :, _PLAN].argmax(axis=1), state
