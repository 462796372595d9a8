"""The arms of the ladder: what each adds to SINT's training. All else is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from occlusion_env.actions import RegionLimits
from tracker.errors import InputError
from tracker.scorers import SintScorer
from tracker.sint import Sint
from tracker.training import FramesHardened, Hardening

from ..transforms import HardPositiveBatch
from .adversary import RotateAndOcclude, load_adversary
from .peers import Erasing, MotionBlur, RoiHoles

__all__ = ["ARMS", "Arm", "Tools", "choose_arms"]

AREA = 0.25
"""Largest area that is covered, as in the environment."""


@dataclass(frozen=True)
class Tools:
    """What arms are made with.

    Attributes:
        share: How often the second frame of a pair is a generated one.
        adversary: The file of the rotation adversary.
    """

    share: float
    adversary: Path


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: Names its folders.
        title: Names it in tables.
        samples: Where its training shows samples of the targets' manifolds (PSGN), what occludes them: a method of
            `agents.methods.METHODS`, `agent` (HPTN, the search by the agent), or `nothing`; `None` shows none.
        harden: What changes the frames or the features of a step, made of the network that learns.
    """

    name: str
    title: str
    samples: str | None = None
    harden: Callable[[Sint, Tools], Hardening] | None = None


def _frames(make: Callable[[Sint, Tools], object]) -> Callable[[Sint, Tools], Hardening]:
    return lambda sint, tools: FramesHardened(make(sint, tools))  # type: ignore[arg-type]


def _occlusion(
    method: str, max_area: float = AREA, least_area: float | None = None, p: float | None = None
) -> Callable[[Sint, Tools], Hardening]:
    """Occlusion of the frames by a method; one that asks a matcher asks the network as it is at that step."""
    return _frames(
        lambda sint, tools: HardPositiveBatch(
            method, None if method == "random" else SintScorer(sint.backbone), tools.share if p is None else p,
            RegionLimits(max_area=max_area), least_area,
        )
    )  # fmt: skip


_ARMS = (
    Arm("sint", "SINT"),
    Arm("vae", "SINT + VAE", samples="nothing"),
    Arm("vae-random", "SINT + VAE + random occlusion", samples="random"),
    Arm("vae-hptn", "SINT + VAE + HPTN (SINT++)", samples="agent"),
    Arm("vae-exhaustive", "SINT + VAE + exhaustive occlusion", samples="exhaustive"),
    Arm(
        "adv-net", "Adv-Net: rotation adversary + random occlusion",
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
    Arm("random", "random occlusion of a quarter", harden=_occlusion("random")),
)  # fmt: skip

ARMS = {arm.name: arm for arm in _ARMS}
"""The arms by name, in the order of the table."""


def choose_arms(names: tuple[str, ...]) -> list[Arm]:
    """The arms of these names, in the order of the table; all of them where none is named.

    Raises:
        InputError: If there is no such arm.
    """
    for name in names:
        if name not in ARMS:
            raise InputError(f"There is no arm '{name}'; choose {', '.join(ARMS)}.")
    return [arm for arm in ARMS.values() if not names or arm.name in names]
