"""The rewards of the search: the paper's (section 4.2.1) and cures for its known weaknesses.

A network rounds differently in batches of different sizes, so two scores of one image differ by up to
`SCORE_TOLERANCE`. Rewards take scores that are closer than that for equal, so that rounding changes none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .settings import SearchSettings

__all__ = [
    "REWARDS",
    "SCORE_TOLERANCE",
    "DifferenceReward",
    "MarginReward",
    "PaperReward",
    "PotentialReward",
    "RecordReward",
    "Reward",
    "Turn",
    "movement_reward",
    "reaches",
    "trigger_reward",
]

SCORE_TOLERANCE = 1e-5
"""Scores that differ by less are equal; measured in fp32 over batches of 1 to 8: 2e-7."""

Values = NDArray[np.float64]


def score_drop(before: ArrayLike, after: ArrayLike) -> Values:
    """`before - after`, and 0 where that is less than `SCORE_TOLERANCE` either way.

    >>> score_drop([0.5, 0.5], [0.4, 0.500001]).round(6).tolist()
    [0.1, 0.0]
    """
    drop = np.subtract(before, after)
    return np.where(np.abs(drop) < SCORE_TOLERANCE, 0.0, drop)


def reaches(score: ArrayLike, phi: ArrayLike) -> NDArray[np.bool_]:
    """Whether a score is at most phi, or above it by less than `SCORE_TOLERANCE`.

    >>> reaches([0.4, 0.500001, 0.6], 0.5).tolist()
    [True, True, False]
    """
    return np.less(np.subtract(score, phi), SCORE_TOLERANCE)


def movement_reward(score: ArrayLike, previous: ArrayLike) -> Values:
    """Reward of a move, eq. 5: +1 where S_t - S_{t-1} < 0, else -1; a tie (`SCORE_TOLERANCE`) costs.

    >>> movement_reward([0.5, 0.6, 0.7], [0.6, 0.600001, 0.6]).tolist()
    [1.0, -1.0, -1.0]
    """
    return np.where(score_drop(previous, score) > 0, 1.0, -1.0)


def trigger_reward(score: ArrayLike, phi: ArrayLike, eta: float) -> Values:
    """Reward of the trigger, eq. 6: +eta where S <= phi (`reaches`), else -eta.

    >>> trigger_reward([0.4, 0.5, 0.6], 0.5, eta=3).tolist()
    [3.0, 3.0, -3.0]
    """
    return np.where(reaches(score, phi), float(eta), -float(eta))


@dataclass(frozen=True)
class Turn:
    """What one action of M searches led to.

    Attributes:
        score: `float64[M]`, S_t.
        previous_score: `float64[M]`, S_{t-1}.
        clean_score: `float64[M]`, of the unoccluded target.
        phi: `float64[M]`, the trigger's threshold.
        triggered: `bool[M]`, whether the action was the trigger.
        best_score: `float64[M]`, the least score of the episode before the action.
    """

    score: Values
    previous_score: Values
    clean_score: Values
    phi: Values
    triggered: NDArray[np.bool_]
    best_score: Values


class Reward(Protocol):
    """Reward function; a custom one is a class with these members, named as `module:class`.

    Attributes:
        needs_rivals: Whether phi is the score of the best distractor in the target's frame, in place of what
            `phi` and `drop` say.
        needs_phi: Whether phi is used; a class without this attribute uses it. An environment measures no phi that
            is not used.
    """

    needs_rivals: bool
    needs_phi: bool

    def __init__(self, settings: SearchSettings) -> None:
        """Take what it needs of the settings."""
        ...

    def __call__(self, turn: Turn) -> Values:
        """The rewards of M actions, `float64[M]`."""
        ...


class PaperReward:
    """Eq. 5 for moves, eq. 6 for the trigger.

    A cycle of two small falls and one large rise earns +1, and so do many small falls in place of a large one.
    """

    needs_rivals = False
    needs_phi = True

    def __init__(self, settings: SearchSettings) -> None:
        """Keep eta."""
        self.eta = settings.eta

    def __call__(self, turn: Turn) -> Values:
        """See the class."""
        return np.where(
            turn.triggered,
            trigger_reward(turn.score, turn.phi, self.eta),
            movement_reward(turn.score, turn.previous_score),
        )


class MarginReward(PaperReward):
    """The paper's rewards of the margin: the score less that of the best distractor in the same frame.

    A frame's distractors do not change, so a fall of the margin is a fall of the score, and eq. 5 stays as it is.
    The trigger is rewarded where the margin is 0 or less: there a tracker would leave the target. So phi is the
    best distractor's score.
    """

    needs_rivals = True


class DifferenceReward:
    """`reward_scale * (S_{t-1} - S_t)` for a move, 0 for the trigger.

    An episode's sum is the whole fall, so cycles earn nothing. The trigger earns nothing, because to stop is the
    best action exactly where no move promises a fall; a threshold would bring back what the difference is to cure.
    """

    needs_rivals = False
    needs_phi = False

    def __init__(self, settings: SearchSettings) -> None:
        """Keep the scale."""
        self.scale = settings.reward_scale

    def __call__(self, turn: Turn) -> Values:
        """See the class."""
        return np.where(turn.triggered, 0.0, self.scale * score_drop(turn.previous_score, turn.score))


class PotentialReward:
    """Eq. 6 alone, shaped by a potential (Ng, Harada and Russell 1999, theorem 1).

    With Phi = `reward_scale` * (clean score - S), a move earns `gamma * Phi(s_t) - Phi(s_{t-1})` and the trigger
    eq. 6 less Phi(s): nothing follows it, so its potential is 0. The best policy is that of eq. 6 alone, and any
    cycle earns less than nothing.
    """

    needs_rivals = False
    needs_phi = True

    def __init__(self, settings: SearchSettings) -> None:
        """Keep eta, gamma and the scale."""
        self.eta, self.gamma, self.scale = settings.eta, settings.gamma, settings.reward_scale

    def __call__(self, turn: Turn) -> Values:
        """See the class."""
        before = self.scale * (turn.clean_score - turn.previous_score)
        after = self.scale * (turn.clean_score - turn.score)
        ended = trigger_reward(turn.score, turn.phi, self.eta) - before
        return np.where(turn.triggered, ended, self.gamma * after - before)


class RecordReward:
    """`reward_scale` times what a move takes off the least score of the episode so far; 0 where it takes off none.

    An episode's sum is the fall from the first score to the least: what a search is worth whose answer is the best
    region that it saw. It may pass through worse regions to better ones at no loss. The trigger earns 0.
    """

    needs_rivals = False
    needs_phi = False

    def __init__(self, settings: SearchSettings) -> None:
        """Keep the scale."""
        self.scale = settings.reward_scale

    def __call__(self, turn: Turn) -> Values:
        """See the class."""
        drop = score_drop(turn.best_score, turn.score)
        return np.where(turn.triggered, 0.0, self.scale * np.maximum(drop, 0.0))


REWARDS: dict[str, Callable[[SearchSettings], Reward]] = {
    "paper": PaperReward,
    "difference": DifferenceReward,
    "potential": PotentialReward,
    "margin": MarginReward,
    "record": RecordReward,
}
