"""Agents of the search and their applications: Algorithm 1, evaluation, hard positives, the command line.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .dqn.algorithm import SquaredErrorDQN, load_hyperparameters
    from .evaluation.comparison import MethodComparison, Setup, compare
    from .hard_positives.generation import HardPositiveGenerator, PatchPolicy
    from .hard_positives.records import HardPositive, HardPositives, remake_hard_positive, write_hard_positives
    from .hard_positives.transforms.batch import HardPositiveBatch
    from .hard_positives.transforms.single import HardPositiveTransform
    from .policies.belief.fitting import fit_prior
    from .policies.belief.method import BeliefSearch
    from .policies.rollout import Agent, Policy, Rollout, begin_all, roll_out

__all__ = [
    "Agent",
    "BeliefSearch",
    "HardPositive",
    "HardPositiveBatch",
    "HardPositiveGenerator",
    "HardPositiveTransform",
    "HardPositives",
    "MethodComparison",
    "PatchPolicy",
    "Policy",
    "Rollout",
    "Setup",
    "SquaredErrorDQN",
    "begin_all",
    "compare",
    "fit_prior",
    "load_hyperparameters",
    "remake_hard_positive",
    "roll_out",
    "write_hard_positives",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dqn.algorithm": ["SquaredErrorDQN", "load_hyperparameters"],
        "evaluation.comparison": ["MethodComparison", "Setup", "compare"],
        "hard_positives.generation": ["HardPositiveGenerator", "PatchPolicy"],
        "hard_positives.records": [
            "HardPositive",
            "HardPositives",
            "remake_hard_positive",
            "write_hard_positives",
        ],
        "hard_positives.transforms.batch": ["HardPositiveBatch"],
        "hard_positives.transforms.single": ["HardPositiveTransform"],
        "policies.belief.fitting": ["fit_prior"],
        "policies.belief.method": ["BeliefSearch"],
        "policies.rollout": ["Agent", "Policy", "Rollout", "begin_all", "roll_out"],
    },
)
