"""The rewards of the search: the paper's (section 4.2.1), and others that cure its known weaknesses.

A network rounds differently in batches of different sizes, so two scores of one image differ by up to
`SCORE_TOLERANCE`. Rewards treat scores closer than that as equal, so that rounding changes no reward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .settings import SearchSettings

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
class Transition:
    """One action of M searches: the scores before and after it.

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


class Reward:
    """Reward function; a custom one is a subclass, or a class with the same members, named as `module:class`.

    Attributes:
        needs_phi: Whether the reward uses phi. An environment measures no phi that is not used.
        needs_distractors: Whether phi is the score of the best distractor in the target's frame, in place of the
            environment's `phi` and `drop`.
    """

    needs_phi = True
    needs_distractors = False

    def __init__(self, settings: SearchSettings) -> None:
        self.settings = settings

    def __call__(self, transition: Transition) -> Values:
        """The rewards of M actions, `float64[M]`."""
        raise NotImplementedError


class PaperReward(Reward):
    """Eq. 5 for moves, eq. 6 for the trigger.

    A cycle of two small falls and one large rise earns +1, and so do many small falls in place of a large one.
    """

    def __call__(self, transition: Transition) -> Values:
        """Eq. 6 where the action was the trigger, else eq. 5."""
        return np.where(
            transition.triggered,
            trigger_reward(transition.score, transition.phi, self.settings.eta),
            movement_reward(transition.score, transition.previous_score),
        )


class MarginReward(PaperReward):
    """The paper's rewards of the margin: the score less that of the best distractor in the same frame.

    A frame's distractors do not change, so a fall of the margin is a fall of the score, and eq. 5 stays as it is.
    The trigger is rewarded where the margin is 0 or less: there a tracker would leave the target. So phi is the
    best distractor's score.
    """

    needs_distractors = True


class DifferenceReward(Reward):
    """`reward_scale * (S_{t-1} - S_t)` for a move, 0 for the trigger.

    An episode's sum is the whole fall, so cycles earn nothing. The trigger earns nothing: stopping is the best
    action exactly where no move promises a fall. A threshold would bring back the weakness that this reward cures.
    """

    needs_phi = False

    def __call__(self, transition: Transition) -> Values:
        """The scaled fall of the score."""
        drop = score_drop(transition.previous_score, transition.score)
        return np.where(transition.triggered, 0.0, self.settings.reward_scale * drop)


class PotentialReward(Reward):
    """Eq. 6 alone, shaped by a potential (Ng, Harada and Russell 1999, theorem 1).

    With Phi = `reward_scale` * (clean score - S), a move earns `gamma * Phi(s_t) - Phi(s_{t-1})` and the trigger
    eq. 6 less Phi(s): nothing follows it, so its potential is 0. The best policy is that of eq. 6 alone, and any
    cycle earns less than nothing.
    """

    def __call__(self, transition: Transition) -> Values:
        """The discounted difference of the potentials, or eq. 6 less the last potential."""
        scale, clean = self.settings.reward_scale, transition.clean_score
        before = scale * (clean - transition.previous_score)
        after = scale * (clean - transition.score)
        ended = trigger_reward(transition.score, transition.phi, self.settings.eta) - before
        return np.where(transition.triggered, ended, self.settings.gamma * after - before)


class RecordReward(Reward):
    """`reward_scale` times the fall below the least score of the episode so far; 0 without such a fall.

    An episode's sum is the fall from the first score to the least: the value of a search that answers with the
    best region of its episode. It may pass through worse regions to better ones at no loss. The trigger earns 0.
    """

    needs_phi = False

    def __call__(self, transition: Transition) -> Values:
        """The scaled fall below the least score."""
        drop = np.maximum(score_drop(transition.best_score, transition.score), 0.0)
        return np.where(transition.triggered, 0.0, self.settings.reward_scale * drop)


REWARDS: dict[str, Callable[[SearchSettings], Reward]] = {
    "paper": PaperReward,
    "difference": DifferenceReward,
    "potential": PotentialReward,
    "margin": MarginReward,
    "record": RecordReward,
}
