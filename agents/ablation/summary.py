"""The ladder's figures: means over sequences, and paired differences with Student's t intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.intervals import Interval, holm, interval, method_record

from .arms import ARMS
from .paper import BENCHMARKS, VOT, compare_with_paper
from .running import START
from .settings import HEAVY_COVER, HEAVY_NAME, PRIMARY_CONTRASTS, PRIMARY_MEASURE, LadderRun
from .sweep_occluders import SEEN_KINDS, UNSEEN_KINDS

BASELINES = ("sint", "random", "wide", "vae-random")
"""Arms that the others are compared with, where they were trained."""

GROUPS = ("OCC", "MB", "DEF")
"""Attributes of OTB that the paper makes claims on: the sequences that have one, and the others, are groups."""

Found = Mapping[str, Mapping[int, Mapping[str, Any]]]
Table = Mapping[str, list[float]]
Contrast = tuple[str, str, str]
"""An arm, the arm that is subtracted, and the measure."""


def summarise_ladder(run: LadderRun, found: Found) -> dict[str, Any]:
    """Means, spreads and differences, as plain data.

    A mean is over sequences and seeds. A difference is paired over sequences; from three seeds on its interval has
    the seeds as a second random factor, so that it holds for other videos and other trainings of the same kind
    (`tracker.evaluation.intervals`). `spread` is the standard deviation over seeds of the means over sequences.

    The contrasts of `settings.PRIMARY_CONTRASTS` in `PRIMARY_MEASURE` are the claims; their p-values are corrected
    among themselves. Every other contrast is exploratory; its p-value is corrected over all the others.

    Args:
        run: The settings.
        found: The figures of `run_ladder`.

    Returns:
        `primary`: for each claim whose arms were trained `arm`, `less`, `contrast` (both titles), `measure`,
        `difference`, its interval from `low` to `high`, `p_holm`, the numbers of `sequences` and `seeds`, and the
        standard deviations of the difference over sequences and over seeds, `sd_sequences` and `sd_seeds`.
        `exploratory`: the number of other contrasts. `sequences`: the number of judging videos. `benchmarks`: for
        each benchmark of the paper the number of its `targets`, and how many were `judged`. `paper`: the rows of
        `paper.compare_with_paper`. `arms`: by name `title`, `seeds` (every figure of every sequence), `means`,
        `spread`, and `less`: by baseline and measure `difference`, `interval` and `p_holm`. `measures`: their
        names, see `sequence_figures`.
    """
    columns = {name: sequence_figures(run, seeds) for name, seeds in found.items()}
    measures = list(next(iter(columns.values())))
    differences: dict[Contrast, Interval] = {
        (name, base, measure): interval(_paired(columns[name][measure], columns[base][measure]))
        for name in columns
        for base in BASELINES
        if base in columns and base != name
        for measure in measures
    }
    primary = [
        (arm, base, PRIMARY_MEASURE)
        for arm, base in PRIMARY_CONTRASTS
        if (arm, base, PRIMARY_MEASURE) in differences
    ]
    others = _corrected(differences, _exploratory(differences, primary))
    p_values = {**others, **_corrected(differences, primary)}

    def row(key: Contrast) -> dict[str, Any]:
        arm, base, measure = key
        value = differences[key]
        p = p_values.get(key, p_values.get((base, arm, measure)))
        return {
            "difference": round(value.mean, 5),
            "interval": value.ends(5),
            "p_holm": None if p is None else round(p, 5),
        }

    def claim(key: Contrast) -> dict[str, Any]:
        arm, base, measure = key
        found, paired = row(key), _paired(columns[arm][measure], columns[base][measure])
        low, high = found["interval"] or (None, None)
        return {
            "arm": arm, "less": base, "contrast": f"{ARMS[arm].title} less {ARMS[base].title}", "measure": measure,
            "difference": found["difference"], "low": low, "high": high, "p_holm": found["p_holm"],
            "sequences": paired.shape[0], "seeds": paired.shape[1],
            "sd_sequences": _deviation(paired.mean(axis=1)), "sd_seeds": _deviation(paired.mean(axis=0)),
        }  # fmt: skip

    means = {
        name: {measure: round(float(_table(values).mean()), 5) for measure, values in own.items()}
        for name, own in columns.items()
    }
    judged = _one_pass(next(iter(found[START].values()))).keys()
    return {
        "measures": measures,
        "levels": list(run.sweep.levels),
        "kinds": list(run.sweep.kinds),
        "interval": method_record("sequences") | {"second_factor": "seeds, from three on"},
        "primary": [claim(key) for key in primary],
        "exploratory": sum(p is not None for p in others.values()),
        "sequences": max(
            (len(column) for measure, column in columns[START].items() if not measure.endswith(VOT)),
            default=len(BENCHMARKS[VOT]),
        ),
        "benchmarks": {
            name: {"targets": len(targets), "judged": len(judged & {*targets})}
            for name, targets in BENCHMARKS.items()
        },
        "paper": compare_with_paper(means),
        "settings": run.record(),
        "arms": {
            name: {
                "title": ARMS[name].title if name != START else "before any of this training",
                "means": means[name],
                "spread": {measure: _deviation(_table(values).mean(axis=0)) for measure, values in own.items()},
                "less": {
                    base: {measure: row((name, base, measure)) for measure in measures}
                    for base in BASELINES
                    if (name, base, measures[0]) in differences
                },
                "seeds": {str(seed): dict(figures) for seed, figures in found[name].items()},
            }
            for name, own in columns.items()
        },
    }


def _exploratory(differences: Mapping[Contrast, Interval], primary: list[Contrast]) -> list[Contrast]:
    """The contrasts but the primary ones, each pair of arms once."""
    # Of the two orders of a pair the first one is kept.
    once = {(frozenset(key[:2]), key[2]): key for key in reversed(list(differences))}
    for arm, base, measure in primary:
        once.pop((frozenset((arm, base)), measure), None)
    return list(once.values())


def _corrected(differences: Mapping[Contrast, Interval], family: list[Contrast]) -> dict[Contrast, float | None]:
    """Holm's p-values of a family; a contrast over too few sequences has none."""
    return dict(zip(family, holm([differences[key].p for key in family]), strict=True))


