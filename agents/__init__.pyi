from .dqn.algorithm import SquaredErrorDQN, load_hyperparameters
from .dqn.bridge import VectorEnvBridge
from .evaluation.comparison import MethodComparison, compare
from .hard_positives.generation import HardPositiveGenerator
from .hard_positives.records import HardPositive, HardPositives, remake_hard_positive, write_hard_positives
from .hard_positives.transforms.batch import HardPositiveBatch
from .hard_positives.transforms.single import HardPositiveTransform
from .policies.belief.fitting import fit_prior
from .policies.belief.method import BeliefSearch
from .policies.loading import load_policy
from .policies.rollout import Agent, Policy, Rollout, roll_out
from .stress.corruptions.settings import StressSettings
from .stress.scores import StressScores, score_stress
from .stress.stress_test import StressTest

__all__ = [
    "Agent",
    "BeliefSearch",
    "HardPositive",
    "HardPositiveBatch",
    "HardPositiveGenerator",
    "HardPositiveTransform",
    "HardPositives",
    "MethodComparison",
    "Policy",
    "Rollout",
    "SquaredErrorDQN",
    "StressScores",
    "StressSettings",
    "StressTest",
    "VectorEnvBridge",
    "compare",
    "fit_prior",
    "load_hyperparameters",
    "load_policy",
    "remake_hard_positive",
    "roll_out",
    "score_stress",
    "write_hard_positives",
]
