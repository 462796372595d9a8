"""The annotated boxes of targets, against which results are judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.readers import list_targets, read_sequence, zero_based
from ..data.readers.annotation import presence
from ..data.readers.got10k import LEAST_COVER
from ..data.readers.pysot import counts_from_one, marked_present
from ..data.sequences import Sequence
from ..errors import InputError, reading_errors, shorten


@dataclass(frozen=True, eq=False)
class Annotation:
    """The annotation of one target.

    Attributes:
        name: The target, as `tracker.read_sequence` names it (`Jogging-2`).
        boxes: `float64[T, 4]`, 0-based; a row of zeros says that the target is absent.
        valid: `bool[T]`, false where OTB calls the annotation invalid: a coordinate of the 1-based box, be it
            x, y, width or height, is not above 0. So a target that sticks out at the left or at the top of
            the image is invalid too, but not one that sticks out at the right or at the bottom.
        attributes: The benchmark's labels of the sequence, such as `OCC`; `None` where they are not known.
        visibility: `float64[T]` in [0, 1], 0 where the target is absent; `None` where only the boxes are known.
        size: Width and height of the frames in pixels; `None` where it is not known.
    """

    name: str
    boxes: NDArray[np.float64]
    valid: NDArray[np.bool_]
    attributes: tuple[str, ...] | None = None
    visibility: NDArray[np.float64] | None = None
    size: tuple[int, int] | None = None

    @classmethod
    def of_sequence(cls, sequence: Sequence) -> Annotation:
        """Return the annotation of a sequence."""
        valid = _valid(sequence.boxes + [1.0, 1.0, 0.0, 0.0])
        size = sequence.frames.size(0)
        return cls(sequence.name, sequence.boxes, valid, None, sequence.visibility, size)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where the target is in the image, `bool[T]`: its box has an area and no label says that it is absent."""
        return self._more_visible_than(0.0)

    @property
    def uncovered(self) -> NDArray[np.bool_]:
        """Where the target is present and not wholly covered, `bool[T]`: GOT-10k's `cover.label` is above 0."""
        return self._more_visible_than(LEAST_COVER)

    def _more_visible_than(self, least: float) -> NDArray[np.bool_]:
        visibility = presence(self.boxes)
        return (visibility if self.visibility is None else visibility * self.visibility) > least

    def from_frame(self, start: int) -> Annotation:
        """Return the annotation of the frames from `start` on."""
        visibility = None if self.visibility is None else self.visibility[start:]
        return replace(self, boxes=self.boxes[start:], valid=self.valid[start:], visibility=visibility)

    def __len__(self) -> int:
        return len(self.boxes)


class Annotations(dict[str, Annotation]):
    """Annotations by the targets' names, sorted.

    Attributes:
        left_out: Targets of the source whose annotation cannot be used, and why.
    """

    def __init__(self, annotations: Mapping[str, Annotation], left_out: Mapping[str, str]) -> None:
        super().__init__(sorted(annotations.items()))
        self.left_out = dict(sorted(left_out.items()))


