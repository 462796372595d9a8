"""The command `check-tracker`."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from ..shared import Device, Precision

__all__ = ["check_tracker"]


def check_tracker(
    name: tyro.conf.Positional[str],
    weights: str | None = None,
    base_weights: str | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Path | None = None,
) -> None:
    """Try a tracker out and say what it does wrong; exit code 1 if it does.

    Args:
        name: A tracker's name, or module:function for one of your own (a callable that returns it).
        weights: Its weights, where it needs them.
        base_weights: The initial weights of the training, for weights that train-tracker wrote.
        device: Where its network runs.
        precision: Arithmetic of its network.
        json: Write the findings here too.
    """
    from tracker.trackers.check import check_tracker as check
    from tracker.trackers.registry import load_tracker

    from ...common.output import check_json_path
    from ...common.results import write_result

    check_json_path(json, weights, base_weights)
    findings = check(load_tracker(name, weights, device, precision, base_weights))
    if json is not None:
        write_result(json, "check-tracker", {"tracker": name, "findings": findings})
    for finding in findings:
        print(f"- {finding}")
    if findings:
        sys.exit(1)
    print(f"Nothing found: '{name}' keeps to the interface.")
