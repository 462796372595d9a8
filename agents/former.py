"""Public names of the last version; `agents` warns where one is used, and the next version drops them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.scene.targets import Target, TargetSet
from occlusion_env.search.core import Search, SearchSettings
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from .evaluation.comparison import MethodComparison as Comparison
from .hard_positives.generation import HardPositiveGenerator
from .hard_positives.records import HardPositive
from .policies.methods import Method
from .policies.rollout import Agent, Policy

__all__ = ["Comparison", "PatchPolicy", "Setup", "begin_all", "find_hard_positives"]


class Setup(Networks):
    """Deprecated form of `occlusion_env.load_networks(arguments)`, which `compare` takes now."""

    @classmethod
    def load(cls, arguments: SearchArguments) -> Networks:
        """The networks of an environment; give `compare` its arguments too."""
        return load_networks(arguments)


def PatchPolicy(
    policy: Policy, features: FeatureExtractor | None = None, settings: SearchSettings | None = None
) -> Agent:
    """Deprecated form of `Agent(name, lambda search: policy, settings, features)`, or of the policy alone."""
    return Agent(type(policy).__name__, lambda search: policy, settings, features)


def begin_all(
    search: Search,
    targets: Sequence[Target],
    rng: np.random.Generator,
    drop: float,
    occluder: str = "background",
    others: TargetSet | None = None,
) -> None:
    """Deprecated form of `search.begin_random(targets, rng, occluder, others, drop)`; it returns no boxes."""
    search.begin_random(targets, rng, occluder, others, drop)


def find_hard_positives(
    policy: Policy | Agent | Method | str, targets: TargetSet, scorer: Scorer, *arguments: Any, **options: Any
) -> list[HardPositive]:
    """Deprecated form of `HardPositiveGenerator(policy, scorer, ...).of_targets(targets, seed)`.

    `progress` among the options shows nothing.
    """
    given: dict[str, Any] = dict(zip(("features", "settings", "seed", "batch"), arguments, strict=False)) | options
    given.pop("progress", None)
    seed = given.pop("seed", 0)
    return list(HardPositiveGenerator(policy, scorer, **given).of_targets(targets, seed=seed))
