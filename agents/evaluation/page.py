"""The page of an evaluation."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from tracker.evaluation.intervals import LEAST_TARGETS
from tracker.evaluation.report.page import PageTable, Picture, Section, write_index

from .methods import BUDGETS, EXPLANATIONS
from .table import (
    arm_differences,
    arm_tables,
    behaviour_tables,
    check_tables,
    frontier_tables,
    method_table,
    sequence_table,
)


def write_evaluation_page(folder: Path, content: dict[str, Any], command: str) -> Path:
    """Write `index.html` into the folder of an evaluation.

    Args:
        folder: It holds `frontier.png` and the sequences' pictures.
        content: What `evaluation.json` holds.
        command: The command line.

    Returns:
        The file.
    """
    count = len(content["sequences"])
    frontier = Picture(
        "frontier.png", (folder / "frontier.png").read_bytes(), "Closure of each method by its scorer queries.",
        "Up and to the left is better: more of what grid search finds, with fewer queries.",
    )  # fmt: skip
    pictures = [
        Picture(f"pictures/{name}.png", None, f"Regions of each method on {name}.", name)
        for name in content["sequences"]
        if (folder / "pictures" / f"{name}.png").is_file()
    ]
    sections = [
        Section(
            "Closure by scorer queries",
            [
                "Each method covers the target with the same patch, within the same largest area, and queries the"
                " matcher's score. Its closure is 0 where it is no better than one random region, and 1 where it"
                " is as good as grid search over hundreds of regions; a region between the grid's can exceed 1."
            ],
            [frontier],
            [_explanations(content), *frontier_tables(content)],
        ),
        Section(
            "After the last query", arm_differences(content), (), [*arm_tables(content), method_table(content)]
        ),
    ]
    if content["checks"]:
        text = (
            "An agent that looks at its target must be better than the same agent without features and than each"
            " action alone. The belief must be better with its own target's scores than with another video's."
        )
        sections.append(Section("Leak checks", [text], (), check_tables(content)))
    if content["agents"]:
        sections.append(Section("Behaviour of the agents", (), (), behaviour_tables(content)))
    sections.append(Section("Every sequence", (), (), [sequence_table(content)]))
    if pictures:
        text = "Up to four targets of each sequence; below each its score, lower is harder, the lowest in bold."
        sections.append(Section("What each method covers", [text], pictures))
    agent = next((row["agent"] for row in content["agents"].values()), "belief")
    generate = ["occlusion-search", "generate", "--agent", str(agent), "--data", "path/to/videos"]
    return write_index(
        folder,
        f"Evaluation on {content['targets']} targets of {count} sequence{'s' * (count != 1)}",
        _lead(content),
        sections,
        command,
        settings=[
            (name, "–" if content[name] is None else str(content[name]))
            for name in ("scorer", "features", "occluder", "device", "per_sequence", "seeds")
        ],
        next_steps=[
            (f"Make hard positives with {agent}", shlex.join(generate)),
            (
                "Train a tracker with them",
                "occlusion-search train-tracker --data path/to/videos --hard-positives out/hard_positives"
                " --out out/sint++",
            ),
        ],
        warnings=[
            *(f"{name} failed: {reason}" for name, reason in content["failed"].items()),
            *(
                f"{name} was trained on {', '.join(videos)}; its figures there say nothing about other videos."
                for name, videos in content["trained_on"].items()
                if videos
            ),
        ],
    )


def _explanations(content: dict[str, Any]) -> PageTable:
    rows = [[name, EXPLANATIONS[name]] for name in content["methods"] if name in EXPLANATIONS]
    rows += [[name, f"an agent: {row['agent']}"] for name, row in content["agents"].items()]
    return PageTable("The methods.", ["method", "how it chooses regions"], rows)


def _lead(content: dict[str, Any]) -> str:
    """The methods with the highest closure; without a verdict where the sequences are too few."""
    last = str(BUDGETS[-1])
    closures = {name: row[last] for name, row in content["frontier"].items() if row[last] is not None}
    if not closures:
        return "No closure is defined: grid search finds nothing better than random regions on these targets."
    best = max(closures, key=lambda name: closures[name])
    if len(content["sequences"]) < LEAST_TARGETS:
        return (
            f"No verdict: fewer than {LEAST_TARGETS} sequences give no interval. On these videos {best} has the"
            f" highest closure after {last} queries, {closures[best]:.3f}, where 0 is a random region and 1 is"
            " grid search."
        )
    ends = content["frontier_intervals"][best][last]
    interval = "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    return (
        f"{best} has the highest closure after {last} queries, {closures[best]:.3f}{interval}, where 0 is a random"
        " region and 1 is grid search."
    )
