"""The searches of one target: by hand, by the agent and the belief, and the comparison at equal queries."""

from __future__ import annotations

from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlusion_env.scene.targets import Target
from occlusion_env.search.core import Search
from tracker.data.sequences import evenly_spaced
from tracker.scorers.outputs import score_images

from ..common.randomness import generator
from ..evaluation.comparison import compare
from ..evaluation.methods import query_methods
from ..policies.baselines import Querying, list_regions
from ..policies.belief.method import BeliefTrace, trace_belief
from ..policies.rollout import Agent, Rollout
from .game import Game
from .models import Models

Values = NDArray[np.float64]
Image = NDArray[np.uint8]

SEED = 0
"""Of everything that the page draws."""

COMPARED = {
    "you": "you", "best of k random": "random regions", "constant": "one constant region",
    "hill climbing": "hill climbing", "agent": "agent", "belief": "belief", "part": "a part of grid search",
    "grid search": "all of grid search",
}  # fmt: skip
"""The methods of `TargetSearch.compare` in its order, by their names in an evaluation, and the page's names."""


class Result(NamedTuple):
    """A method beside the player.

    Attributes:
        method: One of the values of `COMPARED`.
        queries: Its number of scorer queries.
        curve: `float64[queries]`, least score after each of them; of grid search only after all of them.
    """

    method: str
    queries: int
    curve: Values


class TargetSearch:
    """All searches of one target, with the same occluder.

    Args:
        models: The networks, the agent and the prior.
        target: The target.
        drop: The drop of the score that the trigger needs.

    Attributes:
        game: The search by hand.
    """

    def __init__(self, models: Models, target: Target, drop: float) -> None:
        self.models, self.target, self.drop = models, target, drop
        self.restart()

    def restart(self) -> None:
        """Start the search by hand anew, without its earlier turns."""
        self.game = Game(self._begin(), self.drop)

    @property
    def clean(self) -> float:
        """The score of the unoccluded target."""
        return float(self.game.search.clean_score[0])

    @property
    def patch(self) -> Image:
        """The occluder, `uint8[64, 64, 3]`."""
        return self.game.search.patches()[0]

    @property
    def grid(self) -> Values:
        """The regions of grid search, `float64[R, 4]`."""
        limits = self.models.settings.limits
        return limits.grid(limits.max_area)

    @cached_property
    def drops(self) -> Values:
        """The drop of the score under each region of the grid, `float64[R]`."""
        slots = np.zeros(len(self.grid), dtype=np.int64)
        return self.clean - self._begin().scores(slots, self.grid)

    @property
    def map_known(self) -> bool:
        """Whether `drops` have been computed, for which the player's queries are not counted."""
        return "drops" in vars(self)

    @cached_property
    def trace(self) -> BeliefTrace:
        """The belief's search."""
        return trace_belief(self.models.fitted, self._begin())

    @cached_property
    def episode(self) -> Rollout:
        """The agent's search."""
        return self.models.agent.find(self._begin(self.models.agent))[0]

    def score(self, image: Image) -> float:
        """The matcher's score of an image `uint8[h, w, 3]` against the exemplar."""
        return float(score_images(self.models.networks.scorer, [self.target.exemplar], [image])[0])

    def compare(self) -> list[Result]:
        """Compare the search by hand with other methods, at as many scorer queries and with the same occluder.

        Returns:
            In the order of `COMPARED`. No method has more queries than the player, but for grid search with all
            its regions; the constant region has one, hill climbing and the agent end by themselves, and random
            regions are drawn up to 50 times.
        """
        regions, grid = self.game.queried(), self.grid
        count = len(regions)
        known = query_methods(self.models.networks.scorer, self.models.fitted, count)
        methods = {
            "you": Querying(partial(list_regions, regions), count),
            **{name: known[name] for name in ("constant", "hill climbing", "belief")},
            "part": Querying(partial(list_regions, grid[evenly_spaced(len(grid), count)]), count),
        }
        trials = compare(
            self.models.networks, [self.target], [self.models.agent], methods=methods, seed=SEED,
            key=self.target.id,
        ).trials  # fmt: skip
        results = []
        for name, label in COMPARED.items():
            trial = trials[name]
            queries = int(trial.queries[0]) if name == "grid search" else min(count, int(trial.queries[0]))
            results.append(Result(label, queries, trial.curve[0, :queries]))
        return results

    def _begin(self, agent: Agent | None = None) -> Search:
        """A search of the target, with the occluder of `compare`."""
        settings, features = self.models.settings, self.models.networks.features
        if agent is not None:
            settings, features = agent.settings or settings, agent.features or features
        search = Search(1, self.models.networks.scorer, features, settings)
        search.begin_random([self.target], generator(SEED, self.target.id, "patches"), drop=self.drop)
        return search
