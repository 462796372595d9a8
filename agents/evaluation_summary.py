"""Figures over sequences, from what each of them gave."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.judging.intervals import Interval, holm, method_record, ratio_difference, ratio_interval

from .evaluation import Comparison, Trial, closure
from .rollout import Rollout

__all__ = ["record", "summarise"]

Record = dict[str, Any]
Table = dict[str, NDArray[np.float64]]
"""A method's figures, each `[sequences, seeds]`."""

_DIGITS = 6


def record(
    comparisons: Mapping[int, Comparison], targets: tuple[str, ...], max_area: Mapping[str, float]
) -> Record:
    """One sequence's results as plain data.

    Args:
        comparisons: By seed.
        targets: The ids of its N targets.
        max_area: The largest area that each agent's search allows, to tell which regions have it.

    Returns:
        `targets`, and by seed `clean`, `trials`, `checks` (name to lists over the targets) and `episodes`.
    """
    return {
        "targets": list(targets),
        "seeds": {
            str(seed): {
                "clean": _list(found.clean),
                "trials": {name: _trial(trial) for name, trial in found.trials.items()},
                "checks": {name: _trial(trial) for name, trial in found.checks.items()},
                "episodes": {name: _episodes(ran, max_area[name]) for name, ran in found.episodes.items()},
            }
            for seed, found in comparisons.items()
        },
    }


def _list(values: NDArray[Any]) -> list[Any]:
    return np.asarray(values).round(_DIGITS).tolist()


def _trial(trial: Trial) -> Record:
    return {
        "score": _list(trial.scores),
        "random": _list(trial.random),
        "exhaustive": _list(trial.exhaustive),
        "area": _list(trial.area),
        "queries": _list(trial.queries),
        "regions": _list(trial.regions),
        "seconds": round(trial.seconds, _DIGITS),
    }


def _episodes(episodes: list[Rollout], max_area: float) -> Record:
    areas = [float(episode.best.region[2] * episode.best.region[3]) for episode in episodes]
    return {
        "steps": [len(episode.actions) for episode in episodes],
        "triggered": [episode.triggered for episode in episodes],
        "reversals": [episode.reversals for episode in episodes],
        "at_cap": [area > max_area - 1e-6 for area in areas],
    }


def summarise(
    records: Mapping[str, Record], agents: list[str], arms: Mapping[str, Many[str]] | None = None
) -> Record:
    """Means over sequences, each a mean over its targets and seeds.

    Closures are ratios of means (`evaluation.closure`), with the 95 % interval of `ratio_interval` over
    sequences, from 8 sequences on; both ends of a method's closure have the area of its own regions.

    Args:
        records: What `record` gave, by sequence.
        agents: Names of the agents; the first one's closure is the result's.
        arms: Names of agents that differ in their training's seed alone, by the name of the arm.

    Returns:
        `closure` and `interval` (`None` without an agent), `interval_method`, `targets` (how many), `methods`,
        `checks`, `agents` and `sequences`. With arms also `arms`, whose rows are as those of `methods` but have
        the trainings as `seeds` (from 3 on a second random factor of the interval), and `differences` of their
        closures, paired over sequences, with p-values Holm-corrected over all pairs of arms.
    """
    methods = _tables(records, "trials")
    checks = _tables(records, "checks")
    clean = {name: _mean([run["clean"] for run in one["seeds"].values()]) for name, one in records.items()}
    first = methods[agents[0]] if agents else None
    rows = {"clean": {"score": _round(np.mean(list(clean.values()))), "area": 0.0, "queries": 1.0}}
    summary = {name: _summary(table) for name, table in methods.items()}
    constant = [name for name in checks if name.startswith("always ")]
    checked = {name: _summary(table) for name, table in checks.items()}
    known = [name for name in constant if checked[name]["closure"] is not None]
    return {
        "closure": None if first is None else summary[agents[0]]["closure"],
        "interval": None if first is None else summary[agents[0]]["interval"],
        "interval_method": method_record("sequences") | {"method": "Fieller's, Student's t over sequences"},
        "targets": sum(len(one["targets"]) for one in records.values()),
        "methods": rows | summary,
        "checks": checked,
        "best_constant": max(known, key=lambda name: checked[name]["closure"]) if known else None,
        "agents": {name: _behaviour(records, name) for name in agents},
        "sequences": {
            name: {
                "targets": len(one["targets"]),
                "clean": _round(clean[name]),
                "methods": {
                    method: {
                        "score": _round(table["score"][row].mean()),
                        "closure": _closure(table["random"][row], table["score"][row], table["exhaustive"][row]),
                    }
                    for method, table in methods.items()
                },
            }
            for row, (name, one) in enumerate(records.items())
        },
        **({} if arms is None else _compare_arms(methods, arms)),
    }


