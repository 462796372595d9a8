"""The moments of a folder of sequences, drawn once for all trackers and kept beside their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from occlusion_env.scene.shapes import OtherVideo, other_videos
from tracker.data.identity import content_digest
from tracker.data.readers import list_targets, read_sequence
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.records import read_record, write_record
from tracker.scorers.sint import Scorer, load_scorer

from .corruptions.moments import Moment, draw_moments
from .corruptions.placement import hardest_region
from .corruptions.scene import Scene
from .corruptions.settings import PROTOCOL_VERSION, SPAN, StressSettings

MOMENTS = "moments.json"

Place = tuple[Path, int | None]
"""What `read_sequence` needs to open a sequence: its folder and the number of its target."""


@dataclass(frozen=True)
class Plan:
    """The moments of sequences.

    Attributes:
        settings: The protocol's settings.
        moments: By sequence; each has at least one.
        digests: Digest of each sequence's frames and boxes.
        left_out: Sequences without a moment, and why.
    """

    settings: StressSettings
    moments: dict[str, tuple[Moment, ...]]
    digests: dict[str, str]
    left_out: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write `MOMENTS` into a folder."""
        sequences = {
            name: {"digest": self.digests[name], "moments": [moment.record() for moment in moments]}
            for name, moments in self.moments.items()
        }
        content: dict[str, Any] = {
            "protocol_version": PROTOCOL_VERSION, "settings": self.settings.record(), "sequences": sequences,
            "left_out": self.left_out,
        }  # fmt: skip
        write_record(folder / MOMENTS, content)

    @classmethod
    def read(cls, folder: Path) -> Plan | None:
        """Read `MOMENTS`; `None` where there is none."""
        content = read_record(folder / MOMENTS)
        if content is None:
            return None
        if content["protocol_version"] != PROTOCOL_VERSION:
            raise InputError(
                f"'{folder}' holds results of version {content['protocol_version']} of the protocol, and this is"
                f" version {PROTOCOL_VERSION}; give another --out."
            )
        sequences = content["sequences"]
        return cls(
            StressSettings.from_record(content["settings"]),
            {name: tuple(map(Moment.from_record, each["moments"])) for name, each in sequences.items()},
            {name: each["digest"] for name, each in sequences.items()},
            content["left_out"],
        )


def find_place(places: Mapping[str, Place], name: str, data: Path) -> Place:
    """What opens a sequence of `list_targets`.

    Raises:
        InputError: If the folder does not hold it.
    """
    if name not in places:
        raise InputError(
            f"The occlusions need the sequence '{name}', which '{data}' does not hold; give the folder that the"
            " moments were drawn from, or another --out."
        )
    return places[name]


def plan_moments(data: Path, out: Path, settings: StressSettings, targets: Iterable[str] | None = None) -> Plan:
    """Return the moments of a benchmark's sequences: those in `out`, and new ones where it has none.

    Args:
        data: Folder of annotated sequences, or one of them.
        out: Folder of the results, which receives `MOMENTS`.
        settings: The protocol's settings.
        targets: Only these; all by default. Cut-outs are of any sequence of the folder.

    Returns:
        The moments of the chosen targets.

    Raises:
        InputError: If `out` holds moments of other settings or other frames, a target is not in the data, or no
            sequence has a moment.
    """
    earlier = Plan.read(out)
    if earlier is not None and earlier.settings != settings:
        here, there = settings.record(), earlier.settings.record()
        name = next(name for name in here if here[name] != there[name])
        values = [len(each[name]) if name == "conditions" else each[name] for each in (there, here)]
        raise InputError(
            f"'{out}' holds results of other settings ({name}: {values[0]} there, {values[1]} here); give another"
            " --out."
        )
    places = list_targets(data)
    chosen = list(places) if targets is None else list(dict.fromkeys(targets))
    if unknown := [name for name in chosen if name not in places]:
        raise InputError(f"There is no sequence '{unknown[0]}' in '{data}'; there are {', '.join(places)}.")
    sequences: dict[str, Sequence] = {}
    left_out: dict[str, str] = {}
    scorer = cache(load_scorer)  # loaded at the first sequence that has no moments yet
    for name, (path, target) in places.items():
        try:
            sequences[name] = read_sequence(path, target=target)
        except InputError as error:
            left_out[name] = str(error)
    others = other_videos(sequences.values()) if "cutout" in settings.conditions else []
    moments = {} if earlier is None else dict(earlier.moments)
    digests = {} if earlier is None else dict(earlier.digests)
    for name in chosen:
        if name in left_out:
            continue
        digest = content_digest(sequences[name])
        if digests.setdefault(name, digest) != digest:
            raise InputError(
                f"The moments of '{name}' in '{out}' are of other frames or boxes (digest was {digests[name]} and"
                f" is {digest}); give another --out."
            )
        if name in moments:
            continue
        try:
            moments[name] = _draw(sequences[name], settings, others, scorer)
        except InputError as error:
            left_out[name] = str(error)
    left_out = {name: reason for name, reason in left_out.items() if name in chosen}
    usable = {name: moments[name] for name in chosen if name in moments}
    if not usable:
        raise InputError(f"No sequence of '{data}' has a moment to corrupt: {next(iter(left_out.values()))}")
    before = {} if earlier is None else {k: v for k, v in earlier.left_out.items() if k not in moments}
    Plan(settings, moments, {name: digests[name] for name in moments}, before | left_out).write(out)
    return Plan(settings, usable, {name: digests[name] for name in usable}, left_out)


def _draw(
    sequence: Sequence, settings: StressSettings, others: Many[OtherVideo], scorer: Callable[[], Scorer]
) -> tuple[Moment, ...]:
    """Draw the moments of a sequence, and find the hardest regions.

    Raises:
        InputError: If it has no moment, or one of their frames cannot be read.
    """
    moments = draw_moments(sequence, settings, others)
    if not moments:
        raise InputError(f"'{sequence.name}' shows its target in no {SPAN} frames in a row.")
    scenes = [Scene(sequence, moment) for moment in moments]
    if "hardest" not in settings.conditions:
        return tuple(moments)
    return tuple(replace(scene.moment, hardest=hardest_region(scene, scorer())) for scene in scenes)
