"""Where the targets really are: the annotations that results are judged against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..readers import list_targets, open_sequence, zero_based

__all__ = ["Annotation", "read_annotations"]


@dataclass(frozen=True, eq=False)
class Annotation:
    """The truth about one target.

    Attributes:
        name: The target, as `tracker.open_sequence` names it (`Jogging-2`).
        boxes: `float64[T, 4]`, 0-based; a row of zeros says that the target is absent.
        valid: `bool[T]`, false where OTB calls the annotation invalid: a coordinate of the 1-based box, be it
            x, y, width or height, is not above 0. So a target that sticks out at the left or at the top of
            the image is invalid too, but not one that sticks out at the right or at the bottom.
        attributes: The benchmark's labels of the sequence, such as `OCC`; `None` where they are not known.
    """

    name: str
    boxes: NDArray[np.float64]
    valid: NDArray[np.bool_]
    attributes: tuple[str, ...] | None = None

    @classmethod
    def of_boxes(cls, name: str, boxes: NDArray[np.float64]) -> Annotation:
        """The annotation of a sequence of which nothing but its 0-based boxes `[T, 4]` is known."""
        return cls(name, boxes, _valid(boxes + [1.0, 1.0, 0.0, 0.0]))

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.boxes)


def read_annotations(source: str | Path, attributes: str | Path | None = None) -> dict[str, Annotation]:
    """Read the annotations of a benchmark.

    Args:
        source: A JSON file `{name: {"boxes": [[x, y, w, h], ...], "attributes": [...]}}` with 1-based boxes
            (`attributes` may be missing), or a folder of annotated sequences, or one annotated sequence.
            Both targets of an OTB folder that has two are taken.
        attributes: A JSON file of the same form (or `{name: [...]}`), from which the attributes are taken.

    Returns:
        The annotations by name, sorted.

    Raises:
        InputError: If a file cannot be read or holds something else, or a folder holds no annotation.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"'{source}' does not exist; give a JSON file of annotations or a folder of sequences.")
    found = _from_folder(source) if source.is_dir() else _from_json(source)
    if not found:
        raise InputError(f"'{source}' holds no annotated target; give a JSON file or a folder of sequences.")
    if attributes is not None:
        labels = _read_json(Path(attributes))
        found = {
            name: Annotation(name, annotation.boxes, annotation.valid, _attributes(labels, name, attributes))
            for name, annotation in found.items()
        }
    return dict(sorted(found.items()))


def _from_folder(folder: Path) -> dict[str, Annotation]:
    found = {}
    for name, (path, target) in list_targets(folder).items():
        sequence = open_sequence(path, target=target)
        if sequence.box_source == "first":
            raise InputError(f"Only the first box of '{name}' is known, which cannot judge results; leave it out.")
        found[name] = Annotation.of_boxes(name, sequence.boxes)
    return found


def _from_json(path: Path) -> dict[str, Annotation]:
    found = {}
    content = _read_json(path)
    for name, entry in content.items():
        if not isinstance(entry, dict) or "boxes" not in entry:
            raise InputError(f"'{name}' in '{path}' has no boxes; write {{\"boxes\": [[x, y, w, h], ...]}}.")
        try:
            boxes = np.asarray(entry["boxes"], dtype=np.float64)
        except (TypeError, ValueError):
            boxes = np.empty(0)
        if boxes.ndim != 2 or boxes.shape[1:] != (4,):
            raise InputError(f"The boxes of '{name}' in '{path}' are not rows of four numbers; correct them.")
        if len(boxes) == 0:
            raise InputError(f"'{name}' in '{path}' has no boxes; add them or remove it.")
        found[name] = Annotation(name, zero_based(boxes), _valid(boxes), _attributes(content, name, path))
    return found


def _valid(one_based: NDArray[np.float64]) -> NDArray[np.bool_]:
    above: NDArray[np.bool_] = np.isfinite(one_based) & (one_based > 0)
    return np.asarray(above.all(axis=1))


def _attributes(content: Mapping[str, Any], name: str, path: str | Path) -> tuple[str, ...] | None:
    entry = content.get(name)
    labels = entry.get("attributes") if isinstance(entry, dict) else entry
    if labels is None:
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"The attributes of '{name}' in '{path}' are not a list of texts; correct them.")
    return tuple(labels)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"The file '{path}' cannot be read ({error.strerror}); check it.") from None
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON ({error}); give a JSON file of annotations.") from None
    if not isinstance(content, dict):
        raise InputError(f"'{path}' holds no annotations by name; write {{name: {{\"boxes\": ...}}}}.")
    return content
