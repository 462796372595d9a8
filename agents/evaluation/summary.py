"""Figures over sequences, from the results of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.intervals import Interval, holm, method_record, ratio_difference, ratio_interval

from ..policies.rollout import Rollout
from .comparison import MethodComparison, Trial, closure
from .methods import BUDGETS

Record = dict[str, Any]
Table = dict[str, NDArray[np.float64]]
"""A method's figures, each `[sequences, seeds]`, and `best`, `[sequences, seeds, budgets]`."""
Curve = tuple[Record, Record]
"""Closure by number of queries, and its interval."""

ENDS = ("random", "grid search")
"""The methods whose closure is 0 and 1."""

_DIGITS = 6


def record(
    comparisons: Mapping[int, MethodComparison], targets: tuple[str, ...], max_area: Mapping[str, float]
) -> Record:
    """One sequence's results as plain data.

    Args:
        comparisons: By seed.
        targets: The ids of its N targets.
        max_area: The largest area of each agent's search, for the share of regions that have it.

    Returns:
        `targets`, and by seed `clean`, `grid`, `expected`, `trials`, `checks` (name to lists over the targets) and
        `episodes`.
    """
    return {
        "targets": list(targets),
        "seeds": {
            str(seed): {
                "clean": _list(found.clean),
                "grid": _list(found.grid),
                "expected": {name: _list(drops) for name, drops in found.expected.items()},
                "trials": {name: trial_record(trial) for name, trial in found.trials.items()},
                "checks": {name: trial_record(trial) for name, trial in found.checks.items()},
                "episodes": {name: _episodes(ran, max_area[name]) for name, ran in found.episodes.items()},
            }
            for seed, found in comparisons.items()
        },
    }


def trial_record(trial: Trial) -> Record:
    """One method's results on N targets as plain data."""
    return {
        "score": _list(trial.scores),
        "best": [_list(trial.after(budget)) for budget in BUDGETS],
        "area": _list(trial.area),
        "queries": _list(trial.queries),
        "regions": _list(trial.regions),
    }


def _list(values: NDArray[Any]) -> list[Any]:
    return np.asarray(values).round(_DIGITS).tolist()


def _episodes(episodes: list[Rollout], max_area: float) -> Record:
    areas = [float(episode.best.region[2] * episode.best.region[3]) for episode in episodes]
    return {
        "steps": [len(episode.actions) for episode in episodes],
        "triggered": [episode.triggered for episode in episodes],
        "reversals": [episode.reversals for episode in episodes],
        "at_cap": [area > max_area - 1e-6 for area in areas],
        "last": [round(episode.last.score, _DIGITS) for episode in episodes],
    }


def summarise(
    records: Mapping[str, Record], agents: list[str], arms: Mapping[str, Many[str]] | None = None
) -> Record:
    """Means over sequences, each a mean over its targets and seeds.

    A closure is a ratio of means (`evaluation.closure`), with the 95 % interval of `ratio_interval` over
    sequences, from 8 sequences on. The gain over the constant region is the closure of a method less that of
    `constant`; both have the same denominator, so it is a ratio of means as well, and its interval is paired.

    Args:
        records: Those of `record`, by sequence.
        agents: Names of the agents; the first one's closure is the result's.
        arms: Names of agents that differ in their training's seed alone, by the name of the arm.

    Returns:
        `closure` and `interval` (`None` without an agent), `interval_method`, `targets` (their number), `frontier`
        (method to `{queries: closure}`), `frontier_intervals` (method to `{queries: [low, high]}`),
        `gain_over_constant` and `gain_over_constant_intervals` (the same, empty without `constant`), `methods` and
        `checks` (figures after the last query), `agents` and `sequences`. With arms also `arms`, whose rows are
        as those of `methods` but have the trainings as `seeds` (from 3 on a second random factor of the
        interval), and `differences` of their closures, paired over sequences, with p-values Holm-corrected over
        all pairs of arms.
    """
    methods, checks = _tables(records, "trials"), _tables(records, "checks")
    clean = {name: np.mean([run["clean"] for run in one["seeds"].values()]) for name, one in records.items()}
    rows = {"clean": {"score": _round(np.mean(list(clean.values()))), "area": 0.0, "queries": 0.0}}
    summary = {name: _summary(table) for name, table in methods.items()}
    constant_actions = [name for name in checks if name.startswith("always ")]
    checked = {name: {**_summary(table), "frontier": _frontier(table)[0]} for name, table in checks.items()}
    known = [name for name in constant_actions if checked[name]["closure"] is not None]
    arm_tables = {arm: _arm(methods, members) for arm, members in (arms or {}).items()}
    curves = {name: _frontier(table) for name, table in methods.items() if name not in ENDS}
    curves |= {arm: _frontier(table, trainings=True) for arm, table in arm_tables.items()}
    gains: dict[str, Curve] = {}
    if "constant" in methods:
        start = methods["constant"]["best"][..., 0].mean(axis=1, keepdims=True)
        gains = {name: _frontier(table, start=start) for name, table in methods.items() if name not in ENDS}
        gains |= {arm: _frontier(table, True, start) for arm, table in arm_tables.items()}
    first = summary[agents[0]] if agents else None
    return {
        "closure": None if first is None else first["closure"],
        "interval": None if first is None else first["interval"],
        "interval_method": method_record("sequences") | {"method": "Fieller's, Student's t over sequences"},
        "targets": sum(len(one["targets"]) for one in records.values()),
        "frontier": {name: curve for name, (curve, _) in curves.items()},
        "frontier_intervals": {name: bounds for name, (_, bounds) in curves.items()},
        "gain_over_constant": {name: gain for name, (gain, _) in gains.items()},
        "gain_over_constant_intervals": {name: bounds for name, (_, bounds) in gains.items()},
        "methods": rows | summary,
        "checks": checked,
        "best_constant": max(known, key=lambda name: checked[name]["closure"]) if known else None,
        "agents": {name: _behaviour(records, name, methods[name]) for name in agents},
        "sequences": {
            name: {
                "targets": len(one["targets"]),
                "clean": _round(clean[name]),
                "methods": {
                    method: {
                        "score": _round(table["score"][row].mean()),
                        "closure": _closure(table["random"][row], table["score"][row], table["grid"][row]),
                    }
                    for method, table in methods.items()
                },
            }
            for row, (name, one) in enumerate(records.items())
        },
        **({} if arms is None else _compare_arms(arm_tables, arms)),
    }


