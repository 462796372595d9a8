"""Results appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracker.errors import InputError
from tracker.files import replacing_file
from tracker.records import difference

__all__ = ["check_json_path", "claim_folder", "replacing_folder", "write_json"]


@contextmanager
def replacing_folder(out: Path, mark: str) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` when the block ends well, and disappears when it does not.

    Args:
        out: Must not exist, be empty, or be an earlier result, which is then replaced.
        mark: Name of the file that an earlier result has.

    Raises:
        InputError: If `out` holds something else or cannot be written.
    """
    out = Path(os.path.abspath(out))
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; give a folder for --out.")
    if out.is_dir() and any(out.iterdir()) and not (out / mark).is_file():
        raise InputError(f"'{out}' holds other files (no {mark}); give an empty or a new folder for --out.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"'{out}' cannot be written ({error.strerror}); give another --out.") from None
    try:
        yield work
        work.chmod(0o755)
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
            os.replace(out, old / out.name)
            os.replace(work, out)
            shutil.rmtree(old)
        else:
            os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_json_path(path: Path | None) -> None:
    """Refuse a `--json FILE` that cannot be written, before the work begins.

    Raises:
        InputError: Naming the file.
    """
    if path is not None and (path.is_dir() or not os.access(Path(os.path.abspath(path)).parent, os.W_OK)):
        raise InputError(f"'{path}' cannot be written; give --json a file in a folder that exists.")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def claim_folder(out: Path, file: str, made_with: dict[str, Any], what: str) -> None:
    """Note in a folder what its results are made with, so that the same command can go on there and no other.

    Args:
        out: The folder; it is made where it does not exist.
        file: Name of the note.
        made_with: Plain data.
        what: What the results are, for the error's sentence.

    Raises:
        InputError: If the folder holds results that were made with something else, or other files, or cannot be
            written.
    """
    wanted, note = json.loads(json.dumps(made_with)), out / file
    if note.is_file():
        found = difference(json.loads(note.read_text()), wanted)
        if found is not None:
            raise InputError(f"'{out}' holds {what}: {found}; give another --out.")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"'{out}' cannot be written ({error.strerror}); give another --out.") from None
    if any(out.iterdir()):
        raise InputError(f"'{out}' holds other files (no {file}); give an empty or a new folder for --out.")
    write_json(note, wanted)
