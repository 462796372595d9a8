"""The state of a search as its agent's foresight has it."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from occlusion_env.actions import MOVES
from occlusion_env.memory import image_key
from occlusion_env.search import Search
from occlusion_env.targets import Target
from tracker.errors import InputError
from tracker.scorers import SintScorer, unit_of

from .network import DropPredictor, shipped_predictor
from .planning import LENGTH, Known, outlook
from .sight import contributions

__all__ = ["Foresight"]

_BOUND = 20.0


class Foresight:
    """What each move promises (`planning.outlook`), by the predictor that the package ships.

    It asks for no score: the exemplar and the target are embedded for the clean score anyhow, and what an
    episode has scored it remembers. The environment takes it as `observation="foresight"`; a
    subclass with another `predictor` sees by another network.

    Drops are shown in SINT's scale, so that an agent that learned on one matcher can act on another: those of a
    matcher whose unit is u (`tracker.scorers.unit_of`) are multiplied by 0.1 / u. What is looked at is SINT's
    similarity in any case (`sight`).

    Args:
        search: The searches.

    Raises:
        InputError: If the scorer's unit is needed and unknown.
    """

    reads_features = False

    def __init__(self, search: Search) -> None:
        """See the class."""
        self.search = search
        # A copy: the predictor may be cached, and `to` moves a module in place.
        self.network = deepcopy(self.predictor()).to(search.view_device)
        self._scale = SintScorer.unit / self.network.unit
        self.space = spaces.Box(-_BOUND, _BOUND, (LENGTH,), np.float32)
        limits = search.settings.limits
        self._grid = limits.grid(limits.max_area)
        self._seen: list[tuple[Target, Tensor, NDArray[np.float64]] | None] = [None] * len(search.region)

    def predictor(self) -> DropPredictor:
        """The network that foretells the drops: the shipped one, in the scorer's unit.

        Raises:
            InputError: If the scorer has none.
        """
        unit = unit_of(self.search.scorer)
        if unit is None:
            raise InputError(
                f"The scorer {type(self.search.scorer).__name__} has no attribute unit, how far its scores spread;"
                " `occlusion-search train-foresight --scorer module:function` measures it."
            )
        return shipped_predictor().in_unit(unit)

    @torch.inference_mode()
    def __call__(self, slots: NDArray[np.int64]) -> NDArray[np.float32]:
        """`float32[M, LENGTH]`."""
        search, count = self.search, len(slots)
        self._look(slots)
        seen = [each for slot in slots if (each := self._seen[slot]) is not None]
        cells, far = torch.stack([each[1] for each in seen]), np.stack([each[2] for each in seen])

        now = search.region[slots]
        moves = np.tile(np.arange(len(MOVES)), count)
        beyond = search.move(np.repeat(slots, len(MOVES)), np.repeat(now, len(MOVES), axis=0), moves)
        beyond = beyond.reshape(count, len(MOVES), 4)

        visited = [search.visited(int(slot)) for slot in slots]
        most = max(len(scores) for _, scores in visited)
        regions, drops = np.tile(now[:, None], (1, most, 1)), np.zeros((count, most))
        valid = np.zeros((count, most), dtype=bool)
        for row, (places, scores) in enumerate(visited):
            regions[row, : len(places)] = places
            drops[row, : len(scores)] = search.clean_score[slots[row]] - scores
            valid[row, : len(scores)] = True

        asked = torch.from_numpy(np.concatenate([beyond, regions], axis=1)).to(cells)
        foretold = self._scale * self.network.drops(cells, asked).cpu().double().numpy()
        near, predicted = foretold[:, : len(MOVES)], foretold[:, len(MOVES) :]
        left = np.maximum(0, 1 - search.steps[slots] / search.settings.max_steps)
        known = Known(regions, self._scale * drops, predicted, valid)
        here = self._scale * (search.clean_score[slots] - search.score[slots])
        shown = outlook(search.settings.limits, here, beyond, self._grid, (near, far), known, left)
        return np.clip(shown, -_BOUND, _BOUND)

    def _look(self, slots: NDArray[np.int64]) -> None:
        """Take in the targets that are new."""
        search, new = self.search, []
        for slot in slots:
            target, seen = search.targets[slot], self._seen[slot]
            assert target is not None
            if seen is not None and seen[0] is target:
                continue
            key = ("foresight", image_key(target.exemplar), image_key(target.crop))
            if (found := search.cache.get(key)) is None:
                new.append((int(slot), target, key))
            else:
                self._seen[slot] = (target, *found)
        if not new:
            return
        rows = np.array([slot for slot, _, _ in new])
        maps = contributions(search, rows).to(search.view_device)
        cells = self.network.cells(maps)
        grid = torch.from_numpy(self._grid).to(cells)
        far = self._scale * self.network.drops(cells, grid.expand(len(new), -1, -1)).cpu().double().numpy()
        for row, (slot, target, key) in enumerate(new):
            found = (cells[row].clone(), far[row])
            search.cache.put(key, found, found[0].nbytes + found[1].nbytes)
            self._seen[slot] = (target, *found)
