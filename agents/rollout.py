"""Running a policy over many searches at once."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from occlusion_env.actions import ACTIONS, TRIGGER
from occlusion_env.occluders import background_patch
from occlusion_env.search import Search
from occlusion_env.targets import Target

__all__ = ["Policy", "Rollout", "begin_all", "roll_out"]


class Policy(Protocol):
    """What Stable-Baselines3's algorithms offer."""

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Observations `float32[N, D]` to actions `int[N]`."""
        ...


@dataclass(frozen=True)
class Rollout:
    """One finished episode.

    Attributes:
        actions: Names, in order.
        trail: Every region, the first one included, `float64[steps + 1, 4]`.
        scores: The score under each of them.
        triggered: Whether the agent ended it itself.
    """

    actions: tuple[str, ...]
    trail: NDArray[np.float64]
    scores: NDArray[np.float64]
    triggered: bool

    @property
    def region(self) -> NDArray[np.float64]:
        """Where the search ended."""
        return self.trail[-1]


def begin_all(
    search: Search, targets: Many[Target], rng: np.random.Generator, drop: float
) -> list[NDArray[np.float64] | None]:
    """Start one search a target, each with a patch drawn from its own frame.

    Args:
        search: As many searches as there are targets.
        targets: The targets.
        rng: Where the patches are drawn from.
        drop: See `Search.begin`.

    Returns:
        Each patch's box in its frame, `None` where the frame has no background.
    """
    share = search.settings.limits.max_area
    drawn = [background_patch(target.frame, target.box, share, rng) for target in targets]
    search.begin(np.arange(len(targets)), targets, [patch for patch, _ in drawn], drop=drop)
    return [box for _, box in drawn]


def roll_out(policy: Policy, search: Search) -> list[Rollout]:
    """Let a policy finish every search that has begun, greedily.

    Args:
        policy: Chooses the actions.
        search: N searches; a finished one waits at its last region.

    Returns:
        N episodes.
    """
    count = len(search)
    running = np.ones(count, dtype=bool)
    triggered = np.zeros(count, dtype=bool)
    actions: list[list[str]] = [[] for _ in range(count)]
    regions, scores = [search.region.copy()], [search.score.copy()]
    while running.any():
        chosen, _ = policy.predict(search.observe(), deterministic=True)
        chosen = np.where(running, np.asarray(chosen).reshape(count), TRIGGER)
        for slot in np.flatnonzero(running):
            actions[slot].append(ACTIONS[chosen[slot]])
        step = search.step(chosen)
        triggered |= running & step.terminated
        running &= ~(step.terminated | step.truncated)
        regions.append(search.region.copy())
        scores.append(search.score.copy())
    trails, curves = np.stack(regions, axis=1), np.stack(scores, axis=1)
    return [
        Rollout(
            tuple(actions[slot]),
            trails[slot, : len(actions[slot]) + 1],
            curves[slot, : len(actions[slot]) + 1],
            bool(triggered[slot]),
        )
        for slot in range(count)
    ]
