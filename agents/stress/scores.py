"""The scores of trackers in the stress test, from their records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from tracker.errors import InputError
from tracker.evaluation.intervals import Interval, holm, interval, method_record
from tracker.records import read_record

from .corruptions.moments import Moment
from .corruptions.settings import BASE, CONDITIONS, COVER_CURVE, LEAD, PROTOCOL_VERSION, StressSettings
from .measures import HELD, RunScores, losses_by_part, score_run
from .planning import Plan
from .running import BOXES, TIMES

MEASURES = (
    "endurance", "uncovered", "frozen", "kept", "recovered", "recovered_change", "drift", "drift_change",
    "distracted",
)  # fmt: skip
"""The measures of a run; attributes of `RunScores`."""

CHANGES = ("kept", "kept_auc", "recovered_change", "drift_change", "distracted", "placement_gap")
"""Differences from another run, which are over the held moments: a tracker that has lost its target has nothing to
lose. All other measures are over all moments: a tracker that holds only easy ones would look robust."""

RECOVERY_CONDITION = "all-30"
"""The condition whose recovery is the one number."""

CONTRASTS = ("occ_auc", "recovery")
"""Measures in which trackers are compared in pairs."""


@dataclass(frozen=True, eq=False)
class MomentScores:
    """A tracker's scores at one moment.

    Attributes:
        moment: The moment.
        held: Whether the tracker had the target in the last frame before it (`HELD`).
        runs: The measures by condition; also of moments that were not held.
    """

    moment: Moment
    held: bool
    runs: dict[str, RunScores]

    def value(self, measure: str, condition: str = "") -> float | None:
        """A measure of a condition; `None` where there is none.

        Also `occ_auc` and `kept_auc`, the areas under endurance and `kept` over the covered share, `recovery`, and
        `placement_gap`, the endurance of a random placement less that of the condition.
        """
        if measure in ("occ_auc", "kept_auc"):
            covered = [self.runs[name] for name in COVER_CURVE.values()]
            kept = [1.0, *(run.kept for run in covered)]
            endurance = [covered[0].uncovered, *(run.endurance for run in covered)]
            return float(trapezoid(endurance if measure == "occ_auc" else kept, [0.0, *COVER_CURVE]))
        if measure == "recovery":
            return self.value("recovered", RECOVERY_CONDITION)
        if measure == "placement_gap":
            pair = [self.value("endurance", name) for name in ("random", condition)]
            return None if pair[0] is None or pair[1] is None else pair[0] - pair[1]
        run = self.runs.get(condition)
        return None if run is None else getattr(run, measure)


@dataclass(frozen=True, eq=False)
class TrackerStress:
    """A tracker's scores.

    Attributes:
        name: The tracker.
        moments: Its moments, by sequence and number.
        left_out: Conditions that it could not be tested in, and why.
        failures: One sentence for each failed run, by `SEQUENCE/MOMENT/CONDITION`.
        frames_per_second: Frames over the seconds in the tracker.
        own_share: Share of the run's time outside the tracker: decoding, corrupting, storing.
    """

    name: str
    moments: tuple[MomentScores, ...]
    left_out: Mapping[str, str]
    failures: Mapping[str, str]
    frames_per_second: float | None
    own_share: float | None

    @property
    def held(self) -> float:
        """Share of the moments that were held."""
        return float(np.mean([moment.held for moment in self.moments])) if self.moments else 0.0

    def by_sequence(self, measure: str, condition: str = "") -> dict[str, float]:
        """The mean of a measure over the moments of each sequence; see `MomentScores.value`.

        Of one of `CHANGES` over the held moments, and without sequences that have none.
        """
        values: dict[str, list[float]] = {}
        for each in self.moments:
            if (each.held or measure not in CHANGES) and (value := each.value(measure, condition)) is not None:
                values.setdefault(each.moment.sequence, []).append(value)
        return {name: float(np.mean(found)) for name, found in values.items()}

    def mean(self, measure: str, condition: str = "") -> Interval | None:
        """The mean over sequences with its interval; `None` where there is no value."""
        values = list(self.by_sequence(measure, condition).values())
        return interval(values) if values else None

    @property
    def occ_auc(self) -> Interval:
        """Area under endurance over the covered share."""
        found = self.mean("occ_auc")
        assert found is not None  # every moment has its conditions
        return found

    def to_json(self) -> dict[str, Any]:
        """The scores as plain data."""
        auc, recovery = self.occ_auc, self.mean("recovery")
        uncovered = self.mean("uncovered", BASE.name)
        curve = {0.0: uncovered} | {share: self.mean("endurance", name) for share, name in COVER_CURVE.items()}
        names = list(dict.fromkeys(name for each in self.moments for name in each.runs))
        conditions = {
            name: {
                measure: _interval(found)
                for measure in MEASURES
                if (found := self.mean(measure, name)) is not None
            }
            for name in names
        }
        return {
            "occ_auc": round(auc.mean, 5),
            "interval": _interval(auc)["interval"],
            "recovery": None if recovery is None else round(recovery.mean, 5),
            "recovery_change": _interval(self.mean("recovered_change", RECOVERY_CONDITION)),
            "kept_auc": _interval(self.mean("kept_auc")),
            "curve": {
                f"{share:g}": None if each is None else round(each.mean, 5) for share, each in curve.items()
            },
            "held": round(self.held, 5),
            "moments": len(self.moments),
            "distraction": _interval(self.mean("distracted", "look-alike")),
            "placement_gap": _interval(self.mean("placement_gap", "hardest")),
            "own_placement_gap": _interval(self.mean("placement_gap", "hardest-own")),
            "conditions": conditions,
            "sequences": {name: round(value, 5) for name, value in self.by_sequence("occ_auc").items()},
            "left_out": dict(self.left_out),
            "failures": dict(self.failures),
            "frames_per_second": self.frames_per_second,
            "own_share": self.own_share,
        }


@dataclass(frozen=True)
class Contrast:
    """A paired difference of two trackers, over all moments.

    Attributes:
        first: The tracker.
        second: The tracker that is subtracted.
        measure: One of `CONTRASTS`.
        difference: Mean over sequences, with its interval.
        p: Holm's p-value among all contrasts of the measure; `None` from too few sequences.
    """

    first: str
    second: str
    measure: str
    difference: Interval
    p: float | None

    def to_json(self) -> dict[str, Any]:
        """The contrast as plain data."""
        return {
            "first": self.first, "second": self.second, "measure": self.measure, **_interval(self.difference),
            "p_holm": None if self.p is None else round(self.p, 5),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class StressScores:
    """The scores of several trackers.

    Attributes:
        settings: The protocol's settings.
        moments: The moments by sequence.
        left_out: Sequences without a moment, and why.
        trackers: By name, highest OccAUC first; without trackers whose sequences are not all done.
        unfinished: Trackers that lack sequences, and which.
    """

    settings: StressSettings
    moments: Mapping[str, tuple[Moment, ...]]
    left_out: Mapping[str, str]
    trackers: Mapping[str, TrackerStress]
    unfinished: Mapping[str, tuple[str, ...]]

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Paired differences of all pairs of trackers in each of `CONTRASTS`."""
        return [
            contrast for measure in CONTRASTS for contrast in _contrasts(measure, list(self.trackers.values()))
        ]

    def to_json(self) -> dict[str, Any]:
        """The scores as plain data."""
        return {
            "protocol_version": PROTOCOL_VERSION,
            "settings": self.settings.record(),
            "interval": method_record("sequences"),
            "sequences": list(self.moments),
            "moments": {name: [moment.frame for moment in moments] for name, moments in self.moments.items()},
            "left_out": dict(self.left_out),
            "unfinished": {name: list(missing) for name, missing in self.unfinished.items()},
            "trackers": {name: tracker.to_json() for name, tracker in self.trackers.items()},
            "contrasts": [contrast.to_json() for contrast in self.contrasts],
        }

    def sensitivity(self, tracker: str, sequence: str | None = None) -> NDArray[np.float64]:
        """Where on the target an occlusion costs most overlap.

        The value of a part is the mean loss of IoU against the reference over the frames in which the part was
        covered, in held moments and by covers of less than the whole box. For all sequences it is the mean of the
        sequences that have a value.

        Args:
            tracker: Name of the tracker.
            sequence: One sequence; all by default.

        Returns:
            `float64[32, 32]`, rows from the top; NaN where no cover lay.
        """
        maps = []
        for name in [sequence] if sequence is not None else list(self.moments):
            sums = counts = np.zeros((32, 32))
            for each in self.trackers[tracker].moments:
                if each.moment.sequence != name or not each.held:
                    continue
                for label, run in each.runs.items():
                    condition = CONDITIONS[label]
                    if condition.kind == "cover" and condition.strength < 1:
                        reference = each.runs["reference"].overlap
                        loss, frames = losses_by_part(each.moment, condition, run, reference)
                        sums, counts = sums + loss, counts + frames
            maps.append(np.divide(sums, counts, out=np.full((32, 32), np.nan), where=counts > 0))
        known = np.isfinite(maps)
        total, number = np.where(known, maps, 0).sum(axis=0), known.sum(axis=0)
        return np.divide(total, number, out=np.full((32, 32), np.nan), where=number > 0)


