"""Results appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracker.errors import InputError
from tracker.files import replacing_file
from tracker.identity import check_identity
from tracker.readers import in_sequence

from .locks import LOCK_NAME

__all__ = [
    "check_apart",
    "check_file",
    "check_folder",
    "check_json_path",
    "claim_folder",
    "replacing_folder",
    "write_json",
]


@contextmanager
def replacing_folder(out: Path, mark: str) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` when the block ends well, and disappears when it does not.

    Args:
        out: Must not exist, be empty, or be an earlier result, which is then replaced.
        mark: Name of the file that an earlier result has.

    Raises:
        InputError: If `out` holds something else or cannot be written.
    """
    out = Path(os.path.realpath(out))
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; give a folder for --out.")
    if out.is_dir() and _holds_files(out) and not (out / mark).is_file():
        raise InputError(f"'{out}' holds other files (no {mark}); give an empty or a new folder for --out.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name[:100]}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"'{out}' cannot be written ({error.strerror}); give another --out.") from None
    new, old = work / "new", work / "old"
    try:
        # `mkdtemp` allows its owner alone; a folder made inside has the mode that the umask leaves.
        new.mkdir()
        yield new
        if out.exists():
            new.chmod(stat.S_IMODE(out.stat().st_mode))
            os.replace(out, old)
        try:
            os.replace(new, out)
        except OSError:
            if old.exists():
                os.replace(old, out)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_apart(out: Path | None, *inputs: str | Path | None, option: str = "--out") -> None:
    """Refuse an output that would destroy an input, or mix with its frames.

    That is the same file or folder, a folder around it, a file inside it, or the folder of a sequence inside it.

    Links are followed. Inputs that are no path of this machine (names of weights, the index of a camera) are
    passed over.

    Args:
        out: A file or folder to be written.
        inputs: What the command reads.
        option: The option that gave `out`, for the error's sentence.

    Raises:
        InputError: Naming both.
    """
    if out is None or (out.exists() and not out.is_file() and not out.is_dir()):
        return
    place = Path(os.path.realpath(out))
    for given in inputs:
        if given is None or not (Path(given).is_file() or Path(given).is_dir()):
            continue
        source = Path(os.path.realpath(given))
        if place == source or (place.exists() and place.samefile(source)):
            raise InputError(f"'{out}' is an input of this command too and would be lost; give another {option}.")
        if source.is_relative_to(place):
            raise InputError(f"'{out}' contains the input '{given}', which could be lost; give another {option}.")
        if place.is_file() and place.is_relative_to(source):
            raise InputError(
                f"'{out}' exists in the input '{given}' and would be lost; give another {option}, or delete it."
            )
        if place.is_dir() and place.is_relative_to(source) and in_sequence(place):
            raise InputError(f"'{out}' belongs to a sequence of the input '{given}'; give another {option}.")


def check_folder(out: Path, *inputs: str | Path | None, option: str = "--out") -> None:
    """Refuse an output folder that cannot be written or would destroy an input, before the work begins.

    Args:
        out: The folder; it need not exist.
        inputs: See `check_apart`.
        option: See `check_apart`.

    Raises:
        InputError: Naming the folder.
    """
    check_apart(out, *inputs, option=option)
    place = Path(os.path.realpath(out))
    nearest = next(parent for parent in (place, *place.parents) if parent.exists())
    if place.exists() and not place.is_dir():
        raise InputError(f"'{out}' is a file; give a folder for {option}.")
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise InputError(f"'{out}' cannot be written, because of '{nearest}'; give another {option}.")


def check_file(path: Path | None, *inputs: str | Path | None, option: str) -> None:
    """Refuse an output file that cannot be written or would destroy an input, before the work begins.

    Args:
        path: The file; `None` if it was not asked for.
        inputs: See `check_apart`.
        option: See `check_apart`.

    Raises:
        InputError: Naming the file.
    """
    if path is None:
        return
    check_apart(path, *inputs, option=option)
    if path.exists() and not path.is_file() and not path.is_dir():
        writable = os.access(path, os.W_OK)  # a device or a pipe
    else:
        parent = Path(os.path.realpath(path)).parent
        writable = not path.is_dir() and parent.is_dir() and os.access(parent, os.W_OK)
    if not writable:
        raise InputError(f"'{path}' cannot be written; give {option} a file in a folder that exists.")


def check_json_path(path: Path | None, *inputs: str | Path | None) -> None:
    """Check the file of `--json` with `check_file`."""
    check_file(path, *inputs, option="--json")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def claim_folder(
    out: Path, file: str, identity: dict[str, Any], what: str, made_with: dict[str, Any] | None = None
) -> None:
    """Note in a folder what its results are made with, so that the same command can go on there and no other.

    Args:
        out: The folder; it is made where it does not exist.
        file: Name of the note.
        identity: Everything that changes the results, as plain data.
        what: What the results are, for the error's sentence.
        made_with: Recorded as well; see `tracker.identity.check_identity`.

    Raises:
        InputError: If the folder holds results that were made with something else, or other files, or cannot be
            written.
    """
    if not (out / file).is_file():
        if out.exists() and not out.is_dir():
            raise InputError(f"'{out}' is a file; give a folder for --out.")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"'{out}' cannot be written ({error.strerror}); give another --out.") from None
        if _holds_files(out):
            raise InputError(f"'{out}' holds other files (no {file}); give an empty or a new folder for --out.")
    check_identity(out / file, identity, made_with, what=what)


def _holds_files(folder: Path) -> bool:
    return any(file.name != LOCK_NAME for file in folder.iterdir())
