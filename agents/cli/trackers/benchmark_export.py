"""The command `benchmark export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tracker.errors import InputError

_RESULT = "benchmark export"


def benchmark_export(
    results: Path,
    layout: Literal["got10k", "pysot", "pytracking", "otb"],
    out: Path,
    tracker: str | None = None,
    zero_based: bool = False,
) -> None:
    """Write results in the layout of another toolkit.

    Writes the one-pass results: TRACKER/NAME/NAME_001.txt with its times for got10k and the GOT-10k server,
    TRACKER/NAME.txt for pysot, the same with tabs and times for pytracking, NAME_TRACKER.mat for the OTB authors'
    MATLAB toolkit. `benchmark score` reads each of them.

    Args:
        results: What `benchmark run` wrote.
        layout: The toolkit that is to read the files.
        out: Folder for the files; an earlier export in it is replaced.
        tracker: Only this tracker; by default all.
        zero_based: Count pixel coordinates from 0, for benchmarks whose annotation does; by default from 1, as
            OTB, GOT-10k and LaSOT.

    Examples:
        occlusion-search benchmark export --results results --layout got10k --out submission
        occlusion-search benchmark export --results results --layout otb --tracker mil --out mat
    """
    from tracker.evaluation.result_files import export_results, find_results

    from ...common.locks import lock_folder
    from ...common.output import check_folder, replacing_folder

    check_folder(out, results, result=_RESULT)
    folders = {name: inner["ope"] for name, inner in find_results(results).items() if "ope" in inner}
    if tracker is not None and tracker in folders:
        folders = {tracker: folders[tracker]}
    elif tracker is not None or not folders:
        there = f"; there are {', '.join(folders)}" if folders else ", which `benchmark run` writes"
        raise InputError(f"'{results}' holds no one-pass results{f' of {tracker}' if tracker else ''}{there}.")
    with lock_folder(out), replacing_folder(out, _RESULT) as folder:
        targets = {
            name: export_results(path, name, folder, layout, 0 if zero_based else 1)
            for name, path in folders.items()
        }
    for name, exported in targets.items():
        print(f"{name}: {len(exported)} target{'' if len(exported) == 1 else 's'} in {out}")
