"""Running a tracker on a benchmark; an interrupted run resumes, and a failure costs one target."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import metadata
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from ..cluster import RayCluster
from ..data.identity import check_identity, code_version, content_digest
from ..data.readers import LAYOUTS, list_targets, read_sequence
from ..data.sequences import Frames, Sequence
from ..errors import InputError
from ..files import remove_leftovers, replacing_file
from ..processes import Workers, check_workers, run_jobs, serialised, threads_of
from ..records import read_record, warn_of_damage, write_record
from ..trackers.check import output_fault
from ..trackers.protocol import Tracker
from .annotations import Annotation
from .protocols import OTB_PROTOCOLS, OtbProtocol, TrackerRun, list_runs
from .result_files import boxes_path, read_boxes, times_path, write_boxes, write_times

FAILURES = "failures.json"
SETTINGS = "settings.json"
DATA = "data.json"

PACKAGES = (
    "occlusion-search",
    "numpy",
    "opencv-python",
    "opencv-contrib-python",
    "pillow",
    "torch",
    "torchvision",
)


_Outcome = tuple[NDArray[np.float64], NDArray[np.float64]] | dict[str, str]
"""Boxes and seconds of a run, or `_describe` of its failure."""


@dataclass
class RunReport:
    """Results and failures of a tracker's benchmark run.

    Attributes:
        tracker: The tracker's name.
        protocol: `ope`, `tre` or `sre`.
        folder: Folder of the results.
        made: Number of runs that were made now.
        kept: Number of results that were there already.
        failures: One sentence for each target (OPE) or `target/key` (TRE, SRE) that has no result because
            something went wrong; a target alone where it could not be opened.
        annotations: The annotations of the targets that could be opened, for `score_results`; without those whose
            first box alone is known.
    """

    tracker: str
    protocol: OtbProtocol
    folder: Path
    made: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, Annotation] = field(default_factory=dict)


def run_tracker(
    tracker: Tracker,
    frames: Frames,
    box: ArrayLike,
    start: int = 0,
    on_frame: Callable[[], object] = lambda: None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run a tracker through a video once.

    Reading the frames is not timed.

    Args:
        tracker: The tracker; its `init` is called once.
        frames: The video.
        box: `(x, y, w, h)` in frame `start`, 0-based.
        start: The first frame.
        on_frame: Called after each frame, such as to move a progress bar.

    Returns:
        The boxes `float64[T - start, 4]`, the first one as it was given, and the seconds `float64[T - start]`
        that `init` and each `update` took.

    Raises:
        InputError: If a frame cannot be read, or the tracker returns what is no box; naming the frame.
        Exception: Whatever the tracker raises.
    """
    given = np.array(box, dtype=np.float64)
    boxes, seconds = np.empty((len(frames) - start, 4)), np.empty(len(frames) - start)
    boxes[0] = given
    for row, t in enumerate(range(start, len(frames))):
        frame = frames[t]
        begin = time.perf_counter()
        if row == 0:
            tracker.init(frame, given.copy())
        else:
            output = tracker.update(frame)
        seconds[row] = time.perf_counter() - begin
        if row > 0:
            if fault := output_fault(output):
                raise InputError(f"The tracker '{tracker.name}' returned {fault}, in frame {t}.")
            boxes[row] = np.asarray(output, dtype=np.float64)
        on_frame()
    return boxes, seconds


