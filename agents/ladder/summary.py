"""The ladder's figures: means over sequences, and paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tracker.judging.bootstrap import DRAWS, LEVEL, interval

from .arms import ARMS
from .running import START
from .settings import LadderRun

__all__ = ["BASELINES", "GROUPS", "summarise_ladder"]

BASELINES = ("sint", "random", "wide", "vae-random")
"""What the arms are compared with, where it was trained."""

GROUPS = ("all", "OCC", "not OCC", "MB", "not MB")
"""The sequences of which OTB's figures are given: the paper's two claims and their complements."""

Found = Mapping[str, Mapping[int, Mapping[str, Any]]]


def summarise_ladder(run: LadderRun, found: Found) -> dict[str, Any]:
    """Means, spreads and differences, as plain data.

    A sequence's figure is the mean over the seeds; a mean is over sequences. A difference is paired over
    sequences, and its interval says how far it would move with other videos of the same kind. `spread` is the
    standard deviation over seeds of the means over sequences: how far a mean moves when a training is done again.

    Args:
        run: What was run.
        found: What `run_ladder` returned.

    Returns:
        `arms`: by name `title`, `seeds` (every figure of every sequence), `means`, `spread`, and `less`: by
        baseline and measure the difference and its interval. `measures` names them: AUC and precision of the
        groups of sequences, the sweep at each level, and `sweep`, its mean over the levels that cover something.
    """
    columns = {name: _columns(run, seeds) for name, seeds in found.items()}
    arms = {}
    for name, own in columns.items():
        less = {
            base: {
                measure: _difference(own[measure], columns[base][measure]) for measure in own
            }
            for base in BASELINES
            if base in columns and base != name
        }  # fmt: skip
        arms[name] = {
            "title": ARMS[name].title if name != START else "before any of this training",
            "means": {measure: round(_over_seeds(values).mean(), 5) for measure, values in own.items()},
            "spread": {measure: round(_spread(values), 5) for measure, values in own.items()},
            "less": less,
            "seeds": {str(seed): dict(figures) for seed, figures in found[name].items()},
        }
    return {
        "measures": list(next(iter(columns.values()))),
        "levels": list(run.sweep.levels),
        "interval": {"method": "percentile bootstrap over sequences", "level": LEVEL, "draws": DRAWS, "seed": 0},
        "settings": run.record(),
        "arms": arms,
    }


def _columns(run: LadderRun, seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """For each measure and sequence the figures of the seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for figures in seeds.values():
        for target, row in figures["ope"].items():
            for group in _groups(row["attributes"]):
                for measure in ("auc", "precision"):
                    column = found.setdefault(f"{measure}, {group}", {})
                    column.setdefault(target, []).append(row[measure])
        covered = [index for index, level in enumerate(run.sweep.levels) if level > 0]
        for target, overlaps in figures["sweep"].items():
            for level, overlap in zip(run.sweep.levels, overlaps, strict=True):
                found.setdefault(f"sweep, {level:.0%}", {}).setdefault(target, []).append(overlap)
            if covered:
                mean = float(np.mean([overlaps[index] for index in covered]))
                found.setdefault("sweep", {}).setdefault(target, []).append(mean)
    return found


def _groups(attributes: list[str] | None) -> list[str]:
    if attributes is None:
        return ["all"]
    return ["all", *(name if name in attributes else f"not {name}" for name in ("OCC", "MB"))]


def _over_seeds(column: Mapping[str, list[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.mean(values) for _, values in sorted(column.items())])


def _spread(column: Mapping[str, list[float]]) -> float:
    means = np.array([values for _, values in sorted(column.items())]).mean(axis=0)
    return float(means.std(ddof=1)) if len(means) > 1 else 0.0


def _difference(own: Mapping[str, list[float]], base: Mapping[str, list[float]]) -> dict[str, Any]:
    found = interval(_over_seeds(own) - _over_seeds(base))
    return {"difference": round(found.mean, 5), "interval": [round(found.low, 5), round(found.high, 5)]}
