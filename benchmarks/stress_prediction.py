r"""Whether OccAUC predicts the AUC on OTB's occluded sequences better than plain AUC does.

The predicted figure of a tracker is its AUC, in one pass, on the sequences that OTB labels as occluded. The two
predictors are its AUC and its OccAUC on the other sequences. Printed are Spearman's rank correlation of each
predictor with the predicted figure over trackers, the difference of the two correlations, and 95 % percentile
intervals of a bootstrap over trackers. Both folders hold the results of the same trackers:

    occlusion-search stress ... --out STRESS
    occlusion-search benchmark run ... --out OPE
    python benchmarks/stress_prediction.py --data DIR --stress STRESS --ope OPE --annotations OTB100.json \
        --json benchmarks/results/stress_prediction.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import run_script
from agents.stress.scores import score_stress
from tracker import InputError
from tracker.evaluation.annotations import choose_targets, read_annotations
from tracker.evaluation.scoring import score_results

RESAMPLES = 10_000
OCCLUDED = "OCC"


def correlate(
    plain: NDArray[np.float64], stressed: NDArray[np.float64], wanted: NDArray[np.float64], seed: int = 0
) -> dict[str, Any]:
    """Rank correlations of two predictors with what is predicted, and intervals over trackers.

    Args:
        plain: The plain AUC, `[trackers]`.
        stressed: OccAUC, `[trackers]`.
        wanted: The AUC on occluded sequences, `[trackers]`.
        seed: Of the bootstrap. A resample in which a figure takes fewer than three values is drawn again.

    Raises:
        InputError: If a figure takes fewer than three values.
    """
    for name, values in (("plain AUC", plain), ("OccAUC", stressed), ("AUC on occluded sequences", wanted)):
        if (count := len(np.unique(values))) < 3:
            raise InputError(
                f"The {name} has {count} values over {len(values)} trackers; a rank correlation takes at least 3."
            )
    rng = np.random.default_rng(seed)
    drawn: list[tuple[float, float]] = []
    while len(drawn) < RESAMPLES:
        rows = rng.integers(0, len(wanted), len(wanted))
        if min(len(np.unique(values[rows])) for values in (plain, stressed, wanted)) > 2:
            drawn.append((_rho(plain[rows], wanted[rows]), _rho(stressed[rows], wanted[rows])))
    resampled = np.array(drawn)
    figures = {
        "plain_auc": (_rho(plain, wanted), resampled[:, 0]),
        "occ_auc": (_rho(stressed, wanted), resampled[:, 1]),
        "difference": (_rho(stressed, wanted) - _rho(plain, wanted), resampled[:, 1] - resampled[:, 0]),
    }
    return {
        name: {"rho": round(value, 4), "interval": np.percentile(samples, [2.5, 97.5]).round(4).tolist()}
        for name, (value, samples) in figures.items()
    }


def _rho(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(spearmanr(first, second).statistic)


def main(data: Path, stress: Path, ope: Path, annotations: Path, json: Path) -> None:
    """Correlate the trackers' figures and write them.

    Args:
        data: The sequences that both were run on.
        stress: Folder of `occlusion-search stress`.
        ope: Folder of `occlusion-search benchmark run`.
        annotations: OTB's annotations with the attributes of each target.
        json: The results.
    """
    check_json_path(json)
    truth = read_annotations(data)
    attributes = choose_targets(read_annotations(annotations), truth)
    occluded = [name for name in truth if OCCLUDED in (attributes[name].attributes or ())]
    others = [name for name in truth if name not in occluded]
    if not occluded or not others:
        raise InputError(
            f"'{data}' has {len(occluded)} occluded targets and {len(others)} others; give some of both."
        )
    scores = score_stress(stress, others)
    rows: dict[str, dict[str, float]] = {}
    for name, tracker in scores.trackers.items():
        folder = ope / name / "ope"
        if tracker.occ_auc is None or not folder.is_dir():
            continue
        targets = {
            each.name: each.auc for each in score_results(folder, truth, targets=list(truth), tracker=name).targets
        }
        rows[name] = {
            "occ_auc": tracker.occ_auc.mean,
            "plain_auc": float(np.mean([targets[target] for target in others])),
            "occluded_auc": float(np.mean([targets[target] for target in occluded])),
        }
    if len(rows) < 5:
        raise InputError(f"There are {len(rows)} trackers with both results; a rank correlation needs at least 5.")
    plain, stressed, wanted = (
        np.array([row[key] for row in rows.values()]) for key in ("plain_auc", "occ_auc", "occluded_auc")
    )
    found = correlate(plain, stressed, wanted)
    write_result(
        json, "stress_prediction",
        {"occluded": occluded, "others": others, "trackers": rows, "spearman": found, "resamples": RESAMPLES},
    )  # fmt: skip
    for name, row in rows.items():
        print(f"{name:14s} " + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    for name, row in found.items():
        print(f"{name:10s} rho {row['rho']:+.2f} {row['interval']}")


if __name__ == "__main__":
    run_script(main)
