from .annotations import Annotation, read_annotations
from .comparison import TrackerComparison, compare_trackers
from .experiment import Experiment
from .intervals import Interval, interval, paired_difference
from .running import RunReport, run_benchmark, run_tracker
from .scoring import TargetScores, TrackerScores, score_results

__all__ = [
    "Annotation",
    "Experiment",
    "Interval",
    "RunReport",
    "TargetScores",
    "TrackerComparison",
    "TrackerScores",
    "compare_trackers",
    "interval",
    "paired_difference",
    "read_annotations",
    "run_benchmark",
    "run_tracker",
    "score_results",
]
