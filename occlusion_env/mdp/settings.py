"""Settings of the MDP of section 4.2.1 that the paper leaves open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tracker.errors import InputError, shorten

from .actions import RegionLimits

HORIZON = 20
"""T of Algorithm 1, in actions: the default, and the `max_episode_steps` of the registered ids."""

_MOST_STEPS = 1_000_000
_MOST_MB = 2**20


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Refuse a value that is no whole number in a range, before memory of its size is allocated.

    Raises:
        InputError: Naming the value and the range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InputError(f"{name} is {shorten(value)}; it must be a whole number from {least} to {most}.")


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """States and rewards of the decision process; docs/architecture.md gives the reasons for the defaults.

    Attributes:
        observation: `features` (and the history), `features+region`, `dict`, `pixels`, `belief`
            (`agents.policies.belief.BeliefObservation`), or `module:class`.
        pixels: Side in pixels of the observation `pixels`; 0 for the network's input.
        state: `crop`: a region is resized to the network's input and goes through all of it (the paper's way).
            `roi`: a target goes through the convolutions once, and a region is RoI-aligned from its feature map
            (as in Fast R-CNN and SINT). Or `module:class`.
        context: Side of the window that the state shows, as a multiple of the region's side; beyond the target the
            window repeats the target's border.
        history: Number of past actions in the state.
        start: Where a search begins: `centre`, the centred square of the largest area; `prior`, the region with
            the largest average drop in the prior that the package ships for the scorer (the method `constant` of
            an evaluation); or `module:function`, which maps the `Search` to a region, `float64[4]`.
        reward: `paper`, `difference`, `potential`, `margin` or `record`, or `module:class`; see Rewards.
        gamma: Discount of the potential that `reward="potential"` adds; should be the agent's own.
        reward_scale: Reward of a fall of the score by 1 with `difference`, `potential` and `record`.
        query_price: Fall of the score that a scorer query must be worth: a step that queries a new region earns
            `reward_scale` times this less, so that the trigger pays where no move promises more.
        eta: Reward of the trigger (eq. 6).
        cache_mb: MiB for cached features, embeddings and scores; 0 for no cache, which also makes runs repeat to
            the bit.
    """

    observation: str = "features"
    pixels: int = 84
    state: str = "crop"
    context: float = 1.0
    history: int = 10
    start: str = "centre"
    reward: str = "paper"
    gamma: float = 0.9
    reward_scale: float = 10.0
    query_price: float = 0.0
    eta: float = 3.0
    cache_mb: float = 256.0

    def __post_init__(self) -> None:
        """Raise an `InputError` if a value is out of range."""
        check_whole("history", self.history, 0, 1_000)
        check_whole("pixels", self.pixels, 0, 4_096)
        for name in ("eta", "reward_scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0 and finite.")
        if not 0 <= self.query_price < math.inf:
            raise InputError(f"query_price is {self.query_price}; it must be 0 or more, in units of the score.")
        if not 0 <= self.gamma <= 1:
            raise InputError(f"gamma is {self.gamma}; it must lie between 0 and 1.")
        if not 1 <= self.context <= 8:
            raise InputError(f"context is {self.context}; it must lie between 1 (the region alone) and 8.")
        if not 0 <= self.cache_mb <= _MOST_MB:
            raise InputError(
                f"cache_mb is {shorten(self.cache_mb)}; it must lie between 0 (no memory) and {_MOST_MB}."
            )


@dataclass(frozen=True)
class SearchSettings(ProcessSettings):
    """Settings of a `Search`.

    Attributes:
        limits: The regions and the moves.
        max_steps: T of Algorithm 1; reaching it truncates the episode.
    """

    limits: RegionLimits = field(default_factory=RegionLimits)
    max_steps: int = HORIZON

    def __post_init__(self) -> None:
        """Raise an `InputError` if a value is out of range."""
        super().__post_init__()
        check_whole("max_steps", self.max_steps, 1, _MOST_STEPS)
