"""Our trackers in a VOT workspace, where vot-toolkit computes accuracy, robustness and EAO.

The toolkit starts a tracker as a process and talks to it over TraX. This module is that process,

    python -m tracker.evaluation.vot NAME [--weights FILE] [--base-weights FILE] [--device cpu] [--precision fp32]

and writes the entry of the workspace's `trackers.ini` that starts it (`register`). Install the extra `vot`
(`pip install "occlusion-search[vot]"`): vot-toolkit 0.7, because the supervised experiment, which VOT-2013 to
2019 are, stops with an error in 0.8.1 and 0.9.0. The tracker's process needs `vot-trax` alone, so that the
toolkit may live in another environment.

The usual way, in a folder of one's own:

    vot initialize vot2014 --workspace DIR            (the toolkit fetches the frames)
    occlusion-search benchmark vot --tracker NAME --workspace DIR
    vot test NAME                                     (in DIR; a made-up video)
    vot evaluate --workspace DIR NAME
    vot analysis --workspace DIR NAME                 (accuracy, robustness, EAO as JSON)

Regions: VOT's are 0-based, as ours are. A rectangle is taken as it is; of a polygon (the rotated boxes of
VOT-2014 to 2019) the tracker gets the min/max hull (`tracker.data.boxes.hull`), which is larger than the target
where the box is tilted; of a mask, the box around its pixels. The answer is a rectangle, which the toolkit
compares with the polygon itself. A tracker that answers something that is no box with an area has lost its
target: the toolkit gets an empty rectangle, whose overlap is 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.boxes import hull
from ..data.images import read_image, read_levels
from ..errors import InputError
from ..files import replacing_file
from ..trackers.check import output_fault

if TYPE_CHECKING:
    from ..trackers.protocol import Tracker


TIMEOUT = 300
"""Seconds that the toolkit waits for an answer; its own 30 are short where a network is loaded on a busy CPU."""


def check_extra() -> None:
    """Check that TraX is installed.

    Raises:
        InputError: If the extra `vot` is not installed.
    """
    if importlib.util.find_spec("trax") is None:
        raise InputError('VOT runs need TraX; install the extra: pip install "occlusion-search[vot]".')


def region_to_box(region: Any) -> NDArray[np.float64]:
    """Convert a region of the toolkit to a box.

    Args:
        region: A `trax.region.Rectangle`, `Polygon` or `Mask`.

    Returns:
        `float64[4]`, `(x, y, w, h)`, 0-based pixels; of a polygon the min/max hull, of a mask the box around
        its pixels.

    Raises:
        InputError: If the region is of another kind, or a mask without pixels.
    """
    if region.type == "rectangle":
        return np.asarray(region.bounds(), dtype=np.float64)
    if region.type == "polygon":
        return hull(np.asarray(list(region), dtype=np.float64).ravel())
    if region.type == "mask":
        rows, columns = np.nonzero(region.array())
        if rows.size:
            x, y = region.offset()
            low = np.array([columns.min() + x, rows.min() + y], dtype=np.float64)
            return np.concatenate([low, [np.ptp(columns) + 1, np.ptp(rows) + 1]])
        raise InputError("The toolkit's mask is empty; start the video at a frame that shows the target.")
    raise InputError(
        f"The toolkit sent a region of the kind '{region.type}'; it must be a rectangle, polygon or mask."
    )


def serve(make: Callable[[], Tracker]) -> None:
    """Answer the toolkit's requests until it ends the session.

    Args:
        make: Makes the tracker; called after the connection is made, so that loading has the toolkit's full
            time limit.

    Raises:
        InputError: If the extra is missing or a frame cannot be read.
    """
    check_extra()
    trax, region = importlib.import_module("trax"), importlib.import_module("trax.region")

    kinds = [region.Region.RECTANGLE, region.Region.POLYGON, region.Region.MASK]
    with trax.Server(kinds, [trax.Image.PATH]) as server:
        tracker, levels = make(), None
        while True:
            request = server.wait()
            if request.type not in (trax.TraxStatus.INITIALIZE, trax.TraxStatus.FRAME):
                break
            path = request.image["color"].path()
            if request.type == trax.TraxStatus.INITIALIZE:
                levels = read_levels([path])  # The frames that follow are scaled alike.
            image = read_image(path, levels)
            if request.type == trax.TraxStatus.INITIALIZE:
                box = region_to_box(request.objects[0][0])
                tracker.init(image, box)
            else:
                box = _answer(tracker.update(image))
            server.status([(region.Rectangle.create(*(float(value) for value in box)), {})])


def _answer(box: Any) -> NDArray[np.float64]:
    try:
        values = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"The tracker returned {output_fault(box)}; return four numbers x, y, w, h.") from None
    usable = values.shape == (4,) and np.isfinite(values).all() and (values[2:] > 0).all()
    return values if usable else np.zeros(4)


def entry(label: str, name: str, **settings: str | Path | None) -> str:
    """Return the tracker's section for `trackers.ini`.

    Args:
        label: The toolkit's name for it: letters, digits, `-` and `_`.
        name: The tracker's name for `tracker.trackers.registry.load_tracker`.
        settings: Other arguments of `load_tracker`: `weights`, `base_weights`, `device`, `precision`.

    Raises:
        InputError: If the toolkit would not take the label.

    >>> print(entry("mil", "mil", device="cpu").replace(sys.executable, "python"), end="")
    [mil]
    label = mil
    protocol = trax
    command = python -m tracker.evaluation.vot mil --device cpu
    timeout = 300
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", label):
        raise InputError(f"'{label}' is no name for vot-toolkit; use letters, digits, '-' and '_' alone.")
    words = [sys.executable, "-m", "tracker.evaluation.vot", name]
    for key, value in settings.items():
        if value is not None:
            # The toolkit starts the process in another folder; `imagenet` and `random` name weights.
            is_file = key.endswith("weights") and (value not in ("imagenet", "random") or Path(value).exists())
            words += [f"--{key.replace('_', '-')}", str(Path(value).resolve() if is_file else value)]
    command = shlex.join(words).replace("%", "%%")  # the toolkit reads the file with interpolation
    return f"[{label}]\nlabel = {label}\nprotocol = trax\ncommand = {command}\ntimeout = {TIMEOUT}\n"


