"""The conditions of the stress test: a base condition, and one factor varied at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tracker.errors import InputError

PROTOCOL_VERSION = 1
"""Stands in every file; it grows when a frame, a moment or a measure changes."""

LEAD = 5
"""Frames that a tracker sees before the moment; it is initialised on the first of them."""

RECOVERY = 10
"""Frames after the last corrupted one."""

LONGEST = 30
"""Corrupted frames of the longest condition."""

SPAN = LEAD + LONGEST + RECOVERY
"""Frames of a moment: as many as its longest condition needs."""


@dataclass(frozen=True)
class Condition:
    """How the frames of a moment are corrupted.

    Attributes:
        name: Name in files and tables.
        factor: The factor in which it differs from the base condition.
        kind: `none`, `cover`, `blur` or `deformation`.
        strength: Of a cover, its share of the target's box; of a blur, the length of its kernel in target sizes
            (the square root of the box's area); of a deformation, its largest displacement in sides of the box.
        frames: Number of corrupted frames.
        placement: Where a cover of less than the whole box lies: from a `side`, at a `random` place, or where it
            lowers the score of SINT (`hardest`) or the tracker's own confidence (`own`) most.
        content: What covers: `background` of the same frame, a `cutout` of another video, or a `texture`.
        standing: The cover stands in the scene instead of moving with the target.
        lookalike: The target's own image is pasted beside it.
    """

    name: str
    factor: str
    kind: Literal["none", "cover", "blur", "deformation"] = "cover"
    strength: float = 0.75
    frames: int = 10
    placement: Literal["side", "random", "hardest", "own"] = "side"
    content: Literal["background", "cutout", "texture"] = "background"
    standing: bool = False
    lookalike: bool = False

    @property
    def length(self) -> int:
        """Number of frames of a run, `LEAD`, corrupted and `RECOVERY`."""
        return LEAD + self.frames + RECOVERY


REFERENCE = Condition("reference", "none", "none", 0.0, LONGEST)
"""The moment without corruption; a cover of 0 % is this run."""

BASE = Condition("base", "base")

_OTHERS = (
    Condition("cover-25", "cover", strength=0.25),
    Condition("cover-50", "cover", strength=0.5),
    Condition("cover-100", "cover", strength=1.0),
    Condition("frames-1", "frames", frames=1),
    Condition("frames-30", "frames", frames=LONGEST),
    Condition("all-30", "frames", strength=1.0, frames=LONGEST),
    Condition("standing", "motion", standing=True),
    Condition("look-alike", "look-alike", lookalike=True),
    Condition("random", "placement", placement="random"),
    Condition("hardest", "placement", placement="hardest"),
    Condition("hardest-own", "placement", placement="own"),
    Condition("cutout", "content", content="cutout"),
    Condition("texture", "content", content="texture"),
    Condition("blur-25", "blur", "blur", 0.25),
    Condition("blur-50", "blur", "blur", 0.5),
    Condition("deformation-10", "deformation", "deformation", 0.1),
    Condition("deformation-20", "deformation", "deformation", 0.2),
)

CONDITIONS = {condition.name: condition for condition in (REFERENCE, BASE, *_OTHERS)}
"""All conditions by name."""

LARGEST_DEFORMATION = CONDITIONS["deformation-20"].strength

QUICK = ("reference", "base", "cover-25", "cover-50", "cover-100", "all-30", "look-alike")
"""Conditions of `StressSettings.quick`."""

COVER_CURVE = {0.25: "cover-25", 0.5: "cover-50", 0.75: "base", 1.0: "cover-100"}
"""Covered shares of the curve under which OccAUC is the area, and their conditions; at 0 it is the reference."""


@dataclass(frozen=True)
class StressSettings:
    """The protocol's settings.

    Attributes:
        moments: Moments of a sequence at most.
        conditions: Names of `CONDITIONS`; `QUICK` are always among them.
        seed: Seed of every draw.

    Raises:
        InputError: If a value is out of range.

    >>> StressSettings.quick().moments
    1
    """

    moments: int = 2
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.moments < 1:
            raise InputError(f"moments is {self.moments}; give at least 1.")
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}; it must be at least 0.")
        if unknown := [name for name in self.conditions if name not in CONDITIONS]:
            raise InputError(f"'{unknown[0]}' is no condition; choose {', '.join(CONDITIONS)}.")
        if missing := [name for name in QUICK if name not in self.conditions]:
            raise InputError(f"The condition '{missing[0]}' is missing; every score needs it.")
        # In the order of the table, so that a file does not depend on the order in which they are named.
        object.__setattr__(self, "conditions", tuple(name for name in CONDITIONS if name in self.conditions))

    def record(self) -> dict[str, Any]:
        """The attributes as JSON types; `from_record` reads them back."""
        return {**asdict(self), "conditions": list(self.conditions)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> StressSettings:
        """Read a `record`."""
        return cls(**{**record, "conditions": tuple(record["conditions"])})

    @classmethod
    def quick(cls, seed: int = 0) -> StressSettings:
        """The settings of `--quick`: one moment of each sequence, and the conditions `QUICK`."""
        return cls(1, QUICK, seed)
