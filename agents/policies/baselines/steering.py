"""A query method as a policy: it moves to the region that the method found, and stops there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import MOVES, TRIGGER
from occlusion_env.scene.targets import Target
from occlusion_env.search.core import Search

from .proposing import Querying


class Steering:
    """Stable-Baselines3's `predict` for a query method, so that it runs wherever an agent does.

    At the start of an episode the method finds a region; from then on the policy takes the move that brings the
    region's corners nearest to it, and the trigger where none brings them nearer. It reads the search, not the
    observation.

    Args:
        method: Finds the region.
        search: Of the environment that it acts in: `env.unwrapped.search`.
        rng: Random generator of the method.
    """

    def __init__(self, method: Querying, search: Search, rng: np.random.Generator) -> None:
        self.method = method
        self.search = search
        self.rng = rng
        self._goals = np.full((len(search), 4), np.nan)
        self._targets: list[Target | None] = [None] * len(search)

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """The next action of each search.

        Args:
            observation: Ignored.
            state: Returned as it is.
            episode_start: `bool[N]`, where a new episode begins; one begins, too, in a search that took no step
                yet or has another target.
            deterministic: Ignored; the policy is deterministic.

        Returns:
            `int64[N]`, and the state.
        """
        changed = [now is not then for now, then in zip(self.search.targets, self._targets, strict=True)]
        new = (self.search.steps == 0) | np.array(changed)
        if episode_start is not None:
            new |= np.asarray(episode_start, dtype=bool)
        if len(slots := np.flatnonzero(new)):
            self._goals[slots] = self.method.run(self.search, slots, self.rng.spawn(len(slots))).best[0]
            for slot in slots:
                self._targets[slot] = self.search.targets[slot]
        return self._towards(), state

    def _towards(self) -> NDArray[np.int64]:
        """The move that leads nearest to each goal; the trigger where none leads nearer."""
        reached = self.search.next_regions(np.arange(len(self.search)))[:, : len(MOVES)]
        there = _distance(reached, self._goals[:, None])
        best = there.argmin(axis=1)
        nearer = there.min(axis=1) < _distance(self.search.region, self._goals) - 1e-9
        return np.where(nearer, best, TRIGGER)


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between two opposite corners of one region and those of the other: `[..., 4]` to `[...]`."""
    apart = first - second
    corners = np.concatenate([apart[..., :2], apart[..., :2] + apart[..., 2:]], axis=-1)
    return np.linalg.norm(corners, axis=-1)
