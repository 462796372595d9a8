"""What the second search is worth: methods that find the patch, and how to divide queries between both searches.

Usage: python benchmarks/patches.py --judge DIR [--agents RUN ...] [--json FILE]

Slim SINT, a quarter of the target. The belief searches for the region with a random piece of background, or
with the piece that `contrast` chooses beforehand. Methods then search for the patch over the region that
lowered the score most. `contrast` and its settings were chosen on training videos, before the judged sequences
were read: there a regression on features of a patch found no better one with its first query, a Gaussian
process over patches gained little over it, and hill climbing and an agent found less than random patches.

Primary, named before the judged sequences were read, corrected by Holm; the score drop, mean over sequences, with
ten scorer queries in all and a random piece of background in the search for the region:

1. seven queries on the region and three on patches by contrast, less ten on the region;
2. the same, less seven on the region and the best of three random patches.

The arm `random small` was added after the first run of this script, whose figures were known then: its comparisons
are exploratory. It draws random pieces of the size among which `contrast` chooses, at the same numbers of queries
as the other arms, and so divides the gain of `contrast` into that of the size and that of the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents.common.output import check_json_path
from agents.common.randomness import generator
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.policies.baselines import Generators, Proposals, Querying, RandomRegions, rank_by_contrast
from agents.policies.belief import shipped_prior
from agents.policies.belief.method import BeliefProposer
from agents.policies.loading import load_policy, training_speed
from agents.policies.rollout import Agent, Rollout
from occlusion_env import SearchArguments, TargetSet, load_targets
from occlusion_env.envs.background import BackgroundSearch
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.mdp.actions import MOVES
from occlusion_env.scene.occluders import CONTRAST_SIDE, choose_occluder
from occlusion_env.scene.targets import Target
from occlusion_env.search.core import Search
from tracker.data.identity import folder_digests
from tracker.data.readers import list_targets
from tracker.data.sequences import evenly_spaced
from tracker.errors import InputError
from tracker.evaluation.intervals import Interval, holm, interval, method_record

Values = NDArray[np.float64]

MOST = 20
"""Most scorer queries of either search."""

TOTALS = (5, 10, 20)
ON_PATCHES = 3
REGION = 10
"""Queries of the belief where its region is fixed and the methods for the patch are compared."""

PATCHES = ("random", "random small", "contrast")
"""Patches of the search for the region, and of the search for the patch where both searches divide the queries."""

MEASURE = "score drop, mean over sequences, 10 scorer queries in all"


@dataclass
class Arguments:
    """What to judge.

    Attributes:
        judge: Sequences to judge on.
        agents: Runs of `train --env BackgroundSearch-v0`.
        per_sequence: Targets of a sequence.
        json: Receives the figures.
    """

    judge: Path
    agents: tuple[Path, ...] = ()
    per_sequence: int = 20
    json: Path = Path("benchmarks/results/patches.json")


def climb(search: Search, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """Propose the eight moves of the best box so far, from a random one, until none is better."""
    count, rows = len(slots), np.arange(len(slots))
    box = np.concatenate([search.random_regions(slots[[row]], generators[row]) for row in rows])
    proposed, best = box[:, None], np.full(count, -np.inf)
    while True:
        drops = yield proposed
        known = np.where(np.isnan(drops), -np.inf, drops)
        better = known.max(axis=1) > best
        box = np.where(better[:, None], proposed[rows, known.argmax(axis=1)], box)
        best = np.maximum(best, known.max(axis=1))
        moves = np.tile(np.arange(len(MOVES)), count)
        moved = search.move(np.repeat(slots, len(MOVES)), np.repeat(box, len(MOVES), axis=0), moves)
        proposed = np.where(better[:, None, None], moved.reshape(count, len(MOVES), 4), np.nan)


def curve_of(episode: Rollout) -> Values:
    """Least score of an episode after 1 to `MOST` distinct boxes, `float64[MOST]`.

    >>> boxes = np.array([[0, 0, 1, 1], [1, 0, 1, 1], [0, 0, 1, 1], [2, 0, 1, 1.0]])
    >>> curve_of(Rollout((), boxes, np.array([0.5, 0.6, 0.5, 0.2]), True))[:4].tolist()
    [0.5, 0.5, 0.2, 0.2]
    """
    _, first = np.unique(episode.trail.round(9), axis=0, return_index=True)
    return padded(np.minimum.accumulate(episode.scores[np.sort(first)])[None])[0]


def padded(curve: Values) -> Values:
    """Curves `[M, K]` cut or continued to `[M, MOST]`."""
    return np.pad(curve[:, :MOST], ((0, 0), (0, max(0, MOST - curve.shape[1]))), mode="edge")


@dataclass
class Judge:
    """Searches on the targets of one sequence.

    Attributes:
        networks: The scorer and the features.
        targets: N targets.
        agents: By name.
    """

    networks: Networks
    targets: Sequence[Target]
    agents: dict[str, Agent]

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """A random generator for each target."""
        return [generator(0, target.id, purpose) for target in self.targets]

    def regions(self, first: str) -> tuple[Values, Values, Values]:
        """Search for the regions by the belief.

        Args:
            first: The patch, one of `PATCHES`.

        Returns:
            The scores of the unoccluded targets `float64[N]`, the queried regions `float64[N, MOST, 4]`, and their
            scores `float64[N, MOST]`.
        """
        settings, slots = SearchArguments().settings, np.arange(len(self.targets))
        scorer, features = self.networks.scorer, self.networks.features
        occluder = "contrast" if first == "contrast" else "background"
        share = settings.limits.max_area * (CONTRAST_SIDE**2 if first == "random small" else 1)
        fitted = shipped_prior(scorer, settings.limits, occluder)
        assert fitted is not None
        draws = self.generators("region")
        patches = [
            choose_occluder(occluder, target, share, rng).patch(target)
            for target, rng in zip(self.targets, draws, strict=True)
        ]
        search = Search(len(slots), scorer, features, settings)
        search.begin(slots, self.targets, patches)
        found = Querying(BeliefProposer(fitted), MOST).run(search, slots, draws)
        return search.clean_score.copy(), found.regions, found.scores

    def patches(self, method: str, regions: Values) -> Values:
        """Search for the patches of regions `[N, 4]`: least score after 1 to `MOST` queries, `float64[N, MOST]`.

        It is infinite where a frame leaves no room for a patch.
        """
        agent = self.agents.get(method)
        settings = SearchArguments().settings if agent is None or agent.settings is None else agent.settings
        rows = [
            row
            for row, target in enumerate(self.targets)
            if BackgroundSearch.has_room(target, settings, regions[row])
        ]
        curves = np.full((len(self.targets), MOST), np.inf)
        if not rows:
            return curves
        features = self.networks.features if agent is None or agent.features is None else agent.features
        search = BackgroundSearch(len(rows), self.networks.scorer, features, settings)
        targets, draws = [self.targets[row] for row in rows], self.generators("patch")
        draws = [draws[row] for row in rows]
        boxes = search.draw_boxes(targets, draws, regions[rows])
        search.begin(np.arange(len(rows)), targets, regions=boxes, covered=regions[rows])
        if agent is None:
            found = Querying(METHODS[method], MOST).run(search, np.arange(len(rows)), draws)
            curves[rows] = padded(found.curve)
        else:
            curves[rows] = [curve_of(episode) for episode in agent.find(search)]
        return curves


def draw_small(search: BackgroundSearch, slots: NDArray[np.int64], generators: Generators, most: int) -> Proposals:
    """Propose random boxes as small as the candidates of `rank_by_contrast`."""
    yield np.stack([
        search.small_boxes(np.full(most, slot), rng) for slot, rng in zip(slots, generators, strict=True)
    ])  # fmt: skip


METHODS: dict[str, Callable[..., Proposals]] = {
    "random": RandomRegions, "random small": draw_small, "contrast": rank_by_contrast, "hill climbing": climb,
}  # fmt: skip
"""The methods that learn nothing; `random` and `random small` are the best of k random patches."""


def load_agents(runs: Sequence[Path]) -> dict[str, Agent]:
    """Load the agents of runs by the names of their algorithms, `logs/ALGORITHM/ENVIRONMENT_NUMBER`.

    Raises:
        InputError: If two runs have the same name, or a run has that of a method.
    """
    names = [*METHODS, *(path.parent.name for path in runs)]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Two rows would have the name '{doubled[0]}'; give one run of each algorithm.")
    return {path.parent.name: load_policy(path, device="cpu").agent("cpu") for path in runs}


def after(regions: Values, scores: Values, queries: int) -> Values:
    """The region with the least score of the first queries of each target, `float64[N, 4]`."""
    return regions[np.arange(len(scores)), scores[:, :queries].argmin(axis=1)]


def judge_sequence(judge: Judge) -> dict[str, Values]:
    """Score drops of one sequence: by method `float64[MOST]` with the region fixed, a number for each division."""
    drops: dict[str, Values] = {}
    for first in PATCHES:
        clean, regions, scores = judge.regions(first)
        lowest = np.minimum.accumulate(scores, axis=1)
        drops[f"region, {first} patch"] = (clean[:, None] - lowest).mean(axis=0)
        for total in TOTALS:
            on_region = total - ON_PATCHES
            found = after(regions, scores, on_region)
            for method in PATCHES:
                best = np.minimum(judge.patches(method, found)[:, ON_PATCHES - 1], lowest[:, on_region - 1])
                drops[division(first, method, total)] = (clean - best).mean(keepdims=True)
        if first == "random":
            fixed, before = after(regions, scores, REGION), lowest[:, [REGION - 1]]
            drops["no second search"] = (clean - before[:, 0]).mean(keepdims=True)
            for method in (*METHODS, *judge.agents):
                best = np.minimum(judge.patches(method, fixed), before)
                drops[method] = (clean[:, None] - best).mean(axis=0)
    return drops


def division(first: str, method: str, total: int) -> str:
    """A division of the queries in words."""
    return f"{first} patch, {total - ON_PATCHES} on the region and {ON_PATCHES} on {method} patches"


def judge_all(given: Arguments) -> dict[str, Any]:
    """Judge every sequence, and contrast the methods over them."""
    networks = load_networks(SearchArguments(device="cpu"))
    agents = load_agents(given.agents)
    rows: dict[str, dict[str, Values]] = {}
    for name, (path, _) in tqdm(list_targets(given.judge).items(), unit="sequence"):
        every = load_targets(str(path))
        targets: TargetSet = every.subset(evenly_spaced(len(every), given.per_sequence))
        rows[name] = judge_sequence(Judge(networks, list(targets), agents))
    drops = {key: np.stack([row[key] for row in rows.values()]) for key in next(iter(rows.values()))}

    def at(key: str, queries: int) -> Values:
        """Drops after a number of queries, `[V]`; of a division, after all."""
        return drops[key][:, min(queries, drops[key].shape[1]) - 1]

    contrast = at(division("random", "contrast", 10), 10)
    primary = {
        "7 on the region and 3 on contrast patches, less 10 on the region": at("region, random patch", 10),
        "7 on the region and 3 on contrast patches, less 7 and the best of 3 random patches": at(
            division("random", "random", 10), 10
        ),
    }
    found = {text: interval(contrast - other) for text, other in primary.items()}
    corrected = holm([one.p for one in found.values()])
    chosen_first, both = at("region, contrast patch", 10), at(division("contrast", "contrast", 10), 10)
    secondary = {
        "10 on the region with the contrast patch, less 10 with a random one": (
            chosen_first, at("region, random patch", 10),
        ),
        "10 on the region with the contrast patch, less 7 with a random one and 3 on contrast patches": (
            chosen_first, contrast,
        ),
        "7 with the contrast patch and 3 on contrast patches, less 10 on the region with it": (both, chosen_first),
        "region fixed: 1 contrast patch less 1 random patch": (at("contrast", 1), at("random", 1)),
        "region fixed: 1 contrast patch less the best of 20 random": (at("contrast", 1), at("random", 20)),
        **{
            f"region fixed: {name} less the best of 10 random, 10 queries": (at(name, 10), at("random", 10))
            for name in ("contrast", "hill climbing", *agents)
        },
    }  # fmt: skip
    small_first, small = at("region, random small patch", 10), at(division("random", "random small", 10), 10)
    exploratory = {
        "10 on the region with a random small patch, less 10 with a random one": (
            small_first, at("region, random patch", 10),
        ),
        "10 on the region with the contrast patch, less 10 with a random small one": (chosen_first, small_first),
        "7 on the region and 3 on random small patches, less 7 and the best of 3 random patches": (
            small, at(division("random", "random", 10), 10),
        ),
        "7 on the region and 3 on contrast patches, less 7 and the best of 3 random small patches": (
            contrast, small,
        ),
        "region fixed: 1 random small patch less 1 random patch": (at("random small", 1), at("random", 1)),
        "region fixed: 1 contrast patch less 1 random small patch": (at("contrast", 1), at("random small", 1)),
        "region fixed: 1 contrast patch less the best of 20 random small": (
            at("contrast", 1), at("random small", 20),
        ),
        "region fixed: the best of 10 random small less the best of 10 random": (
            at("random small", 10), at("random", 10),
        ),
        "region fixed: contrast less the best of 10 random small, 10 queries": (
            at("contrast", 10), at("random small", 10),
        ),
    }  # fmt: skip
    return {
        "primary": [
            {
                "contrast": text,
                "measure": MEASURE,
                **bounds(one),
                "p_holm": None if p is None else round(p, 6),
                "sequences": len(rows),
            }
            for (text, one), p in zip(found.items(), corrected, strict=True)
        ],
        "secondary": [
            {"contrast": text, **bounds(interval(one - other))} for text, (one, other) in secondary.items()
        ],
        "exploratory": [
            {"contrast": text, **bounds(interval(one - other))} for text, (one, other) in exploratory.items()
        ],
        "drops": {
            key: {
                "mean": values.mean(axis=0).round(6).tolist(),
                "interval": [interval(column).ends(6) for column in values.T],
            }
            for key, values in drops.items()
        },
        "sequences": {name: {key: round(float(row[key][-1]), 6) for key in row} for name, row in rows.items()},
        "agents": {path.parent.name: training_speed(str(path)) for path in given.agents},
    }


def bounds(found: Interval) -> dict[str, Any]:
    """A difference and its interval as plain data."""
    return {"difference": round(found.mean, 6), "interval": found.ends(6)}


def main(given: Arguments) -> None:
    """Judge, and write the figures."""
    check_json_path(given.json)
    check_counts(per_sequence=given.per_sequence)
    content = {
        **judge_all(given),
        "interval_method": method_record("sequences"),
        "settings": {
            "per_sequence": given.per_sequence, "totals": TOTALS, "on_patches": ON_PATCHES, "region": REGION,
        },
        "judge": folder_digests(given.judge),
    }  # fmt: skip
    write_result(given.json, "patches", content)
    for row in (*content["primary"], *content["secondary"], *content["exploratory"]):
        print(row)


if __name__ == "__main__":
    run_script(main, Arguments)