def sequence_figures(run: LadderRun, seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """The figures of an arm by measure and sequence, one for each seed.

    The measures are AUC and precision of the groups of sequences in one pass (`auc, all`, `auc, OCC`,
    `auc, not OCC`, ...) and over 20 starts (`auc, tre` of the sequences with OCC, `auc, tre, all`); the same of
    the paper's benchmarks all of whose targets were judged (`auc, OTB-50`, `precision, OTB-50`,
    `auc, tre, OTB-100`, `auc, VOT-2014`, ...); the sweep uncovered (`sweep, 0%`), at each level with seen
    occluders, which arms train with (`sweep, seen, 30%`), and with unseen ones (`sweep, unseen, 30%`), and the
    means over the levels above 0 (`sweep, seen`, `sweep, unseen`, and each unseen kind) and over the levels of
    `settings.HEAVY_COVER` (`sweep, seen, 30-50%`, `sweep, unseen, 30-50%`).

    Args:
        run: The settings.
        seeds: The arm's figures of `run_ladder`, by seed.
    """
    found: dict[str, dict[str, list[float]]] = {}

    def add(measure: str, target: str, value: float) -> None:
        found.setdefault(measure, {}).setdefault(target, []).append(value)

    covered = [index for index, level in enumerate(run.sweep.levels) if level > 0]
    heavy = [index for index in covered if HEAVY_COVER[0] <= run.sweep.levels[index] <= HEAVY_COVER[1]]
    for figures in seeds.values():
        for target, row in figures.get("ope", {}).items():
            for group in _groups(row["attributes"]):
                for measure in ("auc", "precision"):
                    add(f"{measure}, {group}", target, row[measure])
        for target, row in figures.get("tre", {}).items():
            add("auc, tre", target, row["auc"])
        starts, passes = figures.get("tre-all", {}), _one_pass(figures)
        for target, row in starts.items():
            add("auc, tre, all", target, row["auc"])
        for benchmark, targets in BENCHMARKS.items():
            for name, rows in ((f"auc, {benchmark}", passes), (f"auc, tre, {benchmark}", starts)):
                for target in targets if rows.keys() >= set(targets) else ():
                    add(name, target, rows[target]["auc"])
            for target in targets if passes.keys() >= set(targets) else ():
                add(f"precision, {benchmark}", target, passes[target]["precision"])
        kinds = figures.get("sweep", {})
        for target in next(iter(kinds.values()), ()):
            overlaps = {kind: np.array(by_target[target]) for kind, by_target in kinds.items()}
            for index, level in enumerate(run.sweep.levels):
                if level == 0:
                    add("sweep, 0%", target, float(next(iter(overlaps.values()))[index]))
            for name, group_kinds in (("seen", SEEN_KINDS), ("unseen", UNSEEN_KINDS)):
                shown = [overlaps[kind] for kind in group_kinds if kind in overlaps]
                if not shown or not covered:
                    continue
                mean = np.mean(shown, axis=0)
                for index in covered:
                    add(f"sweep, {name}, {run.sweep.levels[index]:.0%}", target, float(mean[index]))
                add(f"sweep, {name}", target, float(mean[covered].mean()))
                if heavy:
                    add(f"sweep, {name}, {HEAVY_NAME}", target, float(mean[heavy].mean()))
            for kind in UNSEEN_KINDS:
                if kind in overlaps and covered:
                    add(f"sweep, {kind}", target, float(overlaps[kind][covered].mean()))
    return found


def _one_pass(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one pass by target, of the judging videos and of VOT-2014."""
    return {**figures.get("ope", {}), **figures.get("vot", {})}


def _groups(attributes: list[str] | None) -> list[str]:
    if attributes is None:
        return ["all"]
    return ["all", *(name if name in attributes else f"not {name}" for name in GROUPS)]


def _table(column: Table) -> NDArray[np.float64]:
    """`[sequences, seeds]`."""
    return np.array([values for _, values in sorted(column.items())])


def _paired(own: Table, base: Table) -> NDArray[np.float64]:
    """Differences `[sequences, seeds]`; a network without seeds is compared with every seed of the other."""
    first, second = _table(own), _table(base)
    if 1 not in (first.shape[1], second.shape[1]) and first.shape[1] != second.shape[1]:
        first, second = (each.mean(axis=1, keepdims=True) for each in (first, second))
    return first - second


def _deviation(values: NDArray[np.float64]) -> float:
    """Standard deviation; 0 for a single value."""
    return round(float(values.std(ddof=1)), 5) if len(values) > 1 else 0.0
