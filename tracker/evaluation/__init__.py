"""Judging trackers by OTB's protocol.

Importing this package costs nothing; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
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

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "annotations": ["Annotation", "read_annotations"],
        "intervals": ["interval", "paired_difference"],
        "protocols": ["Run", "runs", "sre_boxes", "tre_starts"],
        "result_files": ["find_results", "read_boxes", "read_times", "write_boxes", "write_times"],
        "scoring": ["Scores", "TargetScore", "score_results"],
    },
)
