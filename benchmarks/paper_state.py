"""Whether a learner that sees the paper's state beats one constant region on videos that it has not seen.

The state of section 4.2.1 is the features of the region and the last actions. Learners are fitted to the training
videos; their settings are chosen by the closure after ten scorer queries on training videos left out of the fit.

- ridge, network: a regression predicts the drop of each region of the grid, and the regions are queried in the
  order of the predictions, near copies later;
- cloning: a network classifies the move that leads towards the best region of the grid;
- DAgger: cloning, continued on the states that its own walks visit (Ross et al. 2011);
- DQN: runs of `occlusion-search train`; their values rate the moves.

A walk starts at the centre or at the constant region, and goes on to the best rated of the neighbours that it has
not visited, up to ten queries. The controls see nothing of the target: the best region, list of ten regions and
sequence of nine moves of the training videos, and random moves. Occluders and random regions are those of
`occlusion-search evaluate --seeds 1`.

Named before the judged sequences were read: the primary learner is the one with features that has the highest
closure on left-out training videos. The primary contrasts are its closure after ten queries less that of the
constant region, and less that of the better constant sequence, with Holm's correction.

Usage: python benchmarks/paper_state.py --train DIR --judge DIR --vgg16 FILE --dqn RUN ... --out DIR --json FILE

Without --judge it ends after the choice. What lies in --out is not computed again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from region_learners import (
    QUERIES,
    Queried,
    best_list,
    best_region,
    best_sequence,
    fit_network,
    fit_ranking,
    fit_ridge,
    imitate,
    listed,
    load_dqn,
    move_randomly,
    towards,
    walked,
)
from region_tables import Rows, Values, World

from agents.common.output import check_json_path, claim_folder
from agents.common.results import write_result
from agents.common.scripts import check_counts, check_videos, run_script
from agents.policies.loading import training_speed
from occlusion_env import SearchArguments
from occlusion_env.envs.building import load_networks
from tracker.data.identity import folder_digests
from tracker.evaluation.intervals import Interval, holm, ratio_interval

STARTS = ("centre", "constant")
RANKED = (("features",), ("region",), ("features", "region"))
MOVED = (("features", "history"), ("features",), ("history", "region"))
ROUNDS = 3
"""Of DAgger."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
STEPS = (50, 300)
"""Of the training of a network."""
FOLDS = 6
EVERY = 2
"""One region of the grid in so many is ranked."""
THIN = 4
"""How many times fewer targets and ranked regions there are for VGG-16, a pass of which takes 45 times as long.
Its only walks are those of cloning from the centre: each round of DAgger needs the features of new regions."""
REPORTED = (1, 2, 3, 5, 8, 10)


@dataclass
class Arguments:
    """What to fit and to judge.

    Attributes:
        train: Videos to fit on.
        judge: Sequences to judge on.
        vgg16: Weights of VGG-16's convolutions, for the state pool5; the matcher stays slim SINT.
        dqn: Run folders of `occlusion-search train --algo dqn` on slim features, one a seed.
        per_video: Targets of a training video.
        per_sequence: Targets of a judged sequence.
        seeds: Trainings of every learner.
        out: Folder for the scores and the features of regions and for the queries of each learner.
        json: Receives the figures; paper_state.json in `out` by default.
    """

    train: Path
    judge: Path | None = None
    vgg16: Path | None = None
    dqn: tuple[Path, ...] = ()
    per_video: int = 8
    per_sequence: int = 20
    seeds: int = 5
    out: Path = Path("out/paper_state")
    json: Path | None = None


class Learner(NamedTuple):
    """A kind of learner, the parts of the state that it sees, and where its walks start."""

    kind: str
    parts: tuple[str, ...]
    start: str | None = None

    @property
    def name(self) -> str:
        """In the figures."""
        return f"{self.kind}, {' + '.join(self.parts)}" + (f", from the {self.start}" if self.start else "")

    @property
    def blind(self) -> Learner:
        """The same learner without the features."""
        return self._replace(parts=("history", "region") if self.start else ("region",))

    def fit(self, world: World, rows: Rows, starts: dict[str, Values], setting: float, seed: int) -> Queried:
        """Fit it to the targets `rows`."""
        if self.start is None:
            fit = fit_ridge if self.kind == "ridge" else fit_network
            return fit_ranking(world, rows, self.parts, fit, setting, seed)
        rounds = ROUNDS if self.kind == "DAgger" else 0
        return imitate(world, rows, self.parts, rounds, starts[self.start], setting, seed)


