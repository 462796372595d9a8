"""The belief as the state of an agent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from occlusion_env.mdp.actions import MOVES, RegionLimits
from occlusion_env.scene.targets import Target
from occlusion_env.search.belief import Belief, expected_improvement
from occlusion_env.search.core import Search
from occlusion_env.search.memory import image_key
from tracker.errors import InputError

from ..baselines.attribution import similarity_maps
from .files import prior_digest, shipped_prior
from .fitting import FittedPrior

Values = NDArray[np.float64]

DISCOUNTS = (0.5, 0.8)
"""What a move on the way to a candidate leaves of its expected improvement."""

PER_MOVE = 3 + len(DISCOUNTS)
OVERALL = 5
LENGTH = len(MOVES) * PER_MOVE + OVERALL
"""Numbers in an observation."""

_BOUND = 20.0


class BeliefObservation:
    """What the belief expects of each of the eight moves, `float32[45]`.

    For each move, where r is the region that it leads to: the expected drop at r less the best one so far; its
    standard deviation; the expected improvement at r; and for each of `DISCOUNTS` the largest expected improvement
    of any candidate, times the discount to the power of the moves from r to it. Then: the best drop so far, the
    present one, the share of the steps that is left, the largest expected improvement of any candidate, and the
    average change of the expected drops since the first step. Drops are in units of the prior (its card's `unit`),
    so that an agent that was trained on one matcher can act on another.

    The prior is the one that the package ships for the scorer; a subclass overrides `prior`. Observing costs no
    scorer query.

    Args:
        search: The searches.

    Attributes:
        prior_record: `matcher` and `digest` of the prior, for an agent's card.

    Raises:
        InputError: If there is no prior for the scorer.
    """

    reads_features = False

    def __init__(self, search: Search) -> None:
        self.search = search
        self.fitted = self.prior()
        self.space = spaces.Box(-_BOUND, _BOUND, (LENGTH,), np.float32)
        self.prior_record = {"matcher": self.fitted.card.get("matcher"), "digest": prior_digest(self.fitted)}
        self._unit = float(self.fitted.card["unit"])
        self._expected: list[tuple[Target, Values] | None] = [None] * len(search.region)

    def prior(self) -> FittedPrior:
        """Return the prior for the search's scorer and limits: the shipped one.

        Raises:
            InputError: If the package ships none.
        """
        return _prior_of(
            self.search,
            "return it from the method prior of a subclass of agents.policies.belief.BeliefObservation",
        )

    def expect(self, targets: Sequence[Target], maps: Tensor) -> Values:
        """Expected drops of unqueried targets, `float64[M, R]`: those of the prior.

        Args:
            targets: M targets.
            maps: `float32[M, P, G, G]`, see `similarity_maps`.
        """
        return self.fitted.expected(maps)

    def __call__(self, slots: NDArray[np.int64]) -> NDArray[np.float32]:
        """`float32[M, LENGTH]`."""
        search, count, prior = self.search, len(slots), self.fitted.prior
        expected = self._expected_drops(slots)
        belief = Belief(prior, expected)
        visited = [search.visited(int(slot)) for slot in slots]
        most = max(len(scores) for _, scores in visited)
        regions, drops = np.tile(search.region[slots][:, None], (1, most, 1)), np.zeros((count, most))
        valid = np.zeros((count, most), dtype=bool)
        for row, (places, scores) in enumerate(visited):
            regions[row, : len(places)] = places
            drops[row, : len(scores)] = search.clean_score[slots[row]] - scores
            valid[row, : len(scores)] = True
        belief.observe_regions(regions, drops, valid)

        here = search.clean_score[slots] - search.score[slots]
        beyond = search.next_regions(slots)[:, : len(MOVES)]
        weights = prior.weights(beyond)
        mean = np.einsum("nmr,nr->nm", weights, belief.mean)
        deviation = np.einsum("nmr,nr->nm", weights, belief.deviation)
        best = belief.best[:, None]
        improvement = expected_improvement(belief.mean, belief.deviation, best)
        way = count_moves(search.settings.limits, beyond[:, :, None], prior.regions)
        ahead = [(improvement[:, None] * discount**way).max(axis=2) for discount in DISCOUNTS]
        per_move = [mean - best, deviation, expected_improvement(mean, deviation, best), *ahead]
        left = np.maximum(0, 1 - search.steps[slots] / search.settings.max_steps)
        change = (belief.mean - expected).mean(axis=1)
        overall = np.stack([belief.best, here, left * self._unit, improvement.max(axis=1), change], axis=1)
        shown = np.concatenate([np.stack(per_move, axis=2).reshape(count, -1), overall], axis=1) / self._unit
        return np.clip(shown, -_BOUND, _BOUND).astype(np.float32)

    def _expected_drops(self, slots: NDArray[np.int64]) -> Values:
        """Expected drops of unqueried targets, `float64[M, R]`; computed once a target."""
        search = self.search
        new: list[tuple[int, Target, tuple[str, bytes, bytes]]] = []
        for slot in slots:
            target, cached = search.targets[slot], self._expected[slot]
            assert target is not None
            if cached is not None and cached[0] is target:
                continue
            key = ("belief", image_key(target.exemplar), image_key(target.crop))
            if (found := search.cache.get(key)) is None:
                new.append((int(slot), target, key))
            else:
                self._expected[slot] = (target, found)
        if new:
            maps = similarity_maps(search, np.array([slot for slot, _, _ in new])).cpu()
            drops_of_new = self.expect([target for _, target, _ in new], maps)
            for (slot, target, key), drops in zip(new, drops_of_new, strict=True):
                search.cache.put(key, drops, drops.nbytes)
                self._expected[slot] = (target, drops)
        return np.stack([each[1] for slot in slots if (each := self._expected[slot]) is not None])


def constant_region(search: Search) -> Values:
    """The best constant region of the prior that the package ships for a search, `float64[4]`: `start="prior"`.

    Raises:
        InputError: If there is no prior for the scorer.
    """
    prior = _prior_of(
        search, "give the name module:function of a function that returns its best region as start"
    ).prior
    return prior.regions[prior.best]


def _prior_of(search: Search, remedy: str) -> FittedPrior:
    """The shipped prior for a search's scorer and limits; the remedy says what to do with one of one's own."""
    if (fitted := shipped_prior(search.scorer, search.settings.limits)) is None:
        raise InputError(
            f"There is no prior for the scorer {type(search.scorer).__name__} at max_area"
            f" {search.settings.limits.max_area:g}; fit one with fit-prior, and {remedy}."
        )
    return fitted


def count_moves(limits: RegionLimits, start: Values, goal: Values) -> Values:
    """Estimate how many moves lead from one region to another.

    A move shifts a region by `step` of its side, or changes its aspect by the factor (1 + step)^2.

    Args:
        limits: Of the moves.
        start: `[..., 4]`.
        goal: `[..., 4]`; the leading dimensions broadcast.

    Returns:
        `[...]`.
    """
    shift = np.abs(start[..., :2] + start[..., 2:] / 2 - goal[..., :2] - goal[..., 2:] / 2)
    aspect = np.abs(np.log(start[..., 2] / start[..., 3]) - np.log(goal[..., 2] / goal[..., 3]))
    return (shift / (limits.step * start[..., 2:])).sum(axis=-1) + aspect / (2 * np.log1p(limits.step))
