"""The command `check-tracker`."""

from __future__ import annotations

import sys

from ..shared import BaseWeights, Device, Json, Precision


def check_tracker(
    tracker: str,
    weights: str | None = None,
    base_weights: BaseWeights = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = None,
) -> None:
    """Check that a tracker keeps to the interface.

    Runs it on a synthetic video and prints each departure; the exit code is then 1.

    Args:
        tracker: A tracker's name, or module:function for one of your own (a callable that returns it).
        weights: Its weights, where it needs them.

    Examples:
        occlusion-search check-tracker --tracker mil
        occlusion-search check-tracker --tracker own:Tracker --json findings.json
    """
    from tracker.trackers.check import check_tracker as check
    from tracker.trackers.registry import load_tracker

    from ...common.output import check_json_path
    from ...common.results import write_result

    check_json_path(json, weights, base_weights)
    findings = check(load_tracker(tracker, weights, device, precision, base_weights))
    write_result(json, "check-tracker", {"tracker": tracker, "findings": findings})
    for finding in findings:
        print(f"- {finding}")
    if findings:
        sys.exit(1)
    print(f"Nothing found: '{tracker}' keeps to the interface.")