def _tables(records: Mapping[str, Record], kind: str) -> dict[str, Table]:
    """For each method and figure the means over targets, `float64[sequences, seeds]`."""
    runs = [list(one["seeds"].values()) for one in records.values()]

    def means(kind: str, name: str, figure: str) -> NDArray[np.float64]:
        return np.array([[np.mean(run[kind][name][figure], axis=-1) for run in one] for one in runs], np.float64)

    ends = dict(zip(("random", "grid"), (means("trials", name, "score") for name in ENDS), strict=True))
    return {
        name: {figure: means(kind, name, figure) for figure in ("score", "area", "queries", "best")} | ends
        for name in runs[0][0][kind]
    }


def _arm(methods: Mapping[str, Table], members: Many[str]) -> Table:
    """An arm as one method whose seeds are its trainings."""
    return {
        figure: np.stack([methods[agent][figure].mean(axis=1) for agent in members], axis=1)
        for figure in methods[members[0]]
    }


def _summary(table: Table, trainings: bool = False) -> Record:
    random, score, grid = (table[figure] for figure in ("random", "score", "grid"))
    each = [_closure(random[:, i], score[:, i], grid[:, i]) for i in range(random.shape[1])]
    known = [value for value in each if value is not None]
    return {
        "score": _round(score.mean()),
        "area": _round(table["area"].mean()),
        "queries": _round(table["queries"].mean()),
        "closure": _closure(random, score, grid),
        "interval": _interval(random - score, random - grid, trainings),
        "seeds": each,
        "spread": _round(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def _frontier(table: Table, trainings: bool = False, start: NDArray[np.float64] | None = None) -> Curve:
    """Closure and interval by number of queries; 0 is at the scores `start`, by default of random regions."""
    start, gaps = table["random"] if start is None else start, table["random"] - table["grid"]
    gap = float(gaps.mean())
    closures: Record = {}
    intervals: Record = {}
    for queries, scores in zip(BUDGETS, np.moveaxis(table["best"], 2, 0), strict=True):
        closed = start - scores
        closures[str(queries)] = _round(closed.mean() / gap) if gap > 1e-9 else None
        intervals[str(queries)] = _interval(closed, gaps, trainings)
    return closures, intervals


def _interval(closed: NDArray[np.float64], gaps: NDArray[np.float64], trainings: bool) -> list[float] | None:
    """The interval of a ratio of means; `None` where a sequence has no gap, or from fewer than 8 sequences.

    The seeds of a method are draws of one search and are averaged; trainings are a second random factor.
    """
    if not trainings:
        closed, gaps = closed.mean(axis=1), gaps.mean(axis=1)
    return ratio_interval(closed, gaps).ends(_DIGITS) if (gaps > 1e-9).all() else None


def _compare_arms(tables: Mapping[str, Table], arms: Mapping[str, Many[str]]) -> Record:
    """Each arm as one method whose seeds are its trainings, and each pair of arms over the same sequences."""
    rows = {arm: {"agents": list(arms[arm]), **_summary(table, trainings=True)} for arm, table in tables.items()}
    found: dict[tuple[str, str], Interval] = {}
    for one, other in combinations(arms, 2):
        (first, gaps), (second, others) = (
            (each["random"] - each["score"], each["random"] - each["grid"])
            for each in (tables[one], tables[other])
        )
        if (gaps > 1e-9).all() and (others > 1e-9).all():
            found[one, other] = ratio_difference((first, gaps), (second, others))
    p_holm = holm([difference.p for difference in found.values()])
    differences = [
        {
            "of": one,
            "less": other,
            "closure": _round(difference.mean),
            "interval": difference.ends(_DIGITS),
            "p_holm": None if p is None else _round(p),
        }
        for ((one, other), difference), p in zip(found.items(), p_holm, strict=True)
    ]
    return {"arms": rows, "differences": differences}


def _closure(random: NDArray[np.float64], score: NDArray[np.float64], grid: NDArray[np.float64]) -> float | None:
    found = closure(random, score, grid)
    return None if found is None else _round(found)


def _behaviour(records: Mapping[str, Record], agent: str, table: Table) -> Record:
    """Behaviour of an agent over all its episodes; `last_closure` is that of the region where it stopped."""
    by_sequence = [[run["episodes"][agent] for run in one["seeds"].values()] for one in records.values()]
    runs = [run for one in by_sequence for run in one]
    steps, triggered, reversals, at_cap = (
        np.concatenate([run[key] for run in runs]) for key in ("steps", "triggered", "reversals", "at_cap")
    )
    last = np.array([[np.mean(run["last"]) for run in one] for one in by_sequence])
    return {
        "episodes": len(steps),
        "steps": _round(steps.mean()),
        "trigger_rate": _round(triggered.mean()),
        "reversal_share": _round(reversals.sum() / steps.sum()),
        "at_cap": _round(at_cap.mean()),
        "last_closure": _closure(table["random"], last, table["grid"]),
    }


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), _DIGITS)
