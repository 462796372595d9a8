"""Identity of cached results: the settings that change their numbers, and a note of them beside the results."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import replacing_file
from .readers import list_targets, read_sequence
from .sequences import Frames, ImageFiles, SelectedFrames, Sequence, VideoFile

DISTRIBUTION = "occlusion-search"

UNREADABLE = "unreadable"
"""Stands for the digest of a sequence that cannot be read."""

_PRESENTATION = ("cli", "page", "pictures", "plots", "report", "templates")
"""Ends of the names of modules and folders that show numbers and do not change them."""


def code_version(*packages: str) -> str:
    """Return the distribution's version and a digest of the packages' sources and shipped weights.

    Modules that only present numbers (command line, reports, pictures) are left out.

    Args:
        packages: Top-level packages of this distribution, such as `tracker`.
    """
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for package in packages:
        for file in sorted((root / package).rglob("*")):
            parts = file.relative_to(root).with_suffix("").parts
            counts = file.suffix == ".py" or "weights" in parts
            if file.is_file() and counts and not any(part.endswith(_PRESENTATION) for part in parts):
                digest.update("/".join(parts).encode() + file.read_bytes())
    try:
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        version = "unknown"
    return f"{version} {digest.hexdigest()[:12]}"


def sequence_digest(sequence: Sequence) -> str:
    """Return a digest of a sequence's boxes, number of frames and first frame.

    The other frames are not read, because decoding a whole video takes longer than tracking in it may.
    """
    first = np.ascontiguousarray(sequence.frames[0])
    digest = hashlib.sha256(f"{len(sequence.frames)} {first.shape}".encode())
    digest.update(first.tobytes())
    digest.update(np.ascontiguousarray(sequence.boxes, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]


def content_digest(sequence: Sequence) -> str:
    """Return a digest of a sequence's boxes and of all its frames: their files are read, and not decoded.

    Resumed runs compare it, so that no frame changes between their parts.
    """
    digest = hashlib.sha256(np.ascontiguousarray(sequence.boxes, dtype=np.float64).tobytes())
    for content in _frame_contents(sequence.frames):
        digest.update(content)
    return digest.hexdigest()[:16]


def _frame_contents(frames: Frames) -> Iterator[bytes]:
    if isinstance(frames, SelectedFrames):
        yield np.asarray(frames.indices).tobytes()
        yield from _frame_contents(frames.frames)
    elif isinstance(frames, (ImageFiles, VideoFile)):
        for path in frames.paths if isinstance(frames, ImageFiles) else [frames.path]:
            try:
                with path.open("rb") as file:
                    while block := file.read(_BLOCK):
                        yield block
            except OSError:  # reading the frame raises an error that names the file
                yield b"unreadable"
    else:
        for t in range(len(frames)):
            yield np.ascontiguousarray(frames[t]).tobytes()


def folder_digests(folder: str | Path, digest: Callable[[Sequence], str] = sequence_digest) -> dict[str, str]:
    """Return the digest of each annotated target in a folder of sequences, by its name.

    Of a sequence that cannot be read it is `UNREADABLE`.

    Args:
        folder: See `tracker.data.readers.list_targets`.
        digest: `sequence_digest` or `content_digest`.
    """
    digests = {}
    for name, (path, number) in list_targets(folder).items():
        try:
            digests[name] = digest(read_sequence(path, target=number))
        except InputError:
            digests[name] = UNREADABLE
    return digests


def plain_data(value: Any) -> Any:
    """Return a value as JSON has it: dataclasses and mappings as objects, tuples as lists, paths as their names.

    >>> plain_data({"a": (1, 2), "b": Path("x/y.pt")})
    {'a': [1, 2], 'b': 'y.pt'}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain_data(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain_data(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(each) for each in value]
    if isinstance(value, Path):
        return value.name
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def differing_settings(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say which settings differ, with both values; settings in mappings are named with dots.

    >>> differing_settings({"seed": 0, "sweep": {"frames": 8}}, {"seed": 0, "sweep": {"frames": 9}})
    ['sweep.frames was 8 and is 9']
    """
    first, second = dict(_flat(plain_data(earlier))), dict(_flat(plain_data(now)))
    differences = []
    for name in sorted(first.keys() | second.keys()):
        if first.get(name, _MISSING) != second.get(name, _MISSING):
            texts = [json.dumps(values[name]) if name in values else "not set" for values in (first, second)]
            short = [text if len(text) <= _LENGTH else f"{text[:_LENGTH]} ..." for text in texts]
            was, now_is = texts if short[0] == short[1] else short
            differences.append(f"{name} was {was} and is {now_is}")
    return differences


def check_identity(
    note: Path,
    identity: Mapping[str, Any],
    made_with: Mapping[str, Any] | None = None,
    command: str | None = None,
    what: str = "results that were made with other settings",
) -> None:
    """Write a note of the settings of results, or compare it with an earlier note.

    Args:
        note: The JSON file, beside the results.
        identity: Everything that changes the numbers. Where it differs from the note's, the results are refused.
        made_with: Recorded as well, such as the versions of libraries. Where it differs there is a warning.
        command: Recorded.
        what: Names the results in the error's sentence.

    Raises:
        InputError: Naming the settings that differ, with both values; or if the note is not readable.
    """
    identity, made_with = plain_data(identity), plain_data(made_with or {})
    if not note.exists():
        content = {**identity, **made_with, **({} if command is None else {"command": command})}
        with replacing_file(note) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")
        return
    try:
        earlier = json.loads(note.read_text())
        if not isinstance(earlier, dict):
            raise ValueError
    except ValueError:
        raise InputError(f"'{note}' is not JSON; delete its folder or give another --out.") from None
    recorded = made_with.keys() | {"command"}
    if differences := differing_settings({k: v for k, v in earlier.items() if k not in recorded}, identity):
        more = (
            [f"and {len(differences) - _NAMED} more settings"]
            if len(differences) > _NAMED + 1
            else differences[_NAMED:]
        )
        listed = "; ".join(differences[:_NAMED] + more)
        raise InputError(f"'{note.parent}' holds {what} ({listed}); give another --out.")
    if differences := differing_settings({k: v for k, v in earlier.items() if k in made_with}, made_with):
        print(
            f"occlusion-search: warning: results in '{note.parent}' were made with other software or another"
            f" machine ({'; '.join(differences)}).",
            file=sys.stderr,
        )


_BLOCK = 2**20
_MISSING = object()
_NAMED = 3
"""Settings that a sentence names."""
_LENGTH = 100
"""Characters of a value that a sentence shows, where the values' beginnings differ."""


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
