"""A search by hand: the nine actions and regions put anywhere, with the score of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlusion_env.mdp.actions import ACTIONS, RegionLimits
from occlusion_env.search.core import Search
from occlusion_env.search.memory import region_keys
from tracker.errors import InputError

Region = NDArray[np.float64]


@dataclass(frozen=True)
class Turn:
    """One turn of the player.

    Attributes:
        name: The action, or `start` or `placed`.
        region: The region after it, `float64[4]`.
        score: The score with it covered.
        reward: By eq. 5 and 6; `None` where no action was taken.
    """

    name: str
    region: Region
    score: float
    reward: float | None = None


class Game:
    """The player's turns on one target, over any number of episodes.

    Args:
        search: One search, begun with the target.
        drop: The drop of the score that the trigger needs.

    Attributes:
        turns: All turns, the first region among them.
        total: Sum of the rewards of the present episode.
        over: Whether the present episode has ended.
    """

    def __init__(self, search: Search, drop: float) -> None:
        self.search, self.drop = search, drop
        self.turns = [self._turn("start")]
        self.total, self.over = 0.0, False

    def act(self, name: str) -> Turn:
        """Take one of the nine actions; after the end of an episode, one starts where the region is.

        Raises:
            InputError: If there is no such action.
        """
        if name not in ACTIONS:
            raise InputError(f"'{name}' is no action; choose {', '.join(ACTIONS)}.")
        if self.over:
            self._begin(self.search.region[0])
        step = self.search.step(np.array([ACTIONS.index(name)]))
        self.over = bool(step.terminated[0] or step.truncated[0])
        self.total += float(step.reward[0])
        self.turns.append(self._turn(name, float(step.reward[0])))
        return self.turns[-1]

    def place(self, region: ArrayLike) -> Turn:
        """Start an episode at the nearest region that the limits allow."""
        self._begin(fit_region(self.search.settings.limits, region))
        self.turns.append(self._turn("placed"))
        return self.turns[-1]

    def queried(self) -> NDArray[np.float64]:
        """The different regions of all turns, in the order of their first visit: `float64[K, 4]`."""
        regions = np.stack([turn.region for turn in self.turns])
        first = {key: row for row, key in reversed(list(enumerate(region_keys(regions))))}
        return regions[sorted(first.values())]

    @property
    def best(self) -> Turn:
        """The turn with the lowest score."""
        return min(self.turns, key=lambda turn: turn.score)

    def _begin(self, region: Region) -> None:
        target = self.search.targets[0]
        assert target is not None
        patches = list(self.search.patches())
        self.search.begin(np.zeros(1, dtype=np.int64), [target], patches, drop=self.drop, regions=region[None])
        self.total, self.over = 0.0, False

    def _turn(self, name: str, reward: float | None = None) -> Turn:
        return Turn(name, self.search.region[0].copy(), float(self.search.score[0]), reward)


def fit_region(limits: RegionLimits, region: ArrayLike) -> Region:
    """Change a region as little as is needed for the limits: first its sides, about its centre, then its place.

    Args:
        limits: The limits.
        region: `(x, y, w, h)` relative to the target, of any finite numbers.

    Returns:
        `float64[4]`.

    Raises:
        InputError: If a number is missing or not finite.

    >>> fit_region(RegionLimits(), (0.9, 0.9, 1, 1)).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    given = np.array(region, dtype=np.float64)
    if given.shape != (4,) or not np.isfinite(given).all():
        raise InputError("A region is four numbers x, y, w, h relative to the target.")
    centre = given[:2] + given[2:] / 2
    size = np.clip(given[2:], limits.min_side, 1.0)
    size = np.minimum(size, limits.max_aspect * size[::-1])
    size = np.maximum(size * min(1.0, np.sqrt(limits.max_area / size.prod())), limits.min_side)
    size = np.minimum(size, limits.max_area / size[::-1])
    return np.concatenate([np.clip(centre - size / 2, 0, 1 - size), size])
