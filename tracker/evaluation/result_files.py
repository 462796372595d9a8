"""Result files of trackers: boxes and times, in this project's layout and in those of other toolkits."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.lists import LISTS
from ..data.readers import read_table
from ..errors import InputError, reading_errors
from ..files import replacing_file
from .protocols import OTB_PROTOCOLS, OtbProtocol, TrackerRun

Origin = Literal[0, 1]
"""The number that a file counts pixels from: that of the benchmark's annotation, 1 in OTB, GOT-10k and LaSOT."""

Layout = Literal["got10k", "pysot", "pytracking", "otb"]
"""The layout of another toolkit's result files, see `export_results`."""

_TIMES = "_time.txt"
_FIRST = "_001"
"""How got10k names the first repetition of a run."""
_MOST_UNPACKED = 2**28
_MAT_HEADER, _MAT_COMPRESSED = 128, 15

Floats = NDArray[np.float64]


def boxes_path(folder: str | Path, target: str, key: str | None = None) -> Path:
    """File of a run's boxes in this project's layout: `target.txt` for OPE, `target/key.txt` for TRE and SRE."""
    return Path(folder) / f"{target}.txt" if key is None else Path(folder) / target / f"{key}.txt"


def times_path(folder: str | Path, target: str, key: str | None = None) -> Path:
    """File of a run's times in this project's layout: `times/target_time.txt` or `target/times/key_time.txt`."""
    if key is None:
        return Path(folder) / "times" / f"{target}{_TIMES}"
    return Path(folder) / target / "times" / f"{key}{_TIMES}"


def write_boxes(path: str | Path, boxes: ArrayLike) -> None:
    """Write boxes in OTB's form: `x,y,w,h` a line, 1-based, four decimals; the file is replaced atomically.

    Args:
        path: The file; its folder is made.
        boxes: `[T, 4]`, 0-based; NaN says that the tracker has no answer.
    """
    rows = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) + [1.0, 1.0, 0.0, 0.0]
    _write(path, [",".join(f"{value:.4f}" for value in row) for row in rows])


def write_times(path: str | Path, seconds: ArrayLike) -> None:
    """Write the seconds that each frame took, one a line, the first frame's for the start of the tracker."""
    _write(path, [f"{value:.6f}" for value in np.asarray(seconds, dtype=np.float64)])


def read_boxes(path: str | Path, origin: Origin = 1) -> Floats:
    """Read a tracker's boxes.

    Args:
        path: A text file with `x y w h` a line, parted by commas, tabs or spaces; NaN and infinities are kept.
        origin: The number that the file counts pixels from.

    Returns:
        `float64[n, 4]`, 0-based.

    Raises:
        InputError: Naming the file and the line.
    """
    path = Path(path)
    table = read_table(path, (4,))
    for expected, line in enumerate(table.lines, start=1):
        if line != expected:
            raise InputError(f"Line {expected} of '{path}' is empty; write one box for each frame.")
    return table.boxes() - [origin, origin, 0.0, 0.0]


def read_times(path: str | Path) -> Floats:
    """Read the seconds that each frame took; of several columns (GOT-10k's repetitions) the first.

    Returns:
        `float64[n]`.

    Raises:
        InputError: Naming the file and the line.
    """
    table = read_table(Path(path), tuple(range(1, 33)))
    seconds = np.array([row[0] for row in table.rows])
    for t in np.flatnonzero(~(np.isfinite(seconds) & (seconds >= 0))):
        raise InputError(f"{table.describe(int(t))} is no time in seconds: {seconds[t]:g}; correct it.")
    return seconds


def read_mat(path: str | Path, origin: Origin = 1) -> list[Floats]:
    """Read a result of the OTB authors' MATLAB toolkit: a cell array `results` of structures with `res`.

    Args:
        path: A `.mat` file, version 7 or older.
        origin: The number that the file counts pixels from.

    Returns:
        The boxes of each run, `float64[n, 4]`, 0-based.

    Raises:
        InputError: If the file holds something else than rectangles, or more than 256 MiB once unpacked.
    """
    from scipy.io import loadmat

    with reading_errors(path, "a MATLAB file"):
        _check_unpacked(Path(path))
    try:
        content: dict[str, Any] = loadmat(path, squeeze_me=True, struct_as_record=False)
    except NotImplementedError:
        raise InputError(f"'{path}' is a MATLAB file of version 7.3; save it with the option -v7.") from None
    except Exception as error:  # scipy has many for a damaged file
        raise InputError(f"'{path}' is not a readable MATLAB file ({error}); check it.") from None
    if "results" not in content:
        raise InputError(f"'{path}' has no variable 'results'; give a result file of the OTB toolkit.")
    return [_mat_run(run, path) - [origin, origin, 0.0, 0.0] for run in np.atleast_1d(content["results"])]


