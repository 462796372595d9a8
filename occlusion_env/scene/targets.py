"""Targets of a search: the crop, its exemplar, and the frame around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.data.images import check_image, resize
from tracker.data.readers import list_targets, open_usable
from tracker.data.sequences import Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.trackers.following import open_sequence

from ..naming import call_by_name, is_import_path

Image = NDArray[np.uint8]

MIN_VISIBILITY = 0.5


@dataclass(frozen=True)
class Source:
    """The origin of a target.

    Attributes:
        video: Name of the sequence.
        frame: Index of the frame, 0-based; a sampled target is put into this frame.
        frame_name: The frame's file, or its number.
        box: The target's box in that frame, `(x, y, w, h)` in pixels, 0-based.
        code: Latent code of a sampled target; `None` for a real one.
    """

    video: str
    frame: int
    frame_name: str
    box: tuple[float, float, float, float]
    code: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Target:
    """One target to occlude.

    Attributes:
        id: Unique in its set: `video/frame`, or `video/sample/number`.
        crop: The unoccluded target, `uint8[h, w, 3]`.
        exemplar: The first frame's target, `uint8[h, w, 3]`: the matcher's reference (f1 of Algorithm 1).
        frame: The frame that background patches are cut from, `uint8[H, W, 3]`.
        source: Where it comes from.
    """

    id: str
    crop: Image
    exemplar: Image
    frame: Image
    source: Source

    @property
    def box(self) -> NDArray[np.float64]:
        """The target's box in `frame`."""
        return np.asarray(self.source.box, dtype=np.float64)


def visible_frames(sequence: Sequence) -> NDArray[np.int64]:
    """Frames whose target is at least half visible; a hidden one is no positive to occlude."""
    return np.flatnonzero(sequence.visibility >= MIN_VISIBILITY)


def _check_frames(sequence: Sequence, frames: Iterable[int]) -> list[int]:
    chosen = [int(t) for t in frames]
    present = set(sequence.present.tolist())
    for t in chosen:
        if t not in present:
            raise InputError(f"The sequence '{sequence.name}' has no target in frame {t} (of {len(sequence)}).")
    if len(set(chosen)) != len(chosen):
        raise InputError(f"A frame of '{sequence.name}' is given twice; give each once.")
    return chosen


@dataclass(frozen=True)
class _Entry:
    sequence: Sequence
    frame: int
    sample: Image | None = None
    code: tuple[float, ...] | None = None
    number: int = 0

    @property
    def id(self) -> str:
        if self.sample is None:
            return f"{self.sequence.name}/{self.frame:06d}"
        return f"{self.sequence.name}/sample/{self.number:06d}"