def run_benchmark(
    make_tracker: Callable[[], Tracker],
    sequences: Iterable[Path | Sequence],
    out: Path,
    *,
    protocol: OtbProtocol = "ope",
    targets: Iterable[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    command: str = "",
    progress: bool = True,
    layout: str = "auto",
    workers: Workers = 1,
) -> RunReport:
    """Run a tracker on sequences and write its boxes and times.

    Writes `out/TRACKER/PROTOCOL/TARGET.txt` and `times/TARGET_time.txt` there (OPE), or `TARGET/KEY.txt` and
    `TARGET/times/KEY_time.txt` (TRE, SRE), `settings.json` and `data.json`. A run whose file of boxes is there is
    not made again, unless it or its times are damaged. A failure (a frame that cannot be read, an exception of the
    tracker, an output that is not a box) ends that run alone and stays in `failures.json` until the run succeeds;
    the next run gets a new tracker. An interrupted benchmark resumes when it is started again, with any number of
    processes.

    Args:
        make_tracker: Makes the tracker.
        sequences: The sequences; a path is an annotated sequence's folder, all of whose targets are taken, or a
            benchmark's folder.
        out: Folder of the results.
        protocol: `ope`, `tre` or `sre`.
        targets: Run these targets only.
        settings: Whatever else changes the results, such as the weights' digest. With the tracker's name and
            `identity` (see `Tracker`), its device, the protocol and this package's code they are the results'
            identity in `settings.json`; a folder with another identity is refused. Versions of libraries and the
            machine are recorded too; where they differ there is a warning.
        command: Command line, for `settings.json`.
        progress: Show progress bars on standard error.
        layout: Layout of the folders, one of `tracker.data.readers.LAYOUTS`; `auto` recognises it.
        workers: Number of processes, each with a tracker and a share of the threads, or a Ray cluster. The boxes
            are the same with any; the times are not, as processes share the machine.

    Raises:
        InputError: If the protocol or the layout is unknown, there is no target to run, two have the same name,
            the tracker's name cannot name a folder, or `out` holds results made with other settings or on other
            frames or boxes of a sequence of the same name; with several processes also if `make_tracker` cannot
            be serialised or a process was killed.
    """
    if layout not in LAYOUTS:
        raise InputError(f"The layout '{layout}' is unknown; known are {', '.join(LAYOUTS)}.")
    if protocol not in OTB_PROTOCOLS:
        raise InputError(f"'{protocol}' is no protocol; choose {', '.join(OTB_PROTOCOLS)}.")
    check_workers(workers)
    plan = _plan(sequences, None if targets is None else frozenset(targets), layout)
    runner = _Runner(make_tracker)
    tracker = runner.tracker
    if not tracker.name or Path(tracker.name).name != tracker.name or tracker.name.startswith("."):
        raise InputError(f"The tracker's name '{tracker.name}' cannot name a folder; give it another.")
    sent = None if workers == 1 else serialised(make_tracker, f"The tracker '{tracker.name}'")
    folder = Path(out) / tracker.name / protocol
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"'{folder}' cannot be written ({error.strerror}); give another folder.") from None
    check_identity(folder / SETTINGS, _identity(tracker, protocol, settings or {}), _machine(workers), command)
    remove_leftovers(folder)
    digests, failures = _Digests(folder / DATA), _Failures(folder / FAILURES)
    report = RunReport(tracker.name, protocol, folder)
    unfinished: dict[str, int] = {}

    def jobs() -> Iterator[tuple[TrackerRun, Callable[[], _Outcome]]]:
        """The runs that have no result, target by target."""
        for name, open_target in plan.items():
            bar.set_postfix_str(name)
            unfinished[name] = 0
            try:
                sequence = open_target()
            except InputError as error:
                report.failures[name] = failures.add(name, _describe(error))
                bar.update()
                continue
            digests.check_sequence(sequence)
            if protocol != "ope":  # There the sequence's name is the run's, too.
                failures.remove(name)
            annotation = Annotation.of_sequence(sequence)
            if sequence.box_source != "first":
                report.annotations[name] = annotation
            elif protocol != "ope":
                unknown = InputError(
                    f"Only the first box of '{name}' is known; {protocol} needs the others, run ope."
                )
                report.failures[name] = failures.add(name, _describe(unknown))
                bar.update()
                continue
            missing = []
            for run in list_runs(protocol, annotation, sequence.frames.size(0)):
                files = boxes_path(folder, run.target, run.key), times_path(folder, run.target, run.key)
                if digests.has_result(run.label, *files):
                    failures.remove(run.label)
                    report.kept += 1
                else:
                    missing.append(run)
            unfinished[name] = len(missing)
            bar.update(not missing)
            for run in missing:
                if sent is None:
                    yield run, partial(runner.run, sequence.frames, run, progress)
                else:
                    yield run, partial(_run_in_process, sent, open_target, run)

    with (
        tqdm(total=len(plan), desc=f"{tracker.name} {protocol}", unit="target", disable=not progress) as bar,
        closing(run_jobs(workers, jobs(), folder)) as outcomes,
    ):
        for run, outcome in outcomes:
            unfinished[run.target] -= 1
            bar.update(unfinished[run.target] == 0)
            if isinstance(outcome, dict):
                report.failures[run.label] = failures.add(run.label, outcome)
                continue
            boxes, seconds = outcome
            files = boxes_path(folder, run.target, run.key), times_path(folder, run.target, run.key)
            # The file of boxes says that the run is done, so it comes last.
            write_times(files[1], seconds)
            write_boxes(files[0], boxes)
            digests.add_result(run.label, *files)
            failures.remove(run.label)
            report.made += 1
    report.failures = {label: report.failures[label] for label in sorted(report.failures)}
    return report


class _Runner:
    """The tracker of a process; after an exception it is made anew."""

    def __init__(self, make_tracker: Callable[[], Tracker]) -> None:
        self._make_tracker = make_tracker
        self.tracker = make_tracker()

    def run(self, frames: Frames, run: TrackerRun, progress: bool = False) -> _Outcome:
        """Return the boxes and the seconds of a run, or a description of its failure."""
        length = len(frames) - run.start
        with tqdm(total=length, desc=run.label, unit="frame", leave=False, disable=not progress) as bar:
            try:
                return run_tracker(self.tracker, frames, run.box, run.start, bar.update)
            except Exception as error:
                self.tracker = self._make_tracker()
                return _describe(error)


@lru_cache(maxsize=1)
def _load_runner(sent: bytes) -> _Runner:
    """The runner of a process."""
    return _Runner(ForkingPickler.loads(sent))


def _run_in_process(sent: bytes, open_target: Callable[[], Sequence], run: TrackerRun) -> _Outcome:
    return _load_runner(sent).run(open_target().frames, run)