def left_out(world: World, fit: Callable[[Rows], Queried]) -> Values:
    """The drops of the queries on each target, `[N, 10]`, of a fit to the videos of the other folds."""
    _, number = np.unique(world.videos, return_inverse=True)
    found = np.empty((len(world.rows), QUERIES))
    for fold in range(FOLDS):
        own = number % FOLDS == fold
        found[own] = fit(world.rows[~own])(world, world.rows[own])
    return found


def closure(world: World, queried: Values, less: Values | None = None, queries: int = QUERIES) -> Interval:
    """Closure of the drops `[S, N, 10]` of S trainings, less that of others, over videos and trainings."""
    best = queried[..., :queries].max(axis=2)
    best = best if less is None else best - less[..., :queries].max(axis=2)
    own = [world.videos == video for video in np.unique(world.videos)]
    closed = np.array([best[:, rows].mean(axis=1) for rows in own])
    return ratio_interval(closed, np.repeat([[world.gap[rows].mean()] for rows in own], len(best), axis=1))


def describe(found: Interval) -> dict[str, Any]:
    """A difference of closures as plain data."""
    low, high = (None, None) if found.bounds is None else (round(end, 4) for end in found.bounds)
    measure = f"closure after {QUERIES} queries"
    row = {"measure": measure, "difference": round(found.mean, 4), "low": low, "high": high, "p": found.p}
    return row | {"sequences": found.targets}


def stored(file: Path, make: Callable[[], Values]) -> Values:
    """What `make` computes, from its file where there is one; the file also has the seconds that it took."""
    if not file.is_file():
        begun = time.perf_counter()
        values = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, values=values, seconds=time.perf_counter() - begun)
    return np.load(file)["values"]


def choose(train: World, learners: list[Learner], starts: dict[str, Values], out: Path) -> dict[Learner, Any]:
    """The setting of each learner with the highest closure on left-out videos, and that closure."""
    chosen = {}
    for learner in learners:
        found = {}
        for setting in PENALTIES if learner.kind == "ridge" else STEPS:
            fit = partial(learner.fit, train, starts=starts, setting=setting, seed=0)
            drops = stored(out / f"{learner.name}, {setting:g}.npz", partial(left_out, train, fit))
            found[setting] = round(closure(train, drops[None]).mean, 4)
        best = max(found, key=lambda setting: found[setting])
        chosen[learner] = {"setting": best, "left_out": found[best]}
        print(f"left-out videos: {learner.name}: {found}", flush=True)
    train.save()
    return chosen


