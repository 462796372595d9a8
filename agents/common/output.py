"""Outputs of commands: checked before the work begins, complete or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tracker.data.identity import check_identity
from tracker.errors import InputError
from tracker.files import is_leftover, remove_leftovers, replacing_file, temporary_folder
from tracker.records import warn_of_damage

from .locks import LOCK_NAME, remove_empty

MARKER = ".occlusion-search.json"
"""File in a folder of `replacing_folder`: the kind of result and the paths of the files that were written."""

RESULT_BYTES = 10_000_000
"""Least free space for a folder of results; the demo writes 3 MB."""
TRAINING_BYTES = 100_000_000
"""Least free space for the training of a network; slim writes two checkpoints of 26 MB and weights of 6 MB."""
FILE_BYTES = 1_000_000
"""Least free space for one file."""

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def replacing_folder(out: Path, result: str) -> Iterator[Path]:
    """Yield an empty folder whose files are moved into `out` at the end of the block, or deleted at an error.

    It lies in `out`, which stays the same folder (a mount point, the target of a link, the current folder). At the
    end `MARKER` lists the new files and those of the earlier result; then each file is renamed into place, the
    rest of the earlier result is removed, and `MARKER` lists the new files alone. If the process ends in between,
    the next `replacing_folder` continues there. Files that no `MARKER` lists are never touched.

    Args:
        out: Must not exist, hold no file, or hold an earlier result of the same kind, which is replaced.
        result: Kind of result, such as `demo`.

    Raises:
        InputError: If `out` holds something else or cannot be written, or the disk is full.
    """
    out = Path(os.path.realpath(out))
    _check_replaceable(out, result, "--out")
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        _recover(out)
        remove_leftovers(out)
        work = temporary_folder(out / "result")
    except OSError as error:
        raise InputError(f"'{out}' cannot be written ({error.strerror}); give another --out.") from None
    try:
        # `temporary_folder` allows its owner alone; a folder made inside has the mode that the umask leaves.
        (work / "new").mkdir()
        yield work / "new"
        _recover(out)  # of another process, in the meantime
        _begin_replacing(out, work, result)
        _recover(out, own=True)
    except OSError as error:
        if error.errno not in _DISK_FULL and not str(error.filename).startswith(f"{out}{os.sep}"):
            raise
        begun = _is_begun(out, work)
        state = "the next run of this command completes the result there" if begun else "nothing there was changed"
        raise InputError(f"'{out}' cannot be written ({error.strerror}); {state}.") from error
    finally:
        if not _is_begun(out, work):
            shutil.rmtree(work, ignore_errors=True)
            remove_empty(missing)


@dataclass(frozen=True)
class _Marker:
    """Content of `MARKER`.

    Attributes:
        result: Kind of result.
        files: Its files, relative to the folder.
        replaced: While they are moved into place: the files of the earlier result.
        work: While they are moved into place: the temporary folder that they come from.
    """

    result: str
    files: list[str]
    replaced: list[str]
    work: str | None

    def write(self, folder: Path) -> None:
        write_json(folder / MARKER, {"written_by": "occlusion-search", **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> _Marker | None:
        """Return a folder's marker, `None` if it has none.

        Raises:
            InputError: If it is not one that `write` wrote.
        """
        try:
            content = json.loads((folder / MARKER).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and content.pop("written_by", None) == "occlusion-search":
            with suppress(TypeError):
                marker = cls(**content)
                if marker._is_valid():
                    return marker
        raise InputError(f"'{folder / MARKER}' is damaged; give an empty or a new folder for --out.")

    def _is_valid(self) -> bool:
        names = [*self.files, *self.replaced] if isinstance(self.files, list) else [None]
        paths = [PurePosixPath(name) for name in names if isinstance(name, str) and name]
        inside = all(not path.is_absolute() and ".." not in path.parts for path in paths)
        work = self.work is None or (isinstance(self.work, str) and os.path.basename(self.work) == self.work)
        return isinstance(self.result, str) and work and inside and len(paths) == len(names)


def _check_no_file(out: Path, option: str = "--out") -> None:
    if os.path.exists(out) and not out.is_dir():
        raise InputError(f"'{out}' is a file; give a folder for {option}.")


def _check_replaceable(out: Path, result: str, option: str) -> None:
    """Refuse a folder that holds files but no earlier result of this kind."""
    _check_no_file(out, option)
    marker = _Marker.read(out)
    if marker is None:
        _check_empty(out, option)
    elif marker.result != result:
        raise InputError(f"'{out}' holds the result of {marker.result}; give another {option}.")


def _check_empty(out: Path, option: str = "--out") -> None:
    """Refuse a folder that holds a file; empty folders in it, such as a volume's lost+found, do not count."""
    for parent, folders, files in os.walk(out):
        folders[:] = [name for name in folders if not is_leftover(name)]
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in sorted({*files, *links} - {LOCK_NAME}):
            found = (Path(parent) / name).relative_to(out)
            raise InputError(f"'{out}' holds other files ('{found}'); give an empty or a new folder for {option}.")


