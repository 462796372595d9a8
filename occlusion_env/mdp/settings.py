"""What the MDP of section 4.2.1 leaves open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tracker.errors import InputError, shorten

from .actions import RegionLimits

__all__ = ["HORIZON", "SearchSettings", "check_whole"]

HORIZON = 20
"""T of Algorithm 1, in actions: the default, and the `max_episode_steps` of the registered ids."""

_WHOLE = (("history", 0, 1_000), ("max_steps", 1, 1_000_000), ("pixels", 0, 4_096))
"""Whole numbers, their least and their largest value: what a state holds grows with them."""
_MOST_MB = 2**20


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Refuse a value that is no whole number in a range, before memory of its size is allocated.

    Raises:
        InputError: Naming the value and the range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InputError(f"{name} is {shorten(value)}; it must be a whole number from {least} to {most}.")


@dataclass(frozen=True)
class SearchSettings:
    """What the MDP leaves open, with this project's defaults (docs/architecture.md says why).

    Attributes:
        limits: The regions and the moves.
        history: How many past actions are part of the state.
        max_steps: T of Algorithm 1; reaching it truncates the episode.
        eta: Reward of the trigger (eq. 6).
        observation: One of `observations.OBSERVATIONS`, or `module:class`.
        state: One of `states.STATES`, or `module:class`.
        context: By how much the window that the state shows is longer and wider than the region.
        reward: One of `rewards.REWARDS`, or `module:class`.
        gamma: Discount of the potential that `reward="potential"` adds; the agent's own.
        reward_scale: What a fall of the score by 1 earns with `difference`, `potential` and `record`.
        pixels: Side in pixels of the observation `pixels`; 0 for the network's input.
        cache_mb: Memory in MiB for what need not be computed twice; 0 for none.
    """

    limits: RegionLimits = field(default_factory=RegionLimits)
    history: int = 10
    max_steps: int = HORIZON
    eta: float = 3.0
    observation: str = "features"
    state: str = "crop"
    context: float = 1.0
    reward: str = "paper"
    gamma: float = 0.9
    reward_scale: float = 10.0
    pixels: int = 84
    cache_mb: float = 256.0

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            InputError: Naming the value.
        """
        for name, least, most in _WHOLE:
            check_whole(name, getattr(self, name), least, most)
        for name, low, high in (("eta", 0.0, math.inf), ("reward_scale", 0.0, math.inf)):
            if not low < getattr(self, name) < high:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0 and finite.")
        if not 0 <= self.gamma <= 1:
            raise InputError(f"gamma is {self.gamma}; it must lie between 0 and 1.")
        if not 1 <= self.context <= 8:
            raise InputError(f"context is {self.context}; it must lie between 1 (the region alone) and 8.")
        if not 0 <= self.cache_mb <= _MOST_MB:
            raise InputError(
                f"cache_mb is {shorten(self.cache_mb)}; it must lie between 0 (no memory) and {_MOST_MB}."
            )