def weights_digest(path: str | Path) -> str:
    """SHA-256 of a file, or of the files in a folder and its subfolders, in the order of their names.

    Raises:
        InputError: If there is no such file or folder.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"The weights '{path}' do not exist.")
    total = hashlib.sha256()
    for file in sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                total.update(block)
    return total.hexdigest()


def _describe(error: Exception) -> dict[str, str]:
    """The sentence of a failure, and where it is not an `InputError` the traceback."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return {"error": text}
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return {"error": text, "traceback": "".join(traceback.format_exception(error))}


class _Failures:
    """The file of failures by target or run; there is none while nothing has failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            content = {}
        self._known: dict[str, Any] = content if isinstance(content, dict) else {}

    def add(self, label: str, failure: dict[str, str]) -> str:
        """Write a failure of `_describe` to the file and return its sentence."""
        self._known[label] = failure
        self._write()
        return failure["error"]

    def remove(self, label: str) -> None:
        """Remove the failure of a target or run that has now succeeded."""
        if self._known.pop(label, None) is not None:
            self._write()

    def _write(self) -> None:
        if not self._known:
            self._path.unlink(missing_ok=True)
            return
        with replacing_file(self._path) as temporary:
            temporary.write_text(json.dumps(dict(sorted(self._known.items())), indent=2) + "\n")


def _plan(
    sequences: Iterable[Path | Sequence], targets: frozenset[str] | None, layout: str
) -> dict[str, Callable[[], Sequence]]:
    """The function that opens each target, by its name."""
    plan: dict[str, Callable[[], Sequence]] = {}
    for source in sequences:
        openers: dict[str, Callable[[], Sequence]]
        if isinstance(source, Sequence):
            openers = {source.name: partial(_same, source)}
        else:
            places = list_targets(source, layout).items()
            openers = {
                name: partial(read_sequence, path, layout=layout, target=target) for name, (path, target) in places
            }
        for name, opener in openers.items():
            if targets is not None and name not in targets:
                continue
            if name in plan:
                raise InputError(f"There are two sequences with the target '{name}'; leave one out.")
            plan[name] = opener
    if not plan:
        among = "" if targets is None else f" among the {len(targets)} that were asked for"
        raise InputError(f"There is no annotated target to run{among}; give a benchmark's folder.")
    return plan


def _same(sequence: Sequence) -> Sequence:
    return sequence


def _identity(tracker: Tracker, protocol: OtbProtocol, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that changes the boxes, the sequences excepted."""
    device = str(getattr(tracker, "device", "cpu"))
    return {
        "tracker": tracker.name,
        "protocol": protocol,
        **settings,
        "configuration": getattr(tracker, "identity", {}),
        "source": source_digest(tracker),
        "device": device.partition(":")[0],
        "code": code_version("tracker"),
    }


def source_digest(tracker: Tracker) -> str | None:
    """Digest of the file that defines a tracker of one's own; the package's are in the code's version."""
    if type(tracker).__module__.startswith(f"{__package__.partition('.')[0]}."):
        return None
    try:
        return weights_digest(inspect.getfile(type(tracker)))[:16]
    except (TypeError, OSError):  # Defined in a notebook.
        return None


def _machine(workers: Workers) -> dict[str, Any]:
    """What times depend on: the machine, the threads of each process, and the libraries' versions."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "threads": threads_of(workers),
        "workers": "ray" if isinstance(workers, RayCluster) else workers,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "versions": versions,
    }


class _Digests:
    """The file of the sequences' digests by target, and of the results' digests by run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        existed = path.exists()
        content = read_record(path) or {}
        self._lost = existed and not content
        self._frames: dict[str, str] = content.get("frames", {})
        self._results: dict[str, list[str]] = content.get("results", {})

    def check_sequence(self, sequence: Sequence) -> None:
        """Add a sequence's digest, or compare it with that of the sequence that its results were made on."""
        digest = content_digest(sequence)
        known = self._frames.get(sequence.name)
        if known == digest:
            return
        if known is not None:
            raise InputError(
                f"The results of '{sequence.name}' in '{self._path.parent}' were made on other frames or boxes"
                f" (digest was {known} and is {digest}); give another --out."
            )
        self._frames[sequence.name] = digest
        self._write()

    def add_result(self, label: str, boxes: Path, times: Path) -> None:
        """Add the digests of a run's files."""
        self._results[label] = [weights_digest(boxes), weights_digest(times)]
        self._write()

    def has_result(self, label: str, boxes: Path, times: Path) -> bool:
        """Return whether a run's files are there and intact; damaged ones cause a warning.

        Files of another program have no digest; they count if they can be read.
        """
        if not boxes.exists() or (self._lost and label not in self._results):
            return False
        for file, digest in zip((boxes, times), self._results.get(label, ()), strict=False):
            if not file.is_file() or weights_digest(file) != digest:
                warn_of_damage(file, "the run is made again")
                return False
        if label not in self._results:
            try:
                read_boxes(boxes)
            except InputError:
                warn_of_damage(boxes, "the run is made again")
                return False
        return True

    def _write(self) -> None:
        write_record(self._path, {"frames": self._frames, "results": dict(sorted(self._results.items()))})