def _begin_replacing(out: Path, work: Path, result: str) -> None:
    """List the files to be moved in `MARKER`, once no other file is in the way and the folders exist."""
    new = work / "new"
    names = sorted(
        (Path(parent) / name).relative_to(new).as_posix() for parent, _, files in os.walk(new) for name in files
    )
    marker = _Marker.read(out)
    owned = set() if marker is None else {*marker.files, *marker.replaced}
    device = out.stat().st_dev
    for name in names:
        place = out / name
        between = place.parents[: len(PurePosixPath(name).parts) - 1]
        blocking = [
            folder
            for folder in between
            if os.path.lexists(folder)
            and (folder.is_symlink() or not folder.is_dir() or folder.stat().st_dev != device)
        ]
        if os.path.lexists(place) and (name not in owned or (place.is_dir() and not place.is_symlink())):
            blocking.append(place)
        if blocking:
            raise InputError(
                f"'{blocking[0]}' is not a file of the earlier result; move it or give another --out."
            )
    for name in names:  # the disk has the files before their names, which a loss of power can interrupt
        with (new / name).open("rb") as file:
            os.fsync(file.fileno())
    made: list[Path] = []
    try:
        for folder in sorted({(out / name).parent for name in names}):
            made += [each for each in (folder, *folder.parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=True)
        _Marker(result, names, sorted(owned), work.name).write(out)
    except BaseException:
        if not _is_begun(out, work):
            remove_empty(sorted(made, reverse=True))
        raise


def _is_begun(out: Path, work: Path) -> bool:
    """Return whether files of `work` are being moved into place."""
    marker = _Marker.read(out)
    return marker is not None and marker.work == work.name


def _recover(out: Path, own: bool = False) -> None:
    """Complete a replacement that `MARKER` says has begun.

    If its temporary folder was removed, the folder stays incomplete; files of both results can be replaced.

    Args:
        out: The folder.
        own: Whether this process began it.

    Raises:
        InputError: If it is another living process's.
        OSError: If the disk refuses; a later call completes the replacement.
    """
    marker = _Marker.read(out)
    if marker is None or marker.work is None or not (out / marker.work).is_dir():
        return
    work = out / marker.work
    if not own and not is_leftover(work.name):
        raise InputError(f"'{out}' is being written by another process; wait for it, or give another --out.")
    for name in marker.files:
        if os.path.lexists(work / "new" / name):
            os.replace(work / "new" / name, out / name)
    for name in sorted(set(marker.replaced) - set(marker.files)):
        _remove(out, name)
    _Marker(marker.result, marker.files, [], None).write(out)
    shutil.rmtree(work, ignore_errors=True)


def _remove(out: Path, name: str) -> None:
    """Remove a file of an earlier result, not through links, and the folders that are then empty."""
    place = out / name
    between = place.parents[: len(PurePosixPath(name).parts) - 1]
    if any(folder.is_symlink() for folder in between) or (place.is_dir() and not place.is_symlink()):
        return
    place.unlink(missing_ok=True)
    remove_empty(between)


def check_apart(out: Path | None, *inputs: str | Path | None, option: str = "--out") -> None:
    """Refuse an output that is, contains or lies in an input.

    Links are followed. Inputs that are no path of this machine (names of weights, the index of a camera) are
    passed over.

    Args:
        out: A file or folder to be written.
        inputs: Files and folders that the command reads.
        option: The option of `out`, for the error.

    Raises:
        InputError: Naming both.
    """
    if out is None or _is_stream(out):
        return
    place = Path(os.path.realpath(out))
    for given in inputs:
        if given is None or not (os.path.isfile(given) or os.path.isdir(given)):
            continue
        source = Path(os.path.realpath(given))
        if _is_same(place, source):
            raise InputError(f"'{out}' is an input of this command too and would be lost; give another {option}.")
        if any(_is_same(place, folder) for folder in source.parents):
            raise InputError(f"'{out}' contains the input '{given}', which could be lost; give another {option}.")
        if any(_is_same(folder, source) for folder in place.parents):
            raise InputError(f"'{out}' lies in the input '{given}'; give another {option}.")


def check_folder(
    out: Path,
    *inputs: str | Path | None,
    option: str = "--out",
    result: str | None = None,
    least_bytes: int = RESULT_BYTES,
    json: Path | None = None,
) -> None:
    """Refuse an output folder that cannot be written or would destroy an input, before the work begins.

    Args:
        out: The folder; it need not exist.
        inputs: See `check_apart`.
        option: See `check_apart`.
        result: For `replacing_folder`: the kind of result; `None` for a folder in which the command resumes.
        least_bytes: Free space that is needed.
        json: The file of `--json`, which is checked too.

    Raises:
        InputError: Naming the folder or the file.
    """
    check_apart(out, *inputs, option=option)
    place = Path(os.path.realpath(out))
    _check_no_file(out, option)
    if result is not None:
        _check_replaceable(place, result, option)
    nearest = next(parent for parent in (place, *place.parents) if os.path.exists(parent))
    if (reason := _why_unwritable(nearest, least_bytes)) is not None:
        raise InputError(f"'{out}' cannot be written, because of '{nearest}' ({reason}); give another {option}.")
    check_json_path(json, *inputs)


def check_file(path: Path | None, *inputs: str | Path | None, option: str) -> None:
    """Refuse an output file that cannot be written or would destroy an input, before the work begins.

    Temporary files of a killed process that wrote the same file are removed.

    Args:
        path: The file; `None` for no output.
        inputs: See `check_apart`.
        option: See `check_apart`.

    Raises:
        InputError: Naming the file.
    """
    if path is None:
        return
    check_apart(path, *inputs, option=option)
    place = Path(os.path.realpath(path))
    if _is_stream(path):
        reason = None if os.access(path, os.W_OK) else "no permission"
    elif os.path.isdir(path):
        reason = "it is a folder"
    elif not os.path.isdir(place.parent):
        reason = "its folder does not exist"
    else:
        reason = _why_unwritable(place.parent, FILE_BYTES)
    if reason is not None:
        raise InputError(f"'{path}' cannot be written ({reason}); give {option} a file in a folder that exists.")
    if not _is_stream(path):
        remove_leftovers(place)


def _is_stream(path: Path) -> bool:
    """Return whether a path is a device or a pipe."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two resolved paths are one file or folder, be it by a hard link or a second mount."""
    return one == other or (os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other))


