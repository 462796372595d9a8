"""Public names of the last version; `agents` warns where one is used, and the next version drops them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from occlusion_env.scene.targets import Target, TargetSet
from occlusion_env.search.core import Search
from tracker.scorers import Scorer

from .evaluation.comparison import MethodComparison as Comparison
from .hard_positives.generation import HardPositiveGenerator
from .hard_positives.records import HardPositive
from .policies.methods import Method
from .policies.rollout import Agent, Policy

__all__ = ["RENAMED", "Comparison", "begin_all", "find_hard_positives"]

RENAMED = {
    "Comparison": "agents.MethodComparison",
    "begin_all": "occlusion_env.Search.begin_random",
    "find_hard_positives": "agents.HardPositiveGenerator(...).of_targets",
}
"""Each name, and what stands for it now."""


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
