"""A benchmark in one line: run trackers on annotated sequences, compare them, write the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..processes import Workers
from ..trackers.protocol import Tracker, maker_of
from .annotations import read_annotations
from .comparison import TrackerComparison, compare_trackers
from .protocols import OtbProtocol
from .running import RunReport, run_benchmark


class Experiment:
    """Runs trackers on annotated sequences and compares them, as the experiments of the got10k toolkit do.

    Results that are in `out` already are kept, and their trackers are part of the comparison.

    Args:
        root: Folder of annotated sequences, or one of them; see `tracker.data.readers.list_targets`.
        layout: Layout of the sequences, one of `tracker.data.readers.LAYOUTS`; `auto` recognises it.
        out: Receives the results, `TRACKER/PROTOCOL/TARGET.txt`, and the folder `report`.
        protocol: One pass (`ope`), 20 starts in time (`tre`) or 12 shifted starts (`sre`).
        targets: Run and judge only these.
        workers: Number of processes, or a Ray cluster; see `run_benchmark`. A script that asks for several
            processes must start its work under `if __name__ == "__main__":`, because each process imports it.

    Attributes:
        runs: What `run` did, by the name of the tracker.

    >>> comparison = Experiment("otb").run(load_tracker("sint")).report()  # doctest: +SKIP
    >>> comparison.trackers[0].scores.auc  # doctest: +SKIP
    0.5
    """

    def __init__(
        self,
        root: str | Path,
        layout: str = "auto",
        out: str | Path = "results",
        protocol: OtbProtocol = "ope",
        targets: Iterable[str] | None = None,
        workers: Workers = 1,
    ) -> None:
        self.root, self.layout, self.out, self.protocol = Path(root), layout, Path(out), protocol
        self.targets = None if targets is None else list(targets)
        self.workers = workers
        self.runs: dict[str, RunReport] = {}

    def run(
        self,
        tracker: Tracker | Callable[[], Tracker],
        settings: Mapping[str, Any] | None = None,
        command: str = "",
        progress: bool = True,
    ) -> Experiment:
        """Run a tracker and write its boxes and times; an interrupted run resumes (`run_benchmark`).

        Args:
            tracker: A tracker, or a function that makes one, which is called again after an exception of the
                tracker. With several processes it is pickled: a class or a function of a module, or a tracker
                whose state can be.
            settings: Other settings that change the results; see `run_benchmark`.
            command: The command line, for the record.
            progress: Show progress bars on standard error.

        Returns:
            This experiment, for the next tracker or the report.

        Raises:
            InputError: See `run_benchmark`.
        """
        report = run_benchmark(
            maker_of(tracker), [self.root], self.out, protocol=self.protocol, targets=self.targets,
            settings=settings, command=command, progress=progress, layout=self.layout, workers=self.workers,
        )  # fmt: skip
        self.runs[report.tracker] = report
        return self

    def report(self, baseline: str | None = None, command: str | None = None) -> TrackerComparison:
        """Compare the trackers on their common targets, and write `out/report/report.html` and its pictures.

        Args:
            baseline: The tracker that the others are compared with; the best by default.
            command: The command line, for the record.

        Raises:
            InputError: See `compare_trackers`.
        """
        from .report.writing import write_report

        annotations = read_annotations(self.root, layout=self.layout)
        comparison = compare_trackers(
            self.out, annotations, protocol=self.protocol, targets=self.targets, baseline=baseline
        )
        folder = self.out / "report"
        folder.mkdir(exist_ok=True)
        write_report(folder, comparison, annotations, frames=self.root, layout=self.layout, command=command)
        return comparison