def _check_unpacked(path: Path) -> None:
    """Refuse a MATLAB file whose compressed variables unpack to more than memory should hold."""
    left = _MOST_UNPACKED
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(_MAT_HEADER)[-2:], "<")
        while len(tag := file.read(8)) == 8 and left >= 0:
            kind, size = struct.unpack(f"{order}II", tag)
            end = file.tell() + size
            unpacker = zlib.decompressobj()
            while kind == _MAT_COMPRESSED and left >= 0 and (packed := file.read(min(2**16, end - file.tell()))):
                try:
                    while packed and left >= 0:
                        left -= len(unpacker.decompress(packed, 2**20))
                        packed = unpacker.unconsumed_tail
                except zlib.error:
                    return  # `loadmat` says what is wrong
            file.seek(end)
    if left < 0:
        raise InputError(f"'{path}' unpacks to more than {_MOST_UNPACKED} bytes, which no result has; check it.")


def _mat_run(run: Any, path: str | Path) -> Floats:
    kind = getattr(run, "type", "rect")
    if kind != "rect":
        raise InputError(f"'{path}' holds results of the type '{kind}'; only 'rect' is read, convert them.")
    try:
        boxes = np.asarray(run.res, dtype=np.float64)
        return boxes.reshape(-1, 4) if boxes.ndim < 2 else boxes.reshape(len(boxes), 4)
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"'{path}' holds no field 'res' with four numbers a frame; correct it.") from None


