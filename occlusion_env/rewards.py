"""The rewards of the search: the paper's (section 4.2.1) and cures for its known weaknesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .settings import SearchSettings

__all__ = [
    "REWARDS",
    "DifferenceReward",
    "MarginReward",
    "PaperReward",
    "PotentialReward",
    "RecordReward",
    "Reward",
    "Turn",
    "movement_reward",
    "trigger_reward",
]

Values = NDArray[np.float64]


def movement_reward(score: ArrayLike, previous: ArrayLike) -> Values:
    """Reward of a move, eq. 5: +1 where S_t - S_{t-1} < 0, else -1; a tie costs.

    >>> movement_reward([0.5, 0.6, 0.7], [0.6, 0.6, 0.6]).tolist()
    [1.0, -1.0, -1.0]
    """
    return np.where(np.subtract(score, previous) < 0, 1.0, -1.0)


def trigger_reward(score: ArrayLike, phi: ArrayLike, eta: float) -> Values:
    """Reward of the trigger, eq. 6: +eta where S <= phi, else -eta.

    >>> trigger_reward([0.4, 0.5, 0.6], 0.5, eta=3).tolist()
    [3.0, 3.0, -3.0]
    """
    return np.where(np.less_equal(score, phi), float(eta), -float(eta))


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
    """How actions are paid; another one is a class with these two, named in `REWARDS` or as `module:class`.

    Attributes:
        needs_rivals: Whether phi is the score of the best distractor in the target's frame, in place of what
            `phi` and `drop` say.
    """

    needs_rivals: bool

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

    def __init__(self, settings: SearchSettings) -> None:
        """Keep the scale."""
        self.scale = settings.reward_scale

    def __call__(self, turn: Turn) -> Values:
        """See the class."""
        return np.where(turn.triggered, 0.0, self.scale * (turn.previous_score - turn.score))


class PotentialReward:
    """Eq. 6 alone, shaped by a potential (Ng, Harada and Russell 1999, theorem 1).

    With Phi = `reward_scale` * (clean score - S), a move earns `gamma * Phi(s_t) - Phi(s_{t-1})` and the trigger
    eq. 6 less Phi(s): nothing follows it, so its potential is 0. The best policy is that of eq. 6 alone, and any
    cycle earns less than nothing.
    """

    needs_rivals = False

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

    def __init__(self, settings: SearchSettings) -> None:
        """Keep the scale."""
        self.scale = settings.reward_scale

    def __call__(self, turn: Turn) -> Values:
        """See the class."""
        return np.where(turn.triggered, 0.0, self.scale * np.maximum(turn.best_score - turn.score, 0.0))


REWARDS: dict[str, Callable[[SearchSettings], Reward]] = {
    "paper": PaperReward,
    "difference": DifferenceReward,
    "potential": PotentialReward,
    "margin": MarginReward,
    "record": RecordReward,
}
