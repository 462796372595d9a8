"""Is the agent worth its training? It is judged at equal area and with the same patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from occlusion_env.search import Search

from .rollout import Rollout

__all__ = ["Evaluation", "evaluate"]

RANDOM_DRAWS = 16


@dataclass(frozen=True)
class Evaluation:
    """Scores of N targets, each `float64[N]`; lower is a harder positive.

    Attributes:
        clean: Unoccluded.
        random: Mean over random regions.
        centre: A centred square.
        agent: Where the agent ended.
        exhaustive: The least over a grid of places and shapes: the ceiling.
        area: Of the agent's region, and so of every other method's.
        queries: Scorer queries a target that each method needs.
        steps: Actions that the agent took.
        triggered: `bool[N]`, whether it ended the search itself.
    """

    clean: NDArray[np.float64]
    random: NDArray[np.float64]
    centre: NDArray[np.float64]
    agent: NDArray[np.float64]
    exhaustive: NDArray[np.float64]
    area: NDArray[np.float64]
    queries: dict[str, float]
    steps: NDArray[np.int64]
    triggered: NDArray[np.bool_]

    @property
    def closure(self) -> float | None:
        """`(random - agent) / (random - exhaustive)` of the means; `None` where the two ends coincide."""
        gap = float(self.random.mean() - self.exhaustive.mean())
        return float(self.random.mean() - self.agent.mean()) / gap if gap > 1e-9 else None

    def summary(self) -> dict[str, object]:
        """Means over the targets, as `report.json` has them."""
        names = ("clean", "random", "centre", "agent", "exhaustive", "area")
        means = {name: round(float(getattr(self, name).mean()), 5) for name in names}
        return {
            **means,
            "closure": None if self.closure is None else round(self.closure, 4),
            "queries": self.queries,
            "steps": round(float(self.steps.mean()), 3),
            "trigger_rate": round(float(self.triggered.mean()), 4),
            "targets": len(self.clean),
        }


def evaluate(
    search: Search, episodes: list[Rollout], rng: np.random.Generator, progress: bool = False
) -> Evaluation:
    """Compare where an agent ended with other regions of the same area, under the same patch.

    Args:
        search: The N searches that the episodes were run in; their state stays as it is.
        episodes: What `roll_out` returned for them.
        rng: Where the random regions are drawn from.
        progress: Whether to show a progress bar.

    Returns:
        The scores of every method.
    """
    limits, slots = search.settings.limits, np.arange(len(search))
    regions = np.stack([episode.region for episode in episodes])
    area = regions[:, 2] * regions[:, 3]
    draws = np.repeat(slots, RANDOM_DRAWS)
    chance = search.scores(draws, limits.random(area[draws], rng)).reshape(-1, RANDOM_DRAWS)
    best, size = np.empty(len(slots)), np.empty(len(slots))
    for slot in tqdm(slots, desc="exhaustive search", unit="target", disable=not progress):
        grid = limits.grid(float(area[slot]))
        size[slot] = len(grid)
        best[slot] = search.scores(np.full(len(grid), slot), grid).min()
    steps = np.array([len(episode.actions) for episode in episodes])
    return Evaluation(
        clean=search.clean_score.copy(),
        random=chance.mean(axis=1),
        centre=search.scores(slots, limits.centred(area)),
        agent=np.array([episode.scores[-1] for episode in episodes]),
        exhaustive=best,
        area=area,
        queries={"random": 1.0, "centre": 1.0, "agent": 1.0, "exhaustive": float(size.mean())},
        steps=steps,
        triggered=np.array([episode.triggered for episode in episodes]),
    )
