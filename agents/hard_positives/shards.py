"""Shards of a WebDataset: tar files in which the files of a sample share their name up to the extension."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.files import replacing_file


@contextmanager
def open_shard(path: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Yield the function that adds a file to a shard, given its name and content.

    The shard appears complete or not at all; the same files give the same bytes.

    Raises:
        OSError: If the disk refuses.
    """
    with (
        replacing_file(path, durable=False) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive,
    ):

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(name)  # of no user, from 1970
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        yield add
