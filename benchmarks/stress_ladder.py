"""The ladder's networks in the occlusion stress test, with several seeds.

Usage: python benchmarks/stress_ladder.py --ladder DIR --judge DIR --json FILE

The ladder is the folder of `occlusion-search reproduce` (docs/reproduce.md). Two moments of each sequence are
tested, in the conditions of `stress --quick`, under motion blur and under deformation.

Named before the run: the contrasts of the ladder's two claims and of the paper's (SINT++ less SINT), in three
measures: OccAUC, and the mean overlap while the target is blurred and while it is deformed. All are secondary to
the ladder's claims and have no verdict. Intervals are over sequences, and over seeds from three on. The same
command resumes, also with more seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.ablation.settings import PRIMARY_CONTRASTS
from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.stress.corruptions.settings import QUICK, StressSettings
from agents.stress.scores import TrackerStress
from agents.stress.stress_test import StressTest
from tracker import InputError, load_tracker
from tracker.data.identity import folder_digests
from tracker.evaluation.intervals import interval, method_record
from tracker.evaluation.running import weights_digest

ARMS = ("sint", "vae-random", "vae-hptn", "hardest")
START = "start"
CONTRASTS = (*PRIMARY_CONTRASTS, ("vae-hptn", "sint"), *((arm, START) for arm in ARMS))
BLURS, WARPS = ("blur-25", "blur-50"), ("deformation-10", "deformation-20")

Values = NDArray[np.float64]


@dataclass
class Arguments:
    """What to judge.

    Attributes:
        ladder: Folder of `reproduce`, with the networks of `ARMS`.
        judge: Sequences of the stress test; nothing may have been trained on them.
        out: Receives the boxes and the page.
        seeds: Networks of each arm, the first ones.
        workers: Processes.
        json: Receives the figures; stress_ladder_seeds.json in `out` by default.
    """

    ladder: Path
    judge: Path
    out: Path = Path("out/stress_ladder_seeds")
    seeds: int = 5
    workers: int = 1
    json: Path | None = None


def measures_of(scores: TrackerStress, sequences: list[str]) -> dict[str, Values]:
    """OccAUC, and the mean overlaps under blur and deformation, of each sequence."""

    def mean(measure: str, *conditions: str) -> Values:
        found = [scores.by_sequence(measure, name) for name in conditions]
        return np.array([[each[sequence] for sequence in sequences] for each in found]).mean(axis=0)

    return {
        "OccAUC": mean("occ_auc", ""), "blur": mean("endurance", *BLURS), "deformation": mean("endurance", *WARPS),
    }  # fmt: skip


def compare(values: dict[str, dict[str, Values]]) -> dict[str, Any]:
    """Means and contrasts; `values` are `[sequences, seeds]` by arm and measure, one seed of `START`."""

    def describe(found: Values) -> dict[str, Any]:
        mean = interval(found)
        return {"mean": round(mean.mean, 5), "interval": mean.ends(5), "seeds": found.shape[1]}

    return {
        "arms": {
            arm: {measure: describe(found) for measure, found in own.items()} for arm, own in values.items()
        },
        "contrasts": [
            {"contrast": f"{arm} less {base}", "measure": measure,
             **describe(values[arm][measure] - values[base][measure])}
            for (arm, base), measure in product(CONTRASTS, values[START])
        ],
    }  # fmt: skip


def main(given: Arguments) -> None:
    """Run the stress test of each network, compare the arms and write the figures."""
    check_json_path(given.json)
    check_counts(seeds=given.seeds, workers=given.workers)
    files = {
        (arm, seed): given.ladder / "networks" / arm / str(seed) / "slim.safetensors"
        for seed, arm in product(range(given.seeds), ARMS)
    }
    if missing := [file for file in files.values() if not file.is_file()]:
        raise InputError(f"There is no network '{missing[0]}'; give --ladder the folder of reproduce.")
    test = StressTest(given.judge, given.out, StressSettings(2, (*QUICK, *BLURS, *WARPS)))
    makers: dict[tuple[str, int], Callable[[], Any]] = {(START, 0): partial(load_tracker, "sint-slim")}
    makers |= {key: partial(load_tracker, "sint-slim", weights=file) for key, file in files.items()}
    names = {key: make().name for key, make in makers.items()}
    for key, make in makers.items():
        digest = None if key not in files else f"sha256:{weights_digest(files[key])}"
        test.run(make, {"weights": digest}, given.workers)
        print(f"{key[0]}, seed {key[1]}: {names[key]}", flush=True)
    scores = test.report()
    sequences = list(scores.moments)
    found = {key: measures_of(scores.trackers[name], sequences) for key, name in names.items()}
    values = {
        arm: {
            measure: np.stack([own[measure] for (name, _), own in found.items() if name == arm], axis=1)
            for measure in found[START, 0]
        }
        for arm in (START, *ARMS)
    }
    content = {
        **compare(values),
        "interval_method": method_record("sequences") | {"second_factor": "seeds, from three on"},
        "sequences": {
            arm: {measure: np.round(each, 5).tolist() for measure, each in own.items()}
            for arm, own in values.items()
        },
        "moments": scores.to_json()["moments"],
        "settings": test.settings.record() | {"seeds": given.seeds},
        "judge": folder_digests(given.judge),
    }
    write_result(given.json or given.out / "stress_ladder_seeds.json", "stress_ladder_seeds", content)
    for row in content["contrasts"]:
        print(f"{row['contrast']}, {row['measure']}: {row['mean']:+.4f} {row['interval']}")


if __name__ == "__main__":
    run_script(main, Arguments)
