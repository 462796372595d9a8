"""The command `benchmark vot`."""

from __future__ import annotations

from pathlib import Path

from ..shared import BaseWeights, Device, Precision


def benchmark_vot(
    tracker: str,
    workspace: Path,
    label: str | None = None,
    weights: str | None = None,
    base_weights: BaseWeights = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Enter a tracker into a VOT workspace.

    Writes the tracker's section of trackers.ini; other sections stay. vot-toolkit then measures accuracy,
    robustness and EAO. Needs the extra `vot`.

    Args:
        tracker: Name of the tracker, as `benchmark run` has it.
        workspace: The folder that `vot initialize` made.
        label: Its name in vot-toolkit (letters, digits, `-` and `_`); by default the tracker's name, with `-`
            for other characters.
        weights: Its weights, where it needs them.

    Examples:
        occlusion-search benchmark vot --tracker sint --workspace vot
        occlusion-search benchmark vot --tracker mil --workspace vot --label MIL
    """
    import re
    import shlex

    from tracker.evaluation.vot import check_extra, register

    check_extra()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", tracker) if label is None else label
    settings = {"weights": weights, "base_weights": base_weights, "device": device, "precision": precision}
    file = register(workspace, name, tracker, **settings)
    print(f"Wrote the section [{name}] of {file}; now run:")
    print(f"  vot evaluate --workspace {shlex.quote(str(workspace))} {name}")
    print(f"  vot analysis --workspace {shlex.quote(str(workspace))} {name}")