@dataclass(frozen=True)
class ResultFiles:
    """The files of one tracker under one protocol.

    It finds, whatever the case of the letters, for a target `Jogging-1` (also called `Jogging_1` and `Jogging.1`):

    - `Jogging-1.txt` (OTB, got10k's OTB, pysot, pytracking) or `Jogging-1/Jogging-1_001.txt` (got10k), with the
      repetitions `Jogging-1/Jogging-1_002.txt` and so on;
    - `Jogging-1/KEY.txt` for a run of TRE or SRE;
    - `Jogging-1.mat` or `Jogging-1_TRACKER.mat` (the OTB authors' toolkit), with all runs in it;
    - the times in `times/Jogging-1_time.txt`, `Jogging-1/Jogging-1_time.txt` (got10k), `Jogging-1_time.txt`
      (pytracking) or `Jogging-1/times/KEY_time.txt`.

    Attributes:
        folder: The folder that holds the files or the folders of targets.
        protocol: The protocol of the runs.
        origin: The number that the files count pixels from.
        tracker: Which tracker's `.mat` files to take, where there are several trackers'.
    """

    folder: Path
    protocol: OtbProtocol = "ope"
    origin: Origin = 1
    tracker: str | None = None

    def boxes(self, runs: Sequence[TrackerRun], frames: int) -> list[Floats | None]:
        """Read the boxes of each run on a target; `None` for a run of which there is no file.

        Args:
            runs: The runs of the protocol on one target.
            frames: Number of frames of the target.

        Raises:
            InputError: If a file cannot be read, or a `.mat` file holds other runs.
        """
        target = runs[0].target
        paths = [self._text(target, run.key) for run in runs]
        if any(paths) or (mat := self._mat(target)) is None:
            return [None if path is None else read_boxes(path, self.origin) for path in paths]
        results = read_mat(mat, self.origin)
        whole = self.protocol != "tre" or all(
            len(boxes) == frames - run.start for boxes, run in zip(results, runs, strict=False)
        )
        if len(results) != len(runs) or not whole:
            raise InputError(
                f"'{mat}' holds {len(results)} run{'s' if len(results) != 1 else ''} that are not the {len(runs)}"
                f" of {self.protocol.upper()} on {target}; give a file of that protocol."
            )
        return [*results]

    def repetitions(self, target: str) -> list[Floats]:
        """Read the boxes of the second and later repetitions of a one-pass run, as got10k writes them.

        Raises:
            InputError: If a file cannot be read, or has another number of boxes than the first repetition.
        """
        first = None if self.protocol != "ope" else self._text(target, None)
        if first is None or first.parent == self.folder:
            return []
        name = first.stem.removesuffix(_FIRST)
        paths = [
            path
            for path in _children(first.parent)
            if path != first and path.suffix == first.suffix and re.fullmatch(re.escape(name) + r"_\d+", path.stem)
        ]
        frames = len(read_boxes(first)) if paths else 0
        repetitions = []
        for path in paths:
            repetitions.append(read_boxes(path, self.origin))
            if len(repetitions[-1]) != frames:
                raise InputError(
                    f"'{path}' has {len(repetitions[-1])} boxes, but '{first}' has {frames}; repeat the run."
                )
        return repetitions

    def times(self, target: str, key: str | None) -> Floats | None:
        """Read the seconds a frame of a run, if they were kept."""
        places = [f"times/*{_TIMES}", f"*/*{_TIMES}", f"*{_TIMES}"]
        path = self._find(target, places if key is None else [f"*/times/{key}{_TIMES}"])
        return None if path is None else read_times(path)

    def where(self, target: str, key: str | None) -> str:
        """Say which file a run was read from."""
        path = self._text(target, key) or self._mat(target)
        return f"'{path or self.folder}'"

    def _text(self, target: str, key: str | None) -> Path | None:
        return self._find(target, ["*.txt", f"*/*{_FIRST}.txt"] if key is None else [f"*/{key}.txt"])

    def _mat(self, target: str) -> Path | None:
        """The `.mat` file of a target: the only one, or the one of the tracker's name."""
        files: dict[Path, str] = {}
        for file in _children(self.folder):
            for name in self._names(target):
                stem = file.stem.lower()
                if file.suffix.lower() == ".mat" and (stem == name.lower() or stem.startswith(f"{name.lower()}_")):
                    files.setdefault(file, stem.removeprefix(name.lower()).lstrip("_"))
        if len(files) > 1:
            ours = [file for file, rest in files.items() if rest == (self.tracker or "").lower()]
            if len(ours) != 1:
                names = ", ".join(file.name for file in files)
                raise InputError(f"'{self.folder}' has several results for {target} ({names}); name the tracker.")
            return ours[0]
        return next(iter(files), None)

    def _find(self, target: str, places: Sequence[str]) -> Path | None:
        """The first file at one of the places below the folder, in which `*` stands for a name of the target.

        Letters of another case will do, where no file has the same.
        """
        for place in [place.replace("*", name) for name in self._names(target) for place in places]:
            path = self.folder
            for part in place.split("/"):
                near = (child for child in _children(path) if child.name.lower() == part.lower())
                path = path / part if (path / part).exists() else next(near, path / part)
            if path.is_file():
                return path
        return None

    def _names(self, target: str) -> Iterator[str]:
        """The names that toolkits give a target of an OTB video with two targets."""
        yield target
        base, dash, number = target.rpartition("-")
        if dash and number.isdecimal():
            yield f"{base}_{number}"
            yield f"{base}.{number}"
            if base == "Human4":
                yield base