def read_annotations(
    source: str | Path, attributes: str | Path | None = None, layout: str = "auto"
) -> Annotations:
    """Read the annotations of a benchmark.

    Args:
        source: A JSON file `{name: {"boxes": [[x, y, w, h], ...], "attributes": [...]}}` with 1-based boxes
            (`attributes` may be missing), an annotation file of pysot (`gt_rect`, `attr` and LaSOT's `absent`,
            such as `OTB100.json`; those of VOT, NfS, TrackingNet and TNL2K count from 0), or a folder of annotated
            sequences, or one annotated sequence. Both targets of an OTB folder that has two are taken.
        attributes: A JSON file of the same form (or `{name: [...]}`), from which the attributes are taken.
        layout: Layout of the sequences in a folder, one of `tracker.data.readers.LAYOUTS`.

    Returns:
        The annotations by name, sorted. A target whose annotation or attributes cannot be used is in `left_out`.

    Raises:
        InputError: If a file cannot be read or holds something else, or there is no annotation that can be used.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"'{source}' does not exist; give a JSON file of annotations or a folder of sequences.")
    readers: dict[str, Callable[[], Annotation]]
    if source.is_dir():
        places = list_targets(source, layout).items()
        readers = {name: partial(_read_sequence, name, *place, layout) for name, place in places}
    else:
        content = _read_json(source)
        readers = {name: partial(_entry, content, name, source) for name in content}
    labels = None if attributes is None else _read_json(Path(attributes))
    annotations, left_out = {}, {}
    for name, read in readers.items():
        try:
            annotations[name] = read()
            if labels is not None:
                annotations[name] = replace(
                    annotations[name], attributes=_attributes(labels, name, str(attributes))
                )
        except InputError as error:
            annotations.pop(name, None)
            left_out[name] = str(error)
    if not annotations:
        nothing = f"'{source}' holds no annotated target; give a JSON file or a folder of sequences."
        raise InputError(next(iter(left_out.values()), nothing))
    return Annotations(annotations, left_out)


def choose_targets(annotations: Mapping[str, Annotation], targets: Iterable[str]) -> dict[str, Annotation]:
    """Return the annotations of some targets, each once.

    Raises:
        InputError: If a target is not annotated, or its annotation cannot be used.
    """
    targets = list(dict.fromkeys(targets))
    left_out: Mapping[str, str] = getattr(annotations, "left_out", {})
    if unusable := [left_out[name] for name in targets if name in left_out]:
        raise InputError(unusable[0])
    if unknown := [name for name in targets if name not in annotations]:
        raise InputError(f"There is no annotation of {', '.join(unknown)}; give a file or folder that has them.")
    return {name: annotations[name] for name in targets}


def _read_sequence(name: str, path: Path, target: int | None, layout: str) -> Annotation:
    sequence = read_sequence(path, target=target, layout=layout)
    if sequence.box_source == "first":
        raise InputError(f"Only the first box of '{name}' is known, which cannot judge results.")
    return Annotation.of_sequence(sequence)


def _entry(content: Mapping[str, Any], name: str, path: Path) -> Annotation:
    entry = content[name]
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise InputError(
            f"{shorten(name)} in '{path}' cannot name a target, whose files have its name; rename it."
        )
    rows = entry.get("boxes", entry.get("gt_rect")) if isinstance(entry, dict) else None
    if rows is None:
        raise InputError(f"'{name}' in '{path}' has no boxes; write {{\"boxes\": [[x, y, w, h], ...]}}.")
    try:
        boxes = np.asarray(rows, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        boxes = np.empty(0)
    if boxes.ndim != 2 or boxes.shape[1:] != (4,):
        raise InputError(f"The boxes of '{name}' in '{path}' are not rows of four numbers; correct them.")
    if len(boxes) == 0:
        raise InputError(f"'{name}' in '{path}' has no boxes; add them or remove it.")
    visibility = _visibility(entry, name, path, len(boxes))
    one_based = boxes if counts_from_one(path) else boxes + [1, 1, 0, 0]
    return Annotation(name, zero_based(one_based), _valid(one_based), _attributes(content, name, path), visibility)


def _visibility(entry: Mapping[str, Any], name: str, path: Path, frames: int) -> NDArray[np.float64] | None:
    """The `absent` of pysot's LaSOT files as `marked_present` reads it."""
    labels = entry.get("absent")
    if labels is None:
        return None
    if not isinstance(labels, list) or len(labels) != frames or any(label not in (0, 1) for label in labels):
        raise InputError(f"The 'absent' of '{name}' in '{path}' is not a 0 or 1 for each of its {frames} boxes.")
    return marked_present(np.array(labels)).astype(np.float64)


def _valid(one_based: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((np.isfinite(one_based) & (one_based > 0)).all(axis=1))


def _attributes(content: Mapping[str, Any], name: str, path: str | Path) -> tuple[str, ...] | None:
    entry = content.get(name)
    labels = entry.get("attributes", entry.get("attr")) if isinstance(entry, dict) else entry
    if labels is None:
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"The attributes of '{name}' in '{path}' are not a list of texts; correct them.")
    return tuple(labels)


def _read_json(path: Path) -> dict[str, Any]:
    with reading_errors(path, "JSON", "give a JSON file of annotations"):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(content, dict):
        raise InputError(f"'{path}' holds no annotations by name; write {{name: {{\"boxes\": ...}}}}.")
    return content
