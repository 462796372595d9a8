"""Running a tracker through a benchmark, so that a crash or a kill costs little."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from ..data.identity import check_identity, code_version, content_digest
from ..data.readers import list_targets, read_sequence
from ..data.sequences import Frames, Sequence
from ..errors import InputError
from ..files import remove_leftovers, replacing_file
from ..records import read_record, warn_of_damage, write_record
from ..trackers.check import output_fault
from ..trackers.protocol import Tracker
from .annotations import Annotation
from .protocols import PROTOCOLS, Protocol, Run, runs
from .result_files import boxes_path, read_boxes, times_path, write_boxes, write_times

__all__ = ["FAILURES", "SETTINGS", "RunReport", "run_benchmark", "run_tracker", "weights_digest"]

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


@dataclass(frozen=True)
class RunReport:
    """What a benchmark run did.

    Attributes:
        tracker: The tracker's name.
        protocol: `ope`, `tre` or `sre`.
        folder: Where its results lie.
        made: How many runs were made now.
        kept: How many results were there already.
        failures: One sentence for each target (OPE) or `target/key` (TRE, SRE) that has no result because
            something went wrong; a target alone where it could not be opened.
        annotations: The truth about each target that could be opened, for `score_results`; not of those whose
            first box alone is known.
    """

    tracker: str
    protocol: Protocol
    folder: Path
    made: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, Annotation] = field(default_factory=dict)


def run_tracker(
    tracker: Tracker, frames: Frames, box: ArrayLike, start: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run a tracker through a video once.

    Reading the frames is not timed.

    Args:
        tracker: The tracker; its `init` is called once.
        frames: The video.
        box: `(x, y, w, h)` in frame `start`, 0-based.
        start: The frame that the tracker is given.

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
            found = tracker.update(frame)
        seconds[row] = time.perf_counter() - begin
        if row > 0:
            if fault := output_fault(found):
                raise InputError(f"The tracker '{tracker.name}' returned {fault}, in frame {t}.")
            boxes[row] = np.asarray(found, dtype=np.float64)
    return boxes, seconds


def run_benchmark(
    make_tracker: Callable[[], Tracker],
    sequences: Iterable[Path | Sequence],
    out: Path,
    *,
    protocol: Protocol = "ope",
    targets: Iterable[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    command: str = "",
    progress: bool = True,
) -> RunReport:
    """Run a tracker on sequences and write its boxes and times.

    Writes `out/TRACKER/PROTOCOL/TARGET.txt` and `times/TARGET_time.txt` there (OPE), or `TARGET/KEY.txt` and
    `TARGET/times/KEY_time.txt` (TRE, SRE), `settings.json` and `data.json`. A run whose file of boxes is there is
    not made again, unless it or its times are not as they were written. What goes wrong with one target (a frame
    that cannot be read, an exception of the tracker, a box that is no box) costs the run that it happens in, and
    is kept in `failures.json` until that run succeeds; the next run gets a new tracker. An interrupt ends the
    benchmark, and starting it again goes on.

    Args:
        make_tracker: Makes the tracker.
        sequences: The sequences; a path is an annotated sequence's folder, all of whose targets are taken, or a
            benchmark's folder.
        out: Where the results go.
        protocol: `ope`, `tre` or `sre`.
        targets: Run these targets only.
        settings: What else changes the results, such as the weights' digest. With the tracker's name and
            `identity` (see `Tracker`), its device, the protocol and this package's code they are the results'
            identity, kept in `settings.json`: a benchmark that was begun with another one is refused. Versions of
            libraries and the machine are kept as well; where they differ there is a warning.
        command: Kept in `settings.json`.
        progress: Show progress bars on standard error.

    Raises:
        InputError: If the protocol is unknown, there is no target to run, two have the same name, the
            tracker's name cannot name a folder, or `out` holds results made with other settings or on other frames
            or boxes of a sequence of the same name.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"'{protocol}' is no protocol; choose {', '.join(PROTOCOLS)}.")
    plan = _plan(sequences, None if targets is None else frozenset(targets))
    tracker = make_tracker()
    if not tracker.name or Path(tracker.name).name != tracker.name or tracker.name.startswith("."):
        raise InputError(f"The tracker's name '{tracker.name}' cannot name a folder; give it another.")
    folder = Path(out) / tracker.name / protocol
    _settle(folder, _identity(tracker, protocol, settings or {}), command)
    data = _Data(folder)
    failures = _Failures(folder / FAILURES)
    report = RunReport(tracker.name, protocol, folder)
    made = kept = 0
    bar = tqdm(plan.items(), desc=f"{tracker.name} {protocol}", unit="target", disable=not progress)
    for name, opener in bar:
        bar.set_postfix_str(name)
        try:
            sequence = opener()
        except InputError as error:
            report.failures[name] = failures.add(name, error)
            continue
        data.check(sequence)
        if protocol != "ope":  # There the sequence's name is the run's, too.
            failures.remove(name)
        annotation = Annotation.of_boxes(sequence.name, sequence.boxes)
        if sequence.box_source != "first":
            report.annotations[name] = annotation
        elif protocol != "ope":
            unknown = InputError(f"Only the first box of '{name}' is known; {protocol} needs the others, run ope.")
            report.failures[name] = failures.add(name, unknown)
            continue
        for run in runs(protocol, annotation, sequence.frames.size(0)):
            label = name if run.key is None else f"{name}/{run.key}"
            files = boxes_path(folder, run.target, run.key), times_path(folder, run.target, run.key)
            if data.has_result(label, *files):
                failures.remove(label)
                kept += 1
                continue
            try:
                boxes, seconds = run_tracker(tracker, _Shown(sequence.frames, run, progress), run.box, run.start)
            except Exception as error:
                report.failures[label] = failures.add(label, error)
                tracker = make_tracker()
                continue
            # The file of boxes says that the run is done, so it comes last.
            write_times(files[1], seconds)
            write_boxes(files[0], boxes)
            data.note_result(label, *files)
            failures.remove(label)
            made += 1
    return RunReport(tracker.name, protocol, folder, made, kept, report.failures, report.annotations)


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