@dataclass(frozen=True)
class TargetSet:
    """Targets, decoded on access; `+` joins sets.

    Build one with `from_sequence`, `from_samples` or `load_targets`.
    """

    _entries: tuple[_Entry, ...] = field(default=())

    @classmethod
    def from_sequence(cls, sequence: Sequence, frames: Iterable[int] | None = None) -> TargetSet:
        """The targets of frames 2 to N of a video, as in Algorithm 1; frame 1 gives the exemplar.

        Args:
            sequence: The video.
            frames: Indices of the frames to take; `visible_frames` after the first if `None`.

        Raises:
            InputError: If no frame is left, one comes twice, or the target is absent from one.
        """
        chosen = visible_frames(sequence)[1:] if frames is None else _check_frames(sequence, frames)
        if not len(chosen):
            remedy = (
                "only that frame has a box, give the boxes of all"
                if sequence.box_source == "first"
                else "give a longer one"
            )
            raise InputError(f"The sequence '{sequence.name}' has no target after its first frame; {remedy}.")
        return cls(tuple(_Entry(sequence, int(t)) for t in chosen))

    @classmethod
    def from_samples(
        cls,
        sequence: Sequence,
        images: Image,
        codes: ArrayLike,
        frames: Iterable[int],
        first_number: int = 0,
    ) -> TargetSet:
        """Targets sampled from a video's manifold, each in the place of a real one.

        Args:
            sequence: The video whose manifold it is.
            images: `uint8[N, h, w, 3]`, decoded samples; each is resized to the box of its frame.
            codes: `[N, latent]`, their latent codes.
            frames: N indices of the frames whose boxes and backgrounds they take.
            first_number: Number of the first sample, in its id.
        """
        rows, places = np.asarray(codes, dtype=np.float64), [int(t) for t in frames]
        if rows.ndim != 2 or not len(images) == len(rows) == len(places):
            raise InputError(
                f"{len(images)} samples need as many codes [N, latent] and frames; there are {len(places)} frames"
                f" and codes of the shape {list(rows.shape)}."
            )
        _check_frames(sequence, set(places))
        return cls(
            tuple(
                _Entry(sequence, int(t), check_image(image, "A sample"), tuple(code.tolist()), number)
                for number, (image, code, t) in enumerate(zip(images, rows, places, strict=True), first_number)
            )
        )

    def __len__(self) -> int:
        return len(self._entries)

    def __add__(self, other: TargetSet) -> TargetSet:
        return TargetSet.join([self, other])

    @classmethod
    def join(cls, sets: Iterable[TargetSet]) -> TargetSet:
        """Concatenate sets.

        Raises:
            InputError: If an id is in two of them.
        """
        joined = cls(tuple(entry for targets in sets for entry in targets._entries))
        for target_id, count in Counter(joined.ids).items():
            if count > 1:
                raise InputError(f"Two sets have a target '{target_id}'; number samples with first_number.")
        return joined

    def __iter__(self) -> Iterator[Target]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Target:
        """Cut a target out of its frame.

        Raises:
            IndexError: If there is no such target.
            InputError: If its frame cannot be read.
        """
        entry = self._entries[index]
        sequence, t = entry.sequence, entry.frame
        crop = sequence.crop(t)
        if entry.sample is not None:
            crop = resize(entry.sample, crop.shape[1], crop.shape[0])
        box = sequence.boxes[t].tolist()
        source = Source(sequence.name, t, sequence.frames.name(t), (box[0], box[1], box[2], box[3]), entry.code)
        return Target(entry.id, crop, sequence.exemplar(), sequence.frames[t], source)

    @property
    def ids(self) -> tuple[str, ...]:
        """The targets' ids, in order."""
        return tuple(entry.id for entry in self._entries)

    @property
    def videos(self) -> tuple[str, ...]:
        """The name of each target's video, in order."""
        return tuple(entry.sequence.name for entry in self._entries)

    @property
    def sequences(self) -> dict[str, Sequence]:
        """The targets' videos by name."""
        return {entry.sequence.name: entry.sequence for entry in self._entries}

    def subset(self, indices: Iterable[int]) -> TargetSet:
        """The targets with these indices, in this order."""
        return TargetSet(tuple(self._entries[int(index)] for index in indices))


@lru_cache(maxsize=8)
def load_targets(spec: str) -> TargetSet:
    """Load the `targets` of an environment's keyword arguments, once a process.

    Args:
        spec: `synthetic[:SEED]`, `drawn[:SEED]` (the same without a photograph in it) or `oracle[:SEED]`
            (`occlusion_env.scene.oracle`), or the path of a sequence, or of a folder of sequences, of which
            those that cannot be used are left out with a warning.

    Raises:
        InputError: If it is none of these, or cannot be read.
    """
    name, colon, seed = spec.partition(":")
    if name in _SYNTHETIC:
        if colon and not seed.isdecimal():
            raise InputError(f"'{spec}' has no seed after its colon; write {name}:0.")
        return TargetSet.from_sequence(_SYNTHETIC[name](int(seed or 0)))
    path = Path(spec)
    if is_import_path(spec) and not path.exists():
        found: TargetSet = call_by_name("targets", spec)
        return found
    places = list_targets(path)
    return TargetSet.join(open_usable({name: partial(_targets_of, *at) for name, at in places.items()}).values())


def _targets_of(path: Path, number: int | None) -> TargetSet:
    return TargetSet.from_sequence(open_sequence(path, target=number))


def _oracle(seed: int) -> Sequence:
    from .oracle import oracle_sequence  # imports torch

    return oracle_sequence(seed)


_SYNTHETIC: dict[str, Callable[[int], Sequence]] = {
    "synthetic": synthetic_sequence,
    "drawn": partial(synthetic_sequence, frames=30, width=640, height=480, material="drawings"),
    "oracle": _oracle,
}
"""Functions that draw a video from a seed, by name."""
