"""The page of a folder of hard positives: the images, the hardest first."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tracker.data.images import image_size
from tracker.evaluation.report.page import INDEX, PageTable, render_page
from tracker.files import replacing_file

from .views import covered_pixels

MOST_SHOWN = 500
"""Hard positives on a page; a browser loads and scrolls as many without waiting."""


@dataclass(frozen=True)
class _Shot:
    """One image of the page; boxes are `(x, y, w, h)` in percent of its sides."""

    file: str
    uri: str
    width: int
    height: int
    box: list[float]
    covered: list[float]
    source: str
    before: float
    after: float

    @classmethod
    def of(cls, folder: Path, record: Mapping[str, Any]) -> _Shot:
        width, height = image_size(folder / record["file_name"])
        box = record.get("box", [0, 0, width, height])  # folders of earlier versions hold crops
        sides = np.array([width, height, width, height]) / 100
        source = record["source"]
        return cls(
            record["file_name"],
            quote(record["file_name"]),
            width,
            height,
            (np.array(box) / sides).round(3).tolist(),
            (covered_pixels(box, record["region"]) / sides).round(3).tolist(),
            f"{source['video']}, frame {source['frame']}" + ("" if source["code"] is None else ", sampled"),
            record["score_before"],
            record["score_after"],
        )


def write_hard_positives_page(folder: Path, command: str) -> Path:
    """Write `index.html` into a folder of hard positives; it loads the images from there.

    Args:
        folder: With `metadata.jsonl` and the images.
        command: The command line that made them.

    Returns:
        The page.
    """
    records = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    records.sort(key=lambda record: record["score_after"] - record["score_before"])
    before, after = np.mean([(record["score_before"], record["score_after"]) for record in records], axis=0)
    videos = _videos(records)
    view, place = records[0].get("view", "crop"), os.path.relpath(folder)
    page = render_page(
        "agents.hard_positives",
        "gallery.html.j2",
        title="Hard positives",
        lead=f"{len(records)} hard positives of {len(videos.rows)} video{'s' * (len(videos.rows) != 1)}; the"
        f" occlusions lower the mean score of the matcher from {before:.3f} to {after:.3f}.",
        warnings=[],
        sections=[
            ("hardest", "Hardest first"), ("videos", "By video"), ("next", "Where to go next"),
            ("made", "How this was made"),
        ],
        shots=[_Shot.of(folder, record) for record in records[:MOST_SHOWN]],
        count=len(records),
        view=view,
        videos=videos,
        content=[],
        next_steps=[
            ("Load them with the library datasets", _LOADING.format(folder=place)),
            (
                "Train a SINT++ with them",
                "occlusion-search train-tracker --data path/to/videos --hard-positives"
                f" {shlex.quote(place)} --out out/sint++",
            ),
        ],
        settings=[("command", command)],
    )  # fmt: skip
    with replacing_file(folder / INDEX) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / INDEX


_LOADING = """\
from datasets import load_dataset
rows = load_dataset("imagefolder", data_dir={folder!r}, split="train")
rows[0]["image"], rows[0]["box"]  # the target's x, y, w, h in the image"""


def _videos(records: list[dict[str, Any]]) -> PageTable:
    """Mean scores of each video's hard positives, the largest drop first."""
    scores: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        scores.setdefault(record["source"]["video"], []).append((record["score_before"], record["score_after"]))
    means = {name: (len(pairs), *np.mean(pairs, axis=0).tolist()) for name, pairs in scores.items()}
    rows = sorted(means.items(), key=lambda row: row[1][2] - row[1][1])
    return PageTable(
        "Mean scores of the matcher.",
        ["video", "hard positives", "not occluded", "occluded", "difference"],
        [
            [name, str(count), f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}"]
            for name, (count, before, after) in rows
        ],
    )
