"""What each move promises, from predicted drops and the drops that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlusion_env.actions import MOVES, RegionLimits
from tracker.boxes import iou

__all__ = ["LENGTH", "Known", "distance", "outlook", "revised"]

Values = NDArray[np.float64]

PATIENCE = (0.003, 0.01, 0.025)
"""What a move costs, in units of the score, where what lies beyond is weighed against the way to it."""

PER_MOVE = 4 + len(PATIENCE)
OVERALL = 6
LENGTH = len(MOVES) * PER_MOVE + OVERALL
"""Numbers in `outlook`."""

_SAME = 0.97
_TRIED = 0.9
_TRUST = 0.3
_FAR_BELOW = 0.4


@dataclass(frozen=True)
class Known:
    """The occlusions that M searches have scored, K at most; a row with fewer is filled up.

    Attributes:
        regions: `float64[M, K, 4]`.
        drops: `float64[M, K]`, how far the score fell.
        predicted: `float64[M, K]`, how far it was thought to fall.
        valid: `bool[M, K]`, which are there.
    """

    regions: Values
    drops: Values
    predicted: Values
    valid: NDArray[np.bool_]


def revised(predicted: Values, overlap: Values, known: Known) -> tuple[Values, Values]:
    """Predictions in the light of what is known.

    What a target's predictions are wrong by on average is added to all of them, and to each what those of the
    regions around it are wrong by beyond that: a mean with the cube of the IoU as weight, drawn to 0 where
    little is known (Nadaraya and Watson's estimate with a prior).

    Args:
        predicted: `[M, R]`.
        overlap: `[M, R, K]`, IoU with the known regions; 0 where there is none.
        known: What is known.

    Returns:
        The revised predictions `[M, R]`, and the average error `[M]`.
    """
    errors = np.where(known.valid, known.drops - known.predicted, 0.0)
    mean = errors.sum(axis=1) / (known.valid.sum(axis=1) + 1)
    weight = overlap**3
    local = np.einsum("mrk,mk->mr", weight, np.where(known.valid, errors - mean[:, None], 0.0))
    return predicted + mean[:, None] + local / (weight.sum(axis=2) + _TRUST), mean


def distance(limits: RegionLimits, start: Values, goal: Values) -> Values:
    """About how many moves lie between regions.

    Args:
        limits: The moves.
        start: `[..., 4]`.
        goal: `[..., 4]`.

    Returns:
        `[...]`: a move shifts by `step` of the side, or changes the aspect by (1 + step)^2.
    """
    shift = np.abs(start[..., :2] + start[..., 2:] / 2 - goal[..., :2] - goal[..., 2:] / 2)
    aspect = np.abs(np.log(start[..., 2] / start[..., 3]) - np.log(goal[..., 2] / goal[..., 3]))
    return (shift / (limits.step * start[..., 2:])).sum(axis=-1) + aspect / (2 * np.log1p(limits.step))


def outlook(
    limits: RegionLimits,
    here: Values,
    beyond: Values,
    grid: Values,
    promised: tuple[Values, Values],
    known: Known,
    left: Values,
) -> NDArray[np.float32]:
    """The state of M searches as numbers about their moves.

    For each of the eight moves, where r is the region that it leads to: r's revised drop less the best known one,
    and less the present one; for each `PATIENCE` the most that any region of the grid that is not known promises
    beyond the best known drop, less the way to it from r; whether r is known already; and r's IoU with the nearest
    known region. Then: the best known drop, the present one, the share of the moves that is left, what the grid
    promises at most beyond the best known drop, how far the present one lies below the best, and by how much the
    predictions were wrong on average.

    Args:
        limits: Of the search.
        here: `[M]`, the drops where the searches are.
        beyond: `[M, 8, 4]`, where the moves lead.
        grid: `[R, 4]`, where else it may be worth going.
        promised: Predicted drops of `beyond`, `[M, 8]`, and of the grid, `[M, R]`.
        known: All that is known.
        left: `[M]`, the share of the moves that is left.

    Returns:
        `float32[M, LENGTH]`; drops are in tenths of the score.
    """
    both = np.concatenate([beyond, np.broadcast_to(grid, (len(here), *grid.shape))], axis=1)
    overlap = np.where(known.valid[:, None], iou(both[:, :, None], known.regions[:, None]), 0.0)
    revised_drops, mean = revised(np.concatenate(promised, axis=1), overlap, known)
    moves = beyond.shape[1]
    near, there = overlap.max(axis=2), revised_drops[:, :moves]
    best = np.where(known.valid, known.drops, -np.inf).max(axis=1)
    gain = revised_drops[:, moves:] - best[:, None] - _FAR_BELOW * (near[:, moves:] > _TRIED)
    way = distance(limits, beyond[:, :, None], grid[None, None])
    plans = [(gain[:, None] - cost * way).max(axis=2) for cost in PATIENCE]
    drops = [there - best[:, None], there - here[:, None], *plans]
    columns = [10 * each for each in drops] + [(near[:, :moves] > _SAME).astype(float), near[:, :moves]]
    most = revised_drops[:, moves:].max(axis=1) - best
    overall = np.stack([10 * best, 10 * here, left, 10 * most, 10 * (here - best), 10 * mean], axis=1)
    return np.concatenate([np.stack(columns, axis=2).reshape(len(here), -1), overall], axis=1).astype(np.float32)
