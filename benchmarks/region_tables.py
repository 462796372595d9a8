"""Targets of videos with the scores and the features of their regions, each computed once and stored in a file.

A module of `benchmarks/paper_state.py`, and no script.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.common.randomness import generator
from agents.evaluation.comparison import RANDOM_DRAWS
from occlusion_env import SearchArguments, load_targets
from occlusion_env.envs.building import load_networks
from occlusion_env.search.core import Search
from occlusion_env.search.memory import keyed_regions, region_keys
from tracker.data.readers import list_targets
from tracker.data.sequences import evenly_spaced

Values = NDArray[np.float64]
Rows = NDArray[np.int64]

PROJECTED = 2048
"""Longer features are projected to as many numbers by random signs, which keeps their distances to about 2 %."""


class Lookup:
    """Values of regions of targets, each computed once; `compute` maps `int64[M]` and `[M, 4]` to `[M, K]`."""

    def __init__(self, file: Path, compute: Callable[[Rows, Values], NDArray[Any]]) -> None:
        self.file, self.compute = file, compute
        self.known: dict[tuple[int, bytes], NDArray[Any]] = {}
        if file.is_file():
            stored = np.load(file)
            keys = zip(stored["rows"].tolist(), region_keys(stored["regions"]), strict=True)
            self.known = dict(zip(keys, stored["values"], strict=True))

    def __call__(self, rows: Rows, regions: Values) -> NDArray[Any]:
        """Values `[M, K]` of regions `[M, 4]` of targets `int64[M]`."""
        keys = list(zip(rows.tolist(), region_keys(regions), strict=True))
        new = list({key: place for place, key in enumerate(keys) if key not in self.known}.values())
        if new:
            found = self.compute(rows[new], regions[new])
            self.known.update(zip([keys[place] for place in new], found, strict=True))
        return np.stack([self.known[key] for key in keys])

    def save(self) -> None:
        """Write the file."""
        rows, keys = zip(*self.known, strict=True)
        np.savez(self.file, rows=rows, regions=keyed_regions(keys), values=np.stack(list(self.known.values())))


class World:
    """The targets of a folder, with the scores and the features of their regions.

    Attributes:
        rows: Numbers of the N targets.
        videos: N names.
        grid: `[G, 4]`, the regions of grid search.
        on_grid: `float64[N, G]`, how far the score falls below the mean of random regions.
        gap: `float64[N]`, the largest of them.
        goals: `[N, 4]`, the best regions of the grid.
        candidates: `[R, 4]`, one in `every` of the grid.
        drops: `float64[N, R]`, those of `on_grid` at the candidates.
    """

    def __init__(self, folder: Path, arguments: SearchArguments, count: int, every: int, cache: Path) -> None:
        networks, limits = load_networks(arguments), arguments.settings.limits
        searches, names, drawn = [], [], []
        for name, (path, _) in list_targets(folder).items():
            targets = load_targets(str(path))
            chosen = list(targets.subset(evenly_spaced(len(targets), count)))
            search = Search(len(chosen), networks.scorer, networks.features, arguments.settings)
            search.begin_random(chosen, generator(0, name, "patches"))
            areas = np.full(len(chosen) * RANDOM_DRAWS, limits.max_area)
            drawn.append(limits.random(areas, generator(0, name, "random")))
            searches.append(search)
            names += [name] * len(chosen)
        self.limits, self.videos, self.rows = limits, np.array(names), np.arange(len(names))
        places = [(search, slot) for search in searches for slot in range(len(search))]
        length = networks.features.length
        signs = np.random.default_rng(0).choice(
            np.array([-1, 1], np.float32) / PROJECTED**0.5, (length, PROJECTED)
        )

        def read(search: Search, slots: Rows, regions: Values) -> NDArray[Any]:
            keys = [search.view_keys[slot] for slot in slots]
            found = search.features_of(keys, regions, lambda place: search.targets[slots[place]])  # type: ignore
            return (found @ signs if length > PROJECTED else found).astype(np.float16)

        def by_video(compute: Callable[..., NDArray[Any]], rows: Rows, regions: Values) -> NDArray[Any]:
            found: dict[int, NDArray[Any]] = {}
            for search in searches:
                own = np.flatnonzero([places[row][0] is search for row in rows])
                if len(own):
                    values = compute(search, np.array([places[row][1] for row in rows[own]]), regions[own])
                    found.update(zip(own.tolist(), values.reshape(len(own), -1), strict=True))
            return np.stack([found[place] for place in range(len(rows))])

        cache.mkdir(parents=True, exist_ok=True)
        self.scores = Lookup(cache / "scores.npz", partial(by_video, Search.scores))
        self.features = Lookup(cache / "features.npz", partial(by_video, read))
        grid = limits.grid(limits.max_area)
        random = self.scores(np.repeat(self.rows, RANDOM_DRAWS), np.concatenate(drawn))
        self.random = random.reshape(len(names), -1).mean(axis=1)
        self.grid, self.on_grid = grid, self.drop(self.rows, np.tile(grid, (len(names), 1, 1)))
        self.gap, self.goals = self.on_grid.max(axis=1), grid[self.on_grid.argmax(axis=1)]
        self.candidates, self.drops = grid[::every], self.on_grid[:, ::every]
        self.save()

    def drop(self, rows: Rows, regions: Values) -> Values:
        """How far the scores of targets with regions `[M, K, 4]` fall below those of random regions, `[M, K]`."""
        scores = self.scores(np.repeat(rows, regions.shape[1]), regions.reshape(-1, 4))
        return self.random[rows, None] - scores.reshape(regions.shape[:2])

    def save(self) -> None:
        """Write the look-ups."""
        for lookup in (self.scores, self.features):
            if lookup.known:
                lookup.save()