def register(workspace: str | Path, label: str, name: str, **settings: str | Path | None) -> Path:
    """Write a tracker's `entry` into a workspace, the folder that `vot initialize` made.

    An earlier one of the same label is replaced, others stay.

    Returns:
        The `trackers.ini` that was written.

    Raises:
        InputError: If the folder is no workspace, or the label is not usable.
    """
    workspace = Path(workspace)
    if not (workspace / "config.yaml").is_file():
        raise InputError(
            f"'{workspace}' is no VOT workspace (no config.yaml); make one: vot initialize STACK --workspace DIR."
        )
    section = entry(label, name, **settings)
    file = workspace / "trackers.ini"
    try:
        text = file.read_text() if file.is_file() else ""
        kept = re.sub(rf"^\[{label}\].*?(?=^\[.|\Z)", "", text, flags=re.DOTALL | re.MULTILINE)
        with replacing_file(file) as temporary:
            temporary.write_text(f"{kept.rstrip()}\n\n{section}".lstrip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{file}' cannot be read and written ({error}); check the file.") from None
    return file


def main(arguments: list[str] | None = None) -> None:
    """Run the process that the toolkit starts."""
    parser = argparse.ArgumentParser(
        prog="python -m tracker.evaluation.vot", description="A tracker for vot-toolkit."
    )
    parser.add_argument("name", help="one of our trackers, as `occlusion-search benchmark run --tracker` has it")
    parser.add_argument("--weights", default=None)
    parser.add_argument("--base-weights", default=None)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    given = parser.parse_args(arguments)

    def make() -> Tracker:
        from ..trackers.registry import load_tracker

        return load_tracker(**vars(given))

    try:
        serve(make)
    except InputError as error:
        print(f"tracker.evaluation.vot: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