def score_stress(out: str | Path, targets: Iterable[str] | None = None) -> StressScores:
    """Score the trackers that a folder holds the records of; nothing but the folder is read.

    Args:
        out: The folder of a `StressTest`.
        targets: Score only these sequences; by default all that have moments.

    Returns:
        The scores. Trackers whose records do not cover all the sequences are in `unfinished`.

    Raises:
        InputError: If the folder holds no moments or no tracker with all the sequences.
    """
    out = Path(out)
    plan = Plan.read(out)
    if plan is None:
        raise InputError(f"'{out}' holds no stress test; run trackers there first.")
    moments = dict(plan.moments)
    if targets is not None:
        moments = {name: moments[name] for name in dict.fromkeys(targets) if name in moments}
    trackers: list[TrackerStress] = []
    unfinished: dict[str, tuple[str, ...]] = {}
    for folder in sorted(each.parent for each in out.glob(f"*/{BOXES}") if each.is_dir()):
        records = {name: read_record(folder / BOXES / f"{name}.json") for name in moments}
        if missing := tuple(name for name, record in records.items() if record is None):
            unfinished[folder.name] = missing
            continue
        trackers.append(_score_tracker(folder, moments, {name: each or {} for name, each in records.items()}))
    if not trackers:
        raise InputError(f"'{out}' holds no tracker's boxes of all {len(moments)} sequences; run one there.")
    trackers.sort(key=lambda each: -each.occ_auc.mean)
    left_out = {name: why for name, why in plan.left_out.items() if targets is None or name in set(targets)}
    return StressScores(plan.settings, moments, left_out, {each.name: each for each in trackers}, unfinished)