def find_results(folder: str | Path) -> dict[str, dict[OtbProtocol, Path]]:
    """Find results of `benchmark run`: `folder/TRACKER/PROTOCOL`, or `folder/PROTOCOL` for one tracker.

    Returns:
        The folder of each tracker's results by protocol, sorted; empty if there is none.

    Raises:
        InputError: If the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The folder of results '{folder}' does not exist; give the folder of a tracker's files.")
    folders: dict[str, dict[OtbProtocol, Path]] = {}
    for place in [folder, *(child for child in _children(folder) if child.is_dir())]:
        inner: dict[OtbProtocol, Path] = {
            protocol: place / protocol
            for protocol in OTB_PROTOCOLS
            if (place / protocol).is_dir() and any(_children(place / protocol))
        }
        if inner:
            folders[place.resolve().name] = inner
    return folders


def choose_results(
    folder: str | Path, protocol: OtbProtocol | None = None, tracker: str | None = None
) -> tuple[str, OtbProtocol, Path]:
    """Find the one tracker and protocol that a folder holds.

    Args:
        folder: A folder of result files, or one in which `find_results` finds something.
        protocol: The protocol; by default that of the folder.
        tracker: The tracker, if there are several.

    Returns:
        The tracker's name, the protocol, and the folder of the files.

    Raises:
        InputError: Listing them, if there are several or none that fits.
    """
    folder = Path(folder)
    folders = find_results(folder)
    if not folders:
        own = folder.resolve()
        named = own.name in OTB_PROTOCOLS
        told: OtbProtocol = next((known for known in OTB_PROTOCOLS if known == own.name), "ope")
        return tracker or (own.parent.name if named else own.name), protocol or told, folder
    fitting = [
        (name, known, path)
        for name, inner in folders.items()
        for known, path in inner.items()
        if tracker in (None, name) and protocol in (None, known)
    ]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"{name} ({', '.join(inner)})" for name, inner in folders.items())
    raise InputError(f"'{folder}' holds the results of {there}; choose one with --tracker and --protocol.")


def export_results(
    folder: str | Path, tracker: str, out: str | Path, layout: Layout, origin: Origin = 1
) -> list[str]:
    """Write the one-pass results of `run_benchmark` in the layout of another toolkit.

    - `got10k`: `TRACKER/NAME/NAME_001.txt` and `NAME_time.txt` there, what GOT-10k's server takes;
    - `pysot`: `TRACKER/NAME.txt`;
    - `pytracking`: `TRACKER/NAME.txt` separated by tabs and `NAME_time.txt`; OTB's `Jogging-1` is `Jogging_1`;
    - `otb`: `NAME_TRACKER.mat` of the OTB authors' MATLAB toolkit.

    The toolkits cannot read a frame without an answer: its box is written as zeros, which overlap nothing.

    Args:
        folder: Folder of the tracker's files, `TARGET.txt` and `times/TARGET_time.txt`.
        tracker: Name of the tracker.
        out: Receives the files.
        layout: The layout.
        origin: The number that the written files count pixels from: that of the benchmark's annotation.

    Returns:
        The targets, sorted.

    Raises:
        InputError: If the folder holds no result file, or a file cannot be read.
    """
    paths = [path for path in _children(Path(folder)) if path.suffix == ".txt"]
    if not paths:
        raise InputError(f"'{folder}' holds no result file TARGET.txt; give what `benchmark run` wrote.")
    for path in paths:
        times = times_path(folder, path.stem)
        _export_target(
            read_boxes(path), read_times(times) if times.exists() else None, path.stem, tracker, Path(out), layout,
            origin,
        )  # fmt: skip
    return [path.stem for path in paths]


def _export_target(
    boxes: Floats, seconds: Floats | None, target: str, tracker: str, out: Path, layout: Layout, origin: Origin
) -> None:
    answered = np.isfinite(boxes).all(axis=1, keepdims=True)
    rows = np.where(answered, boxes + [origin, origin, 0.0, 0.0], 0.0)
    if layout == "otb":
        from scipy.io import savemat

        run = {"res": rows, "type": "rect", "len": float(len(rows))}
        if seconds is not None and seconds[1:].sum() > 0:
            run["fps"] = (len(seconds) - 1) / seconds[1:].sum()
        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = run
        out.mkdir(parents=True, exist_ok=True)
        with replacing_file(out / f"{target}_{tracker}.mat") as temporary, temporary.open("wb") as file:
            savemat(file, {"results": cell})
        return
    # pytracking's own name of the second target of an OTB video; `airplane-1` of LaSOT stays.
    name = target.replace("-", "_") if layout == "pytracking" and target in LISTS["tb100"] else target
    place = out / tracker / name if layout == "got10k" else out / tracker
    separator = "\t" if layout == "pytracking" else ","
    repetition = _FIRST if layout == "got10k" else ""
    _write(place / f"{name}{repetition}.txt", [separator.join(f"{value:.4f}" for value in row) for row in rows])
    if seconds is not None and layout != "pysot":
        write_times(place / f"{name}{_TIMES}", seconds)


def _children(folder: Path) -> list[Path]:
    """The files and folders in a folder, sorted, without hidden ones."""
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _write(path: str | Path, lines: list[str]) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))
