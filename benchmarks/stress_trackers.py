"""Trackers of `benchmarks/results/stress.json` that `load_tracker` does not know by one name each.

A module for `occlusion-search stress`, and no script:

    occlusion-search stress --tracker benchmarks.stress_trackers:nano_v1 ...

NanoTrack's weights are read from the folders that NANO_V1 and NANO_V2 name; each holds the two ONNX files.
"""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker import InputError
from tracker.trackers.opencv import NanoTracker


def nano_v1() -> NanoTracker:
    """NanoTrack, version 1."""
    return _nano("nano-v1", "NANO_V1")


def nano_v2() -> NanoTracker:
    """NanoTrack, version 2."""
    return _nano("nano-v2", "NANO_V2")


def _nano(name: str, variable: str) -> NanoTracker:
    if variable not in os.environ:
        raise InputError(f"Set {variable} to the folder with NanoTrack's two ONNX files.")
    tracker = NanoTracker(os.environ[variable])
    tracker.name = name
    return tracker


class Template:
    """A tracker of one's own in ten lines: the first frame's target, found by normalised correlation nearby."""

    name = "template"

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        """Keep the target's pixels."""
        self._x, self._y, w, h = (round(value) for value in np.asarray(box, dtype=float).tolist())
        self._x, self._y = max(self._x, 0), max(self._y, 0)
        self._target = image[self._y : self._y + h, self._x : self._x + w]

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find them within one size of the target around the last box."""
        h, w = self._target.shape[:2]
        left, top = max(self._x - w, 0), max(self._y - h, 0)
        area = image[top : self._y + 2 * h, left : self._x + 2 * w]
        response = cv2.matchTemplate(area, self._target, cv2.TM_CCOEFF_NORMED)
        _, _, _, (x, y) = cv2.minMaxLoc(response)
        self._x, self._y = left + x, top + y
        return np.array([self._x, self._y, w, h], dtype=np.float64)
