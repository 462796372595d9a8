"""The command `track`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from tracker.errors import InputError

from ..shared import BaseWeights, Device, Precision, on_interrupt


def track(
    data: Annotated[str, tyro.conf.arg(metavar="FILE|FOLDER|INDEX")],
    out: Path,
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None,
    tracker: str = "sint",
    weights: str | None = None,
    base_weights: BaseWeights = None,
    boxes: Path | None = None,
    show: bool = False,
    frames: int | None = None,
    fps: float | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Track a target in your own video and draw its box.

    A truncated video is tracked as far as it can be decoded, and the exit code is 1. A camera is recorded until
    Ctrl-C or --frames.

    Args:
        data: A video file, a folder of images, or the index of a camera.
        out: The MP4 file to write, as large and as fast as the video (odd sides get one pixel more).
        box: The target in the first frame, 0-based pixels; without it you draw it on the display.
        tracker: sint, sint-slim, sint-vgg16, sint-alexnet, sint-torchvision:MODEL, nano, siamfc; boosting, csrt,
            kcf, medianflow, mil, mosse, tld of OpenCV; module:function for your own.
        weights: Its weights, where it needs them.
        boxes: Write the boxes to this file too: 0-based x,y,w,h a line.
        show: Show the frames in a window as they are tracked; q ends.
        frames: End after this many frames.
        fps: Frames a second of the result; by default the video's frame rate.

    Examples:
        occlusion-search track --data video.mp4 --box 120,80,60,90 --out tracked.mp4
        occlusion-search track --data 0 --tracker csrt --frames 300 --out camera.mp4
    """
    from tracker.data.boxes import parse_box
    from tracker.data.streams import open_stream
    from tracker.trackers.registry import load_tracker

    from ...common.output import check_file
    from ...tracking import track_video

    if out.suffix.lower() != ".mp4":
        raise InputError(f"'{out}' is no MP4 file; give --out FILE.mp4.")
    check_file(out, data, weights, base_weights, option="--out")
    check_file(boxes, data, weights, base_weights, out, option="--boxes")
    if boxes is not None and boxes.resolve() == out.resolve():
        raise InputError(f"'{out}' cannot hold both the video and its boxes; give another --boxes.")
    if frames is not None and frames < 1:
        raise InputError(f"--frames {frames} leaves nothing to track; give at least 1.")
    if fps is not None and not 0 < fps <= 1000:
        raise InputError(f"--fps {fps:g} is no rate; give frames a second, above 0 and at most 1000.")
    given = None if box is None else parse_box(box)
    chosen = load_tracker(tracker, weights, device, precision, base_weights)
    with on_interrupt():
        report = track_video(
            open_stream(data), chosen, given, out, boxes_file=boxes, fps=fps, most_frames=frames, show=show
        )
    print(f"{report.frames} frames with the boxes of {chosen.name} are in {out}")
    if report.broken is not None:
        print(f"occlusion-search: {report.broken}", file=sys.stderr)
        sys.exit(1)
