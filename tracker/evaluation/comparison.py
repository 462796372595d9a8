"""Comparison of several trackers on the targets that they have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

from ..errors import InputError, reading_errors
from .annotations import Annotation, choose_targets
from .intervals import Interval, holm, interval, method_record, paired_difference
from .measures import MEASURES, InvalidRule, Measure
from .protocols import OtbProtocol
from .result_files import choose_results, find_results
from .running import FAILURES, SETTINGS
from .scoring import TrackerScores, score_results


@dataclass(frozen=True, eq=False)
class ComparedTracker:
    """One of several trackers that are compared.

    Attributes:
        name: The tracker.
        folder: The folder of its result files.
        scores: On the common targets.
        other: Targets that it has results for and another tracker has not.
        missing: Targets that it has no (or not all) results for, of those that were asked for or that another
            tracker has.
        failures: The runner's record of failures, by target or run (`Coke/left`).
        settings: The runner's record of the settings; empty where there is none.
    """

    name: str
    folder: Path
    scores: TrackerScores
    other: tuple[str, ...]
    missing: tuple[str, ...]
    failures: Mapping[str, str]
    settings: Mapping[str, Any]

    def interval(self, measure: Measure) -> Interval:
        """Return the mean of a measure with its interval over the common targets."""
        return interval([getattr(target, measure) for target in self.scores.targets])


@dataclass(frozen=True, eq=False)
class TrackerComparison:
    """Trackers, best AUC first, all judged on the same targets.

    Attributes:
        trackers: The trackers.
        targets: Names of the common targets.
        protocol: `ope`, `tre` or `sre`.
        invalid: See `measures.InvalidRule`.
        list_name: The benchmark's list that was asked for.
        baseline: The tracker that the others are compared with.
        left_out: Trackers that could not be judged, and why.
    """

    trackers: tuple[ComparedTracker, ...]
    targets: tuple[str, ...]
    protocol: OtbProtocol
    invalid: InvalidRule
    list_name: str | None
    baseline: str
    left_out: Mapping[str, str]

    def difference(self, first: str, second: str, measure: Measure) -> Interval:
        """Return the paired difference of two trackers; its p-value is Holm-corrected over all pairs."""
        return self._differences[measure][first, second]

    @cached_property
    def _differences(self) -> dict[Measure, dict[tuple[str, str], Interval]]:
        pairs = list(combinations([tracker.scores for tracker in self.trackers], 2))
        differences: dict[Measure, dict[tuple[str, str], Interval]] = {}
        for measure in MEASURES:
            intervals = [paired_difference(first, second, measure) for first, second in pairs]
            corrected = holm([each.p for each in intervals])
            by_pair = differences[measure] = {}
            for (first, second), each, p in zip(pairs, intervals, corrected, strict=True):
                by_pair[first.tracker, second.tracker] = each._replace(p=p)
                bounds = None if each.bounds is None else (0.0 - each.bounds[1], 0.0 - each.bounds[0])
                by_pair[second.tracker, first.tracker] = Interval(0.0 - each.mean, bounds, p, each.targets)
        return differences

    @property
    def warnings(self) -> list[str]:
        """The warnings of the trackers' scores, each once if all trackers share it."""
        warnings = {tracker.name: tracker.scores.warnings for tracker in self.trackers}
        shared = [
            each for each in warnings[self.trackers[0].name] if all(each in own for own in warnings.values())
        ]
        return shared + [f"{name}: {each}" for name, own in warnings.items() for each in own if each not in shared]

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain data."""
        shared = ("tracker", "protocol", "invalid", "missing")

        def row(first: str, second: str, measure: Measure) -> dict[str, Any]:
            difference = self.difference(first, second, measure)
            return {"difference": difference.mean, "interval": difference.bounds, "p_holm": difference.p}

        return {
            "protocol": self.protocol,
            "invalid": self.invalid,
            "list": self.list_name,
            "baseline": self.baseline,
            "targets": list(self.targets),
            "interval": method_record(),
            "trackers": {
                tracker.name: {
                    **{key: value for key, value in tracker.scores.to_json().items() if key not in shared},
                    "intervals": {measure: tracker.interval(measure).bounds for measure in MEASURES},
                    "targets_not_common": list(tracker.other),
                    "missing": list(tracker.missing),
                    "failures": dict(tracker.failures),
                    "settings": dict(tracker.settings),
                }
                for tracker in self.trackers
            },
            "paired_differences": [
                {
                    "first": first.name,
                    "second": second.name,
                    "targets": len(self.targets),
                    **{measure: row(first.name, second.name, measure) for measure in MEASURES},
                }
                for first, second in permutations(self.trackers, 2)
            ],
            "left_out": dict(self.left_out),
        }


def compare_trackers(
    results: str | Path,
    annotations: Mapping[str, Annotation],
    *,
    protocol: OtbProtocol | None = None,
    invalid: InvalidRule = "otb",
    list_name: str | None = None,
    targets: Sequence[str] | None = None,
    baseline: str | None = None,
    zero_based: bool = False,
) -> TrackerComparison:
    """Judge all trackers of a folder on the targets that they have in common.

    Args:
        results: Folder that `run_benchmark` wrote (`TRACKER/PROTOCOL/TARGET.txt`), or one tracker's result files.
        annotations: The annotations by target.
        protocol: By default `ope`, or the protocol that a single tracker's folder is named after.
        invalid: See `measures.InvalidRule`.
        list_name: Name of the list of `targets`, for the record.
        targets: Judge only these.
        baseline: The tracker that the others are compared with; the best by default.
        zero_based: The files count pixels from 0.

    Raises:
        InputError: If a target is not annotated, no tracker can be judged, the trackers have no target in
            common, or the baseline is none of them.
    """
    if targets is not None:
        annotations = choose_targets(annotations, targets)
    folders, protocol = _folders(Path(results), protocol)
    judged: dict[str, TrackerScores] = {}
    left_out: dict[str, str] = {}
    for name, folder in folders.items():
        try:
            judged[name] = score_results(
                folder, annotations, protocol=protocol, invalid=invalid, zero_based=zero_based, tracker=name
            )
        except InputError as error:
            nothing = f"it has no results of the protocol {protocol.upper()}"
            left_out[name] = str(error) if folder.exists() else nothing
    if not judged:
        raise InputError(next(iter(left_out.values())))
    if baseline is not None and baseline not in judged:
        why = f" ({left_out[baseline]})" if baseline in left_out else ""
        raise InputError(f"The baseline '{baseline}' was not judged{why}; choose one of {', '.join(judged)}.")

    names = {tracker: {target.name for target in scores.targets} for tracker, scores in judged.items()}
    common = set.intersection(*names.values())
    if not common:
        counts = ", ".join(f"{tracker} has {len(own)}" for tracker, own in names.items())
        raise InputError(f"The trackers have no target in common ({counts}); run them on the same targets.")
    wanted = set.union(*names.values()) if targets is None else set(annotations)
    trackers = [
        ComparedTracker(
            name,
            folders[name],
            scores.subset(sorted(common)),
            tuple(sorted(names[name] - common)),
            tuple(sorted(wanted - names[name])),
            _failures(folders[name] / FAILURES, None if targets is None else wanted),
            _record(folders[name] / SETTINGS),
        )
        for name, scores in judged.items()
    ]
    trackers.sort(key=lambda tracker: (-tracker.scores.auc, tracker.name))
    return TrackerComparison(
        tuple(trackers),
        tuple(target.name for target in trackers[0].scores.targets),
        protocol,
        invalid,
        list_name,
        baseline or trackers[0].name,
        dict(sorted(left_out.items())),
    )


def _folders(results: Path, protocol: OtbProtocol | None) -> tuple[dict[str, Path], OtbProtocol]:
    """The folder of each tracker's result files, which need not exist, and the protocol."""
    folders = find_results(results)
    if not folders:
        name, chosen, folder = choose_results(results, protocol)
        return {name: folder}, chosen
    chosen = protocol or "ope"
    if not any(chosen in by_protocol for by_protocol in folders.values()):
        there = sorted({known for by_protocol in folders.values() for known in by_protocol})
        raise InputError(
            f"'{results}' holds no results of the protocol {chosen}, but of {', '.join(there)}; give --protocol."
        )
    return {name: next(iter(inner.values())).with_name(chosen) for name, inner in folders.items()}, chosen


def _failures(path: Path, wanted: set[str] | None) -> dict[str, str]:
    """One sentence for each target, or each target and run (`Coke/left`)."""
    return {
        label: str(record.get("error", record) if isinstance(record, dict) else record)
        for label, record in _record(path).items()
        if wanted is None or label.split("/")[0] in wanted
    }


def _record(path: Path) -> dict[str, Any]:
    """A JSON object that the runner wrote; empty where there is none."""
    if not path.exists():
        return {}
    with reading_errors(path, "the record of a run", "remove it or run again"):
        content = json.loads(path.read_text("utf-8"))
    return content if isinstance(content, dict) else {}