def study(given: Arguments, arguments: SearchArguments, learners: list[Learner], thin: int, out: Path) -> Any:
    """Choose the settings of learners that see one network's features, and judge them."""
    fitted_to = {"per_video": given.per_video, "videos": folder_digests(given.train)}
    claim_folder(out, "settings.json", fitted_to, "results of other training videos")
    train = World(given.train, arguments, given.per_video // thin, EVERY * thin, out / "train")
    constants = {"constant region": best_region, "constant list": best_list}
    regions = {title: train.grid[find(train.on_grid)] for title, find in constants.items()}
    starts = {"centre": train.limits.centre()[0], "constant": regions["constant region"][0]}
    chosen = choose(train, learners, starts, out / "left_out")
    first = max((each for each in learners if each != each.blind), key=lambda each: chosen[each]["left_out"])
    left = {
        title: left_out(train, lambda rows, find=find: listed(train.grid[find(train.on_grid[rows])]))
        for title, find in constants.items()
    }
    for title, start in starts.items():
        moves = stored(out / f"sequence, {title}.npz", partial(best_sequence, train, train.rows, start))
        regions[f"constant sequence, from the {title}"] = moves
    fitted = {title: closure(train, listed(each)(train, train.rows)[None]).mean for title, each in regions.items()}
    sequence = max(list(regions)[2:], key=lambda title: fitted[title])
    train.save()
    content = {
        "primary_learner": first.name,
        "better_sequence": sequence,
        "on_training_videos": {title: round(value, 4) for title, value in fitted.items()},
        "left_out": {title: round(closure(train, each[None]).mean, 4) for title, each in left.items()},
        "chosen": {learner.name: row for learner, row in chosen.items()},
    }
    if given.judge is None:
        return content

    methods: dict[str, list[Callable[[], Queried]]]
    methods = {title: [partial(listed, each)] for title, each in regions.items()}
    seeds = range(given.seeds)
    for title, start in starts.items():
        expert = walked(start, lambda world: partial(towards, world.limits, world.goals))
        methods[f"towards the best region, from the {title}"] = [partial(lambda found: found, expert)]
        methods[f"random moves, from the {title}"] = [partial(move_randomly, start, seed) for seed in seeds]
        if thin == 1 and given.dqn:
            runs = [partial(load_dqn, run, start) for run in given.dqn]
            methods[f"DQN, features + history, from the {title}"] = runs
    for learner in learners:
        fit = partial(learner.fit, train, train.rows, starts, chosen[learner]["setting"])
        methods[learner.name] = [partial(fit, seed) for seed in seeds]
    judged_on = {"per_sequence": given.per_sequence, "videos": folder_digests(given.judge)}
    claim_folder(out / "judge", "settings.json", judged_on, "results of other sequences")
    judged = World(given.judge, arguments, given.per_sequence // thin, EVERY * thin, out / "judge" / "tables")
    drops = {}
    for title, fits in methods.items():
        each = [
            stored(out / "judge" / f"{title}, {number}.npz", lambda fit=fit: fit()(judged, judged.rows))
            for number, fit in enumerate(fits)
        ]
        drops[title] = np.stack(each)
        judged.save()
        print(f"{title}: {closure(judged, drops[title]).format()}", flush=True)

    def contrast(title: str, less: str) -> dict[str, Any]:
        found = describe(closure(judged, drops[title], drops[less]))
        return {"contrast": f"{title}, less {less}", **found, "seeds": len(drops[title])}

    primary = [contrast(first.name, other) for other in ("constant region", sequence)]
    for row, p in zip(primary, holm([row["p"] for row in primary]), strict=True):
        row["p_holm"] = p
    pairs = [(title, "constant region") for title in list(drops)[1:]] + [(first.name, "constant list")]
    pairs += [(each.name, each.blind.name) for each in learners if each != each.blind and each.blind in learners]
    return content | {
        "primary": primary,
        "contrasts": [contrast(*pair) for pair in pairs],
        "methods": {title: describe_method(judged, each) for title, each in drops.items()},
        "targets": {"train": len(train.rows), "judge": len(judged.rows)},
        "hours": round(sum(float(np.load(file)["seconds"]) for file in out.rglob("*, *.npz")) / 3600, 3),
    }


def describe_method(world: World, drops: Values) -> dict[str, Any]:
    """Closure by queries, and its interval after ten."""
    found = closure(world, drops)
    return {
        "closure": {str(queries): round(closure(world, drops, queries=queries).mean, 4) for queries in REPORTED},
        "interval": found.ends(4),
        "seeds": len(drops),
    }


def main(given: Arguments) -> None:
    """Study both states, and write the figures down."""
    check_json_path(given.json)
    least = 1 if given.vgg16 is None else THIN
    check_counts(least, per_video=given.per_video, per_sequence=given.per_sequence)
    check_counts(seeds=given.seeds)
    check_videos(FOLDS, train=given.train)
    check_videos(judge=given.judge)
    begun, slim = time.perf_counter(), SearchArguments(cache_mb=0)
    vgg16 = None
    if given.vgg16 is not None:
        scorer = load_networks(slim).scorer
        vgg16 = SearchArguments(features="vgg16", weights=str(given.vgg16), scorer=scorer, cache_mb=0)
        load_networks(vgg16)
    for run in given.dqn:
        load_dqn(run, slim.settings.limits.centre()[0])
    ranking = [Learner(kind, parts) for kind in ("ridge", "network") for parts in RANKED]
    walking = [Learner(k, parts, start) for start in STARTS for k in ("cloning", "DAgger") for parts in MOVED]
    states = {"slim fc7": study(given, slim, ranking + walking, 1, given.out / "slim")}
    if vgg16 is not None:
        few = [Learner("cloning", parts, "centre") for parts in MOVED[::2]]
        states["VGG-16 pool5"] = study(given, vgg16, ranking + few, THIN, given.out / "vgg16")
    content = {
        "states": states,
        "dqn": [training_speed(str(run)) for run in given.dqn],
        "train": folder_digests(given.train),
        "judge": {} if given.judge is None else folder_digests(given.judge),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    write_result(given.json or given.out / "paper_state.json", "paper_state", content)


if __name__ == "__main__":
    run_script(main, Arguments)
