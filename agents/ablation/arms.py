"""The arms of the ladder: the additions to SINT's training, which is the same in all other respects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import RegionLimits
from tracker.errors import InputError
from tracker.models.sint import Sint
from tracker.scorers import SintScorer
from tracker.training import FrameHardening, FrameTransform, Hardening, MakeHardening

from ..hard_positives.transforms import (
    Contrasting,
    Cutouts,
    HardPositiveBatch,
    Lookalikes,
    OccludedMargin,
    OccludedScore,
)
from ..hard_positives.transforms.batch import AREAS
from .adversary import RotateAndOcclude, load_adversary
from .peers import Erasing, MotionBlur, RoiHoles

AREA = 0.25
"""Largest covered area of a target in the arms of a quarter, as in the environment."""


@dataclass(frozen=True)
class ArmInputs:
    """Inputs of the hardenings.

    Attributes:
        share: Probability that the second frame of a pair is changed.
        adversary: File of the rotation adversary.
        cutouts: Returns targets of the training videos, `uint8[N, 64, 64, 3]`.
    """

    share: float
    adversary: Path
    cutouts: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: Name of its folders.
        title: Name in tables.
        samples: Occlusion of the samples of the targets' manifolds (PSGN) in its training: a method of
            `agents.policies.methods.METHODS`, `agent` (HPTN, the search by the agent), `constant` (the region
            with the largest mean drop on training videos), or `nothing`; `None` for a training without samples.
        harden: Makes the hardening of the frames or features of a step, for the network in training.
        needs: Its inputs that are made before the training: the `adversary`, or `cutouts`.
    """

    name: str
    title: str
    samples: str | None = None
    harden: Callable[[Sint, ArmInputs], Hardening] | None = None
    needs: Literal["", "adversary", "cutouts"] = ""


def _frames(make: Callable[[Sint, ArmInputs], FrameTransform]) -> Callable[[Sint, ArmInputs], Hardening]:
    return lambda sint, inputs: FrameHardening(make(sint, inputs))


def _wide(p: float, **options: Any) -> HardPositiveBatch:
    """Random occlusion of 5 to 60 % of the target; the area is drawn for each frame."""
    return HardPositiveBatch(p=p, limits=RegionLimits(max_area=AREAS[1]), least_area=AREAS[0], **options)


def _hardest(sint: Sint, p: float, largest: float = AREAS[1]) -> HardPositiveBatch:
    """The hardest of eight random regions, each with its own patch, for the network in training."""
    limits, objective = RegionLimits(max_area=largest), OccludedScore(SintScorer(sint.backbone))
    return HardPositiveBatch("best of 8 random", None, p, limits, AREAS[0], patches=8, objective=objective)


def _quarter(p: float) -> HardPositiveBatch:
    """Random occlusion of a quarter of the target."""
    return HardPositiveBatch("random", None, p, RegionLimits(max_area=AREA))


@dataclass
class Curriculum(Hardening):
    """The hardest of eight; the largest area grows from 10 to 60 % of the target during the training.

    Attributes:
        sint: The network in training.
        p: Probability that a frame is changed.
    """

    sint: Sint
    p: float

    def record(self) -> str:
        """The settings."""
        return f"Curriculum({_hardest(self.sint, self.p)!r})"

    def at(self, progress: float) -> Hardening:
        """The hardening at a training progress in [0, 1]."""
        return FrameHardening(_hardest(self.sint, self.p, 0.1 + progress * (AREAS[1] - 0.1)))


