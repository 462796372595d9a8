"""What acts in the search, and what is built with it: Algorithm 1, evaluation, hard positives, the command line.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .dqn.algorithm import SquaredErrorDQN, load_hyperparameters
    from .dqn.bridge import VectorEnvBridge
    from .evaluation.comparison import Comparison, Setup, compare
    from .hard_positives.generation import HardPositiveGenerator, PatchPolicy, find_hard_positives
    from .hard_positives.records import HardPositive, HardPositives, remake_hard_positive, write_hard_positives
    from .policies.rollout import Agent, Policy, Rollout, begin_all, roll_out

__all__ = [
    "Agent",
    "Comparison",
    "HardPositive",
    "HardPositiveGenerator",
    "HardPositives",
    "PatchPolicy",
    "Policy",
    "Rollout",
    "Setup",
    "SquaredErrorDQN",
    "VectorEnvBridge",
    "begin_all",
    "compare",
    "find_hard_positives",
    "load_hyperparameters",
    "remake_hard_positive",
    "roll_out",
    "write_hard_positives",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dqn.algorithm": ["SquaredErrorDQN", "load_hyperparameters"],
        "dqn.bridge": ["VectorEnvBridge"],
        "evaluation.comparison": ["Comparison", "Setup", "compare"],
        "hard_positives.generation": ["HardPositiveGenerator", "PatchPolicy", "find_hard_positives"],
        "hard_positives.records": [
            "HardPositive",
            "HardPositives",
            "remake_hard_positive",
            "write_hard_positives",
        ],
        "policies.rollout": ["Agent", "Policy", "Rollout", "begin_all", "roll_out"],
    },
)