class _Shown:
    """Frames whose reading moves a progress bar."""

    def __init__(self, frames: Frames, run: Run, progress: bool) -> None:
        self._frames = frames
        what = run.target if run.key is None else f"{run.target}/{run.key}"
        self._bar = tqdm(total=len(frames) - run.start, desc=what, unit="frame", leave=False, disable=not progress)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        self._bar.update()
        return self._frames[index]

    def name(self, index: int, /) -> str:
        return self._frames.name(index)

    def size(self, index: int, /) -> tuple[int, int]:
        return self._frames.size(index)

    def __del__(self) -> None:
        self._bar.close()


class _Failures:
    """The file of what went wrong, there only while something is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            content = {}
        self._known: dict[str, Any] = content if isinstance(content, dict) else {}

    def add(self, label: str, error: Exception) -> str:
        """Keep a failure and return its sentence."""
        text = " ".join(str(error).split())
        own = isinstance(error, InputError)
        sentence = text if own else f"{type(error).__name__}: {text}" if text else type(error).__name__
        trace = None if own else "".join(traceback.format_exception(error))
        self._known[label] = {"error": sentence} if trace is None else {"error": sentence, "traceback": trace}
        self._write()
        return sentence

    def remove(self, label: str) -> None:
        if self._known.pop(label, None) is not None:
            self._write()

    def _write(self) -> None:
        if not self._known:
            self._path.unlink(missing_ok=True)
            return
        with replacing_file(self._path) as temporary:
            temporary.write_text(json.dumps(dict(sorted(self._known.items())), indent=2) + "\n")


def _plan(
    sequences: Iterable[Path | Sequence], targets: frozenset[str] | None
) -> dict[str, Callable[[], Sequence]]:
    """What opens each target, by its name."""
    plan: dict[str, Callable[[], Sequence]] = {}
    for name, opener in _openers(sequences):
        if targets is not None and name not in targets:
            continue
        if name in plan:
            raise InputError(f"There are two sequences with the target '{name}'; leave one out.")
        plan[name] = opener
    if not plan:
        among = "" if targets is None else f" among the {len(targets)} that were asked for"
        raise InputError(f"There is no annotated target to run{among}; give a benchmark's folder.")
    return plan


def _openers(sequences: Iterable[Path | Sequence]) -> Iterator[tuple[str, Callable[[], Sequence]]]:
    for source in sequences:
        if isinstance(source, Sequence):
            yield source.name, _given(source)
            continue
        for name, (path, target) in list_targets(source).items():
            yield name, _opening(path, target)


def _given(sequence: Sequence) -> Callable[[], Sequence]:
    return lambda: sequence


def _opening(path: Path, target: int | None) -> Callable[[], Sequence]:
    return lambda: read_sequence(path, target=target)


def _identity(tracker: Tracker, protocol: Protocol, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that changes the boxes, the sequences excepted."""
    device = str(getattr(tracker, "device", "cpu"))
    return {
        "tracker": tracker.name,
        "protocol": protocol,
        **settings,
        "configuration": getattr(tracker, "identity", {}),
        "source": _source_digest(tracker),
        "device": device.partition(":")[0],
        "code": code_version("tracker"),
    }


def _source_digest(tracker: Tracker) -> str | None:
    """Digest of the file that defines a tracker of one's own; the package's are in the code's version."""
    if type(tracker).__module__.startswith(f"{__package__.partition('.')[0]}."):
        return None
    try:
        return weights_digest(inspect.getfile(type(tracker)))[:16]
    except (TypeError, OSError):  # Defined in a notebook.
        return None


def _made_with() -> dict[str, Any]:
    """Return the machine facts that times depend on, and the libraries' versions."""
    return {
        "threads": {"opencv": cv2.getNumThreads(), "torch": _torch_threads()},
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _torch_threads() -> int | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.get_num_threads()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _settle(folder: Path, identity: dict[str, Any], command: str) -> None:
    """Write the settings, or check that they are those with which the folder's results were made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"'{folder}' cannot be written ({error.strerror}); give another folder.") from None
    check_identity(folder / SETTINGS, identity, _made_with(), command)
    remove_leftovers(folder)


class _Data:
    """The file of the sequences' digests by target, and of the results' digests by run."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATA
        known = self._path.exists()
        content = read_record(self._path) or {}
        self._lost = known and not content
        self._frames: dict[str, str] = content.get("frames", {})
        self._results: dict[str, list[str]] = content.get("results", {})

    def check(self, sequence: Sequence) -> None:
        """Note a sequence's digest, or compare it with the one under which its results were made."""
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

    def note_result(self, label: str, boxes: Path, times: Path) -> None:
        """Note the digests of a run's files."""
        self._results[label] = [weights_digest(boxes), weights_digest(times)]
        self._write()

    def has_result(self, label: str, boxes: Path, times: Path) -> bool:
        """Return whether a run's boxes are there; damaged ones are not, with a warning.

        Files of another program have no digest, and are there if they can be read.
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
        write_record(self._path, {"frames": self._frames, "results": self._results})
