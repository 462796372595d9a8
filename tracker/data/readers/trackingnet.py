"""TrackingNet: chunks with `anno/NAME.txt`, 0-based, and `frames/NAME/`; of the test chunk the first box only."""

from __future__ import annotations

from pathlib import Path

from .annotation import Layout, Source, TargetLocation, folder_above, presence, read_annotation, text_files
from .images import images_in


def read_trackingnet(file: Path, number: int | None = None) -> Source:
    """Read a video of TrackingNet; see `read_sequence`."""
    table = read_annotation(file, (4,))
    boxes = table.boxes()
    images = images_in(file.parent.parent / "frames" / file.stem)
    return Source.from_table(file, images, table, boxes, presence(boxes))


def _find_trackingnet(path: Path) -> list[TargetLocation]:
    """The annotations of a chunk, or the one of the file or the folder of frames that is given."""
    chunk = folder_above(path, "anno", "frames")
    if chunk is None:
        return []
    here, anno, frames = path.absolute(), chunk.absolute() / "anno", chunk.absolute() / "frames"
    if here in (chunk.absolute(), anno, frames):
        return [TargetLocation(file.stem, file) for file in text_files(chunk / "anno")]
    name = path.stem if path.is_file() else path.name
    file = chunk / "anno" / f"{name}.txt"
    return [TargetLocation(name, file)] if here.parent in (anno, frames) and file.is_file() else []


TRACKINGNET = Layout("trackingnet", "TrackingNet (anno/, frames/)", _find_trackingnet, read_trackingnet)
