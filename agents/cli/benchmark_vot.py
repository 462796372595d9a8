"""The command `benchmark vot`."""

from __future__ import annotations

from pathlib import Path

from .shared import Device

__all__ = ["vot"]


def vot(
    tracker: str,
    workspace: Path,
    label: str | None = None,
    weights: Path | None = None,
    device: Device = "auto",
) -> None:
    """Enter a tracker into a VOT workspace; vot-toolkit then measures accuracy, robustness and EAO.

    Writes the tracker's section of trackers.ini; other sections stay. Needs the extra `vot`.

    Args:
        tracker: Name of the tracker, as `benchmark run` has it.
        workspace: The folder that `vot initialize` made.
        label: What vot-toolkit calls it (letters, digits, `-` and `_`); by default the tracker's name.
        weights: File with its weights.
        device: Where its network runs.
    """
    import shlex

    from tracker.judging.vot import check_extra, register

    check_extra()
    name = tracker if label is None else label
    file = register(workspace, name, tracker, weights, device)
    print(f"Wrote the section [{name}] of {file}; now run:")
    print(f"  vot evaluate --workspace {shlex.quote(str(workspace))} {name}")
    print(f"  vot analysis --workspace {shlex.quote(str(workspace))} {name}")
