"""A benchmark in two calls: run trackers, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..trackers.protocol import Tracker
from .annotations import read_annotations
from .comparison import TrackerComparison, compare_trackers
from .protocols import OtbProtocol
from .running import RunReport, run_benchmark


class Experiment:
    """Runs trackers on annotated sequences and compares them, as the experiments of the got10k toolkit do.

    Results that are in `out` already are kept, and their trackers are part of the comparison.

    Args:
        data: Folder of annotated sequences, or one of them; see `tracker.data.readers.list_targets`.
        out: Receives the results, `TRACKER/PROTOCOL/TARGET.txt`, and the folder `report`.
        protocol: `ope`, `tre` or `sre`.
        targets: Run and judge only these.

    >>> experiment = Experiment("otb", "out")  # doctest: +SKIP
    >>> experiment.run(load_tracker("sint-slim"))  # doctest: +SKIP
    >>> experiment.report().trackers[0].scores.auc  # doctest: +SKIP
    0.5
    """

    def __init__(
        self,
        data: str | Path,
        out: str | Path,
        protocol: OtbProtocol = "ope",
        targets: Iterable[str] | None = None,
    ) -> None:
        self.data, self.out, self.protocol = Path(data), Path(out), protocol
        self.targets = None if targets is None else list(targets)

    def run(
        self,
        tracker: Tracker | Callable[[], Tracker],
        settings: Mapping[str, Any] | None = None,
        command: str = "",
        progress: bool = True,
    ) -> RunReport:
        """Run a tracker and write its boxes and times; an interrupted run resumes (`run_benchmark`).

        Args:
            tracker: A tracker, or a function that makes one; it is called again after an exception of the tracker.
            settings: Other settings that change the results; see `run_benchmark`.
            command: The command line, for the record.
            progress: Show progress bars on standard error.

        Raises:
            InputError: See `run_benchmark`.
        """
        if isinstance(tracker, Tracker) and not isinstance(tracker, type):
            make_tracker: Callable[[], Tracker] = partial(_same, tracker)
        else:
            make_tracker = tracker
        return run_benchmark(
            make_tracker, [self.data], self.out, protocol=self.protocol, targets=self.targets, settings=settings,
            command=command, progress=progress,
        )  # fmt: skip

    def report(self, baseline: str | None = None, command: str | None = None) -> TrackerComparison:
        """Compare the trackers on their common targets, and write `out/report/report.html` and its pictures.

        Args:
            baseline: The tracker that the others are compared with; the best by default.
            command: The command line, for the record.

        Raises:
            InputError: See `compare_trackers`.
        """
        from .report.writing import write_report

        annotations = read_annotations(self.data)
        comparison = compare_trackers(
            self.out, annotations, protocol=self.protocol, targets=self.targets, baseline=baseline
        )
        folder = self.out / "report"
        folder.mkdir(exist_ok=True)
        write_report(folder, comparison, annotations, frames=self.data, command=command)
        return comparison


def _same(tracker: Tracker) -> Tracker:
    return tracker
