"""The arms of the ladder: what each adds to SINT's training. All else is the same for all of them."""

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
from tracker.training import FramesHardened, FrameTransform, Hardening, MakeHardening

from ..hard_positives.transforms import Cutouts, HardPositiveBatch, Lookalikes, OccludedMargin, OccludedScore
from ..hard_positives.transforms.batch import AREAS
from .adversary import RotateAndOcclude, load_adversary
from .peers import Erasing, MotionBlur, RoiHoles

__all__ = ["ARMS", "Arm", "Tools", "choose_arms", "hardening_of"]

AREA = 0.25
"""What is covered, as in the environment."""


@dataclass(frozen=True)
class Tools:
    """What arms are made with.

    Attributes:
        share: How often the second frame of a pair is a generated one.
        adversary: The file of the rotation adversary.
        cutouts: Makes targets of the training videos, `uint8[N, 64, 64, 3]`.
    """

    share: float
    adversary: Path
    cutouts: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: Names its folders.
        title: Names it in tables.
        samples: Where its training shows samples of the targets' manifolds (PSGN), what occludes them: a method of
            `agents.policies.methods.METHODS`, `agent` (HPTN, the search by the agent), `constant` (the region
            with the largest mean drop on training videos), or `nothing`; `None` shows none.
        harden: What changes the frames or the features of a step, made of the network that learns.
        needs: What has to be made for that: the `adversary`, or `cutouts`.
    """

    name: str
    title: str
    samples: str | None = None
    harden: Callable[[Sint, Tools], Hardening] | None = None
    needs: Literal["", "adversary", "cutouts"] = ""


def _frames(make: Callable[[Sint, Tools], FrameTransform]) -> Callable[[Sint, Tools], Hardening]:
    return lambda sint, tools: FramesHardened(make(sint, tools))


def _wide(p: float, **options: Any) -> HardPositiveBatch:
    """Occlusion of 5 to 60 % of the target; the area is drawn for each frame."""
    return HardPositiveBatch(p=p, limits=RegionLimits(max_area=AREAS[1]), least_area=AREAS[0], **options)


def _hardest(sint: Sint, p: float, largest: float = AREAS[1]) -> HardPositiveBatch:
    """Of eight random regions, each with a patch of its own, the one that the network now knows least."""
    limits = RegionLimits(max_area=largest)
    objective = OccludedScore(SintScorer(sint.backbone))
    return HardPositiveBatch("best of 8 random", None, p, limits, AREAS[0], patches=8, objective=objective)


class Curriculum(Hardening):
    """The hardest of eight, whose largest area grows from 10 to 60 % of the target in the course of the training.

    Args:
        sint: The network that learns.
        p: How often a frame is changed.
    """

    def __init__(self, sint: Sint, p: float) -> None:
        self.sint, self.p = sint, p

    def record(self) -> str:
        """What tells it from others."""
        return f"Curriculum({_hardest(self.sint, self.p)!r})"

    def at(self, progress: float) -> Hardening:
        """The hardest of eight with the area of this moment."""
        return FramesHardened(_hardest(self.sint, self.p, 0.1 + progress * (AREAS[1] - 0.1)))


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
            lambda sint, tools: RotateAndOcclude(
                load_adversary(tools.adversary, sint.backbone.mean.device),
                HardPositiveBatch("random", None, tools.share, RegionLimits(max_area=AREA)), tools.share,
            )
        ),
    ),
    Arm("roi-holes", "holes in the RoI features (A-Fast-RCNN)", harden=lambda sint, tools: RoiHoles(tools.share)),
    Arm("erasing", "random erasing", harden=_frames(lambda sint, tools: Erasing(tools.share))),
    Arm("blur", "motion blur", harden=_frames(lambda sint, tools: MotionBlur(tools.share))),
    Arm(
        "random", "random, a quarter",
        harden=_frames(
            lambda sint, tools: HardPositiveBatch("random", None, tools.share, RegionLimits(max_area=AREA))
        ),
    ),
    Arm("wide", "random, 5 to 60 %", harden=_frames(lambda sint, tools: _wide(tools.share))),
    Arm("always", "random, 5 to 60 %, every frame", harden=_frames(lambda sint, tools: _wide(1.0))),
    Arm(
        "cutouts", "random, 5 to 60 %, by other targets", needs="cutouts",
        harden=_frames(lambda sint, tools: _wide(tools.share, source=Cutouts(tools.cutouts()))),
    ),
    Arm(
        "lookalikes", "random, 5 to 60 %, by lookalikes",
        harden=_frames(
            lambda sint, tools: _wide(tools.share, source=Lookalikes(SintScorer(sint.backbone)))
        ),
    ),
    Arm(
        "hardest", "hardest of 8, 5 to 60 %, as it learns",
        harden=_frames(lambda sint, tools: _hardest(sint, tools.share)),
    ),
    Arm(
        "curriculum", "hardest of 8, up to 10, then 60 %, as it learns",
        harden=lambda sint, tools: Curriculum(sint, tools.share),
    ),
    Arm(
        "margin", "least margin of 4, 5 to 60 %, as it learns",
        harden=_frames(
            lambda sint, tools: _wide(
                tools.share, method="best of 4 random", patches=4,
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
    """The hardening of an arm that needs nothing but the network, for `tracker.training.train_sint`.

    Args:
        name: Of the arm.
        share: How often it changes a frame.

    Raises:
        InputError: If there is no such arm.
    """
    possible = {arm.name: arm.harden for arm in ARMS.values() if arm.harden is not None and not arm.needs}
    if name not in possible:
        raise InputError(f"There is no hardening '{name}'; choose {', '.join(possible)}.")
    harden = possible[name]
    assert harden is not None
    tools = Tools(share, Path(), lambda: np.empty((0, 64, 64, 3), np.uint8))
    return lambda sint: harden(sint, tools)


def choose_arms(names: tuple[str, ...]) -> list[Arm]:
    """The arms of these names, in the order of the table; all of them where none is named.

    Raises:
        InputError: If there is no such arm.
    """
    names = tuple(_FORMER_NAMES.get(name, name) for name in names)
    for name in names:
        if name not in ARMS:
            raise InputError(f"There is no arm '{name}'; choose {', '.join(ARMS)}.")
    return [arm for arm in ARMS.values() if not names or arm.name in names]
