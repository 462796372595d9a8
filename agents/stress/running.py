"""Running a tracker through the moments of sequences, and the records of its boxes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlusion_env.scene.shapes import OtherVideo, other_videos
from tracker.data.readers import read_sequence
from tracker.errors import InputError
from tracker.records import read_record, write_record
from tracker.trackers.check import output_fault
from tracker.trackers.protocol import Tracker

from .corruptions.moments import Moment
from .corruptions.placement import CANDIDATES, hardest_for_tracker
from .corruptions.scene import Image, Scene
from .corruptions.settings import CONDITIONS, PROTOCOL_VERSION, StressSettings
from .planning import Place

BOXES = "boxes"
TIMES = "times"
CARD = "card.png"

_DIGITS = 3
"""Decimals of the stored boxes."""


@dataclass(frozen=True)
class TrackerRun:
    """A tracker's way through the frames of one condition.

    Attributes:
        boxes: `float64[length, 4]`, the first as it was given; zeros from a failure on.
        failure: One sentence, if the tracker raised or returned no box.
        seconds: That `init` and `update` took.
    """

    boxes: NDArray[np.float64]
    failure: str | None
    seconds: float


def run_condition(tracker: Tracker, frames: Iterator[Image], box: ArrayLike, length: int) -> TrackerRun:
    """Run a tracker through frames; an exception of the tracker, or a box that is none, ends the run."""
    boxes, seconds = np.zeros((length, 4)), 0.0
    boxes[0] = box
    for row, frame in enumerate(frames):
        fault, begin = None, time.perf_counter()
        try:
            if row == 0:
                tracker.init(frame, boxes[0].copy())
            else:
                output = tracker.update(frame)
        except Exception as error:
            fault = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        seconds += time.perf_counter() - begin
        if row > 0 and fault is None:
            if (wrong := output_fault(output)) is None:
                boxes[row] = np.asarray(output, dtype=np.float64)
            else:
                fault = f"it returned {wrong}"
        if fault is not None:
            return TrackerRun(boxes, f"The tracker failed in frame {row} of the run: {fault}.", seconds)
    return TrackerRun(boxes, None, seconds)


@dataclass(frozen=True)
class SequenceJob:
    """A tracker's runs on one sequence; a picklable function for a worker process.

    Attributes:
        make_tracker: Makes the tracker.
        folder: The tracker's folder of results.
        name: The sequence.
        place: What opens it.
        digest: Digest of its frames and boxes.
        moments: Its moments.
        cutouts: What opens the sequences of `Moment.cutout`, by name.
        settings: The protocol's settings.
    """

    make_tracker: Callable[[], Tracker]
    folder: Path
    name: str
    place: Place
    digest: str
    moments: tuple[Moment, ...]
    cutouts: Mapping[str, Place]
    settings: StressSettings

    @property
    def file(self) -> Path:
        """The record of the boxes."""
        return self.folder / BOXES / f"{self.name}.json"

    def is_done(self) -> bool:
        """Whether the record is there and of these frames.

        Raises:
            InputError: If it is of other frames or boxes.
        """
        record = read_record(self.file)
        if record is None:
            return False
        if record["digest"] != self.digest:
            raise InputError(
                f"The results of '{self.name}' in '{self.folder}' were made on other frames or boxes (digest was"
                f" {record['digest']} and is {self.digest}); give another --out."
            )
        return True

    def __call__(self) -> None:
        """Run the tracker and write the record.

        Raises:
            InputError: If a frame cannot be read or the tracker cannot be made.
        """
        begin = time.perf_counter()
        moments, tracked, frames = [], 0.0, 0
        sequence = read_sequence(self.place[0], target=self.place[1])
        for moment in self.moments:
            record, seconds, count = self._run_moment(Scene(sequence, moment, self._other(moment)))
            moments.append(record)
            tracked, frames = tracked + seconds, frames + count
        content = {"protocol_version": PROTOCOL_VERSION, "digest": self.digest, "moments": moments}
        times = {"frames": frames, "tracker_seconds": tracked, "seconds": time.perf_counter() - begin}
        # The boxes say that the sequence is done, so they come last.
        for folder, record in ((TIMES, times), (BOXES, content)):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
            write_record(self.folder / folder / f"{self.name}.json", record)

    def _other(self, moment: Moment) -> OtherVideo | None:
        if "cutout" not in self.settings.conditions or moment.cutout is None:
            return None
        path, target = self.cutouts[moment.cutout]
        return other_videos([read_sequence(path, target=target)])[0]

    def _run_moment(self, scene: Scene) -> tuple[dict[str, Any], float, int]:
        """The record of a moment, the tracker's seconds, and the number of frames."""
        runs: dict[str, Any] = {}
        left_out: dict[str, str] = {}
        begin = time.perf_counter()
        tracker = self.make_tracker()
        seconds, frames = time.perf_counter() - begin, 0
        for name in self.settings.conditions:
            condition, region = CONDITIONS[name], None
            if condition.content == "cutout" and scene.other is None:
                left_out[name] = "There is no other video to cut an occluder out of."
                continue
            if condition.placement == "own":
                begin = time.perf_counter()
                found = hardest_for_tracker(scene, tracker)
                seconds += time.perf_counter() - begin
                if isinstance(found, str):
                    left_out[name] = found
                    continue
                region, frames = found, frames + 2 * len(CANDIDATES)
            run = run_condition(
                tracker, scene.corrupted(condition, region), scene.moment.boxes[0], condition.length
            )
            runs[name] = {"boxes": np.round(run.boxes, _DIGITS).tolist(), "failure": run.failure}
            if region is not None:
                runs[name]["region"] = list(region)
            seconds, frames = seconds + run.seconds, frames + condition.length
            if run.failure is not None:
                tracker = self.make_tracker()
        record = {"number": scene.moment.number, "frame": scene.moment.frame, "runs": runs, "left_out": left_out}
        return record, seconds, frames
