"""Several trackers judged on the targets that they have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

from ..errors import InputError, reading_errors
from .annotations import Annotation
from .intervals import Interval, holm, interval, method_record, paired_difference
from .measures import Invalid
from .protocols import Protocol
from .result_files import choose_results, find_results
from .running import FAILURES, SETTINGS
from .scoring import Scores, score_results

__all__ = ["Comparison", "Entry", "compare"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One tracker.

    Attributes:
        name: The tracker.
        folder: Where its result files lie.
        scores: On the common targets.
        other: Names of the targets that it has results for and another tracker has not.
        missing: Names of the targets that it has no (or not all) results for, of those that were asked for or
            that another tracker has.
        failures: What the runner wrote down about targets (or runs: `Coke/left`) on which the tracker failed.
        settings: What the runner wrote down about the run; empty where nothing was.
    """

    name: str
    folder: Path
    scores: Scores
    other: tuple[str, ...]
    missing: tuple[str, ...]
    failures: Mapping[str, str]
    settings: Mapping[str, Any]

    def interval(self, measure: str) -> Interval:
        """Return the mean of `auc` or `precision`, with its interval over the common targets."""
        return interval([getattr(target, measure) for target in self.scores.targets])


@dataclass(frozen=True, eq=False)
class Comparison:
    """Trackers, best AUC first, all judged on the same targets.

    Attributes:
        entries: The trackers.
        targets: Names of the common targets.
        protocol: `ope`, `tre` or `sre`.
        invalid: See `measures.Invalid`.
        list_name: The benchmark's list that was asked for.
        baseline: What the others are compared with: the tracker that was asked for, or the best.
        left_out: Trackers that could not be judged, and why.
    """

    entries: tuple[Entry, ...]
    targets: tuple[str, ...]
    protocol: Protocol
    invalid: Invalid
    list_name: str | None
    baseline: str
    left_out: Mapping[str, str]

    def difference(self, first: str, second: str, measure: str) -> Interval:
        """Return the paired difference of two trackers, with its interval."""
        scores = {entry.name: entry.scores for entry in self.entries}
        return paired_difference(scores[first], scores[second], "auc" if measure == "auc" else "precision")

    @property
    def warnings(self) -> list[str]:
        """The warnings of the trackers' scores; those that all trackers share once."""
        found = [entry.scores.warnings for entry in self.entries]
        shared = [warning for warning in found[0] if all(warning in each for each in found)]
        own = [
            f"{entry.name}: {warning}"
            for entry, warnings in zip(self.entries, found, strict=True)
            for warning in warnings
            if warning not in shared
        ]
        return shared + own

    def corrected_p(self, measure: str) -> dict[tuple[str, str], float]:
        """Return the p-value of each ordered pair, Holm-corrected over all pairs; empty with too few targets."""
        pairs = list(combinations([entry.name for entry in self.entries], 2))
        found = [self.difference(*pair, measure).p for pair in pairs]
        known = [p for p in found if p is not None]
        corrected = dict(zip(pairs, holm(known), strict=True)) if len(known) == len(pairs) else {}
        return corrected | {(second, first): p for (first, second), p in corrected.items()}

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain data."""
        corrected = {measure: self.corrected_p(measure) for measure in ("auc", "precision")}

        def row(first: str, second: str, measure: str) -> dict[str, Any]:
            found = self.difference(first, second, measure)
            p = corrected[measure].get((first, second))
            return {"difference": found.mean, "interval": found.bounds, "p_holm": p}

        return {
            "protocol": self.protocol,
            "invalid": self.invalid,
            "list": self.list_name,
            "baseline": self.baseline,
            "targets": list(self.targets),
            "interval": method_record(),
            "trackers": {
                entry.name: {
                    **{key: value for key, value in entry.scores.to_json().items() if key not in _SHARED},
                    "intervals": {measure: entry.interval(measure).bounds for measure in ("auc", "precision")},
                    "targets_not_common": list(entry.other),
                    "missing": list(entry.missing),
                    "failures": dict(entry.failures),
                    "settings": dict(entry.settings),
                }
                for entry in self.entries
            },
            "paired_differences": [
                {
                    "first": first.name,
                    "second": second.name,
                    "targets": len(self.targets),
                    **{measure: row(first.name, second.name, measure) for measure in corrected},
                }
                for first, second in permutations(self.entries, 2)
            ],
            "left_out": dict(self.left_out),
        }


_SHARED = ("tracker", "protocol", "invalid", "missing")


def compare(
    results: str | Path,
    annotations: Mapping[str, Annotation],
    *,
    protocol: Protocol | None = None,
    invalid: Invalid = "otb",
    list_name: str | None = None,
    targets: Many[str] | None = None,
    baseline: str | None = None,
    zero_based: bool = False,
) -> Comparison:
    """Judge all trackers of a folder on the targets that they have in common.

    Args:
        results: What `benchmark run` left (`TRACKER/PROTOCOL/TARGET.txt`), or one tracker's folder of files.
        annotations: The truth.
        protocol: By default `ope`, or what a single tracker's folder says.
        invalid: See `measures.Invalid`.
        list_name: Name of the list that `targets` is, for the record.
        targets: Judge no others.
        baseline: The tracker that the others are compared with; the best by default.
        zero_based: The files count pixels from 0.

    Raises:
        InputError: If a target is not annotated, no tracker can be judged, the trackers have no target in
            common, or the baseline is none of them.
    """
    if targets is not None:
        left_out_truth = getattr(annotations, "left_out", {})
        if unusable := [left_out_truth[name] for name in targets if name in left_out_truth]:
            raise InputError(unusable[0])
        if unknown := [name for name in targets if name not in annotations]:
            raise InputError(
                f"There is no annotation of {', '.join(unknown)}; give a file or folder that has them."
            )
        annotations = {name: annotations[name] for name in targets}
    folders, chosen = _folders(Path(results), protocol)
    judged: dict[str, Scores] = {}
    left_out: dict[str, str] = {}
    for name, folder in folders.items():
        if folder is None:
            left_out[name] = f"it has no results of the protocol {chosen.upper()}"
            continue
        try:
            judged[name] = score_results(
                folder, annotations, protocol=chosen, invalid=invalid, zero_based=zero_based, tracker=name
            )
        except InputError as error:
            left_out[name] = str(error)
    if not judged:
        raise InputError(next(iter(left_out.values())))
    if baseline is not None and baseline not in judged:
        why = f" ({left_out[baseline]})" if baseline in left_out else ""
        raise InputError(f"The baseline '{baseline}' was not judged{why}; choose one of {', '.join(judged)}.")

    names = {tracker: {target.name for target in scores.targets} for tracker, scores in judged.items()}
    common = set.intersection(*names.values())
    if not common:
        counts = ", ".join(f"{tracker} has {len(found)}" for tracker, found in names.items())
        raise InputError(f"The trackers have no target in common ({counts}); run them on the same targets.")
    wanted = set(annotations) if targets is not None else set.union(*names.values())
    entries = []
    for tracker, scores in judged.items():
        folder = folders[tracker]
        assert folder is not None
        entries.append(
            Entry(
                tracker,
                folder,
                scores.subset(sorted(common)),
                tuple(sorted(names[tracker] - common)),
                tuple(sorted(wanted - names[tracker])),
                _failures(folder / FAILURES, None if targets is None else wanted),
                _record(folder / SETTINGS),
            )
        )
    entries.sort(key=lambda entry: (-entry.scores.auc, entry.name))
    order = tuple(target.name for target in entries[0].scores.targets)
    return Comparison(
        tuple(entries),
        order,
        chosen,
        invalid,
        list_name,
        baseline or entries[0].name,
        dict(sorted(left_out.items())),
    )


def _folders(results: Path, protocol: Protocol | None) -> tuple[dict[str, Path | None], Protocol]:
    found = find_results(results)
    if not found:
        name, told, folder = choose_results(results, protocol)
        return {name: folder}, told
    chosen = protocol or "ope"
    if not any(chosen in inner for inner in found.values()):
        there = sorted({known for inner in found.values() for known in inner})
        raise InputError(
            f"'{results}' holds no results of the protocol {chosen}, but of {', '.join(there)}; give --protocol."
        )
    return {name: inner.get(chosen) for name, inner in found.items()}, chosen


def _failures(path: Path, wanted: set[str] | None) -> dict[str, str]:
    """One sentence a target, or a target and run (`Coke/left`)."""
    found = {}
    for label, record in _record(path).items():
        if wanted is None or label.split("/")[0] in wanted:
            found[label] = str(record.get("error", record) if isinstance(record, dict) else record)
    return found


def _record(path: Path) -> dict[str, Any]:
    """What the runner wrote down, if it did."""
    if not path.exists():
        return {}
    with reading_errors(path, "the record of a run", "remove it or run again"):
        content = json.loads(path.read_text("utf-8"))
    return content if isinstance(content, dict) else {}
