"""The page of a demo."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from tracker.evaluation.report.page import PageTable, Picture, Section, write_index

from .evaluation.methods import EXPLANATIONS

EQUAL = "random at equal queries"
"""Best of as many random regions as the agent queried the scorer."""

_METHODS = ("clean", "random", "centre", EQUAL, "constant", "attribution", "agent", "belief", "grid search")
_OTHERS = {
    EQUAL: "the best of as many random regions as the agent queries",
    "agent": "moves of a policy that was trained by deep Q-learning",
}


def write_demo_page(folder: Path, report: dict[str, Any], out: Path) -> Path:
    """Write `index.html` into the folder of a demo.

    Args:
        folder: It holds the pictures.
        report: What `report.json` holds.
        out: Where the folder will be, for the commands of the next steps.

    Returns:
        The file.
    """
    sequence = report["sequence"]
    finder = report["hard_positives_by"]
    table = PageTable(
        f"Mean over {report['targets']} targets of frames that nothing was trained on; a lower score is harder.",
        ["method", "score", "scorer queries a target", "how it chooses regions"],
        [
            [
                name,
                f"{report[name]:.3f}",
                f"{report['queries'][name]:g}" if name in report["queries"] else "–",
                {**EXPLANATIONS, **_OTHERS}[name],
            ]
            for name in _METHODS
            if name in report
        ],
    )

    def picture(file: str, alt: str, caption: str) -> list[Picture]:
        return [Picture(file, (folder / file).read_bytes(), alt, caption)]

    sections = [
        Section(
            "Hard positives",
            [
                "A hard positive is an image of the target that a matcher finds hard to recognise. Here a"
                f" patch of the frame's background covers a part of the target. The {finder} chose the region."
            ],
            picture(
                "contact_sheet.png", "Hard positives with their scores.",
                "Targets and their hard positives; below each its score against the target of the first frame.",
            ),
        ),
        Section(
            "How hard they are",
            [
                "Every method covers each target once, with the same patch and within the same area. Grid search"
                f" tries {report['queries']['grid search']:g} regions of each target and is the standard of"
                " comparison.",
            ],
            picture(
                "scores.png", "Scores of the targets under each method.", "A point is a target, a bar the mean.",
            ),
            [table],
        ),
        Section(
            "The manifold of the target",
            [
                "A variational autoencoder learned the target's images from"
                f" {report['manifold']['crops']} frames; samples of it become hard positives too."
            ],
            picture(
                "manifold.png", "Images that the autoencoder generates.",
                "Left: images over two directions of the code; right: where the frames lie.",
            ),
        ),
    ]  # fmt: skip
    positives = shlex.quote(str(out / "hard_positives"))
    own = "occlusion-search demo --data video.mp4 --box 120,80,60,90 --out out/mine"
    return write_index(
        folder,
        f"{report['hard_positives']} hard positives of '{sequence['name']}'",
        f"Covering {report['area']:.0%} of the target with a patch of background lowers the matcher's score from"
        f" {report['clean']:.3f} to {report[finder]:.3f} where the {finder} chooses the region, and to"
        f" {report['random']:.3f} where chance does.",
        sections,
        report["command"],
        settings=[
            ("video", f"{sequence['origin']}, {sequence['frames']} frames"),
            ("boxes", sequence["boxes"]),
            ("network", f"{report['features']['network']}, {report['features']['layer']}"),
            ("agent", report["agent_is"]),
            ("seed", str(report["seed"])),
            ("device", f"{report['device']}, {report['precision']}"),
            ("seconds", f"{sum(report['seconds'].values()):.0f}"),
        ],
        next_steps=[
            ("The same with a video of your own and the box of its target in the first frame", own),
            ("Hard positives of many videos", "occlusion-search generate --data path/to/videos"),
            (
                "Train a tracker with these hard positives",
                "occlusion-search train-tracker --data path/to/videos --out out/sint++"
                f" --hard-positives {positives}",
            ),
        ],
    )
