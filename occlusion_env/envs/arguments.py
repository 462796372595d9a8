"""The keyword arguments of the environments."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.errors import InputError, check_choice, shorten

from ..mdp.actions import RegionLimits
from ..mdp.settings import HORIZON, ProcessSettings, SearchSettings, check_whole

if TYPE_CHECKING:
    from tracker.models.backbones import Precision
    from tracker.scorers import Scorer

    from ..scene.targets import TargetSet


SPLITS = ("train", "test")


class UnknownArgumentError(InputError, TypeError):
    """An unknown keyword argument: also the `TypeError` that Python raises for one, in Python's words.

    Libraries try an argument, and leave it out after a `TypeError`.
    """


@dataclass(frozen=True, kw_only=True)
class SearchArguments(ProcessSettings, RegionLimits):
    """The keyword arguments of the environments: plain data, so that specs serialise.

    `targets` and `scorer` also take objects, for use in one process.

    Attributes:
        targets: `synthetic[:SEED]`, `drawn[:SEED]` (the same without a photograph in it), the path of a sequence
            or of a folder of sequences, a `TargetSet`, or `module:function`, a function that returns one.
        split: `test`: the targets of one video in six alone, evenly spaced over their order; `train`: those of the
            others; `None`: all. A single video is split in time, the last third for `test`; of a generated one,
            `test` is the video of the next seed. The videos of `test` are those that `occlusion-search train`
            chooses the best model by, unless it is given `split:train`.
        features: The network of the state, and of the scorer: `slim`, `vgg16`, `alexnet` or `torchvision:MODEL`.
        layer: Its layer that is the state; by default `fc7`, or `pool5` where only convolutions were loaded.
        weights: The network's weights (`tracker.models.backbones.load_backbone`), or the file that `train-tracker`
            wrote, whose card gives the layers; `None` for those of the package. With the scorer `siamfc` they
            are SiamFC's.
        base_weights: Initial weights of the training that wrote `weights`; not needed for `slim`.
        scorer: `sint`, `siamfc`, `module:function` (a function without arguments that returns a
            `tracker.scorers.Scorer`; a process calls it once), or a `Scorer`.
        occluder: What covers the region: `background`, `mean`, `noise`, `zero`, `cutout` or `contrast`.
        patches: Number of different occluders of a target, drawn from its id, so that scores stay valid from
            episode to episode; 0 draws a new one for each episode.
        max_steps: Actions after which an episode is truncated if that is before `max_episode_steps`, the horizon
            that `gym.make` and `gym.make_vec` take (20; T of Algorithm 1). Observations that count steps count to
            `max_steps`, or to 20.
        phi: Threshold of the trigger, as a score; `None` makes it relative to each target.
        drop: Then phi is the target's clean score less this; `None` takes the drop that random regions reach with
            the chance `phi_quantile` on `targets`, measured at the first reset if the reward uses phi.
        phi_quantile: See `drop`.
        info_names: Whether the infos also have `action` and `target`, the names of `action_index` and
            `target_index`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `fp32`, `bf16`, or `auto`: bf16 where the hardware multiplies it natively.
    """

    targets: str | TargetSet = "synthetic"
    split: str | None = None
    features: str = "slim"
    layer: str | None = None
    weights: str | None = None
    base_weights: str | None = None
    scorer: str | Scorer = "sint"
    occluder: str = "background"
    patches: int = 0
    max_steps: int | None = None
    phi: float | None = None
    drop: float | None = None
    phi_quantile: float = 0.1
    info_names: bool = False
    device: str = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        """Raise an `InputError` if a value has a wrong type or is out of range; names are looked up where used."""
        numbers = {each.name: getattr(self, each.name) for each in fields(self) if isinstance(each.default, float)}
        thresholds = {name: value for name in ("phi", "drop") if (value := getattr(self, name)) is not None}
        for name, value in (numbers | thresholds).items():
            if not isinstance(value, int | float | np.number) or isinstance(value, bool):
                raise InputError(f"{name} is {shorten(value)}; it must be a number.")
            if isinstance(value, int) and abs(value) > sys.float_info.max:
                raise InputError(f"{name} has too many digits; it must be a number of ordinary size.")
        for name in ("features", "observation", "state", "start", "reward", "occluder", "precision"):
            if not isinstance(value := getattr(self, name), str):
                raise InputError(f"{name} is {shorten(value)}; it must be a text.")
        for name in ("layer", "weights", "base_weights"):
            if not isinstance(value := getattr(self, name), str | os.PathLike | None):
                raise InputError(f"{name} is {shorten(value)}; it must be a text, or None.")
        if self.split is not None:
            check_choice(self.split, SPLITS, "split")
        if len(thresholds) == 2:
            raise InputError("phi and drop are two ways to say one thing; give one of them.")
        for name, value in thresholds.items():
            if not math.isfinite(value):
                raise InputError(f"{name} is {shorten(value)}; it must be finite, in units of the score.")
        if self.drop is not None and self.drop < 0:
            raise InputError(f"drop is {self.drop}; it must be 0 or more: the fall of the score to phi.")
        if not 0 < self.phi_quantile < 1:
            raise InputError(f"phi_quantile is {self.phi_quantile}; it must lie between 0 and 1.")
        check_whole("patches", self.patches, 0, 1_000_000)
        if not isinstance(self.info_names, bool):
            raise InputError(f"info_names is {shorten(self.info_names)}; it must be True or False.")
        _ = self.settings

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any]) -> SearchArguments:
        """Build it from keyword arguments.

        Args:
            keywords: The attributes by name, and the `max_episode_steps` of `gym.make`; it bounds `max_steps`.

        Raises:
            UnknownArgumentError: If one of them is unknown.
            InputError: If one of them is out of range.
        """
        keywords = dict(keywords)
        horizons = [keywords.get("max_steps"), keywords.pop("max_episode_steps", None)]
        if any(horizon is not None for horizon in horizons):
            keywords["max_steps"] = min(horizon for horizon in horizons if horizon is not None)
        known = [each.name for each in fields(cls)]
        for name in keywords:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                remedy = f"did you mean '{near[0]}'?" if near else f"choose {', '.join(known)}."
                raise UnknownArgumentError(
                    f"The environment got an unexpected keyword argument '{name}'; {remedy}"
                )
        return cls(**keywords)

    @property
    def settings(self) -> SearchSettings:
        """The settings of the `Search` of an environment with these arguments."""
        limits = RegionLimits(**_select(self, RegionLimits))
        steps = HORIZON if self.max_steps is None else self.max_steps
        return SearchSettings(limits, steps, **_select(self, ProcessSettings))


def _select(arguments: SearchArguments, kind: type[ProcessSettings | RegionLimits]) -> dict[str, Any]:
    """The arguments that are fields of one of the two classes they extend."""
    return {each.name: getattr(arguments, each.name) for each in fields(kind)}
