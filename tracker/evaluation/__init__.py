"""Benchmarks of trackers by OTB's protocols: runs, scores, intervals and reports.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
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

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "annotations": ["Annotation", "read_annotations"],
        "comparison": ["TrackerComparison", "compare_trackers"],
        "experiment": ["Experiment"],
        "intervals": ["Interval", "interval", "paired_difference"],
        "running": ["RunReport", "run_benchmark", "run_tracker"],
        "scoring": ["TargetScores", "TrackerScores", "score_results"],
    },
)