def _tables(records: Mapping[str, Record], kind: str) -> dict[str, Table]:
    """For each method and figure the means over targets, `float64[sequences, seeds]`."""
    runs = [list(one["seeds"].values()) for one in records.values()]
    names = list(runs[0][0][kind])
    figures = ("score", "random", "exhaustive", "area", "queries", "seconds")
    return {
        name: {
            figure: np.array([[float(np.mean(run[kind][name][figure])) for run in one] for one in runs])
            for figure in figures
        }
        for name in names
    }


def _summary(table: Table, trainings: bool = False) -> Record:
    random, score, exhaustive = (table[figure] for figure in ("random", "score", "exhaustive"))
    closed, gaps = _closed(table, trainings)
    whole = _closure(random, score, exhaustive)
    known_ends = whole is not None and bool((gaps > 0).all())
    interval = _bounds(ratio_interval(closed, gaps)) if known_ends else None
    each = [_closure(random[:, i], score[:, i], exhaustive[:, i]) for i in range(random.shape[1])]
    known = [value for value in each if value is not None]
    return {
        "score": _round(score.mean()),
        "area": _round(table["area"].mean()),
        "queries": _round(table["queries"].mean()),
        "closure": whole,
        "interval": interval,
        "seeds": each,
        "spread": _round(np.std(known, ddof=1)) if len(known) > 1 else None,
        "random": _round(random.mean()),
        "exhaustive": _round(exhaustive.mean()),
        "seconds": _round(table["seconds"].mean()),
    }


def _compare_arms(methods: Mapping[str, Table], arms: Mapping[str, Many[str]]) -> Record:
    """Each arm as one method whose seeds are its trainings, and each pair of arms over the same sequences."""
    tables: dict[str, Table] = {
        arm: {
            figure: np.stack([methods[agent][figure].mean(axis=1) for agent in agents], axis=1)
            for figure in methods[agents[0]]
        }
        for arm, agents in arms.items()
    }
    rows = {arm: {"agents": list(arms[arm]), **_summary(table, trainings=True)} for arm, table in tables.items()}
    found: dict[tuple[str, str], Interval] = {}
    for one, other in combinations(arms, 2):
        first, second = (_closed(tables[arm], trainings=True) for arm in (one, other))
        if not all((gaps > 0).all() for _, gaps in (first, second)):
            continue
        found[one, other] = ratio_difference(first, second)
    p_values = {pair: difference.p for pair, difference in found.items() if difference.p is not None}
    p_holm = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    differences = [
        {
            "of": one,
            "less": other,
            "closure": _round(difference.mean),
            "interval": _bounds(difference),
            "p_holm": None if (one, other) not in p_holm else _round(p_holm[one, other]),
        }
        for (one, other), difference in found.items()
    ]
    return {"arms": rows, "differences": differences}


def _closed(table: Table, trainings: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score drop beyond a random region's, and exhaustive search's, by sequence.

    The seeds of a method are draws of the same search and are averaged; those of an arm are trainings, the second
    random factor of its interval.
    """
    random, score, exhaustive = (table[figure] for figure in ("random", "score", "exhaustive"))
    closed, gaps = random - score, random - exhaustive
    return (closed, gaps) if trainings else (closed.mean(axis=1), gaps.mean(axis=1))


def _bounds(found: Interval) -> list[float] | None:
    return None if found.bounds is None else [_round(end) for end in found.bounds]


def _closure(
    random: NDArray[np.float64], score: NDArray[np.float64], exhaustive: NDArray[np.float64]
) -> float | None:
    found = closure(random, score, exhaustive)
    return None if found is None else _round(found)


def _behaviour(records: Mapping[str, Record], agent: str) -> Record:
    """How an agent acts, over all its episodes."""
    runs = [run["episodes"][agent] for one in records.values() for run in one["seeds"].values()]
    steps, triggered, reversals, at_cap = (
        np.concatenate([run[key] for run in runs]) for key in ("steps", "triggered", "reversals", "at_cap")
    )
    return {
        "episodes": len(steps),
        "steps": _round(steps.mean()),
        "trigger_rate": _round(triggered.mean()),
        "reversal_share": _round(reversals.sum() / steps.sum()),
        "at_cap": _round(at_cap.mean()),
    }


def _mean(values: list[list[float]]) -> float:
    return float(np.mean(values))


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), _DIGITS)
