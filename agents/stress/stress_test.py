"""The stress test in two calls: run trackers, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tracker.data.identity import check_identity, code_version
from tracker.data.readers import list_targets
from tracker.errors import InputError
from tracker.evaluation.report.page import INDEX
from tracker.evaluation.running import source_digest
from tracker.files import remove_leftovers
from tracker.processes import Workers, check_workers, run_jobs, serialised
from tracker.trackers.protocol import Tracker, maker_of

from ..common.locks import lock_folder
from ..common.versions import versions
from .corruptions.settings import PROTOCOL_VERSION, StressSettings
from .planning import MOMENTS, Plan, find_place, plan_moments
from .running import CARD, SequenceJob
from .scores import StressScores, score_stress

SETTINGS = "settings.json"


class StressTest:
    """Runs trackers through occlusions of moments of annotated sequences and compares them.

    All trackers see the same frames. Results that are in `out` already are kept, and their trackers are part of
    the comparison; an interrupted run resumes.

    Args:
        data: Folder of annotated sequences, or one of them; see `tracker.data.readers.list_targets`.
        out: Receives `index.html`, `card.png`, `moments.json`, and of each tracker `TRACKER/settings.json`,
            `TRACKER/boxes/SEQUENCE.json` and `TRACKER/times/SEQUENCE.json`.
        settings: The protocol's settings; the full protocol by default.
        targets: Only these sequences.

    >>> test = StressTest("otb", "out/stress", StressSettings.quick())  # doctest: +SKIP
    >>> test.run(load_tracker("mil")).report().trackers["mil"].occ_auc.mean  # doctest: +SKIP
    0.7
    """

    def __init__(
        self,
        data: str | Path,
        out: str | Path = "out/stress",
        settings: StressSettings | None = None,
        targets: Iterable[str] | None = None,
    ) -> None:
        self.data, self.out = Path(data), Path(out)
        self.settings = StressSettings() if settings is None else settings
        self.targets = None if targets is None else list(targets)

    def run(
        self,
        tracker: Tracker | Callable[[], Tracker],
        settings: Mapping[str, Any] | None = None,
        workers: Workers = 1,
        command: str = "",
        progress: bool = True,
    ) -> StressTest:
        """Run a tracker through all conditions and write its boxes and times.

        After an exception of the tracker, or an output that is not a box, the rest of that run counts as lost,
        with an overlap of 0. The next run gets a new tracker.

        Args:
            tracker: A tracker, or a function that makes one; with several workers a function of a module.
            settings: Whatever else changes the boxes, such as the weights' digest.
            workers: Processes, or a Ray cluster; each process runs a sequence at a time.
            command: The command line, for the record.
            progress: Show a progress bar on standard error.

        Returns:
            This test.

        Raises:
            InputError: If there is no sequence with a moment, the tracker's name cannot name a folder, or
                `out` holds results made with other settings or on other frames.
        """
        check_workers(workers)
        self._run(maker_of(tracker), settings or {}, workers, command, progress)
        return self

    @cached_property
    def plan(self) -> Plan:
        """The moments: those that `out` holds, and new ones for sequences that it holds none of."""
        with lock_folder(self.out):
            return plan_moments(self.data, self.out, self.settings, self.targets)

    def report(self, command: str = "") -> StressScores:
        """Score all trackers that `out` holds results of, and write the page `out/index.html` and `out/card.png`.

        The scores are over the test's `targets`, or else over all sequences of `data`.

        Args:
            command: The command line, for the record.

        Raises:
            InputError: See `score_stress`.
        """
        from .report import write_report

        scores = score_stress(self.out, list_targets(self.data) if self.targets is None else self.targets)
        write_report(self.out, scores, self.data, command)
        return scores

    def _run(
        self,
        make_tracker: Callable[[], Tracker],
        settings: Mapping[str, Any],
        workers: Workers,
        command: str,
        progress: bool,
    ) -> None:
        plan, tracker = self.plan, make_tracker()
        name = tracker.name
        if not name or Path(name).name != name or name.startswith(".") or name in (MOMENTS, INDEX, CARD):
            raise InputError(f"The tracker's name '{name}' cannot name a folder of its results; give it another.")
        folder, places = self.out / name, list_targets(self.data)
        with lock_folder(folder):
            identity = _identity(tracker, self.settings, settings)
            check_identity(folder / SETTINGS, identity, versions(), command)
            remove_leftovers(folder)
            jobs = []
            for target, moments in plan.moments.items():
                others = {each.cutout for each in moments if each.cutout is not None}
                cutouts = {other: find_place(places, other, self.data) for other in others}
                job = SequenceJob(
                    make_tracker, folder, target, places[target], plan.digests[target], moments, cutouts,
                    self.settings,
                )  # fmt: skip
                jobs.append(job)
            waiting = [(job.name, job) for job in jobs if not job.is_done()]
            if workers != 1:
                serialised(make_tracker, f"The tracker '{name}'")  # said before the first process starts
            bar = tqdm(total=len(waiting), desc=name, unit="sequence", disable=not progress or not waiting)
            with bar:
                for target, _ in run_jobs(workers, waiting, folder):
                    bar.update()
                    bar.set_postfix_str(target)


def _identity(tracker: Tracker, protocol: StressSettings, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that changes the boxes, the sequences excepted."""
    return {
        "tracker": tracker.name,
        "protocol_version": PROTOCOL_VERSION,
        "protocol": protocol.record(),
        **settings,
        "configuration": getattr(tracker, "identity", {}),
        "source": source_digest(tracker),
        "device": str(getattr(tracker, "device", "cpu")).partition(":")[0],
        "code": code_version("tracker", "occlusion_env", "agents/stress/corruptions"),
    }