_ARMS = (
    Arm("sint", "SINT"),
    Arm("vae", "SINT + VAE", samples="nothing"),
    Arm("vae-random", "SINT + VAE + random occlusion", samples="random"),
    Arm("vae-constant", "SINT + VAE + one constant region", samples="constant"),
    Arm("vae-hptn", "SINT + VAE + HPTN (SINT++)", samples="agent"),
    Arm("vae-belief", "SINT + VAE + belief over regions", samples="belief"),
    Arm("vae-grid", "SINT + VAE + grid search", samples="grid"),
    Arm(
        "adv-net", "Adv-Net: turned, then random, a quarter", needs="adversary",
        harden=_frames(
            lambda sint, inputs: RotateAndOcclude(
                load_adversary(inputs.adversary, sint.backbone.mean.device), _quarter(inputs.share), inputs.share
            )
        ),
    ),
    Arm("roi-holes", "holes in the RoI features (A-Fast-RCNN)", harden=lambda _, inputs: RoiHoles(inputs.share)),
    Arm("erasing", "random erasing", harden=_frames(lambda sint, inputs: Erasing(inputs.share))),
    Arm("blur", "motion blur", harden=_frames(lambda sint, inputs: MotionBlur(inputs.share))),
    Arm("random", "random, a quarter", harden=_frames(lambda sint, inputs: _quarter(inputs.share))),
    Arm("wide", "random, 5 to 60 %", harden=_frames(lambda sint, inputs: _wide(inputs.share))),
    Arm("always", "random, 5 to 60 %, every frame", harden=_frames(lambda sint, inputs: _wide(1.0))),
    Arm(
        "cutouts", "random, 5 to 60 %, by other targets", needs="cutouts",
        harden=_frames(lambda sint, inputs: _wide(inputs.share, source=Cutouts(inputs.cutouts()))),
    ),
    Arm(
        "contrast", "random, 5 to 60 %, by contrasting background",
        harden=_frames(lambda _, inputs: _wide(inputs.share, source=Contrasting())),
    ),
    Arm(
        "lookalikes", "random, 5 to 60 %, by lookalikes",
        harden=_frames(lambda sint, inputs: _wide(inputs.share, source=Lookalikes(SintScorer(sint.backbone)))),
    ),
    Arm(
        "hardest", "hardest of 8, 5 to 60 %, as it learns",
        harden=_frames(lambda sint, inputs: _hardest(sint, inputs.share)),
    ),
    Arm(
        "curriculum", "hardest of 8, up to 10, then 60 %, as it learns",
        harden=lambda sint, inputs: Curriculum(sint, inputs.share),
    ),
    Arm(
        "margin", "least margin of 4, 5 to 60 %, as it learns",
        harden=_frames(
            lambda sint, inputs: _wide(
                inputs.share, method="best of 4 random", patches=4,
                objective=OccludedMargin(SintScorer(sint.backbone)),
            )
        ),
    ),
)  # fmt: skip

ARMS = {arm.name: arm for arm in _ARMS}
"""The arms by name, in the order of the table."""

_FORMER_NAMES = {"vae-exhaustive": "vae-grid"}
"""Former names, which commands still accept."""


def hardening_of(name: str, share: float) -> MakeHardening:
    """The hardening of an arm without `needs`, for `tracker.training.train_sint`.

    Args:
        name: Name of the arm.
        share: Probability that it changes a frame.

    Raises:
        InputError: If there is no such arm.
    """
    hardenings = {arm.name: arm.harden for arm in ARMS.values() if arm.harden is not None and not arm.needs}
    if name not in hardenings:
        raise InputError(f"There is no hardening '{name}'; choose {', '.join(hardenings)}.")
    inputs = ArmInputs(share, Path(), lambda: np.empty((0, 64, 64, 3), np.uint8))
    return lambda sint: hardenings[name](sint, inputs)


def choose_arms(names: tuple[str, ...]) -> list[Arm]:
    """The arms of these names, in the order of the table; all for no names.

    Raises:
        InputError: If there is no such arm.
    """
    names = tuple(_FORMER_NAMES.get(name, name) for name in names)
    for name in names:
        if name not in ARMS:
            raise InputError(f"There is no arm '{name}'; choose {', '.join(ARMS)}.")
    return [arm for arm in ARMS.values() if not names or arm.name in names]