def _score_tracker(
    folder: Path, moments: Mapping[str, tuple[Moment, ...]], records: Mapping[str, Mapping[str, Any]]
) -> TrackerStress:
    found: list[MomentScores] = []
    left_out: dict[str, str] = {}
    failures: dict[str, str] = {}
    frames, tracked, seconds = 0, 0.0, 0.0
    for name, record in records.items():
        for moment, content in zip(moments[name], record["moments"], strict=True):
            found.append(_score_moment(moment, content["runs"]))
            left_out |= content["left_out"]
            failures |= {
                f"{name}/{moment.number}/{label}": run["failure"]
                for label, run in content["runs"].items()
                if run["failure"]
            }
        times = read_record(folder / TIMES / f"{name}.json") or {"frames": 0, "tracker_seconds": 0, "seconds": 0}
        frames, tracked = frames + times["frames"], tracked + times["tracker_seconds"]
        seconds += times["seconds"]
    return TrackerStress(
        folder.name,
        tuple(found),
        left_out,
        failures,
        round(frames / tracked, 2) if tracked > 0 else None,
        round(1 - tracked / seconds, 4) if seconds > 0 else None,
    )


def _score_moment(moment: Moment, runs: Mapping[str, Mapping[str, Any]]) -> MomentScores:
    reference = np.array(runs["reference"]["boxes"], dtype=np.float64)
    scores = {}
    for name, run in runs.items():
        region = run.get("region")
        scores[name] = score_run(
            moment,
            CONDITIONS[name],
            np.array(run["boxes"], dtype=np.float64),
            reference,
            None if region is None else (region[0], region[1], region[2], region[3]),
            run["failure"],
        )
    return MomentScores(moment, bool(scores["reference"].overlap[LEAD - 1] > HELD), scores)


def _contrasts(measure: str, trackers: list[TrackerStress]) -> list[Contrast]:
    differences: dict[tuple[str, str], Interval] = {}
    for first, second in combinations(trackers, 2):
        own, other = first.by_sequence(measure), second.by_sequence(measure)
        differences[first.name, second.name] = interval([own[name] - other[name] for name in own])
    corrected = holm([each.p for each in differences.values()])
    rows = zip(differences.items(), corrected, strict=True)
    return [Contrast(*pair, measure, each, p) for (pair, each), p in rows]


def _interval(value: Interval | None) -> Any:
    """A mean with its interval as plain data."""
    if value is None:
        return None
    return {"mean": round(value.mean, 5), "interval": value.ends(5), "sequences": value.targets}
