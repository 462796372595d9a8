"""Readers of annotated videos, by layout, and of plain folders of images and video files."""

from __future__ import annotations

from .annotation import Table, read_table, zero_based
from .images import find_images
from .reading import LAYOUTS, list_sequences, list_targets, open_sequences, open_usable, read_sequence

__all__ = [
    "LAYOUTS",
    "Table",
    "find_images",
    "list_sequences",
    "list_targets",
    "open_sequences",
    "open_usable",
    "read_sequence",
    "read_table",
    "zero_based",
]
