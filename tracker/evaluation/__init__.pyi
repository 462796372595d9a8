from .annotations import Annotation, read_annotations
from .intervals import interval, paired_difference
from .protocols import Run, runs, sre_boxes, tre_starts
from .result_files import find_results, read_boxes, read_times, write_boxes, write_times
from .scoring import Scores, TargetScore, score_results

__all__ = [
    "Annotation",
    "Run",
    "Scores",
    "TargetScore",
    "find_results",
    "interval",
    "paired_difference",
    "read_annotations",
    "read_boxes",
    "read_times",
    "runs",
    "score_results",
    "sre_boxes",
    "tre_starts",
    "write_boxes",
    "write_times",
]
