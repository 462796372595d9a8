"""TrackingNet: chunks with `anno/NAME.txt`, 0-based, and `frames/NAME/`; of the test chunk the first box only."""

from __future__ import annotations

from pathlib import Path

from .annotation import Layout, Source, Target, folder_above, presence, read_annotation, text_files
from .images import images_in


def read_trackingnet(file: Path, number: int | None = None) -> Source:
    """Read a video of TrackingNet; see `read_sequence`."""
    table = read_annotation(file, (4,))
    boxes = table.boxes()
    return Source.from_table(file, images_in(_frames(file)), table, boxes, presence(boxes))


def _frames(file: Path) -> Path:
    return file.parent.parent / "frames" / file.stem


def _find_trackingnet(path: Path) -> list[Target]:
    """The annotations of a chunk, or the one of the file or the folder of frames that is given."""
    chunk = folder_above(path, "anno", "frames")
    if chunk is None:
        return []
    targets = [Target(file.stem, file) for file in text_files(chunk / "anno")]
    whole = {place.absolute() for place in (chunk, chunk / "anno", chunk / "frames")}
    if path.absolute() in whole:
        return targets
    return [t for t in targets if path.absolute() in (t.path.absolute(), _frames(t.path).absolute())]


TRACKINGNET = Layout("trackingnet", "TrackingNet (anno/, frames/)", _find_trackingnet, read_trackingnet)