def _why_unwritable(folder: Path, least_bytes: int) -> str | None:
    """Write a trial file into a folder; returns the reason if that is impossible, otherwise `None`."""
    if not folder.is_dir():
        return "it is no folder"
    try:
        trial = temporary_folder(folder / "trial")
        try:
            (trial / "file").write_bytes(b"0")
        finally:
            shutil.rmtree(trial, ignore_errors=True)
    except OSError as error:
        return error.strerror
    space = shutil.disk_usage(folder)
    if 0 < space.total and space.free < least_bytes:
        return f"{space.free / 1e6:.1f} MB are free and at least {least_bytes / 1e6:.0f} MB are needed"
    return None


def check_json_path(path: Path | None, *inputs: str | Path | None) -> None:
    """Check the file of `--json` with `check_file`."""
    check_file(path, *inputs, option="--json")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON; the file appears complete or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def is_intact(path: Path, digest: str) -> bool:
    """Whether a file or a folder has this digest (`weights_digest`); there is a warning where it has not."""
    from tracker.evaluation.running import weights_digest

    if path.exists() and weights_digest(path) == digest:
        return True
    warn_of_damage(path)
    return False


def check_claimable(out: Path) -> None:
    """Refuse a folder without earlier results of `claim_folder` that holds files.

    Raises:
        InputError: Naming the folder and, where there is one, the first file.
    """
    _check_no_file(out)
    _check_empty(out)


def claim_folder(
    out: Path, file: str, identity: dict[str, Any], what: str, made_with: dict[str, Any] | None = None
) -> None:
    """Write the settings of results into their folder, so that only a run with the same settings resumes there.

    Args:
        out: The folder; made where it does not exist.
        file: Name of the file of settings.
        identity: All settings that change the results, as plain data.
        what: Name of the results, for the error.
        made_with: Recorded as well; see `tracker.data.identity.check_identity`.

    Raises:
        InputError: If the folder holds results with other settings, or other files, or cannot be written.
    """
    if not (out / file).is_file():
        check_claimable(out)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"'{out}' cannot be written ({error.strerror}); give another --out.") from None
    check_identity(out / file, identity, made_with, what=what)
    remove_leftovers(out)
